-- For whoever has no counter before it. Its body is bound when it is created, and becomes part of
-- the statement that calls it.
create or replace function periodd_kept_in(
    p_org_id uuid, p_feature text, p_period_start timestamptz, p_granted numeric
) returns numeric
language sql stable parallel safe
begin atomic
    -- Without a counter one row of nulls.
    select periodd_kept(p_granted, max(c.used), max(c.included_at_least), max(c.included_seen))
    from usage_counters c
    where c.org_id = p_org_id and c.period_start = p_period_start and c.feature = p_feature;
end;
comment on function periodd_kept_in is 'Included quantity of a feature in a period, for a granted one, as periodd_kept has it.';
