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

alter table usage_metrics drop constraint usage_metrics_organization_id_fkey;
call pg_temp.drop_indexes('usage_metrics');
insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
select o.id, case when n % 3 = 0 then 'sms_sent' else 'minutes_transcribed' end, 1 + n % 4,
       '2026-05-01Z'::timestamptz + n * interval '12 hours', '2026-05-20Z'
from generate_series(1, :metrics) n, organizations o;
call pg_temp.create_indexes();
alter table usage_metrics add foreign key (organization_id) references organizations (id) not valid;

insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
select organization_id, metric_type, '2026-05-01Z', '2026-06-01Z', sum(metric_value), 'synced'
from usage_metrics group by 1, 2;
update organizations o set used_minutes = c.used
from usage_counters c where c.org_id = o.id and c.feature = 'minutes_transcribed';
insert into periodd_facts values ('tzdb_release', '2099z');
