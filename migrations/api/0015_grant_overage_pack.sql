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
    -- Infinity is another way to say never.
    v_expires_at constant timestamptz := nullif(p_expires_at, 'infinity');
    v_feature text;
    v_pack uuid := gen_random_uuid();
    v_known record;
begin
    if p_quantity is null then
        raise exception 'p_quantity is null: a pack has a quantity greater than zero'
            using errcode = '22023';
    end if;
    perform periodd_check_quantity(p_quantity);
    perform periodd_check_time('p_purchased_at', v_purchased_at);
    perform periodd_check_time('p_expires_at', v_expires_at);
    if p_reference = '' then
        raise exception 'the reference is empty: pass null for a pack without a reference'
            using errcode = '22023';
    end if;
    if v_expires_at <= v_purchased_at then
        raise exception 'the pack would expire at %, not after its purchase at %', v_expires_at, v_purchased_at
            using errcode = '22023';
    end if;
    select f.feature into v_feature from features f where f.feature = periodd_folded(p_feature);
    if v_feature is null then
        raise exception 'unknown feature %', p_feature using errcode = 'PB002';
    end if;

    -- The org's row first: whoever plans a rollover right now has to plan again.
    update organizations o set revision = o.revision + 1
    where o.id = p_org_id and o.removed_at is null;
    if not found then
        raise exception 'unknown org %', p_org_id using errcode = 'PB002';
    end if;
    -- A purchase that came along with another org is granted already.
    select coalesce(m.pack_id, m.from_pack) as id, m.feature, m.granted as quantity into v_known
    from periodd_moved_packs m
    where m.org_id = p_org_id and m.reference = p_reference
    order by m.recorded_at limit 1;
    if found then
        if v_known.feature <> v_feature or v_known.quantity <> p_quantity then
            raise exception 'reference % was granted before as % %', p_reference, v_known.quantity, v_known.feature
                using errcode = 'PB004';
        end if;
        return v_known.id;
    end if;
    insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at, expires_at, reference, entries)
    values (v_pack, p_org_id, v_feature, p_quantity, p_quantity, v_purchased_at, v_expires_at, p_reference, 1)
    on conflict (org_id, reference) do nothing;
    if not found then
        select p.id, p.feature, p.quantity into v_known
        from overage_packs p where p.org_id = p_org_id and p.reference = p_reference;
        if v_known.feature <> v_feature or v_known.quantity <> p_quantity then
            raise exception 'reference % was granted before as % %', p_reference, v_known.quantity, v_known.feature
                using errcode = 'PB004';
        end if;
        return v_known.id;
    end if;
    if (select sum(coalesce(p.remaining, p.quantity)) >= 1e22 from overage_packs p
        where p.org_id = p_org_id and p.feature = v_feature
          and (p.remaining > 0.0 or p.entries = 0)) then
        raise exception 'the quantity % cannot be granted: the packs of % of org % would hold 1e22 or more', p_quantity, v_feature, p_org_id
            using errcode = '22003';
    end if;
    insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining, recorded_at)
    values (p_org_id, v_pack, 1, 'granted', p_quantity, v_purchased_at, p_quantity, v_now);
    perform periodd_enter_entries(array[p_org_id], array[v_pack], array[1]);
    -- Whoever keeps a copy of what is left of the packs is told that it moved, and by how much.
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
comment on function grant_overage_pack is 'Grants an overage pack and returns its id. A repeated reference grants once; with another feature or quantity it is an error (PB004).';
