-- Whether anybody gets an email about it or not, programs hear of a threshold once, when it is
-- recorded: what waits for a recipient is not told again however long that takes.
create or replace function periodd_enter_alerts(
    p_org_ids uuid[], p_starts timestamptz[], p_features text[], p_generations integer[],
    p_thresholds smallint[]
) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_ids uuid[];
    v_kinds text[];
    v_orgs uuid[];
    v_payloads jsonb[];
    v_ats timestamptz[];
begin
    perform from periodd_listeners;
    if not found then
        return 0;
    end if;
    select pg_catalog.array_agg(periodd_event_id(array['alert', a.org_id::text, periodd_rfc3339(a.period_start), a.feature,
                                      a.generation::text, a.threshold::text]) order by k.place),
           pg_catalog.array_agg(case when a.threshold = 100 then 'usage.limit_reached'
                          else 'usage.threshold_reached' end order by k.place),
           pg_catalog.array_agg(a.org_id order by k.place),
           pg_catalog.array_agg(pg_catalog.jsonb_build_object(
               'feature', a.feature, 'threshold', a.threshold, 'basis', a.basis, 'used', a.used,
               'included', a.included, 'drawn', a.drawn, 'purchased', a.purchased,
               'limit_change', a.limit_change, 'period_start', periodd_rfc3339(a.period_start),
               'period_end', periodd_rfc3339(a.period_end)) order by k.place),
           pg_catalog.array_agg(a.decided_at order by k.place)
      into v_ids, v_kinds, v_orgs, v_payloads, v_ats
    from unnest(p_org_ids, p_starts, p_features, p_generations, p_thresholds) with ordinality
             as k (org_id, period_start, feature, generation, threshold, place)
    join periodd_alerts a on a.org_id = k.org_id and a.period_start = k.period_start
         and a.feature = k.feature and a.generation = k.generation and a.threshold = k.threshold
    where a.recorded_at = v_now;
    return periodd_enter_events(v_ids, v_kinds, v_orgs, v_payloads, v_ats);
end
$$;
comment on function periodd_enter_alerts is 'Enters events about thresholds that were crossed.';
