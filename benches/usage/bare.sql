-- The writes that an increment cannot do without, in one statement and without asking anything:
-- metric, org counter, user counter, the user's own column.
\set caller random(1, :callers)
with who as (
    select u.id, u.organization_id, o.current_period_start, o.current_period_end
    from users u
    join organizations o on o.id = u.organization_id
    where u.id = md5(':whose-' || :caller)::uuid),
metric as (
    insert into usage_metrics (organization_id, user_id, metric_type, metric_value, counted_at)
    select organization_id, id, 'scrapes', 1, now() from who),
org_counter as (
    insert into usage_counters as c (org_id, feature, period_start, period_end, used)
    select organization_id, 'scrapes', current_period_start, current_period_end, 1 from who
    on conflict (org_id, period_start, feature) do update
        set used = c.used + 1, sync_status = 'pending', updated_at = excluded.updated_at),
user_counter as (
    insert into feature_usage as c
        (organization_id, user_id, feature, period_start, period_end, usage_count)
    select organization_id, id, 'scrapes', current_period_start, current_period_end, 1 from who
    on conflict (organization_id, user_id, period_start, feature) do update
        set usage_count = c.usage_count + 1, sync_status = 'pending',
            updated_at = excluded.updated_at
    returning c.usage_count)
update users u set usage_this_month = n.usage_count
from who, user_counter n
where u.organization_id = who.organization_id and u.id = who.id;
