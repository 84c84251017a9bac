-- A sync locks counters before orgs: whoever meets one is refused with 40P01 or 40001, and calls again.
create or replace function move_overage_pack(
    p_org_id uuid,
    p_pack_or_reference text,
    p_into_org_id uuid,
    p_at timestamptz default now()
) returns table (pack_id uuid, feature text, quantity numeric)
language plpgsql security definer rows 1
set search_path from current
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_at constant timestamptz := coalesce(p_at, v_now);
    v_pack uuid;
    v_obstacles text;
    v_counts jsonb;
begin
    if not periodd_speaks_for(null::uuid) then
        raise exception 'only the owner and members of periodd_app may move packs' using errcode = '42501';
    end if;
    if p_org_id = p_into_org_id then
        raise exception 'the pack is already one of org %', p_org_id using errcode = '22023';
    end if;
    perform periodd_hold(least(p_org_id, p_into_org_id), v_now);
    perform periodd_hold(greatest(p_org_id, p_into_org_id), v_now);
    perform from organizations o where o.id = p_org_id and o.removed_at is null;
    if not found then
        raise exception 'unknown org %', p_org_id using errcode = 'PB002';
    end if;
    perform from organizations o where o.id = p_into_org_id and o.removed_at is null;
    if not found then
        raise exception 'unknown org %', p_into_org_id using errcode = 'PB002';
    end if;
    select p.id into v_pack from overage_packs p
    where p.org_id = p_org_id
      and (p.id::text = lower(p_pack_or_reference) or p.reference = p_pack_or_reference)
    order by p.id::text = lower(p_pack_or_reference) desc limit 1;
    if v_pack is null then
        raise exception 'org % has no pack %', p_org_id, p_pack_or_reference using errcode = 'PB002';
    end if;
    select string_agg(r.what, ', ') filter (where r.is_obstacle),
           max(r.feature), coalesce(max(r.quantity) filter (where r.what = 'packs'), 0)
      into v_obstacles, feature, quantity
    from periodd_pack_move(p_org_id, v_pack, v_at) r;
    if v_obstacles is not null then
        if v_obstacles in ('spent', 'claimed') then
            -- Asked again: all that could move is there already.
            select m.pack_id, m.moved into pack_id, quantity
            from periodd_moved_packs m
            where m.org_id = p_into_org_id and m.from_org = p_org_id and m.from_pack = v_pack
            order by m.from_seq desc limit 1;
            if found then
                perform periodd_let_go(p_org_id, v_now);
                perform periodd_let_go(p_into_org_id, v_now);
                return next;
                return;
            end if;
        end if;
        raise exception 'the pack cannot be moved: %', v_obstacles
            using errcode = 'PB005', hint = 'Close what has ended first; what usage has claimed stays.';
    end if;
    perform periodd_let_go(p_org_id, v_now);
    perform periodd_let_go(p_into_org_id, v_now);
    pack_id := periodd_carry_pack(p_org_id, v_pack, quantity, p_into_org_id, v_at);
    v_counts := pg_catalog.jsonb_build_object(feature, quantity);
    insert into periodd_departures (org_id, kind, subject, into_org, counts, at, recorded_at)
    values (p_org_id, 'pack_moved', v_pack, p_into_org_id, v_counts, v_at, v_now);
    return next;
end
$$;
comment on function move_overage_pack is 'Moves what is left of a pack to another org, with its dates and its reference; what usage has claimed stays. Returns the pack there and the quantity. A repeated call moves nothing. What is refused with 40P01 or 40001 is to be repeated.';
