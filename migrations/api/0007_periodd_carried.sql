-- While an ended period is not closed, its level is not in the counter of the period after it yet:
-- the rollover carries it over, with what it counts first. Nothing of what is metered, or of an
-- open period.
create or replace function periodd_carried(
    p_org_id uuid, p_feature text, p_period_start timestamptz
) returns numeric
language plpgsql stable parallel safe
set search_path from current
as $$
begin
    return (
        select coalesce((select sum(c.used) from usage_counters c
                         where c.org_id = o.id and c.feature = p_feature
                           and c.period_start >= o.current_period_start
                           and c.period_start < p_period_start), 0)
               + coalesce((select sum(m.metric_value) from usage_metrics m
                           where m.organization_id = o.id and m.counted_at is null
                             and m.created_at >= o.current_period_start
                             and m.created_at < p_period_start
                             and periodd_folded(m.metric_type) = p_feature), 0)
        from organizations o
        join features f on f.feature = p_feature and f.kind = 'level'
        where o.id = p_org_id and o.current_period_start < p_period_start);
end
$$;
comment on function periodd_carried is 'Level that a rollover has yet to carry over into a period after the open one; null: none.';
