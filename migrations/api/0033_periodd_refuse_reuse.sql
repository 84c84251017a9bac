-- What another user did is not shown.
create or replace function periodd_refuse_reuse(p_org_id uuid, p_key text, p_user_id uuid)
returns void
language plpgsql stable parallel safe
set search_path from current
as $$
declare
    v_used record;
begin
    select k.user_id, k.feature, k.quantity, k.recorded_at into v_used
    from periodd_keyed(p_org_id, p_key) k;
    if v_used.user_id is distinct from p_user_id then
        raise exception 'the idempotency key % was used before for another user: use a new key for other usage', p_key
            using errcode = 'PB004';
    end if;
    raise exception 'the idempotency key % was used before for % %, recorded at %: use a new key for other usage', p_key, v_used.quantity, v_used.feature, v_used.recorded_at
        using errcode = 'PB004';
end
$$;
comment on function periodd_refuse_reuse is 'Says what an idempotency key was used for, to a call that uses it for something else (PB004).';
