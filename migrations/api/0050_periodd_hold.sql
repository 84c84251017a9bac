-- What a rollover does before it reads: the org's row first, then its counters from the open period
-- on and those of its users. A use that is the first of a period has no counter to be locked yet, so
-- those are made. Uses under way are waited for; those that wait here decide again, by the revision.
create or replace function periodd_hold(p_org_id uuid, p_now timestamptz) returns boolean
language plpgsql
set search_path from current
as $$
declare
    v_start timestamptz;
begin
    select o.current_period_start into v_start from organizations o
    where o.id = p_org_id for no key update;
    if not found then
        return false;
    end if;
    insert into usage_counters as c (org_id, feature, period_start, period_end, revision, updated_at)
    select o.id, f.feature, e.bounds[i], e.bounds[i + 1], o.revision + 1, p_now
    from organizations o
    cross join lateral (select array[o.current_period_start, o.current_period_end]
                               operator(pg_catalog.||) o.next_period_ends as bounds) e
    cross join lateral generate_series(1, pg_catalog.cardinality(e.bounds) - 1) as i
    cross join features f
    where o.id = p_org_id and o.removed_at is null and e.bounds[i] < e.bounds[i + 1]
    order by e.bounds[i], f.feature
    on conflict (org_id, period_start, feature) do update set revision = excluded.revision;
    perform from usage_counters c
    where c.org_id = p_org_id and c.period_start >= v_start
    order by c.period_start, c.feature for no key update;
    perform from feature_usage f
    where f.organization_id = p_org_id and f.period_start >= v_start
    order by f.user_id, f.period_start, f.feature for no key update;
    update organizations o set revision = o.revision + 1 where o.id = p_org_id;
    return true;
end
$$;
comment on function periodd_hold is 'Locks an org and its counters against uses and rollovers until the transaction ends; says whether there is such an org.';
