-- :orgs orgs in the middle of a month with 31 months behind them, each with :metrics metrics of the
-- oldest of these months, which have been kept long enough, and as many of the open one.
insert into tier_limits (tier, feature, included) values ('pro', 'sms_sent', 1000000);
insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                           current_period_end, current_period_end_date, next_period_ends,
                           ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                           ends_tzdb_version)
select 'org-' || i, 'Org ' || i, 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z', '2026-06-01',
       array['2026-07-01Z', '2026-08-01Z', '2026-09-01Z']::timestamptz[], 'UTC', 'monthly', 1, 1,
       '2099z'
from generate_series(1, :orgs) i;
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status,
                            last_synced_at)
select id, 'sms_sent', current_period_start, current_period_end, :metrics, 'synced', '2026-05-20Z'
from organizations;
call pg_temp.close_months(31);
call pg_temp.fill_metrics(:metrics, array['sms_sent'], '2023-10-02Z', interval '60 days');
insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
select o.id, 'sms_sent', 1, '2026-05-02Z'::timestamptz + n * interval '1 minute', '2026-05-20Z'
from generate_series(1, :metrics) n, organizations o;
insert into periodd_facts values ('tzdb_release', '2099z') on conflict do nothing;
