create or replace function periodd_enter_event(
    p_kind text, p_org_id uuid, p_payload jsonb, p_at timestamptz,
    p_id uuid default gen_random_uuid()
) returns bigint
language plpgsql
set search_path from current
as $$
begin
    return periodd_enter_events(array[p_id], array[p_kind], array[p_org_id], array[p_payload],
                                array[p_at]);
end
$$;
comment on function periodd_enter_event is 'Enters one event, as periodd_enter_events does.';
