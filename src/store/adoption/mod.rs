//! Adopting a database that was there before: what it holds is told first, and then moved into
//! our tables in one transaction. A table that is replaced stays as `NAME_legacy`.
//!
//! Everything that is executed here is built from names that [`super::tables`] has found.

mod left;
mod mends;
mod people;
mod plan;
mod source;
mod undo;
mod usage;

pub use plan::{Adoption, Standing, Step, plan};
pub use undo::{Loss, drop_legacy, loss, undo};

use plan::{Draft, STAMP};
use source::legacy_name;
use sqlx::{Connection, PgConnection};

use super::database::Database;
use super::error::StoreError;
use super::migrate;
use super::tables::{Catalogue, literal, quoted};
use super::zones::ZoneMonths;

/// What applications call the column of an org's id.
const ORG: [&str; 3] = ["organization_id", "organisation_id", "org_id"];
/// What they call the column of a user's id.
const USER: [&str; 1] = ["user_id"];

/// The tables that applications share with us; a table of that name has to make room.
pub const TABLES: [&str; 17] = [
    "billing_adjustments",
    "billing_period_usage",
    "billing_periods",
    "feature_usage",
    "features",
    "limit_overrides",
    "org_alert_settings",
    "org_contacts",
    "organizations",
    "overage_entries",
    "overage_packs",
    "pack_offers",
    "subscription_tiers",
    "tier_limits",
    "usage_counters",
    "usage_metrics",
    "users",
];

/// Something that was found, and how often.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What, and what becomes of it.
    pub what: String,
    /// How many.
    pub count: i64,
    /// With any of these, nothing is adopted.
    pub blocks: bool,
}

/// An amount that is not what it was.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema, sqlx::FromRow)]
pub struct Difference {
    /// The org.
    pub org: uuid::Uuid,
    /// The feature.
    pub feature: String,
    /// The period, by its start; `None` for metrics with instants of their own.
    pub period_start: Option<crate::billing::Instant>,
    /// As the replaced tables held it.
    pub before: crate::billing::Quantity,
    /// As it is now.
    pub after: crate::billing::Quantity,
}

/// Counts what there is, without locking or changing anything.
///
/// # Errors
/// As every read; a table that is not what its name promises fails here.
pub async fn findings(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Vec<Finding>, StoreError> {
    let mut found = Vec::new();
    for question in &adoption.questions {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(question.sql.clone()))
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failed(&question.sentence, error))?;
        if count > 0 {
            let (what, blocks) = (question.sentence.clone(), question.blocks);
            found.push(Finding { what, count, blocks });
        }
    }
    Ok(found)
}

/// The zones in use, with how many orgs each has.
///
/// # Errors
/// As every read.
pub async fn zones(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Vec<(String, i64)>, StoreError> {
    let mut all = Vec::new();
    for query in &adoption.zones {
        let query = format!("select zone, orgs from ({query}) z where zone is not null order by 1");
        let rows: Vec<(String, i64)> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
        all.extend(rows);
    }
    Ok(all)
}

/// How many orgs an adoption is about.
///
/// # Errors
/// As every read.
pub async fn orgs(connection: &mut PgConnection, adoption: &Adoption) -> Result<i64, StoreError> {
    if adoption.orgs.is_empty() {
        return Ok(0);
    }
    let query = format!("select count(*) from ({}) o", adoption.orgs.join(" union "));
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(connection).await?)
}

/// Adopts: makes room, migrates, copies, adds up, all in one transaction. `progress` hears of
/// every step before it begins, and afterwards of how many rows it wrote.
///
/// # Errors
/// [`StoreError::Unprocessable`] when the sums before and after differ; then, as with any other
/// error, nothing has happened.
pub async fn apply(
    database: &Database,
    adoption: &Adoption,
    months: &[ZoneMonths],
    release: &str,
    mut progress: impl FnMut(&str),
) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    run(&mut transaction, "begin", "set local client_min_messages = warning").await?;
    progress("make room for the new tables");
    let room = undo::make_room(&mut transaction, adoption).await?;
    progress("make the new tables");
    migrate::within(&mut transaction, months, release).await?;
    for step in &adoption.steps {
        progress(step.what);
        let rows = run(&mut transaction, step.what, &step.sql).await?;
        if rows > 0 {
            progress(&format!("  {rows} row{}", if rows == 1 { "" } else { "s" }));
        }
    }
    if adoption.is_mend() {
        transaction.commit().await?;
        return Ok(());
    }
    progress("point foreign keys of other tables at the new ones");
    undo::point(&mut transaction, &room.foreign_keys).await?;
    undo::make_views(&mut transaction, &room.made_again).await?;
    progress("add up what there was and what there is");
    let after = after(adoption);
    sqlx::query(
        "insert into periodd_imports (id, tables, indexes, views, foreign_keys, after_sql)
         values (1, $1, $2, $3, $4, $5)",
    )
    .bind(&adoption.replaces)
    .bind(&room.indexes)
    .bind(&room.views)
    .bind(&room.foreign_keys)
    .bind(&after)
    .execute(&mut *transaction)
    .await?;
    if !adoption.sums.is_empty() {
        let sums = format!(
            "insert into periodd_import_sums (import, org_id, feature, period_start, amount)
             select 1, org_id, feature, period_start, sum(amount) from ({}) s
             group by 2, 3, 4 having sum(amount) <> 0
             union all
             select 1, org_id, feature, '-infinity', sum(amount) from ({}) r
             group by 2, 3 having sum(amount) <> 0",
            adoption.sums.join(" union all "),
            adoption.raw.join(" union all ")
        );
        run(&mut transaction, "add up what there was", &sums).await?;
    }
    let differences = differences(&mut transaction).await?;
    if let Some(first) = differences.first() {
        return Err(StoreError::Unprocessable(format!(
            "{} sums would not be what they were (the first: {} of org {}, {} before and {} after)",
            differences.len(),
            first.feature,
            first.org,
            first.before,
            first.after
        )));
    }
    transaction.commit().await?;
    Ok(())
}

/// The query that adds up what became of what was imported: by period, and all together.
fn after(adoption: &Adoption) -> String {
    let is_made = "m.idempotency_key like 'periodd-import:%'";
    let start = format!(
        "to_timestamp(split_part(m.idempotency_key, ':', 4), {})::timestamp at time zone 'UTC'",
        literal(STAMP)
    );
    let columns = "m.organization_id as org_id, lower(m.metric_type) as feature";
    // By joins, not by a list of ids: there may be millions.
    let kept = adoption.kept_metrics.iter().map(|table| {
        format!(
            " union all select {columns}, null, m.metric_value
             from usage_metrics m join {} l on l.id = m.id
             where ({is_made}) is not true",
            quoted(&legacy_name(table))
        )
    });
    let rows = format!(
        "select {columns}, {start} as period_start, m.metric_value as amount
         from usage_metrics m where {is_made}{}",
        kept.collect::<String>()
    );
    format!(
        "select org_id, feature, s.start as period_start, sum(amount) as amount
         from ({rows}) r,
              lateral (values (period_start), ('-infinity'::timestamptz)) as s (start)
         group by 1, 2, 3"
    )
}

/// Sums that are not what they were before the import, while the replaced tables are there.
///
/// # Errors
/// As every read.
pub async fn differences(connection: &mut PgConnection) -> Result<Vec<Difference>, StoreError> {
    let after: Option<String> = sqlx::query_scalar(
        "select after_sql from periodd_imports where legacy_dropped_at is null and after_sql <> ''",
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(after) = after else { return Ok(Vec::new()) };
    let query = format!(
        "select distinct coalesce(b.org_id, a.org_id) as org,
                coalesce(b.feature, a.feature) as feature,
                nullif(coalesce(b.period_start, a.period_start), '-infinity') as period_start,
                coalesce(b.amount, 0) as before, coalesce(a.amount, 0) as after
         from periodd_import_sums b
         full join ({after}) a
           on a.org_id = b.org_id and a.feature = b.feature
              and coalesce(a.period_start, 'infinity') = coalesce(b.period_start, 'infinity')
         where coalesce(b.amount, 0) <> coalesce(a.amount, 0)
         order by 1, 2, 3"
    );
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    Ok(rows)
}

/// Reads what there is to adopt.
///
/// # Errors
/// As every read.
pub async fn look(
    connection: &mut PgConnection,
    naive_zone: &str,
) -> Result<Option<Adoption>, StoreError> {
    let catalogue = Catalogue::read(&mut *connection).await?;
    let standing = if catalogue.table("periodd_migrations").is_none() {
        Standing::Foreign
    } else if catalogue.table("organizations").is_none() || is_in_use(connection).await? {
        Standing::InUse
    } else {
        Standing::Fresh
    };
    Ok(plan(&catalogue, standing, naive_zone))
}

async fn is_in_use(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let query = "select exists (select from organizations)";
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

/// Runs a step, and returns how many rows it wrote.
async fn run(connection: &mut PgConnection, what: &str, sql: &str) -> Result<u64, StoreError> {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(|error| failed(what, error))
}

/// Names the step that failed; a lost connection stays what it is.
fn failed(what: &str, error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        unavailable @ StoreError::Unavailable(_) => unavailable,
        other => StoreError::Unprocessable(format!("{what}: {other}")),
    }
}
