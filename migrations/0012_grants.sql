-- A granted pack is told to whoever keeps a copy of what is left of the packs: the copy is written
-- again, and what it holds without a pack is less by the pack's quantity.

create or replace function grant_overage_pack(
    p_org_id uuid,
    p_feature text,
    p_quantity numeric,
    p_reference text,
    p_expires_at timestamptz default null,
    p_purchased_at timestamptz default now()
) returns uuid
language plpgsql
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_purchased_at constant timestamptz := coalesce(p_purchased_at, v_now);
    v_feature text;
    v_pack uuid := gen_random_uuid();
    v_known record;
begin
    if p_quantity is null or not (p_quantity > 0 and p_quantity < 1e22)
       or p_quantity <> round(p_quantity, 6) then
        raise exception 'the quantity % cannot be granted: it must be above zero, with at most 6 decimals', p_quantity
            using errcode = '22023';
    end if;
    if not isfinite(v_purchased_at) or not isfinite(p_expires_at) then
        raise exception 'the pack must be bought and expire at moments, not at % and %; without p_expires_at it never expires', v_purchased_at, p_expires_at
            using errcode = '22023';
    end if;
    if p_expires_at <= v_purchased_at then
        raise exception 'the pack would expire at %, not after its purchase at %', p_expires_at, v_purchased_at
            using errcode = '22023';
    end if;
    select f.feature into v_feature from features f where f.feature = lower(p_feature);
    if v_feature is null then
        raise exception 'there is no feature %', p_feature using errcode = 'PB002';
    end if;

    -- The org's row first: whoever plans a rollover right now has to plan again.
    update organizations o set revision = o.revision + 1 where o.id = p_org_id;
    if not found then
        raise exception 'there is no org %', p_org_id using errcode = 'PB002';
    end if;
    insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at, expires_at, reference, entries)
    values (v_pack, p_org_id, v_feature, p_quantity, p_quantity, v_purchased_at, p_expires_at, p_reference, 1)
    on conflict (org_id, reference) do nothing;
    if not found then
        select p.id, p.feature, p.quantity into v_known
        from overage_packs p where p.org_id = p_org_id and p.reference = p_reference;
        if v_known.feature <> v_feature or v_known.quantity <> p_quantity then
            raise exception 'reference % was granted before as % %', p_reference, v_known.quantity, v_known.feature
                using errcode = '22023';
        end if;
        return v_known.id;
    end if;
    insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining, recorded_at)
    values (p_org_id, v_pack, 1, 'granted', p_quantity, v_purchased_at, p_quantity, v_now);
    if v_feature = 'minutes_transcribed' then
        update organizations o set overage_minutes_granted = o.overage_minutes_granted + p_quantity
        where o.id = p_org_id;
    end if;
    insert into usage_counters as c (org_id, feature, period_start, period_end, updated_at)
    select o.id, v_feature, o.current_period_start, o.current_period_end, v_now
    from organizations o
    where o.id = p_org_id and o.current_period_start < o.current_period_end
    on conflict (org_id, period_start, feature) do update set sync_status = 'pending';
    return v_pack;
end
$$;
