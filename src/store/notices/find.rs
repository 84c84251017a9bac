//! Orgs that a kind of notice may concern, and what deciding about them takes.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Period, Quantity};
use crate::store::StoreError;

/// The orgs with packs that expire in (from, until] and still hold something, in order.
pub async fn orgs_with_packs(
    connection: &mut PgConnection,
    from: Instant,
    until: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct k.org_id from overage_packs k
         where k.remaining > 0 and k.expires_at is not null
           and k.expires_at > $1 and k.expires_at <= $2
         order by k.org_id",
        from,
        until
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// A pack that expires soon.
#[derive(Debug, Clone)]
pub struct PackOf {
    pub org: Uuid,
    /// tz database name, as stored.
    pub time_zone: String,
    pub pack: Uuid,
    pub feature: String,
    pub remaining: Quantity,
    pub purchased_at: Instant,
    pub expires_at: Instant,
    /// Usage above what is included that no pack has paid for yet.
    pub undrawn: Quantity,
}

/// The packs of some orgs that expire in (now, until] and still hold something. Nothing of orgs
/// that are parked or paused.
pub async fn packs_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
    until: Instant,
) -> Result<Vec<PackOf>, StoreError> {
    let packs = sqlx::query_as!(
        PackOf,
        r#"select o.id as org, o.time_zone, k.id as pack, k.feature, k.remaining as "remaining!",
                  k.purchased_at, nullif(k.expires_at, 'infinity') as "expires_at!",
                  -- Packs raise the limit of a level, and never pay for it.
                  case when l.included is null or f.kind = 'level' then 0
                       else greatest(0, coalesce(c.used, 0) - l.included - l.drawn) end
                      as "undrawn!"
           from unnest($1::uuid[]) as asked (org_id)
           join organizations o on o.id = asked.org_id
           join overage_packs k on k.org_id = o.id
           join features f on f.feature = k.feature
           cross join lateral periodd_limit(k.org_id, k.feature, $2) l
           left join usage_counters c
                on c.org_id = k.org_id and c.feature = k.feature
                   and c.period_start = l.period_start
           where k.remaining > 0 and k.expires_at > $2 and k.expires_at <= $3
             and k.purchased_at <= $2 and o.parked_at is null
             and not periodd_is_paused(o.paused_from, o.paused_until, $2)
           order by o.id, k.expires_at, k.purchased_at, k.id"#,
        orgs,
        now,
        until
    );
    Ok(packs.fetch_all(connection).await?)
}

/// The orgs whose open period ends in (now, until] and at one of whose boundaries tier or
/// subscription may change.
pub async fn orgs_changing(
    connection: &mut PgConnection,
    now: Instant,
    until: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select o.id from organizations o
         where o.parked_at is null
           and (o.period_day_ends is not null or o.next_subscription_tier is not null)
           and o.current_period_end > $1 and o.current_period_end <= $2
         order by o.id",
        now,
        until
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// An org with a change ahead.
#[derive(Debug, Clone)]
pub struct Changing {
    pub org: Uuid,
    /// tz database name, as stored.
    pub time_zone: String,
    /// End of the open period.
    pub end: Instant,
    pub next_ends: Option<Vec<Instant>>,
    pub day_ends: Option<Vec<Instant>>,
    pub status: Option<String>,
    pub tier: String,
    pub tier_name: Option<String>,
    pub next_tier: Option<String>,
    pub next_tier_name: Option<String>,
    pub next_tier_at: Option<Instant>,
    pub subscription_ends_at: Option<Instant>,
}

/// Tier and subscription of some orgs, but for those that are parked or paused.
pub async fn changing_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<Changing>, StoreError> {
    let rows = sqlx::query_as!(
        Changing,
        r#"select o.id as org, o.time_zone, o.current_period_end as "end!",
                  o.next_period_ends as next_ends, o.period_day_ends as day_ends,
                  o.subscription_status as status, o.subscription_tier as tier,
                  t.name as "tier_name?", o.next_subscription_tier as next_tier,
                  n.name as "next_tier_name?", o.next_subscription_tier_at as next_tier_at,
                  nullif(o.subscription_ends_at, 'infinity') as subscription_ends_at
           from unnest($1::uuid[]) as asked (org_id)
           join organizations o on o.id = asked.org_id
           left join subscription_tiers t on t.code = o.subscription_tier
           left join subscription_tiers n on n.code = o.next_subscription_tier
           where o.parked_at is null and o.current_period_end > $2
             and not periodd_is_paused(o.paused_from, o.paused_until, $2)
           order by o.id"#,
        orgs,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The name of a tier; its code, where it has none.
pub async fn tier_name(connection: &mut PgConnection, tier: &str) -> Result<String, StoreError> {
    let name = sqlx::query_scalar!(
        r#"select name as "name?" from subscription_tiers where code = $1"#,
        tier
    );
    let name = name.fetch_optional(connection).await?.flatten();
    Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| tier.to_owned()))
}

/// One text for two ways to come by orgs: all of them, or some.
macro_rules! heading_out {
    ($from:literal, $($argument:expr),*) => {
        sqlx::query_scalar!(
            r#"select distinct c.org_id as "org_id!" from "#
            + $from
            + r#" join usage_counters c
                       on c.org_id = o.id and c.period_start = o.current_period_start
                  left join limit_overrides l on l.org_id = c.org_id and l.feature = c.feature
                  left join tier_limits t
                       on t.tier = o.subscription_tier and t.feature = c.feature
                  cross join lateral (
                      select case when l.org_id is not null then l.included else t.included end
                                 as included,
                             extract(epoch from c.period_end - c.period_start) as whole,
                             extract(epoch from $1 - c.period_start) as elapsed) s
                  where o.parked_at is null and o.current_period_start <= $1
                    and o.current_period_end > $1 and c.period_end > $1 and c.used > 0
                    and s.included is not null
                    and (s.whole - s.elapsed) * 10 >= s.whole
                    and c.used * s.whole * 4 >= s.included * s.elapsed * 3
                  order by 1"#,
            $($argument),*
        )
    };
}

/// The orgs that have used much for the time: at least three quarters of what an even pace would
/// have used up of the included quantity, with a tenth of the period still to come. What forecasts
/// make of it is asked of these alone.
pub async fn orgs_heading_out(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = heading_out!("organizations o", now);
    Ok(orgs.fetch_all(connection).await?)
}

/// Those among some orgs.
pub async fn heading_out_among(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = heading_out!(
        "unnest($2::uuid[]) as asked (org_id) join organizations o on o.id = asked.org_id",
        now,
        orgs
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// The orgs with a counter that moved since an instant of real time, and those that were told that
/// something runs out: a purchase may cover that. In order.
pub async fn orgs_moved(
    connection: &mut PgConnection,
    since: Instant,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        r#"select m.org_id as "org_id!" from (
               select c.org_id from usage_counters c
               where c.sync_status = 'pending' and c.period_start <= $2 and c.period_end > $2
               union
               select c.org_id from usage_counters c
               where c.last_synced_at >= $1 and c.period_start <= $2 and c.period_end > $2
               union
               select n.org_id from periodd_notices n where n.kind = 'runs_out' and n.until > $2)
               as m
           order by m.org_id"#,
        since,
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// A counter that may run out.
#[derive(Debug, Clone)]
pub struct CounterAhead {
    pub org: Uuid,
    /// tz database name, as stored.
    pub time_zone: String,
    pub feature: String,
    pub period: Period,
    pub used: Quantity,
    pub allowance: Quantity,
}

/// The counters of some orgs in their open periods that have an allowance and have not reached it;
/// but for levels, which have no pace, and for orgs that are parked or paused.
pub async fn ahead_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<CounterAhead>, StoreError> {
    let rows = sqlx::query!(
        r#"select o.id, o.time_zone, c.feature, c.period_start, c.period_end, c.used,
                  l.allowance as "allowance!"
           from unnest($1::uuid[]) as asked (org_id)
           join organizations o on o.id = asked.org_id
           join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
           join features f on f.feature = c.feature and f.kind = 'metered'
           cross join lateral periodd_limit(o.id, c.feature, $2) l
           where o.parked_at is null and o.current_period_end > $2 and c.used > 0
             and not periodd_is_paused(o.paused_from, o.paused_until, $2)
             and l.is_granted and l.period_start = c.period_start
             and l.allowance is not null and c.used < l.allowance and l.allowance < 1e22
           order by o.id, c.feature"#,
        orgs,
        now
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| CounterAhead {
        org: row.id,
        time_zone: row.time_zone,
        feature: row.feature,
        period: Period { start: row.period_start, end: row.period_end },
        used: row.used,
        allowance: row.allowance,
    });
    Ok(rows.collect())
}

/// The orgs that heard in an open period that a limit is reached.
pub async fn orgs_reached(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct a.org_id from periodd_alerts a
         where a.threshold >= 100 and a.period_end > $1 and a.state in ('notified', 'recorded')
         order by a.org_id",
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// A limit that was reached.
#[derive(Debug, Clone)]
pub struct Reached {
    pub org: Uuid,
    pub feature: String,
    pub period: Period,
    pub generation: i32,
    /// When it was told.
    pub told_at: Instant,
    pub used: Quantity,
    pub allowance: Quantity,
}

/// The limits of some orgs that were reached in their open period and told of, in the generation
/// that holds now; but for orgs that are parked or paused.
pub async fn reached_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<Reached>, StoreError> {
    let rows = sqlx::query!(
        r#"select o.id, c.feature, c.period_start, c.period_end, j.generation,
                  a.told_at as "told_at!", c.used, l.allowance as "allowance!"
           from unnest($1::uuid[]) as asked (org_id)
           join organizations o on o.id = asked.org_id
           join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
           join periodd_alert_limits j
                on j.org_id = c.org_id and j.period_start = c.period_start
                   and j.feature = c.feature
           cross join lateral (
               select min(t.decided_at) as told_at from periodd_alerts t
               where t.org_id = c.org_id and t.period_start = c.period_start
                 and t.feature = c.feature and t.generation = j.generation
                 and t.threshold >= 100 and t.state in ('notified', 'recorded')) a
           cross join lateral periodd_limit(o.id, c.feature, $2) l
           where o.parked_at is null and o.current_period_end > $2 and a.told_at is not null
             and not periodd_is_paused(o.paused_from, o.paused_until, $2)
             and l.period_start = c.period_start and l.allowance is not null
             and l.allowance < 1e22
           order by o.id, c.feature"#,
        orgs,
        now
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| Reached {
        org: row.id,
        feature: row.feature,
        period: Period { start: row.period_start, end: row.period_end },
        generation: row.generation,
        told_at: row.told_at,
        used: row.used,
        allowance: row.allowance,
    });
    Ok(rows.collect())
}

/// An org that was set aside.
#[derive(Debug, Clone)]
pub struct Parked {
    pub org: Uuid,
    pub since: Instant,
    pub code: Option<String>,
    pub reason: String,
}

/// The orgs that periodd set aside after an instant, and not later than now.
pub async fn parked(
    connection: &mut PgConnection,
    after: Instant,
    now: Instant,
) -> Result<Vec<Parked>, StoreError> {
    let rows = sqlx::query_as!(
        Parked,
        r#"select o.id as org, o.parked_at as "since!", o.parked_code as code,
                  coalesce(o.parked_reason, '') as "reason!"
           from organizations o
           where o.parked_at is not null and o.parked_code is distinct from 'by_hand'
             and o.removed_at is null and o.parked_at > $1 and o.parked_at <= $2
           order by o.id"#,
        after,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}
