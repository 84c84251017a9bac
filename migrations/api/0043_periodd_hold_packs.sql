-- Says in the counters of one org and feature that its packs are about to sink by anything but a
-- rollover: an increment whose limit was read before decides again, and one that is under way is
-- waited for. The org's revision has to have been raised in the same transaction.
create or replace function periodd_hold_packs(p_org_id uuid, p_feature text) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_later bigint;
begin
    with open as (
        insert into usage_counters as c (org_id, feature, period_start, period_end, revision)
        select o.id, p_feature, o.current_period_start, o.current_period_end, o.revision
        from organizations o
        where o.id = p_org_id and o.current_period_start < o.current_period_end
        on conflict (org_id, period_start, feature) do update set revision = excluded.revision)
    update usage_counters c set revision = o.revision
    from organizations o
    where o.id = p_org_id and c.org_id = o.id and c.feature = p_feature
      and c.period_start > o.current_period_start;
    get diagnostics v_later = row_count;
    return v_later;
end
$$;
comment on function periodd_hold_packs is 'Has increments of a feature wait and decide again, for whoever takes from an org''s packs; returns the number of counters beyond the open period.';
