//! Everything about one org, each statement through an index that begins with the org.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::notice::Kind;
use crate::billing::org::pause::Pause;
use crate::billing::quota::level::CARRIED_KEY;
use crate::billing::{Instant, LocalDate, Period, Quantity, TimeOfDay};
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;
use crate::store::usage::limits::WhyNot;

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
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: i16,
    /// Local time of day at which periods end.
    pub anchor_time: TimeOfDay,
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
    /// Whether that end looks like the period's last moment.
    #[serde(skip)]
    pub has_inclusive_end: bool,
    /// The ends that follow.
    pub next_period_ends: Vec<Instant>,
    /// Derived: minutes used in the open period.
    pub used_minutes: Option<Quantity>,
    /// Derived: purchased minutes left.
    pub overage_minutes: Option<Quantity>,
    /// What periodd wrote there last.
    #[serde(skip)]
    pub overage_minutes_written: Option<Quantity>,
    /// What packs have granted since.
    #[serde(skip)]
    pub overage_minutes_granted: Quantity,
    /// Is it set aside?
    #[serde(skip)]
    pub is_parked: bool,
    /// Since when the org has been parked.
    pub parked_at: Option<Instant>,
    /// Why, as a code; null: it is not, or nothing is known of the kind of reason.
    pub parked_code: Option<String>,
    /// Why.
    pub parked_reason: Option<String>,
    /// Start of the last pause; null: never paused.
    pub paused_from: Option<Instant>,
    /// Its end; null: until the org is resumed.
    pub paused_until: Option<Instant>,
    /// Its reason.
    pub pause_reason: Option<String>,
    /// When the row was written; null: it cannot be read.
    pub created_at: Option<Instant>,
}

impl OrgRow {
    /// Its pause, where it has not ended by `now`.
    pub fn pause(&self, now: Instant) -> Option<Pause> {
        let pause = Pause { from: self.paused_from?, until: self.paused_until };
        pause.until.is_none_or(|until| now < until).then_some(pause)
    }
}

/// Reads the org's row; what cannot be read in it is left out.
///
/// # Errors
/// [`StoreError::Invalid`] when it is gone.
pub async fn org(connection: &mut PgConnection, id: Uuid) -> Result<OrgRow, StoreError> {
    let row = sqlx::query!(
        r#"select id, slug, name, time_zone, cycle, anchor_day, anchor_month, anchor_time,
                  subscription_tier,
                  next_subscription_tier,
                  next_subscription_tier_at as "next_subscription_tier_at: Readable<Instant>",
                  subscription_status,
                  nullif(subscription_ends_at, 'infinity')
                      as "subscription_ends_at: Readable<Instant>",
                  current_period_start as "current_period_start: Readable<Instant>",
                  current_period_end as "current_period_end: Readable<Instant>",
                  current_period_end_date as "current_period_end_date: Readable<LocalDate>",
                  coalesce(periodd_is_inclusive(current_period_start, current_period_end,
                                                anchor_time), false)
                      as "has_inclusive_end!",
                  coalesce(next_period_ends, '{}') as "next_period_ends!: Readable<Vec<Instant>>",
                  used_minutes as "used_minutes: Readable<Quantity>",
                  overage_minutes as "overage_minutes: Readable<Quantity>",
                  overage_minutes_written as "overage_minutes_written: Readable<Quantity>",
                  overage_minutes_granted as "overage_minutes_granted: Readable<Quantity>",
                  parked_at is not null as "is_parked!",
                  parked_at as "parked_at: Readable<Instant>", parked_code,
                  parked_reason, paused_from as "paused_from: Readable<Instant>",
                  nullif(paused_until, 'infinity') as "paused_until: Readable<Instant>",
                  pause_reason, created_at as "created_at: Readable<Instant>"
           from organizations where id = $1"#,
        id
    );
    let row = row.fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::Invalid(format!("the org {id} has just gone")))?;
    let at = |value: Option<Readable<Instant>>| value.and_then(Readable::value);
    Ok(OrgRow {
        id: row.id,
        slug: row.slug,
        name: row.name,
        time_zone: row.time_zone,
        cycle: row.cycle,
        anchor_day: row.anchor_day,
        anchor_month: row.anchor_month,
        anchor_time: row.anchor_time,
        subscription_tier: row.subscription_tier,
        next_subscription_tier: row.next_subscription_tier,
        next_subscription_tier_at: at(row.next_subscription_tier_at),
        subscription_status: row.subscription_status,
        subscription_ends_at: at(row.subscription_ends_at),
        current_period_start: at(row.current_period_start),
        current_period_end: at(row.current_period_end),
        current_period_end_date: row.current_period_end_date.and_then(Readable::value),
        has_inclusive_end: row.has_inclusive_end,
        next_period_ends: row.next_period_ends.value().unwrap_or_default(),
        used_minutes: row.used_minutes.value(),
        overage_minutes: row.overage_minutes.value(),
        overage_minutes_written: row.overage_minutes_written.and_then(Readable::value),
        overage_minutes_granted: row.overage_minutes_granted.value().unwrap_or(Quantity::ZERO),
        is_parked: row.is_parked,
        parked_at: at(row.parked_at),
        parked_code: row.parked_code,
        parked_reason: row.parked_reason,
        paused_from: at(row.paused_from),
        paused_until: at(row.paused_until),
        pause_reason: row.pause_reason,
        created_at: row.created_at.value(),
    })
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

/// The users and contacts with an email, those who use something first.
pub async fn people(connection: &mut PgConnection, email: &str) -> Result<Vec<Person>, StoreError> {
    let people = sqlx::query_as!(
        Person,
        r#"with named as (
               select u.organization_id as org_id, u.id as user_id from users u
               where lower(u.email) = lower($1)
               union all
               select c.org_id, null from org_contacts c where lower(c.email) = lower($1))
           select distinct on (o.slug) o.id as "org!", o.slug as "slug!", n.user_id as "user?"
           from named n join organizations o on o.id = n.org_id
           order by o.slug, n.user_id limit 10"#,
        email
    );
    Ok(people.fetch_all(connection).await?)
}

/// The period that contains an instant, as far as the stored ends reach.
pub async fn period(
    connection: &mut PgConnection,
    org: Uuid,
    at: Instant,
) -> Result<Option<Period>, StoreError> {
    let found = sqlx::query_as!(
        Period,
        r#"select p.period_start as "start!", p.period_end as "end!"
           from organizations o
           cross join lateral periodd_period_at(
               o.current_period_start, o.current_period_end, o.next_period_ends,
               greatest($2, o.current_period_start)) p
           where o.id = $1"#,
        org,
        at
    );
    Ok(found.fetch_optional(connection).await?)
}

/// What is known of one feature in the period that contains an instant.
#[derive(Debug, Clone)]
pub struct FeatureRow {
    pub feature: String,
    /// Does it not reset?
    pub is_level: bool,
    /// What one unit is called.
    pub unit: String,
    pub used: Quantity,
    /// Does the counter say that the derived columns agree?
    pub sync_status: Option<String>,
    /// When they were written or audited last.
    pub last_synced_at: Option<Instant>,
    /// Does the tier or an override grant it?
    pub is_granted: bool,
    /// Is what is included the org's own, and not its tier's?
    pub is_own: bool,
    /// `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    /// What usable packs hold, without what ended periods will still draw.
    pub usable: Quantity,
    /// What ended periods will still draw from usable packs.
    pub owed: Quantity,
    /// `None` is unlimited.
    pub allowance: Option<Quantity>,
    pub remaining: Option<Quantity>,
    pub purchased_remaining: Quantity,
    pub percent: Option<Quantity>,
    /// Why one more unit would be refused.
    pub why_not: Option<WhyNot>,
}

/// The features that an org uses, has bought or is granted.
pub async fn features(
    connection: &mut PgConnection,
    org: Uuid,
    now: Instant,
) -> Result<Vec<FeatureRow>, StoreError> {
    let rows = sqlx::query_as!(
        FeatureRow,
        r#"select a.feature as "feature!", coalesce(f.kind = 'level', false) as "is_level!",
                  coalesce(f.unit, 'units') as "unit!",
                  a.used as "used!", c.sync_status as "sync_status?", c.last_synced_at,
                  a.is_granted as "is_granted!", l.feature is not null as "is_own!",
                  a.included, a.drawn as "drawn!", a.usable as "usable!", a.owed as "owed!",
                  a.allowance, a.remaining, a.purchased_remaining as "purchased_remaining!",
                  a.percent, a.why_not as "why_not: WhyNot"
           from periodd_allowances($1, $2) a
           left join features f on f.feature = a.feature
           left join limit_overrides l on l.org_id = $1 and l.feature = a.feature
           left join usage_counters c
                on c.org_id = $1 and c.feature = a.feature and c.period_start = a.period_start
           order by a.feature"#,
        org,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Metrics of one feature in one stretch of a period.
#[derive(Debug, Clone)]
pub struct Stretch {
    pub feature: String,
    /// Which stretch, from 1 on; 0: what was carried over at the start.
    pub number: i32,
    /// The sum of those that are counted.
    pub counted: Quantity,
    /// The sum of those that are not, yet.
    pub uncounted: Quantity,
}

/// What the metrics of a stretch of time add up to, per feature and part of it; `bounds` are the
/// parts' starts and rise. With `only`, of that feature; what levels carried over is left out
/// unless it is asked for.
pub async fn metrics(
    connection: &mut PgConnection,
    org: Uuid,
    only: Option<&str>,
    period: Period,
    bounds: &[Instant],
    with_carried: bool,
) -> Result<Vec<Stretch>, StoreError> {
    let rows = sqlx::query_as!(
        Stretch,
        r#"select periodd_folded(m.metric_type) as "feature!",
                  case when m.created_at = $2 and starts_with(m.idempotency_key, $7) then 0
                       else width_bucket(m.created_at, $4::timestamptz[]) end as "number!",
                  coalesce(sum(m.metric_value) filter (where m.counted_at is not null), 0)
                      as "counted!",
                  coalesce(sum(m.metric_value) filter (where m.counted_at is null), 0)
                      as "uncounted!"
           from usage_metrics m
           where m.organization_id = $1 and m.created_at >= $2 and m.created_at < $3
             and ($5::text is null or periodd_folded(m.metric_type) = $5)
             and ($6 or m.idempotency_key is null or not starts_with(m.idempotency_key, $7))
           group by 1, 2 order by 1, 2"#,
        org,
        period.start,
        period.end,
        &bounds.to_vec(),
        only,
        with_carried,
        CARRIED_KEY
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Metrics that no period of the org contains, or that wait although their period is closed.
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

/// Metrics that no stored period of the org reaches: how many, up to a thousand, and when the first
/// is dated.
pub async fn dated_from(
    connection: &mut PgConnection,
    org: Uuid,
    last_end: Instant,
) -> Result<(i64, Option<Instant>), StoreError> {
    let found = sqlx::query!(
        r#"select count(*) as "count!", min(m.created_at) as first from (
               select created_at from usage_metrics
               where organization_id = $1 and counted_at is null and created_at >= $2
               order by created_at limit 1000) as m"#,
        org,
        last_end
    );
    let found = found.fetch_one(connection).await?;
    Ok((found.count, found.first))
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
pub async fn packs(
    connection: &mut PgConnection,
    org: Uuid,
    period_start: Option<Instant>,
) -> Result<Vec<PackRow>, StoreError> {
    let rows = sqlx::query_as!(
        PackRow,
        r#"select p.id, p.feature, p.quantity, p.remaining as "remaining!", e.drawn as "drawn!",
                  e.drawn_in_period as "drawn_in_period!", e.expired as "expired!",
                  e.refunded as "refunded!", p.purchased_at as "purchased_at!",
                  nullif(p.expires_at, 'infinity') as expires_at,
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

/// A value of an org that was found wrong and repaired.
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
    /// Emails to addresses that a mail server did not know, or that did not want them any more.
    pub suppressed: i64,
}

/// The last alerts of an org, newest first.
pub async fn alerts(connection: &mut PgConnection, org: Uuid) -> Result<Vec<AlertRow>, StoreError> {
    let rows = sqlx::query_as!(
        AlertRow,
        r#"select a.feature, a.threshold, a.period_start, a.state, a.decided_at,
                  e.sent as "sent!", e.due as "due!", e.given_up as "given_up!",
                  e.suppressed as "suppressed!"
           from (select * from periodd_alerts where org_id = $1
                 order by period_start desc, decided_at desc, threshold desc limit $2) as a,
                lateral (
                    select count(*) filter (where m.state = 'sent') as sent,
                           count(*) filter (where m.state = 'due') as due,
                           count(*) filter (where m.state = 'given_up') as given_up,
                           count(*) filter (where m.state = 'suppressed') as suppressed
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

/// A notice beside thresholds.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct NoticeRow {
    /// Its kind, as in [notices] of the configuration.
    pub kind: String,
    /// The feature; empty: it is about the org.
    pub feature: String,
    /// notified, waiting, recorded, withdrawn or expired.
    pub state: String,
    /// When it was decided, in business time.
    pub decided_at: Instant,
    /// From when it is too late.
    pub until: Instant,
}

impl NoticeRow {
    /// Its kind, for people: `pack expires`.
    pub fn about(&self) -> &str {
        match self.kind.parse::<Kind>() {
            Ok(kind) => kind.words(),
            Err(_) => &self.kind,
        }
    }
}

/// The last notices of an org that said something, newest first.
pub async fn notices(
    connection: &mut PgConnection,
    org: Uuid,
) -> Result<Vec<NoticeRow>, StoreError> {
    let rows = sqlx::query_as!(
        NoticeRow,
        "select kind, feature, state, decided_at, until from periodd_notices
         where org_id = $1 and facts is not null
         order by decided_at desc, kind, key limit $2",
        org,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}
