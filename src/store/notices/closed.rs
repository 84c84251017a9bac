//! Periods that were closed not long ago.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Period};
use crate::store::StoreError;

/// The orgs whose open period follows one that ended in (after, now], in order; but for those of
/// which that was told.
pub async fn orgs_closed(
    connection: &mut PgConnection,
    after: Instant,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select b.org_id from billing_periods b
         join organizations o on o.id = b.org_id and o.current_period_start = b.period_end
         where b.period_end > $1 and b.period_end <= $2
           and (cardinality(b.features) > 0 or 0 < (
               select count(*) from billing_adjustments a
               where a.org_id = b.org_id and a.period_start = b.period_start))
           and o.parked_at is null and o.current_period_end > $2
           and not exists (
               select from periodd_notices n
               where n.org_id = b.org_id and n.kind = 'summary' and n.state <> 'waiting'
                 and n.decided_at >= b.period_end)
         order by b.org_id",
        after,
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// The last closed period of an org, and the open one.
#[derive(Debug, Clone)]
pub struct Closed {
    pub org: Uuid,
    pub period: Period,
    pub open: Period,
    /// Was the org paused all the time?
    pub is_paused: bool,
}

/// The last closed periods of some orgs; but for orgs that are parked or paused.
pub async fn closed_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<Closed>, StoreError> {
    let rows = sqlx::query!(
        r#"select o.id, b.period_start, b.period_end, b.is_paused,
                  o.current_period_start as "open_start!", o.current_period_end as "open_end!"
           from unnest($1::uuid[]) as asked (org_id)
           join organizations o on o.id = asked.org_id
           join billing_periods b
                on b.org_id = o.id and b.period_end = o.current_period_start
           where o.parked_at is null and o.current_period_end > $2
             and not periodd_is_paused(o.paused_from, o.paused_until, $2)
           order by o.id"#,
        orgs,
        now
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| Closed {
        org: row.id,
        period: Period { start: row.period_start, end: row.period_end },
        open: Period { start: row.open_start, end: row.open_end },
        is_paused: row.is_paused,
    });
    Ok(rows.collect())
}
