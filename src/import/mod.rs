//! Adopting a database that was there before: what it holds is told first, and then moved into
//! our tables in one transaction. A table that is replaced stays as `NAME_legacy`.
//!
//! Everything that is executed here is built from names that [`crate::store::db::tables`] has
//! found.
//!
//! Never: a replaced table that is dropped, but by `--drop-legacy`; a commit that changes a sum; a
//! name that was not read from the catalogue.

pub mod answers;
mod compare;
mod dependents;
mod draft;
mod ids;
mod not_carried_over;
mod orgs_and_users;
mod plan;
mod repairs;
pub mod report;
mod source;
mod undo;
mod usage;

pub use draft::{Adoption, DatabaseUse, Step};
pub use plan::plan;
pub use undo::{Loss, drop_legacy, loss, undo};

use answers::Answers;
use draft::{Draft, STAMP, Work, month_of, month_of_counter};
use source::legacy_name;
use sqlx::{Connection, PgConnection};

use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::lock_wait::{self, LockWait};
use crate::store::db::migrate;
use crate::store::db::tables::{self, Catalogue, literal, quoted};
use crate::store::orgs::zones::ZoneMonths;

/// What applications call the column of an org's id.
const ORG: [&str; 3] = ["organization_id", "organisation_id", "org_id"];
/// The same in a table of memberships that the operator named.
const MEMBER_ORG: [&str; 7] = [
    "organization_id",
    "organisation_id",
    "org_id",
    "team_id",
    "workspace_id",
    "tenant_id",
    "account_id",
];
/// What they call the column of a user's id.
const USER: [&str; 1] = ["user_id"];

/// Something that was found, and how often.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What, and what becomes of it.
    pub what: String,
    /// How many; `None` for what is about a table as such.
    pub count: Option<i64>,
    /// With any of these, nothing is adopted.
    pub blocks: bool,
}

impl Finding {
    /// Something that is in the way, whatever the rows hold.
    fn obstacle(what: impl AsRef<str>) -> Self {
        Self { what: what.as_ref().to_owned(), count: None, blocks: true }
    }

    /// As a sentence begins with it: with how many there are.
    pub fn counted(&self) -> String {
        self.count.map_or_else(|| self.what.clone(), |count| format!("{count} {}", self.what))
    }
}

/// An amount that is not what it was.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema, sqlx::FromRow)]
pub struct Difference {
    /// The org.
    pub org: uuid::Uuid,
    /// The feature.
    pub feature: String,
    /// The period, by its start, or the calendar month of the original rows' own instants.
    pub since: crate::billing::Instant,
    /// Is it a period, or a month?
    pub is_period: bool,
    /// As the replaced tables held it.
    pub before: crate::billing::Quantity,
    /// As it is now.
    pub after: crate::billing::Quantity,
}

/// What there is to adopt, and what was counted about it.
#[derive(Debug)]
pub struct Survey {
    pub adoption: Adoption,
    pub found: Vec<Finding>,
    /// The zones in use, with how many orgs each has.
    pub zones: Vec<(String, i64)>,
    /// How many orgs it is about.
    pub orgs: i64,
}

/// Looks at a database, in one transaction that changes nothing and keeps nobody waiting. `None`
/// where there is nothing to adopt.
///
/// # Errors
/// As every read; a table that is not what its name promises fails here; [`StoreError::Held`]
/// when others keep what is to be looked at.
pub async fn survey(
    database: &Database,
    answers: &Answers,
    wait: LockWait,
) -> Result<Option<Survey>, StoreError> {
    if database.lacks_schema().await? {
        return Ok(None);
    }
    let mut attempts = wait.begin("nothing was changed");
    loop {
        let mut connection = database.connection().await?;
        let mut transaction = connection.begin().await?;
        let pid = lock_wait::bound(&mut transaction).await?;
        let found = attempts.watch(database, pid, look_within(&mut transaction, answers)).await;
        // Nothing was changed; a connection that is lost has rolled back, too.
        let _ = transaction.rollback().await;
        drop(connection);
        match found {
            Ok(survey) => return Ok(survey),
            Err(error) => attempts.again(error).await?,
        }
    }
}

async fn look_within(
    connection: &mut PgConnection,
    answers: &Answers,
) -> Result<Option<Survey>, StoreError> {
    let schema = tables::current_schema(connection).await?;
    let Some(adoption) = look(connection, &schema, answers).await? else { return Ok(None) };
    if !adoption.mistrusts.is_empty() {
        let all = adoption.mistrusts.iter();
        let found = all.map(Finding::obstacle);
        let (found, zones, orgs) = (found.collect(), Vec::new(), 0);
        return Ok(Some(Survey { adoption, found, zones, orgs }));
    }
    let mut found: Vec<Finding> = adoption.refusals.iter().map(Finding::obstacle).collect();
    found.extend(findings(connection, &adoption).await?);
    found.extend(not_carried_over::dependents(connection, &schema, &adoption).await?);
    let (zones, orgs) = (zones(connection, &adoption).await?, orgs(connection, &adoption).await?);
    Ok(Some(Survey { adoption, found, zones, orgs }))
}

/// Counts what there is, without changing anything.
async fn findings(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Vec<Finding>, StoreError> {
    let mut found = Vec::new();
    for question in &adoption.questions {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(question.sql.clone()))
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failed(&question.sentence, error))?;
        if count > 0 {
            let (what, blocks) = (question.sentence.clone(), question.blocks);
            found.push(Finding { what, count: Some(count), blocks });
        }
    }
    Ok(found)
}

async fn zones(
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

async fn orgs(connection: &mut PgConnection, adoption: &Adoption) -> Result<i64, StoreError> {
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
/// [`StoreError::Unprocessable`] when the sums before and after differ, or anything of others
/// would not be as before; [`StoreError::Held`] when others keep what is needed. Then, as with
/// any other error, nothing has happened.
pub async fn apply(
    database: &Database,
    adoption: &Adoption,
    months: &[ZoneMonths],
    release: &str,
    wait: LockWait,
    mut progress: impl FnMut(&str),
) -> Result<(), StoreError> {
    let mut attempts = wait.begin("nothing was changed");
    loop {
        let mut connection = database.connection().await?;
        let mut transaction = connection.begin().await?;
        let pid = lock_wait::bound(&mut transaction).await?;
        let work = apply_within(&mut transaction, adoption, months, release, &mut progress);
        match attempts.watch(database, pid, work).await {
            Ok(()) => return Ok(transaction.commit().await?),
            Err(error) => {
                // A connection that is lost has rolled back, too.
                let _ = transaction.rollback().await;
                drop(connection);
                attempts.again(error).await?;
            }
        }
    }
}

async fn apply_within(
    connection: &mut PgConnection,
    adoption: &Adoption,
    months: &[ZoneMonths],
    release: &str,
    progress: &mut impl FnMut(&str),
) -> Result<(), StoreError> {
    run(connection, "begin", "set local client_min_messages = warning").await?;
    progress("rename the existing tables");
    let room = undo::make_room(connection, adoption).await?;
    progress("create the new tables");
    migrate::within(connection, months, release).await?;
    for step in &adoption.steps {
        progress(step.what);
        let rows = match &step.work {
            Work::Statements(statements) => {
                let mut rows = 0;
                for statement in statements {
                    rows += run(connection, step.what, statement).await?;
                }
                rows
            }
            Work::MapIds(query) => ids::map(connection, step.what, query).await?,
        };
        if rows > 0 {
            progress(&format!("  {rows} row{}", if rows == 1 { "" } else { "s" }));
        }
    }
    if adoption.is_mend() {
        return Ok(());
    }
    progress("recreate views, foreign keys and policies of others on the new tables");
    room.furnish(connection, adoption).await?;
    progress("compare the sums before and after");
    room.remember(connection, adoption, &after(adoption)).await?;
    if !adoption.raw.is_empty() {
        run(connection, "add up the original data", &before(adoption)).await?;
    }
    let differences = differences(connection).await?;
    match differences.first() {
        None => Ok(()),
        Some(first) => Err(StoreError::Unprocessable(format!(
            "{} sums would change (the first: {} of org {}, {} before and {} after)",
            differences.len(),
            first.feature,
            first.org,
            first.before,
            first.after
        ))),
    }
}

/// The statement that adds up what the replaced tables hold: by period as it was merged, and by the
/// calendar month of the rows' own instants as they are, row by row.
fn before(adoption: &Adoption) -> String {
    let periods = adoption.sums.iter().map(|sums| {
        format!(
            "select org_id, feature, true as is_period, period_start as since, amount
                 from ({sums}) p"
        )
    });
    let months = adoption.raw.iter().map(|rows| {
        format!(
            "select org_id, feature, false as is_period, month as since, amount from ({rows}) m"
        )
    });
    let all: Vec<String> = periods.chain(months).collect();
    format!(
        "insert into periodd_import_sums (import, org_id, feature, is_period, since, amount)
         select 1, org_id, feature, is_period, since, sum(amount) from ({}) s
         group by 2, 3, 4, 5 having sum(amount) <> 0",
        all.join(" union all ")
    )
}

/// The query that adds up what became of what was imported, in the same way.
fn after(adoption: &Adoption) -> String {
    let naive_zone = &adoption.answers.naive_zone;
    let is_made = "m.idempotency_key like 'periodd-import:%'";
    let start = format!(
        "to_timestamp(split_part(m.idempotency_key, ':', 4), {})::timestamp at time zone 'UTC'",
        literal(STAMP)
    );
    let columns = "m.organization_id as org_id, lower(m.metric_type) as feature";
    // By joins, not by a list of ids: there may be millions.
    let kept = adoption.kept_metrics.iter().map(|(table, has_new_ids)| {
        let of = if *has_new_ids {
            format!("join periodd_import_ids l on l.id = m.id and l.kind = {}", literal(table))
        } else {
            format!("join {} l on l.id = m.id", quoted(&legacy_name(table)))
        };
        format!(
            " union all select {columns}, false, {month}, m.metric_value
             from usage_metrics m {of} where ({is_made}) is not true",
            month = month_of("m.created_at", naive_zone)
        )
    });
    format!(
        "select org_id, feature, is_period, since, sum(amount) as amount
         from (select r.org_id, r.feature, s.is_period, s.since, r.amount
               from (select {columns}, {start} as start, m.metric_value as amount
                     from usage_metrics m where {is_made}) r,
                    lateral (values (true, r.start), (false, {month}))
                        as s (is_period, since){kept})
              a
         group by 1, 2, 3, 4",
        month = month_of_counter("r.start", naive_zone),
        kept = kept.collect::<String>()
    )
}

/// Sums that are not what they were before the import, while the replaced tables are there.
pub async fn differences(connection: &mut PgConnection) -> Result<Vec<Difference>, StoreError> {
    let after: Option<String> = sqlx::query_scalar(
        "select after_sql from periodd_imports
         where legacy_dropped_at is null and after_sql is not null",
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(after) = after else { return Ok(Vec::new()) };
    let query = format!(
        "select org_id as org, feature, since, is_period, coalesce(b.amount, 0) as before,
                coalesce(a.amount, 0) as after
         from periodd_import_sums b full join ({after}) a using (org_id, feature, is_period, since)
         where coalesce(b.amount, 0) <> coalesce(a.amount, 0)
         order by 1, 2, 4, 3"
    );
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?;
    Ok(rows)
}

/// Reads what there is to adopt. From then on, until the transaction ends, names mean what they
/// mean in this schema alone.
async fn look(
    connection: &mut PgConnection,
    schema: &str,
    answers: &Answers,
) -> Result<Option<Adoption>, StoreError> {
    tables::write_names_in_full(connection).await?;
    let catalogue = Catalogue::read(&mut *connection, schema).await?;
    tables::search_only(connection, schema).await?;
    let database_use = if catalogue.table("periodd_migrations").is_none() {
        DatabaseUse::Foreign
    } else if catalogue.table("organizations").is_none() || is_in_use(connection).await? {
        DatabaseUse::InUse
    } else {
        DatabaseUse::Fresh
    };
    plan(&catalogue, database_use, answers)
}

/// Tables that would be read, in a schema that is not: its name, and theirs. An application beside
/// periodd's schema may have such tables of its own, so that they are only named.
pub async fn elsewhere(database: &Database) -> Result<Option<(String, String)>, StoreError> {
    // `users` alone are nobody's billing: Supabase has a table of that name for logins.
    let query = "select n.nspname::text, string_agg(c.relname, ', ' order by c.relname)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p')
           and c.relname in ('organizations', 'usage_metrics', 'usage_events', 'usage_counters')
           and n.nspname is distinct from current_schema()
           and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
           and not exists (select from pg_class m
                           where m.relnamespace = n.oid and m.relname = 'periodd_migrations')
         group by 1 order by 1 limit 1";
    let mut connection = database.connection().await?;
    Ok(sqlx::query_as(query).fetch_optional(&mut *connection).await?)
}

async fn is_in_use(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let query = "select exists (select from organizations)";
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

/// Runs one statement, and returns how many rows it wrote.
async fn run(connection: &mut PgConnection, what: &str, sql: &str) -> Result<u64, StoreError> {
    tables::execute(connection, sql).await.map_err(|error| failed(what, error))
}

/// Names the step that failed; a lost connection, and a lock that was not to be had, stay what
/// they are.
fn failed(what: &str, error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        unavailable @ StoreError::Unavailable(_) => unavailable,
        held if held.is_held() => held,
        // Something of an application's; no migration brings it.
        StoreError::Missing(message) => StoreError::Unprocessable(format!("{what}: {message}")),
        other => StoreError::Unprocessable(format!("{what}: {other}")),
    }
}
