-- :orgs orgs in the middle of a month, :before metrics that were counted, and :inserts that were
-- plainly inserted since.
insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                           current_period_end, current_period_end_date, next_period_ends,
                           ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                           ends_tzdb_version)
select 'org-' || i, 'Org ' || i, 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z', '2026-06-01',
       array['2026-07-01Z', '2026-08-01Z', '2026-09-01Z']::timestamptz[], 'UTC', 'monthly', 1, 1,
       '2099z'
from generate_series(1, :orgs) i;

create temporary table numbered as
select id, row_number() over (order by id) as n from organizations;
create index on numbered (n);
insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
select o.id, 'minutes_transcribed', 1 + i % 4, '2026-05-01Z'::timestamptz + i * interval '1 second',
       '2026-05-15Z'::timestamptz
from generate_series(1, :before) i join numbered o on o.n = 1 + (i::bigint * 7919) % :orgs
where i < 1200000
union all
select o.id, 'minutes_transcribed', 1 + i % 4,
       '2026-05-01Z'::timestamptz + (i % 1200000) * interval '1 second', '2026-05-15Z'::timestamptz
from generate_series(1200000, :before) i join numbered o on o.n = 1 + (i::bigint * 7919) % :orgs;
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
select organization_id, metric_type, '2026-05-01Z', '2026-06-01Z', sum(metric_value), 'synced'
from usage_metrics group by 1, 2;
update organizations o set used_minutes = c.used from usage_counters c where c.org_id = o.id;
insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
select o.id, 'minutes_transcribed', 1 + i % 4,
       '2026-05-19Z'::timestamptz + (i % 86400) * interval '1 second'
from generate_series(1, :inserts) i join numbered o on o.n = 1 + (i::bigint * 104729) % :orgs;
insert into periodd_facts values ('tzdb_release', '2099z');
