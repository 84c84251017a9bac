-- :orgs orgs in the middle of a month, each with :metrics metrics of two features that lie
-- scattered over the table, as they were written in the course of time.
insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                           current_period_end, current_period_end_date, next_period_ends,
                           ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                           ends_tzdb_version)
select 'org-' || i, 'Org ' || i, 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z', '2026-06-01',
       array['2026-07-01Z', '2026-08-01Z', '2026-09-01Z']::timestamptz[], 'UTC', 'monthly', 1, 1,
       '2099z'
from generate_series(1, :orgs) i;

call pg_temp.fill_metrics(
    :metrics, array['sms_sent', 'minutes_transcribed', 'minutes_transcribed'], '2026-05-01Z',
    interval '18 days');
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
select organization_id, metric_type, '2026-05-01Z', '2026-06-01Z', sum(metric_value), 'synced'
from usage_metrics group by 1, 2;
update organizations o set used_minutes = c.used
from usage_counters c where c.org_id = o.id and c.feature = 'minutes_transcribed';
insert into periodd_facts values ('tzdb_release', '2099z');
