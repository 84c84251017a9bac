-- Each event as record_usage takes it: an unknown field is refused, for a misspelt key or time would
-- otherwise be lost.
create or replace function periodd_events(p_events jsonb)
returns table (
    org_ids uuid[], features text[], amounts numeric[], user_ids uuid[], used_ats timestamptz[],
    keys text[]
)
language plpgsql stable parallel safe rows 1
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fields constant text[] := array['org_id', 'feature', 'amount', 'user_id', 'used_at', 'idempotency_key'];
    v_event jsonb;
begin
    select e.value into v_event from jsonb_array_elements(p_events) e
    where jsonb_typeof(e.value) <> 'object' or e.value - v_fields <> '{}'::jsonb
    limit 1;
    if found then
        raise exception 'invalid event %: it must be an object with the fields %', v_event, array_to_string(v_fields, ', ')
            using errcode = '22023';
    end if;
    return query
    select array_agg(e.org_id), array_agg(e.feature), array_agg(e.amount), array_agg(e.user_id),
           array_agg(e.used_at), array_agg(e.idempotency_key)
    from jsonb_to_recordset(p_events) as e (
        org_id uuid, feature text, amount numeric, user_id uuid, used_at timestamptz,
        idempotency_key text);
end
$$;
comment on function periodd_events is 'Events of a batch as arrays, in their order.';
