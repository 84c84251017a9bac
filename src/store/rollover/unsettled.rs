//! Counters of closed periods beside their books: those that are not what was closed and adjusted
//! since, though nothing waits to be settled, because usage came beside the close. The audit finds
//! them and marks them here; whoever syncs next settles them as any other that is pending.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::usage::pending::CounterKey;

/// A counter of a closed period that is not what was closed and adjusted since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    pub org: Uuid,
    pub feature: String,
    /// The period, by its start.
    pub period_start: Instant,
}

impl Unsettled {
    /// Org, feature and start of the period.
    pub fn counter(&self) -> CounterKey<'_> {
        (self.org, &self.feature, self.period_start)
    }
}

/// Counters of periods that closed after `closed_after` which are not what their books say, though
/// nothing waits to be settled: usage that came beside the close. Parked orgs are left out, and
/// periods whose metrics retention has removed.
pub async fn find(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    closed_after: Instant,
) -> Result<Vec<Unsettled>, StoreError> {
    let rows = sqlx::query_as!(
        Unsettled,
        r#"select c.org_id as org, c.feature, c.period_start
           from organizations o
           join billing_periods b on b.org_id = o.id and b.closed_at > $2
           join usage_counters c on c.org_id = b.org_id and c.period_start = b.period_start
           left join periodd_removed r on r.org_id = b.org_id
           where o.id = any($1) and o.parked_at is null and c.sync_status <> 'pending'
             and (r.before is null or b.period_start >= r.before)
             and c.used <> coalesce(b.used_each[array_position(b.features, c.feature)], 0)
                 + coalesce((select sum(x.used) from billing_adjustments x
                             where x.org_id = c.org_id and x.period_start = c.period_start
                               and x.feature = c.feature), 0)
           order by 1, 3, 2"#,
        orgs,
        closed_after
    );
    Ok(rows.fetch_all(connection).await?)
}
