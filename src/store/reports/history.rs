//! What has been closed: what one run closed, the periods of one org, and what it all adds up to.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::series::Periods;
use crate::billing::{Instant, Quantity, TimeOfDay};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// How a closed period ended for one feature; a period without usage has one row without feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedRow {
    /// The org, by its slug.
    pub org: String,
    /// How often its periods end.
    pub cycle: String,
    /// Local time of day at which they end.
    pub anchor_time: TimeOfDay,
    /// Its zone when the period closed.
    pub time_zone: String,
    pub start: Instant,
    pub end: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The tier that grants in the period after it.
    pub tier_after: String,
    pub feature: Option<String>,
    /// What one unit of it is called.
    pub unit: Option<String>,
    pub used: Option<Quantity>,
    pub drawn: Option<Quantity>,
    pub uncovered: Option<Quantity>,
}

/// What the rollovers at one moment of business time closed, by end and org.
pub async fn closed_at(database: &Database, at: Instant) -> Result<Vec<ClosedRow>, StoreError> {
    let rows = sqlx::query_as!(
        ClosedRow,
        r#"select o.slug as org, o.cycle, o.anchor_time,
                  coalesce(b.time_zone, o.time_zone) as "time_zone!",
                  b.period_start as start, b.period_end as "end", b.tier,
                  coalesce((select n.tier from billing_periods n
                            where n.org_id = b.org_id and n.follows = b.period_end),
                           o.subscription_tier) as "tier_after!",
                  u.feature as "feature?", f.unit as "unit?", u.used as "used?",
                  u.drawn as "drawn?", u.uncovered as "uncovered?"
           from billing_periods b
           join organizations o on o.id = b.org_id
           left join lateral unnest(b.features, b.used_each, b.drawn_each, b.uncovered_each)
                as u (feature, used, drawn, uncovered) on true
           left join features f on f.feature = u.feature
           where b.closed_at = $1
           order by b.period_end, 4, o.slug, u.feature"#,
        at
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// How far a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum PeriodState {
    /// It is closed: what was used in it does not change any more.
    Closed,
    /// It has ended and is not closed yet.
    Ended,
    /// It contains now.
    Open,
}

/// What an org used of a feature in a period; a closed period without usage has one row without
/// feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRow {
    pub start: Instant,
    pub end: Instant,
    pub state: PeriodState,
    /// The tier that granted in it, or grants now.
    pub tier: String,
    pub feature: Option<String>,
    pub used: Quantity,
    /// `None` is unlimited, or unknown where nothing was used.
    pub included: Option<Quantity>,
    /// What packs paid; in a period that is not closed, so far.
    pub drawn: Quantity,
    /// What nothing paid; `None` before the close.
    pub uncovered: Option<Quantity>,
    /// What came after the close.
    pub late: Quantity,
}

/// The newest periods of an org in a stretch of time, oldest first, and one more than `most` of
/// those that are closed; with `only`, of that feature. What is not closed is as the functions say
/// that it stands, at `now` or at its end.
pub async fn of_org(
    connection: &mut PgConnection,
    org: Uuid,
    only: Option<&str>,
    periods: &Periods,
    now: Instant,
) -> Result<Vec<PeriodRow>, StoreError> {
    let most = i64::try_from(periods.most).unwrap_or(i64::MAX).saturating_add(1);
    let rows = sqlx::query_as!(
        PeriodRow,
        r#"(select b.period_start as "start!", b.period_end as "end!",
                   'closed' as "state!: PeriodState", b.tier as "tier!", u.feature as "feature?",
                   coalesce(u.used, 0) as "used!", u.included as "included?",
                   coalesce(u.drawn, 0) as "drawn!", coalesce(u.uncovered, 0) as "uncovered?",
                   coalesce(u.late, 0) as "late!"
            from (select * from billing_periods c
                  where c.org_id = $1 and ($3::timestamptz is null or c.period_end > $3)
                    and c.period_start < $4
                  order by c.period_start desc limit $5) b
            left join lateral (
                select f.feature, sum(f.used) as used, max(f.included) as included,
                       sum(f.drawn) as drawn, sum(f.uncovered) as uncovered, sum(f.late) as late
                from (select c.*, 0 as late
                      from unnest(b.features, b.used_each, b.included_each, b.drawn_each,
                                  b.uncovered_each)
                               as c (feature, used, included, drawn, uncovered)
                      union all
                      select a.feature, 0, null, 0, 0, a.used from billing_adjustments a
                      where a.org_id = $1 and a.period_start = b.period_start) f
                where $2::text is null or f.feature = $2
                group by f.feature) u on true)
           union all
           select p.period_start, p.period_end,
                  case when p.period_end <= $6 then 'ended' else 'open' end,
                  coalesce(a.tier, p.tier), a.feature, coalesce(a.used, 0), a.included,
                  coalesce(a.drawn, 0), null, 0
           from (select e.ends[i] as period_start, e.ends[i + 1] as period_end, e.tier
                 from (select o.subscription_tier as tier,
                              array[o.current_period_start, o.current_period_end]
                                  || coalesce(o.next_period_ends, '{}') as ends
                       from organizations o where o.id = $1) e,
                      generate_subscripts(e.ends, 1) i
                 where e.ends[i] < e.ends[i + 1] and e.ends[i] <= $6 and e.ends[i] < $4
                   and ($3::timestamptz is null or e.ends[i + 1] > $3)) p
           left join lateral periodd_allowances(
               $1, least($6, p.period_end - interval '1 microsecond'), $2) a on true
           order by 1, 5"#,
        org,
        only,
        periods.from,
        periods.until,
        most,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The latest moment of business time at which a period was closed; `None` before the first.
pub async fn last_close(database: &Database) -> Result<Option<Instant>, StoreError> {
    let last = sqlx::query_scalar!("select max(closed_at) from billing_periods");
    Ok(last.fetch_one(&mut *database.connection().await?).await?)
}

/// What a pack's expiry wrote off.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ExpiredRow {
    /// The org, by its slug.
    pub org: String,
    /// Its zone.
    pub time_zone: String,
    /// The pack, by its buyer's reference.
    pub reference: Option<String>,
    /// What it paid for.
    pub feature: String,
    /// What one unit of it is called.
    pub unit: String,
    /// When it expired.
    pub at: Instant,
    /// What had been bought.
    pub bought: Quantity,
    /// What was drawn of it.
    pub drawn: Quantity,
    /// What was left and is written off.
    pub expired: Quantity,
}

/// What expired after `after` and up to `until`, in order.
pub async fn expired(
    database: &Database,
    after: Instant,
    until: Instant,
) -> Result<Vec<ExpiredRow>, StoreError> {
    let rows = sqlx::query_as!(
        ExpiredRow,
        r#"select o.slug as org, o.time_zone, p.reference, p.feature, f.unit, e.at,
                  p.quantity as bought,
                  coalesce((select sum(d.quantity) from overage_entries d
                            where d.org_id = p.org_id and d.pack_id = p.id and d.kind = 'drawn'), 0)
                      as "drawn!",
                  e.quantity as expired
           from overage_entries e
           join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
           join organizations o on o.id = e.org_id
           join features f on f.feature = p.feature
           where e.kind = 'expired' and e.at > $1 and e.at <= $2
           order by e.at, o.slug, p.reference, p.id"#,
        after,
        until
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// What an org's closed periods add up to, for one feature. An org that never used anything and
/// holds no pack has one row without feature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Total {
    /// The org, by its slug.
    pub org: String,
    /// Its zone now.
    pub time_zone: String,
    /// Its tier now.
    pub tier: String,
    /// Periods closed, with and without usage.
    pub periods: i64,
    /// What was used.
    pub feature: Option<String>,
    /// How much was used; of a level, what it was at the last close.
    pub used: Quantity,
    /// How much was included in the periods that used it, and for a level in the last of them;
    /// `None` is unlimited in one of them.
    pub included: Option<Quantity>,
    /// What packs paid.
    pub drawn: Quantity,
    /// What packs wrote off when they expired.
    pub expired: Quantity,
    /// What packs still hold: it is carried over to the next period.
    pub carried: Quantity,
    /// What nothing paid.
    pub uncovered: Quantity,
}

/// What the closed periods of all orgs add up to, by slug and feature.
pub async fn totals(database: &Database) -> Result<Vec<Total>, StoreError> {
    let rows = sqlx::query_as!(
        Total,
        r#"with closed as (
               select u.org_id, u.feature, sum(u.drawn) as drawn, sum(u.uncovered) as uncovered,
                      case when f.kind = 'level'
                           then (array_agg(u.used order by u.period_start desc))[1]
                           else sum(u.used) end as used,
                      case when f.kind = 'level'
                           then (array_agg(u.included order by u.period_start desc))[1]
                           when bool_and(u.included is not null) then sum(u.included)
                           end as included
               from billing_period_usage u left join features f on f.feature = u.feature
               group by u.org_id, u.feature, f.kind),
           packs as (
               select p.org_id, p.feature, sum(p.remaining) as carried,
                      coalesce(sum(e.expired), 0) as expired
               from overage_packs p
               left join (select org_id, pack_id, sum(quantity) as expired
                          from overage_entries where kind = 'expired' group by 1, 2) e
                    on e.org_id = p.org_id and e.pack_id = p.id
               group by 1, 2),
           named as (
               select org_id, feature from closed union select org_id, feature from packs)
           select o.slug as org, o.time_zone, o.subscription_tier as tier,
                  (select count(*) from billing_periods b where b.org_id = o.id) as "periods!",
                  n.feature as "feature?", coalesce(c.used, 0) as "used!",
                  case when c.org_id is null then 0 else c.included end as included,
                  coalesce(c.drawn, 0) as "drawn!", coalesce(p.expired, 0) as "expired!",
                  coalesce(p.carried, 0) as "carried!", coalesce(c.uncovered, 0) as "uncovered!"
           from organizations o
           left join named n on n.org_id = o.id
           left join closed c on c.org_id = n.org_id and c.feature = n.feature
           left join packs p on p.org_id = n.org_id and p.feature = n.feature
           order by o.slug, n.feature"#
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}
