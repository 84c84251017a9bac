//! Everything about one org, each statement through an index that begins with the org.

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::StoreError;
use crate::billing::{Instant, LocalDate, Period, Quantity};

/// Packs, users and adjustments that are read at most.
const MOST: i64 = 25;

/// The org's row.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct OrgRow {
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
    /// The nominal date of that end.
    #[serde(skip)]
    pub current_period_end_date: Option<LocalDate>,
    /// The ends that follow.
    pub next_period_ends: Vec<Instant>,
    /// Derived: minutes used in the open period.
    pub used_minutes: Quantity,
    /// Derived: purchased minutes left.
    pub overage_minutes: Quantity,
    /// What periodd wrote there last.
    #[serde(skip)]
    pub overage_minutes_written: Option<Quantity>,
    /// What packs have granted since.
    #[serde(skip)]
    pub overage_minutes_granted: Quantity,
    /// Since when the org is set aside.
    pub parked_at: Option<Instant>,
    /// Why.
    pub parked_reason: Option<String>,
    /// When the row was written.
    pub created_at: Instant,
}

/// Reads the org's row.
///
/// # Errors
/// [`StoreError::Invalid`] when it is gone.
pub async fn org(connection: &mut PgConnection, id: Uuid) -> Result<OrgRow, StoreError> {
    let row = sqlx::query_as!(
        OrgRow,
        r#"select id, slug, name, time_zone, cycle, anchor_day, anchor_month, subscription_tier,
                  next_subscription_tier, next_subscription_tier_at, subscription_status,
                  subscription_ends_at, current_period_start, current_period_end,
                  current_period_end_date,
                  coalesce(next_period_ends, '{}') as "next_period_ends!", used_minutes,
                  overage_minutes, overage_minutes_written, overage_minutes_granted, parked_at,
                  parked_reason, created_at
           from organizations where id = $1"#,
        id
    );
    let row = row.fetch_optional(connection).await?;
    row.ok_or_else(|| StoreError::Invalid(format!("the org {id} has just gone")))
}

/// What an email stands for.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Person {
    /// The org that pays.
    pub org: Uuid,
    /// Its short name.
    pub slug: String,
    /// The user; `None` for a contact who uses nothing.
    pub user: Option<Uuid>,
}

/// The users and contacts with an email.
///
/// # Errors
/// As every read.
pub async fn people(connection: &mut PgConnection, email: &str) -> Result<Vec<Person>, StoreError> {
    let people = sqlx::query_as!(
        Person,
        r#"select o.id as org, o.slug, u.id as "user?"
           from users u join organizations o on o.id = u.organization_id
           where lower(u.email) = lower($1)
           order by o.slug limit 10"#,
        email
    );
    Ok(people.fetch_all(connection).await?)
}

/// What is known of one feature in one period.
#[derive(Debug, Clone)]
pub struct FeatureRow {
    /// The feature.
    pub feature: String,
    /// What one unit is called.
    pub unit: String,
    /// What its counter holds; `None`: there is none.
    pub used: Option<Quantity>,
    /// Does the counter say that the derived columns agree?
    pub sync_status: Option<String>,
    /// When they were written or audited last.
    pub last_synced_at: Option<Instant>,
    /// How often an audit found it wrong.
    pub discrepancy_count: Option<i32>,
    /// Is anything said about what is included?
    pub is_listed: bool,
    /// Is it the org's own, and not its tier's?
    pub is_own: bool,
    /// What is included; `None` with `is_listed`: unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    /// What packs hold that are usable now.
    pub usable: Quantity,
}

/// The features that an org uses, has bought or is granted, as they stand in a period.
///
/// # Errors
/// As every read.
pub async fn features(
    connection: &mut PgConnection,
    org: &OrgRow,
    period_start: Option<Instant>,
    now: Instant,
) -> Result<Vec<FeatureRow>, StoreError> {
    let rows = sqlx::query_as!(
        FeatureRow,
        r#"with counters as materialized (
               select c.* from usage_counters c where c.org_id = $1 and c.period_start = $2),
           packs as materialized (
               select p.id, p.feature, coalesce(p.remaining, p.quantity) as remaining,
                      p.purchased_at <= $4 and (p.expires_at is null or p.expires_at > $4)
                          as is_usable
               from overage_packs p where p.org_id = $1),
           draws as materialized (
               select p.feature, sum(e.quantity) as drawn
               from overage_entries e join packs p on p.id = e.pack_id
               where e.org_id = $1 and e.period_start = $2 and e.kind = 'drawn' group by 1),
           own as materialized (
               select l.feature, l.included from limit_overrides l where l.org_id = $1),
           granted as materialized (
               select t.feature, t.included from tier_limits t where t.tier = $3),
           named as (
               select feature from counters union select feature from packs
               union select feature from own union select feature from granted)
           select n.feature as "feature!", coalesce(f.unit, 'units') as "unit!",
                  c.used as "used?", c.sync_status as "sync_status?", c.last_synced_at,
                  c.discrepancy_count as "discrepancy_count?",
                  l.feature is not null or t.feature is not null as "is_listed!",
                  l.feature is not null as "is_own!",
                  case when l.feature is not null then l.included else t.included end
                      as "included?",
                  coalesce(d.drawn, 0) as "drawn!",
                  coalesce((select sum(p.remaining) from packs p
                            where p.feature = n.feature and p.is_usable and p.remaining > 0), 0)
                      as "usable!"
           from named n
           left join features f on f.feature = n.feature
           left join counters c on c.feature = n.feature
           left join draws d on d.feature = n.feature
           left join own l on l.feature = n.feature
           left join granted t on t.feature = n.feature
           order by n.feature"#,
        org.id,
        period_start,
        org.subscription_tier,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Metrics of one feature in one stretch of a period.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The feature.
    pub feature: String,
    /// Which stretch, from 1 on.
    pub number: i32,
    /// The sum of those that are counted.
    pub counted: Quantity,
    /// The sum of those that are not, yet.
    pub uncounted: Quantity,
}

/// What a period's metrics add up to, per feature and stretch; `bounds` are the stretches' starts
/// and rise.
///
/// # Errors
/// As every read.
pub async fn metrics(
    connection: &mut PgConnection,
    org: Uuid,
    period: Period,
    bounds: &[Instant],
) -> Result<Vec<Stretch>, StoreError> {
    let rows = sqlx::query_as!(
        Stretch,
        r#"select lower(m.metric_type) as "feature!",
                  width_bucket(m.created_at, $4::timestamptz[]) as "number!",
                  coalesce(sum(m.metric_value) filter (where m.counted_at is not null), 0)
                      as "counted!",
                  coalesce(sum(m.metric_value) filter (where m.counted_at is null), 0)
                      as "uncounted!"
           from usage_metrics m
           where m.organization_id = $1 and m.created_at >= $2 and m.created_at < $3
           group by 1, 2 order by 1, 2"#,
        org,
        period.start,
        period.end,
        &bounds.to_vec()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Metrics that no period of the org contains, or that wait although their period is closed.
///
/// # Errors
/// As every read.
pub async fn uncounted_before(
    connection: &mut PgConnection,
    org: Uuid,
    start: Instant,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from usage_metrics m
               where m.organization_id = $1 and m.counted_at is null and m.created_at < $2
               limit 1000) as m"#,
        org,
        start
    );
    Ok(count.fetch_one(connection).await?)
}

/// A pack with what it has paid for.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct PackRow {
    /// The pack.
    pub id: Uuid,
    /// What it pays for.
    pub feature: String,
    /// How much was bought.
    pub quantity: Quantity,
    /// What is left.
    pub remaining: Quantity,
    /// What it has paid for.
    pub drawn: Quantity,
    /// That of it which it paid in the open period.
    pub drawn_in_period: Quantity,
    /// What expired.
    pub expired: Quantity,
    /// What was refunded.
    pub refunded: Quantity,
    /// From when it is usable.
    pub purchased_at: Instant,
    /// Until when.
    pub expires_at: Option<Instant>,
    /// The buyer's reference.
    pub reference: Option<String>,
}

/// An org's packs: those that hold something first, in the order in which they are drawn.
///
/// # Errors
/// As every read.
pub async fn packs(
    connection: &mut PgConnection,
    org: Uuid,
    period_start: Option<Instant>,
) -> Result<Vec<PackRow>, StoreError> {
    let rows = sqlx::query_as!(
        PackRow,
        r#"select p.id, p.feature, p.quantity, p.remaining as "remaining!", e.drawn as "drawn!",
                  e.drawn_in_period as "drawn_in_period!", e.expired as "expired!",
                  e.refunded as "refunded!", p.purchased_at as "purchased_at!", p.expires_at,
                  p.reference
           from (select q.id, q.feature, q.quantity, q.purchased_at, q.expires_at, q.reference,
                        coalesce(q.remaining, q.quantity) as remaining
                 from overage_packs q where q.org_id = $1
                 order by coalesce(q.remaining, q.quantity) > 0 desc, q.expires_at nulls last,
                          q.purchased_at, q.id
                 limit $3) as p,
                lateral (
                    select coalesce(sum(l.quantity) filter (where l.kind = 'drawn'), 0) as drawn,
                           coalesce(sum(l.quantity) filter (
                               where l.kind = 'drawn' and l.period_start = $2), 0)
                               as drawn_in_period,
                           coalesce(sum(l.quantity) filter (where l.kind = 'expired'), 0)
                               as expired,
                           coalesce(sum(l.quantity) filter (where l.kind = 'refunded'), 0)
                               as refunded
                    from overage_entries l where l.org_id = $1 and l.pack_id = p.id) as e
           order by p.remaining > 0 desc, p.expires_at nulls last, p.purchased_at, p.id"#,
        org,
        period_start,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A user with the copies that periodd keeps in the user's row.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct UserRow {
    /// The user.
    pub id: Uuid,
    /// Where the user is reached.
    pub email: String,
    /// The user's own plan.
    pub plan: Option<String>,
    /// The user's own status.
    pub subscription_status: Option<String>,
    /// Derived: scrapes used in the open period.
    pub usage_this_month: Quantity,
    /// What the user's counter holds.
    pub counted: Quantity,
}

/// An org's users, the one that was asked for first.
///
/// # Errors
/// As every read.
pub async fn users(
    connection: &mut PgConnection,
    org: Uuid,
    first: Option<Uuid>,
    feature: &str,
    period_start: Option<Instant>,
) -> Result<Vec<UserRow>, StoreError> {
    let rows = sqlx::query_as!(
        UserRow,
        r#"select u.id, u.email, u.plan, u.subscription_status, u.usage_this_month,
                  coalesce(c.usage_count, 0) as "counted!"
           from (select * from users where organization_id = $1
                 order by id = $2::uuid desc nulls last, id limit $5) as u
           left join feature_usage c
                on c.organization_id = u.organization_id and c.user_id = u.id
                and c.period_start = $4 and c.feature = $3
           order by u.id = $2::uuid desc nulls last, u.email"#,
        org,
        first,
        feature,
        period_start,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Late usage of a closed period.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct AdjustmentRow {
    /// The closed period, by its start.
    pub period_start: Instant,
    /// The feature.
    pub feature: String,
    /// late, or `set_aside`.
    pub kind: String,
    /// What came late.
    pub used: Quantity,
    /// What packs paid for it.
    pub drawn: Quantity,
    /// What nothing paid for.
    pub uncovered: Quantity,
    /// Why.
    pub reason: Option<String>,
    /// When it was decided.
    pub decided_at: Instant,
}

/// An org's last adjustments, newest period first.
///
/// # Errors
/// As every read.
pub async fn adjustments(
    connection: &mut PgConnection,
    org: Uuid,
) -> Result<Vec<AdjustmentRow>, StoreError> {
    let rows = sqlx::query_as!(
        AdjustmentRow,
        "select period_start, feature, kind, used, drawn, uncovered, reason, decided_at
         from billing_adjustments where org_id = $1
         order by period_start desc, feature, seq desc limit $2",
        org,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}

/// What was found wrong with an org's numbers, and mended.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct MendRow {
    /// When.
    pub found_at: Instant,
    /// The feature.
    pub feature: String,
    /// Which stored copy.
    pub place: String,
    /// What it held.
    pub before: Option<Quantity>,
    /// What it holds since.
    pub after: Quantity,
    /// What was wrong.
    pub reason: String,
}

/// The last mends of an org, newest first.
///
/// # Errors
/// As every read.
pub async fn mends(connection: &mut PgConnection, org: Uuid) -> Result<Vec<MendRow>, StoreError> {
    let rows = sqlx::query_as!(
        MendRow,
        "select found_at, feature, place, before, after, reason from periodd_drift
         where org_id = $1 order by found_at desc, id limit $2",
        org,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}

/// An alert, and what became of its emails.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct AlertRow {
    /// The feature.
    pub feature: String,
    /// The percentage that was crossed.
    pub threshold: i16,
    /// The period, by its start.
    pub period_start: Instant,
    /// notified, covered, waiting, recorded or expired.
    pub state: String,
    /// When it was decided, in business time.
    pub decided_at: Instant,
    /// Emails that were sent.
    pub sent: i64,
    /// Emails that are still to be sent.
    pub due: i64,
    /// Emails that were given up.
    pub given_up: i64,
}

/// The last alerts of an org, newest first.
///
/// # Errors
/// As every read.
pub async fn alerts(connection: &mut PgConnection, org: Uuid) -> Result<Vec<AlertRow>, StoreError> {
    let rows = sqlx::query_as!(
        AlertRow,
        r#"select a.feature, a.threshold, a.period_start, a.state, a.decided_at,
                  e.sent as "sent!", e.due as "due!", e.given_up as "given_up!"
           from (select * from periodd_alerts where org_id = $1
                 order by period_start desc, decided_at desc, threshold desc limit $2) as a,
                lateral (
                    select count(*) filter (where m.state = 'sent') as sent,
                           count(*) filter (where m.state = 'due') as due,
                           count(*) filter (where m.state = 'given_up') as given_up
                    from periodd_outbox m
                    where m.org_id = a.org_id and m.period_start = a.period_start
                      and m.feature = a.feature and m.generation = a.generation
                      and m.threshold = a.threshold) as e
           order by a.period_start desc, a.decided_at desc, a.threshold desc"#,
        org,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}
