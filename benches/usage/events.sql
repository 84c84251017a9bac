-- :batch events with keys of their own, and one count of them.
with new as (
    insert into usage_metrics (organization_id, metric_type, metric_value, counted_at,
                               idempotency_key)
    select o.id, 'scrapes', 1, now(), gen_random_uuid()
    from (select 1 + floor(random() * :orgs)::int as org from generate_series(1, :batch)) n
    join organizations o on o.slug = 'org-' || n.org
    returning organization_id, metric_value)
insert into usage_counters as c (org_id, feature, period_start, period_end, used)
select o.id, 'scrapes', o.current_period_start, o.current_period_end, s.used
from (select organization_id, sum(metric_value) as used from new group by 1) s
join organizations o on o.id = s.organization_id
order by o.id
on conflict (org_id, period_start, feature) do update set used = c.used + excluded.used
