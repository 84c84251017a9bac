//! The statement of a closed period: what was used, and who paid for it. All of it begins with the
//! org, and ends at a bound that is said.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::reports::overview::Entry;

/// Rows of each kind that are read at most.
pub const MOST: usize = 500;

/// A closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPeriod {
    pub start: Instant,
    pub end: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The org's zone at the close; `None`: unknown.
    pub time_zone: Option<String>,
    /// Business time of the close.
    pub closed_at: Instant,
    /// May some of its metrics have been removed since?
    pub is_thinned: bool,
}

/// The closed period of an org that begins at an instant; `None`: none does.
pub async fn period(
    connection: &mut PgConnection,
    org: Uuid,
    start: Instant,
) -> Result<Option<ClosedPeriod>, StoreError> {
    let period = sqlx::query_as!(
        ClosedPeriod,
        r#"select b.period_start as start, b.period_end as "end", b.tier, b.time_zone, b.closed_at,
                  exists (select from periodd_removed r
                          where r.org_id = $1 and r.before > b.period_start) as "is_thinned!"
           from billing_periods b where b.org_id = $1 and b.period_start = $2"#,
        org,
        start
    );
    Ok(period.fetch_optional(connection).await?)
}

/// What was used of a feature, and how that was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub feature: String,
    /// What one unit is called.
    pub unit: String,
    pub used: Quantity,
    /// `None` is unlimited.
    pub included: Option<Quantity>,
    pub drawn: Quantity,
    pub uncovered: Quantity,
}

/// Usage of a closed period, by feature.
pub async fn usage(
    connection: &mut PgConnection,
    org: Uuid,
    start: Instant,
) -> Result<Vec<UsageRow>, StoreError> {
    let rows = sqlx::query_as!(
        UsageRow,
        r#"select u.feature as "feature!", coalesce(f.unit, 'units') as "unit!",
                  u.used as "used!", u.included, u.drawn as "drawn!", u.uncovered as "uncovered!"
           from billing_period_usage u left join features f on f.feature = u.feature
           where u.org_id = $1 and u.period_start = $2
           order by u.feature limit $3"#,
        org,
        start,
        most()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Late usage of a closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    pub feature: String,
    /// late, or `set_aside`.
    pub kind: String,
    pub used: Quantity,
    pub drawn: Quantity,
    pub uncovered: Quantity,
    pub reason: Option<String>,
    pub decided_at: Instant,
}

/// The adjustments of a closed period, by feature, the first decided first.
pub async fn adjustments(
    connection: &mut PgConnection,
    org: Uuid,
    start: Instant,
) -> Result<Vec<Adjustment>, StoreError> {
    let rows = sqlx::query_as!(
        Adjustment,
        "select feature, kind, used, drawn, uncovered, reason, decided_at
         from billing_adjustments where org_id = $1 and period_start = $2
         order by feature, seq limit $3",
        org,
        start,
        most()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Entries of the ledger that concern a closed period, oldest first: draws for it, and what was
/// granted, expired or refunded within it.
pub async fn entries(
    connection: &mut PgConnection,
    org: Uuid,
    period: &ClosedPeriod,
) -> Result<Vec<Entry>, StoreError> {
    let entries = sqlx::query_as!(
        Entry,
        r#"select e.pack_id as pack, p.reference, p.feature, e.kind, e.quantity, e.remaining, e.at,
                  e.period_start
           from overage_entries e
           join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
           where e.org_id = $1
             and (e.period_start = $2 or e.period_start is null and e.at >= $2 and e.at < $3)
           order by e.at, e.pack_id, e.seq limit $4"#,
        org,
        period.start,
        period.end,
        most()
    );
    Ok(entries.fetch_all(connection).await?)
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}
