-- The same writes as one statement, as one would write it by hand for just these rows: stamped,
-- added to the counters of the one period that there is, and shown in the org's row.
with stamped as (
    update usage_metrics set counted_at = now()
    where counted_at is null and created_at >= '2026-05-01Z' and created_at < '2026-06-01Z'
    returning organization_id, lower(metric_type) as feature, metric_value),
sums as (
    select organization_id, feature, sum(metric_value) as used from stamped group by 1, 2),
counters as (
    insert into usage_counters as c (org_id, feature, period_start, period_end, used, sync_status,
                                     last_synced_at, updated_at)
    select organization_id, feature, '2026-05-01Z', '2026-06-01Z', used, 'synced', now(), now()
    from sums
    on conflict (org_id, period_start, feature) do update
        set used = c.used + excluded.used, sync_status = 'synced',
            last_synced_at = excluded.last_synced_at, updated_at = excluded.updated_at
    returning c.org_id, c.feature, c.used)
update organizations o set used_minutes = c.used
from counters c where o.id = c.org_id and c.feature = 'minutes_transcribed';
