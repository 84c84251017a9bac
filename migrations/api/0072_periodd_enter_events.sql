-- Events for everybody who hears of them: rows of the event table, and messages in the outbox, whose
-- body is written here and never again. An event that is there already is not entered twice.
create or replace function periodd_enter_events(
    p_ids uuid[], p_kinds text[], p_org_ids uuid[], p_payloads jsonb[], p_ats timestamptz[]
) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_listeners jsonb;
    v_entered bigint;
begin
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('channel', l.channel, 'name', l.name, 'kinds', l.kinds,
                                        'only_org', l.only_org))
      into v_listeners from periodd_listeners l;
    if v_listeners is null then
        return 0;
    end if;
    with heard as materialized (
        select e.place, e.id, e.kind, e.org_id, e.at, l.channel, l.name,
               pg_catalog.jsonb_build_object('org_id', o.id, 'org', o.slug)
                   operator(pg_catalog.||) e.payload as payload
        from unnest(p_ids, p_kinds, p_org_ids, p_payloads, p_ats) with ordinality
                 as e (id, kind, org_id, payload, at, place)
        join organizations o on o.id = e.org_id
        cross join pg_catalog.jsonb_to_recordset(v_listeners)
                 as l (channel text, name text, kinds jsonb, only_org uuid)
        where (l.kinds is null or l.kinds ? e.kind)
          and (l.only_org is null or l.only_org = e.org_id)),
    queued as (
        insert into periodd_webhook_outbox (org_id, event_id, endpoint, kind, body)
        select h.org_id, h.id, h.name, h.kind,
               pg_catalog.json_build_object(
                   'type', h.kind, 'id', h.id, 'timestamp', periodd_rfc3339(h.at),
                   -- What no receiver would take is left out, and can be asked for.
                   'data', case when octet_length(h.payload::text) <= 20000 then h.payload
                       else pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                                'org_id', h.payload -> 'org_id'::text, 'org', h.payload -> 'org'::text,
                                'period_start', h.payload -> 'period_start'::text,
                                'period_end', h.payload -> 'period_end'::text, 'too_large', true)) end)::text
        from heard h where h.channel = 'webhook'
        on conflict (org_id, event_id, channel, endpoint) do nothing)
    insert into periodd_events (org_id, id, kind, payload, at)
    select h.org_id, h.id, h.kind, h.payload, h.at
    from heard h where h.channel = 'table'
    order by h.place
    on conflict (org_id, id) do nothing;
    get diagnostics v_entered = row_count;
    return v_entered;
end
$$;
comment on function periodd_enter_events is 'Enters events for everybody who hears of their kinds, and returns how many are new in the event table.';
