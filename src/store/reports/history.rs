//! What has been closed: what one run closed, and what it all adds up to.

use crate::billing::{Instant, Quantity};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// How a closed period ended for one feature; a period without usage has one row without feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedRow {
    /// The org, by its slug.
    pub org: String,
    /// How often its periods end.
    pub cycle: String,
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
        r#"select o.slug as org, o.cycle,
                  coalesce(b.time_zone, o.time_zone) as "time_zone!",
                  b.period_start as start, b.period_end as "end", b.tier,
                  coalesce((select n.tier from billing_periods n
                            where n.org_id = b.org_id and n.follows = b.period_end),
                           o.subscription_tier) as "tier_after!",
                  u.feature as "feature?", f.unit as "unit?", u.used as "used?",
                  u.drawn as "drawn?", u.uncovered as "uncovered?"
           from billing_periods b
           join organizations o on o.id = b.org_id
           left join billing_period_usage u
                on u.org_id = b.org_id and u.period_start = b.period_start
           left join features f on f.feature = u.feature
           where b.closed_at = $1
           order by b.period_end, 3, o.slug, u.feature"#,
        at
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
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
    /// How much was used.
    pub used: Quantity,
    /// How much was included in the periods that used it; `None` is unlimited in one of them.
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
               select org_id, feature, sum(used) as used, sum(drawn) as drawn,
                      sum(uncovered) as uncovered,
                      case when bool_and(included is not null) then sum(included) end as included
               from billing_period_usage group by 1, 2),
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
