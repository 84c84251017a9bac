-- Takes a quantity out of a pack, and grants it to another org with the dates and the reference of the
-- pack. Draws stay where they were made: the periods that they paid for are that org's. Both orgs are
-- held. A pack that is spent leaves its reference, so that a repeated purchase grants nothing.
create or replace function periodd_carry_pack(
    p_org_id uuid, p_pack_id uuid, p_quantity numeric, p_into_org_id uuid, p_at timestamptz
) returns uuid
language plpgsql
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_pack record;
    v_id uuid;
    v_reference text;
    v_granted numeric;
    v_seq int;
begin
    select p.feature, p.quantity, p.remaining, p.purchased_at, p.expires_at, p.reference, p.entries
      into v_pack
    from overage_packs p where p.org_id = p_org_id and p.id = p_pack_id;
    -- A pack that moves on is repeated by what was bought first.
    select m.granted, m.reference into v_granted, v_reference
    from periodd_moved_packs m where m.org_id = p_org_id and m.pack_id = p_pack_id
    order by m.recorded_at limit 1;
    v_granted := coalesce(v_granted, v_pack.quantity);
    v_reference := coalesce(v_reference, v_pack.reference);
    v_seq := v_pack.entries;
    if p_quantity > 0.0 then
        if v_pack.feature = 'minutes_transcribed' then
            perform periodd_shift_minutes(p_org_id, -p_quantity, p_at);
            perform periodd_shift_minutes(p_into_org_id, p_quantity, p_at);
        end if;
        v_id := p_pack_id;
        perform from overage_packs p where p.org_id = p_into_org_id and p.id = v_id;
        if found then
            v_id := gen_random_uuid();
        end if;
        insert into overage_packs (org_id, id, feature, quantity, remaining, purchased_at, expires_at,
                                   reference, entries)
        values (p_into_org_id, v_id, v_pack.feature, p_quantity, p_quantity, v_pack.purchased_at,
                v_pack.expires_at, v_reference, 1)
        on conflict (org_id, reference) do nothing;
        if not found then
            -- The org has bought something by the same reference itself, and keeps it.
            insert into overage_packs (org_id, id, feature, quantity, remaining, purchased_at,
                                       expires_at, entries)
            values (p_into_org_id, v_id, v_pack.feature, p_quantity, p_quantity,
                    v_pack.purchased_at, v_pack.expires_at, 1);
        end if;
        insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining, recorded_at)
        values (p_into_org_id, v_id, 1, 'granted', p_quantity, p_at, p_quantity, v_now);
        perform periodd_enter_entries(array[p_into_org_id], array[v_id], array[1]);
        v_seq := v_seq + 1;
        update overage_packs p set remaining = p.remaining - p_quantity, entries = v_seq
        where p.org_id = p_org_id and p.id = p_pack_id;
        insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining, recorded_at)
        values (p_org_id, p_pack_id, v_seq, 'moved', p_quantity, p_at,
                v_pack.remaining - p_quantity, v_now);
        -- Copies of what is left of the packs are written again by the next sync, and an increment
        -- that has read the pack before decides again, by the revision.
        insert into usage_counters as c (org_id, feature, period_start, period_end, revision, updated_at)
        select o.id, v_pack.feature, o.current_period_start, o.current_period_end, o.revision, v_now
        from organizations o
        where o.id in (p_org_id, p_into_org_id) and o.current_period_start < o.current_period_end
        order by o.id
        on conflict (org_id, period_start, feature) do update
            set sync_status = 'pending', revision = excluded.revision;
    end if;
    insert into periodd_moved_packs (org_id, from_org, from_pack, from_seq, pack_id, reference,
                                     feature, granted, moved, at, recorded_at)
    values (p_into_org_id, p_org_id, p_pack_id, v_seq, v_id, v_reference, v_pack.feature, v_granted,
            greatest(p_quantity, 0.0), p_at, v_now)
    on conflict (org_id, from_org, from_pack, from_seq) do nothing;
    return v_id;
end
$$;
comment on function periodd_carry_pack is 'Moves a quantity of a pack to another org, with its dates and its reference; returns the pack there.';
