//! Carrying levels over: a metric of the whole level at the start of the next period, and its
//! counter.

use sqlx::PgConnection;
use uuid::Uuid;

use super::planned::{Planned, Stamp};
use crate::billing::quota::level::CARRIED_KEY;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// Carries the levels of a page's closes over, in the order in which counters are locked. A use
/// that waits for such a counter was allowed by what it held before: orgs and counters get a higher
/// revision, so that it is decided again.
pub(in crate::store) async fn over(
    connection: &mut PgConnection,
    page: &[&Planned],
    stamp: Stamp<'_>,
) -> Result<(), StoreError> {
    let (mut orgs, mut features) = (Vec::<Uuid>::new(), Vec::<&str>::new());
    let (mut starts, mut ends) = (Vec::<Instant>::new(), Vec::<Instant>::new());
    let (mut levels, mut revisions) = (Vec::<Quantity>::new(), Vec::<i64>::new());
    for planned in page {
        // Beyond the range of the column the row's own update has been refused before.
        let raises = stamp.raises.saturating_add(1);
        let revision = planned.plan.expected.revision.saturating_add(raises);
        for carried in &planned.plan.carried {
            orgs.push(planned.plan.org);
            features.push(&carried.feature);
            starts.push(carried.period_start);
            ends.push(carried.period_end);
            levels.push(carried.level);
            revisions.push(revision);
        }
    }
    if orgs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with carried as materialized (
             select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[],
                                  $5::numeric[], $6::bigint[])
                               as u (org_id, feature, period_start, period_end, level, revision)),
         raised as (
             update organizations o set revision = c.revision
             from (select org_id, max(revision) as revision from carried
                   group by org_id order by org_id) c
             where o.id = c.org_id),
         metrics as (
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                        counted_at, idempotency_key)
             select c.org_id, c.feature, c.level, c.period_start, $7,
                    $8 || gen_random_uuid()::text
             from carried c)
         insert into usage_counters as k
             (org_id, feature, period_start, period_end, used, revision, updated_at, included_seen)
         select c.org_id, c.feature, c.period_start, c.period_end, c.level, c.revision, $7,
                (select i.included_seen from periodd_seen(c.org_id, c.feature, c.period_start) i)
         from carried c order by c.org_id, c.period_start, c.feature
         on conflict (org_id, period_start, feature) do update
             set used = k.used + excluded.used, revision = excluded.revision,
                 sync_status = 'pending', updated_at = excluded.updated_at,
                 included_at_least = periodd_at_least(
                     excluded.included_seen, k.used + excluded.used, k.included_at_least,
                     k.included_seen),
                 included_seen = coalesce(excluded.included_seen, k.included_seen)",
        &orgs,
        &features as &[&str],
        &starts,
        &ends,
        &levels,
        &revisions,
        stamp.counted_at,
        CARRIED_KEY
    )
    .execute(connection)
    .await?;
    Ok(())
}
