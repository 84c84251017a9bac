create or replace function periodd_enter_closes(p_org_ids uuid[], p_starts timestamptz[]) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_ids uuid[];
    v_orgs uuid[];
    v_payloads jsonb[];
    v_ats timestamptz[];
begin
    perform from periodd_listeners;
    if not found then
        return 0;
    end if;
    select pg_catalog.array_agg(periodd_event_id(array['close', b.org_id::text, periodd_rfc3339(b.period_start)]) order by k.place),
           pg_catalog.array_agg(b.org_id order by k.place),
           pg_catalog.array_agg(pg_catalog.jsonb_build_object(
               'period_start', periodd_rfc3339(b.period_start),
               'period_end', periodd_rfc3339(b.period_end),
               'time_zone', b.time_zone, 'tier', b.tier, 'is_paused', b.is_paused,
               'currency', b.currency,
               'features', coalesce((
                   select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                              'feature', u.feature, 'used', u.used, 'included', u.included,
                              'drawn', u.drawn, 'uncovered', u.uncovered,
                              'uncovered_price_cents', u.price) order by u.feature)
                   from unnest(b.features, b.used_each, b.included_each, b.drawn_each,
                               b.uncovered_each, b.uncovered_prices)
                            as u (feature, used, included, drawn, uncovered, price)), '[]'))
               order by k.place),
           pg_catalog.array_agg(b.closed_at order by k.place)
      into v_ids, v_orgs, v_payloads, v_ats
    from unnest(p_org_ids, p_starts) with ordinality as k (org_id, period_start, place)
    join billing_periods b on b.org_id = k.org_id and b.period_start = k.period_start;
    return periodd_enter_events(
        v_ids, pg_catalog.array_fill('period.closed'::text, array[coalesce(pg_catalog.array_length(v_ids, 1), 0)]), v_orgs,
        v_payloads, v_ats);
end
$$;
comment on function periodd_enter_closes is 'Enters events about closed periods.';
