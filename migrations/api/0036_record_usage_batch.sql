create or replace function record_usage_batch(
    p_events jsonb,
    p_is_partial boolean default false
) returns table (
    event bigint, outcome text, metric_id uuid, is_counted boolean, code text, detail text
)
language plpgsql rows 1000
set search_path from current
as $$
declare
    v_most constant int := 10000;
    v_count int;
    v_orgs uuid[];
    v_features text[];
    v_amounts numeric[];
    v_users uuid[];
    v_used_ats timestamptz[];
    v_keys text[];
    v_one record;
    v_codes text[] := '{}';
    v_details text[] := '{}';
begin
    if jsonb_typeof(p_events) is distinct from 'array' then
        raise exception 'p_events must be an array of events' using errcode = '22023';
    end if;
    v_count := jsonb_array_length(p_events);
    if v_count > v_most then
        raise exception '% events do not fit in a batch: at most % are allowed', v_count, v_most
            using errcode = '22023';
    end if;
    begin
        select e.org_ids, e.features, e.amounts, e.user_ids, e.used_ats, e.keys
          into v_orgs, v_features, v_amounts, v_users, v_used_ats, v_keys
        from periodd_events(p_events) e;
    exception when data_exception then
        -- One by one, to say which of them cannot be read. It goes on as an event without an org.
        for v_place in 1 .. v_count loop
            begin
                select e.org_ids[1] as org_id, e.features[1] as feature, e.amounts[1] as amount,
                       e.user_ids[1] as user_id, e.used_ats[1] as used_at, e.keys[1] as key
                  into v_one
                from periodd_events(pg_catalog.jsonb_build_array(p_events -> (v_place - 1))) e;
                v_codes[v_place] := null;
                v_details[v_place] := null;
            exception when data_exception then
                if p_is_partial is not true then
                    raise exception '%', sqlerrm
                        using errcode = sqlstate,
                              detail = 'event ' || v_place::text || ' of ' || v_count::text || '; nothing is recorded';
                end if;
                select null::uuid as org_id, null::text as feature, null::numeric as amount,
                       null::uuid as user_id, null::timestamptz as used_at, null::text as key
                  into v_one;
                v_codes[v_place] := sqlstate;
                v_details[v_place] := sqlerrm;
            end;
            v_orgs[v_place] := v_one.org_id;
            v_features[v_place] := v_one.feature;
            v_amounts[v_place] := v_one.amount;
            v_users[v_place] := v_one.user_id;
            v_used_ats[v_place] := v_one.used_at;
            v_keys[v_place] := v_one.key;
        end loop;
    end;
    return query
    select r.event, r.outcome, r.metric_id, r.is_counted, coalesce(v_codes[r.event], r.code),
           coalesce(v_details[r.event], r.detail)
    from periodd_record_batch(v_orgs, v_features, v_amounts, v_users, v_used_ats, v_keys,
                              p_is_partial, false) r;
end
$$;
comment on function record_usage_batch is 'Records up to 10,000 events, objects with org_id, feature, amount and, if wanted, user_id, used_at and idempotency_key, as record_usage records one. All of them or none; with p_is_partial, those that are refused are named with the SQLSTATE and the sentence of record_usage, and the others are recorded.';
