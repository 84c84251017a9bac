-- At most what is purchased remaining goes back: what usage has claimed above the included quantity
-- is spent, although it is drawn only when the period closes. Everything is read under the locks:
-- the org's row first, so that a rollover planned before is planned again, and then the counter, so
-- that no increment is allowed on what is about to go back.
create or replace function refund_overage_pack(
    p_org_id uuid,
    p_pack_or_reference text,
    p_quantity numeric default null,
    p_key text default null,
    p_at timestamptz default now()
) returns table (
    pack_id uuid, feature text, expires_at timestamptz, quantity numeric, remaining numeric,
    seq integer, refunded_at timestamptz,
    -- When an earlier call with the same key refunded it; null: this one did.
    already_refunded_at timestamptz
)
language plpgsql rows 1
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_at constant timestamptz := coalesce(p_at, v_now);
    v_id uuid;
    v_known record;
    v_org record;
    v_pack record;
    v_left numeric;
    v_most numeric;
    v_why text;
begin
    perform periodd_check_quantity(p_quantity);
    perform periodd_check_time('p_at', v_at);
    if p_key is not null and not periodd_is_key(p_key) then
        perform periodd_refuse_key(p_key);
    end if;
    if p_pack_or_reference ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then
        v_id := p_pack_or_reference::uuid;
    end if;

    perform periodd_lock_org(p_org_id);
    if p_key is not null then
        select p.id, p.feature, p.reference, p.expires_at, k.asked, e.quantity, e.remaining, e.seq,
               e.at, e.recorded_at
          into v_known
        from periodd_refund_keys k
        join overage_entries e on e.org_id = k.org_id and e.pack_id = k.pack_id and e.seq = k.seq
        join overage_packs p on p.org_id = k.org_id and p.id = k.pack_id
        where k.idempotency_key = p_key
          and k.org_id = any (array(select p_org_id
                                    union all
                                    select o.id from organizations o where o.merged_into = p_org_id))
        order by k.org_id = p_org_id desc limit 1;
        if found then
            if (v_known.id = v_id or v_known.reference = p_pack_or_reference) is not true
               or v_known.asked is distinct from p_quantity then
                raise exception 'the key % was used before to refund % of pack %, recorded at %; use a new key for another refund', p_key, v_known.quantity, v_known.id, v_known.recorded_at
                    using errcode = 'PB004';
            end if;
            return query
            select v_known.id, v_known.feature, v_known.expires_at, v_known.quantity,
                   v_known.remaining, v_known.seq, v_known.at, v_known.recorded_at;
            return;
        end if;
    end if;

    perform periodd_enter_packs(array[p_org_id]);
    update organizations o set revision = o.revision + 1 where o.id = p_org_id
    returning o.current_period_start as period_start, o.current_period_end as period_end into v_org;
    -- An id that is another pack's reference is an id.
    select p.id, p.feature, p.remaining, p.purchased_at, nullif(p.expires_at, 'infinity') as expires_at,
           p.entries
      into v_pack
    from overage_packs p
    where p.org_id = p_org_id and (p.id = v_id or p.reference = p_pack_or_reference) and p.entries > 0
    order by p.id = v_id desc nulls last limit 1;
    if not found then
        raise exception 'the org has no such pack: %', p_pack_or_reference using errcode = 'PB002';
    end if;
    if v_org.period_start is null or v_org.period_end is null then
        raise exception 'the org has no open period yet' using errcode = 'PB001';
    end if;
    if v_org.period_end <= v_at then
        raise exception 'the org''s period ended at % and is not closed yet; closing it may draw on the pack', v_org.period_end
            using errcode = 'PB003';
    end if;
    if v_pack.purchased_at > v_at then
        raise exception 'the pack is valid, and can be refunded, only from %', v_pack.purchased_at
            using errcode = 'PB005';
    end if;
    if v_pack.expires_at <= v_at then
        raise exception 'the pack expired at %', v_pack.expires_at using errcode = 'PB005';
    end if;

    perform periodd_hold_packs(p_org_id, v_pack.feature);
    -- What was used, whether it is counted yet or not.
    select l.purchased_remaining into v_left
    from periodd_allowances(p_org_id, v_at, v_pack.feature) a
    cross join lateral (
        select coalesce(sum(m.metric_value), 0) as uncounted
        from usage_metrics m
        where m.organization_id = p_org_id and m.counted_at is null
          and m.created_at >= a.period_start and m.created_at < a.period_end
          and periodd_folded(m.metric_type) = v_pack.feature) u
    left join usage_counters c on c.org_id = p_org_id and c.period_start = a.period_start
         and c.feature = v_pack.feature
    -- All of that was used within a limit that has fallen since.
    cross join lateral periodd_left(
        a.used + u.uncounted,
        periodd_kept(a.included, a.used + u.uncounted, c.included_at_least, c.included_seen),
        a.drawn, a.usable, a.is_granted, a.period_start, a.open_start, a.open_end) l;
    v_most := greatest(0, least(v_pack.remaining, v_left));
    v_why := case when v_most < v_pack.remaining
                  then 'the rest is claimed by usage above the included quantity'
                  else 'the pack is used up' end;
    if v_most = 0.0 then
        raise exception 'the pack cannot be refunded: %', v_why using errcode = 'PB005';
    end if;
    if p_quantity > v_most then
        raise exception 'at most % of the requested % can be refunded: %', v_most, p_quantity, v_why
            using errcode = 'PB005';
    end if;

    update overage_packs p
    set remaining = p.remaining - coalesce(p_quantity, v_most), entries = p.entries + 1
    where p.org_id = p_org_id and p.id = v_pack.id and p.entries = v_pack.entries
      and p.remaining = v_pack.remaining
    returning p.id, p.feature, v_pack.expires_at, coalesce(p_quantity, v_most), p.remaining, p.entries,
              v_at
      into pack_id, feature, expires_at, quantity, remaining, seq, refunded_at;
    if not found then
        raise exception 'the pack % changed meanwhile: try again', v_pack.id using errcode = '40001';
    end if;
    insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
    values (p_org_id, v_pack.id, refund_overage_pack.seq, 'refunded', refund_overage_pack.quantity, v_at,
            refund_overage_pack.remaining);
    perform periodd_enter_entries(array[p_org_id], array[v_pack.id], array[refund_overage_pack.seq]);
    if p_key is not null then
        insert into periodd_refund_keys (org_id, idempotency_key, pack_id, seq, asked)
        values (p_org_id, p_key, v_pack.id, refund_overage_pack.seq, p_quantity);
    end if;
    -- Whoever keeps a copy of what is left of the packs sees that it moved.
    update usage_counters c set sync_status = 'pending'
    where c.org_id = p_org_id and c.period_start = v_org.period_start and c.feature = v_pack.feature;
    if v_pack.feature = 'minutes_transcribed' then
        -- What others had added to the column stays on top of what is left, as
        -- billing::derived has it.
        update organizations o
        set overage_minutes = v_left - refund_overage_pack.quantity + greatest(
                0, o.overage_minutes - case when o.overage_minutes_written is null
                       then greatest(o.overage_minutes_granted, v_left)
                       else o.overage_minutes_written + o.overage_minutes_granted end),
            overage_minutes_written = v_left - refund_overage_pack.quantity,
            overage_minutes_granted = 0
        where o.id = p_org_id;
    end if;
    return next;
end
$$;
comment on function refund_overage_pack is 'Refunds a pack, by its id or reference: a quantity, or all that usage has not claimed. A repeated key refunds once; used for another refund it is an error (PB004). What cannot be refunded is PB005.';
