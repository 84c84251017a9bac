//! Orgs: adding them, finding them by slug or id, showing them.

use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use super::suggest;
use crate::billing::{Instant, LocalDate, Period, Quantity};

/// An org to be added, with its first period.
#[derive(Debug, Clone)]
pub struct NewOrg {
    /// Its id; drawn at random if not given.
    pub id: Option<Uuid>,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// tz database name.
    pub time_zone: String,
    /// Name of the cycle.
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a yearly cycle.
    pub anchor_month: i16,
    /// The tier.
    pub tier: String,
    /// The open period.
    pub period: Period,
    /// The nominal date that its end stands for.
    pub end_date: LocalDate,
    /// The ends that follow it.
    pub next_ends: Vec<Instant>,
    /// The tz database release that the ends come from.
    pub tzdb: String,
}

/// Adds an org and returns its id.
///
/// # Errors
/// [`StoreError::Invalid`] for a slug or id that is taken, or a tier that does not exist.
pub async fn add(database: &Database, org: &NewOrg) -> Result<Uuid, StoreError> {
    let tiers = sqlx::query_scalar!("select code from subscription_tiers order by code");
    let tiers = tiers.fetch_all(&mut *database.connection().await?).await?;
    if !tiers.contains(&org.tier) {
        return Err(StoreError::Invalid(format!(
            "there is no tier `{}`; there are {}",
            org.tier,
            tiers.join(", ")
        )));
    }
    let added = sqlx::query_scalar!(
        "insert into organizations
             (id, slug, name, time_zone, cycle, anchor_day, anchor_month, subscription_tier,
              current_period_start, current_period_end, current_period_end_date,
              next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
              ends_tzdb_version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $4, $5, $6, $7, $13)
         on conflict do nothing
         returning id",
        org.id.unwrap_or_else(Uuid::new_v4),
        org.slug,
        org.name,
        org.time_zone,
        org.cycle,
        org.anchor_day,
        org.anchor_month,
        org.tier,
        org.period.start,
        org.period.end,
        org.end_date,
        &org.next_ends,
        org.tzdb
    );
    let added = added.fetch_optional(&mut *database.connection().await?).await?;
    added.ok_or_else(|| {
        let id = org.id.map(|id| format!(" or the id {id}")).unwrap_or_default();
        StoreError::Invalid(format!("the slug `{}`{id} is taken", org.slug))
    })
}

/// An org, as commands show it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct OrgView {
    /// The org.
    pub id: Uuid,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// tz database name.
    pub time_zone: String,
    /// Name of the cycle.
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a yearly cycle.
    pub anchor_month: i16,
    /// The tier.
    pub subscription_tier: String,
    /// The tier to come.
    pub next_subscription_tier: Option<String>,
    /// From when it may apply.
    pub next_subscription_tier_at: Option<Instant>,
    /// As the payment provider says.
    pub subscription_status: Option<String>,
    /// When the subscription ends.
    pub subscription_ends_at: Option<Instant>,
    /// Start of the open period.
    pub current_period_start: Option<Instant>,
    /// End of the open period.
    pub current_period_end: Option<Instant>,
    /// The ends that follow.
    pub next_period_ends: Vec<Instant>,
    /// Derived: minutes used in the open period.
    pub used_minutes: Quantity,
    /// Derived: purchased minutes left.
    pub overage_minutes: Quantity,
    /// Periods closed so far.
    pub periods_closed: i64,
    /// Since when the org is set aside.
    pub parked_at: Option<Instant>,
    /// Why.
    pub parked_reason: Option<String>,
}

/// Lists orgs by slug; with `only`, one of them.
///
/// # Errors
/// As every read.
pub async fn list(database: &Database, only: Option<Uuid>) -> Result<Vec<OrgView>, StoreError> {
    let orgs = sqlx::query_as!(
        OrgView,
        r#"select o.id, o.slug, o.name, o.time_zone, o.cycle, o.anchor_day, o.anchor_month,
                  o.subscription_tier, o.next_subscription_tier, o.next_subscription_tier_at,
                  o.subscription_status, o.subscription_ends_at, o.current_period_start,
                  o.current_period_end, coalesce(o.next_period_ends, '{}') as "next_period_ends!",
                  o.used_minutes, o.overage_minutes,
                  (select count(*) from billing_periods b where b.org_id = o.id)
                      as "periods_closed!",
                  o.parked_at, o.parked_reason
           from organizations o
           where $1::uuid is null or o.id = $1
           order by o.slug"#,
        only
    );
    Ok(orgs.fetch_all(&mut *database.connection().await?).await?)
}

/// What one org used of a feature in its open period.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct CounterView {
    /// The feature.
    pub feature: String,
    /// How much.
    pub used: Quantity,
    /// What is included; `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in this period.
    pub drawn: Quantity,
    /// What packs still hold.
    pub in_packs: Quantity,
}

/// Usage, included quantity and packs of one org's open period, per feature.
///
/// # Errors
/// As every read.
pub async fn counters(database: &Database, org: Uuid) -> Result<Vec<CounterView>, StoreError> {
    let counters = sqlx::query_as!(
        CounterView,
        r#"with named as (
               select c.feature from usage_counters c
               join organizations o on o.id = c.org_id and c.period_start = o.current_period_start
               where o.id = $1
               union select p.feature from overage_packs p where p.org_id = $1 and p.remaining > 0
               union select l.feature from limit_overrides l where l.org_id = $1
               union select t.feature from tier_limits t
                     join organizations o on o.subscription_tier = t.tier where o.id = $1)
           select n.feature as "feature!", coalesce(c.used, 0) as "used!",
                  case when l.org_id is not null then l.included
                       when t.tier is not null then t.included else 0 end as included,
                  coalesce((select sum(e.quantity)
                            from overage_entries e
                            join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
                            where e.org_id = o.id and e.period_start = o.current_period_start
                              and e.kind = 'drawn' and p.feature = n.feature), 0) as "drawn!",
                  coalesce((select sum(p.remaining) from overage_packs p
                            where p.org_id = o.id and p.remaining > 0
                              and p.feature = n.feature), 0) as "in_packs!"
           from named n
           join organizations o on o.id = $1
           left join usage_counters c on c.org_id = o.id and c.feature = n.feature
                and c.period_start = o.current_period_start
           left join limit_overrides l on l.org_id = o.id and l.feature = n.feature
           left join tier_limits t on t.tier = o.subscription_tier and t.feature = n.feature
           order by n.feature"#,
        org
    );
    Ok(counters.fetch_all(&mut *database.connection().await?).await?)
}

/// A closed period's usage of one feature.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ClosedView {
    /// Start of the period.
    pub start: Instant,
    /// End of the period.
    pub end: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The feature; `None` for a period without usage.
    pub feature: Option<String>,
    /// What was used.
    pub used: Option<Quantity>,
    /// What was included; `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs paid.
    pub drawn: Option<Quantity>,
    /// What nothing paid.
    pub uncovered: Option<Quantity>,
}

/// The last closed periods of an org, newest first.
///
/// # Errors
/// As every read.
pub async fn closed(
    database: &Database,
    org: Uuid,
    periods: i64,
) -> Result<Vec<ClosedView>, StoreError> {
    let closed = sqlx::query_as!(
        ClosedView,
        r#"select b.period_start as start, b.period_end as "end", b.tier,
                  u.feature as "feature?", u.used as "used?", u.included,
                  u.drawn as "drawn?", u.uncovered as "uncovered?"
           from (select * from billing_periods where org_id = $1
                 order by period_start desc limit $2) b
           left join billing_period_usage u
                on u.org_id = b.org_id and u.period_start = b.period_start
           order by b.period_start desc, u.feature"#,
        org,
        periods
    );
    Ok(closed.fetch_all(&mut *database.connection().await?).await?)
}

/// Finds an org by slug or id.
///
/// # Errors
/// [`StoreError::Invalid`] when there is none, with the most similar slug.
pub async fn find(database: &Database, named: &str) -> Result<Uuid, StoreError> {
    let id = Uuid::try_parse(named).ok();
    let found = sqlx::query_scalar!(
        "select id from organizations where slug = $1 or id = $2 order by slug = $1 desc",
        named,
        id
    );
    if let Some(found) = found.fetch_optional(&mut *database.connection().await?).await? {
        return Ok(found);
    }
    Err(StoreError::Invalid(suggest::no_such_org(database, named).await?))
}

/// Finds a user of an org by email.
///
/// # Errors
/// [`StoreError::Invalid`] when there is none.
pub async fn find_user(database: &Database, org: Uuid, email: &str) -> Result<Uuid, StoreError> {
    let user = sqlx::query_scalar!(
        "select id from users where organization_id = $1 and lower(email) = lower($2)",
        org,
        email
    );
    user.fetch_optional(&mut *database.connection().await?)
        .await?
        .ok_or_else(|| StoreError::Invalid(format!("there is no user `{email}` in that org")))
}

/// Why an org is parked; `None` for one that is not.
///
/// # Errors
/// As every read.
pub async fn parked_reason(database: &Database, org: Uuid) -> Result<Option<String>, StoreError> {
    let reason = sqlx::query_scalar!(
        r#"select coalesce(parked_reason, 'no reason was given') as "reason!"
           from organizations where id = $1 and parked_at is not null"#,
        org
    );
    Ok(reason.fetch_optional(&mut *database.connection().await?).await?)
}

/// How many orgs there are that are not parked, in a zone or in all.
///
/// # Errors
/// As every read.
pub async fn count(database: &Database, zone: Option<&str>) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from organizations
           where parked_at is null and ($1::text is null or time_zone = $1)"#,
        zone
    );
    Ok(count.fetch_one(&mut *database.connection().await?).await?)
}
