-- The plan of move_overage_pack: what usage above the included quantity has claimed stays, as with a
-- refund. Usage that is not counted yet claims as well.
create or replace function periodd_pack_move(p_org_id uuid, p_pack_id uuid, p_at timestamptz)
returns table (what text, feature text, quantity numeric, is_obstacle boolean)
language plpgsql stable parallel safe rows 3
set search_path from current
as $$
declare
    v_pack record;
    v_org record;
    v_left numeric;
    v_free numeric;
begin
    select p.feature, coalesce(p.remaining, p.quantity) as held, p.purchased_at, p.expires_at,
           p.entries
      into v_pack
    from overage_packs p where p.org_id = p_org_id and p.id = p_pack_id;
    select o.current_period_start as start, o.current_period_end as ends into v_org
    from organizations o where o.id = p_org_id;
    feature := v_pack.feature;
    is_obstacle := true;
    quantity := 1;
    if v_org.start is null or v_org.ends is null then
        what := 'no_period';
        return next;
    elsif v_org.ends <= p_at then
        what := 'ended_period';
        return next;
    end if;
    if v_pack.entries = 0 or v_pack.expires_at <= p_at and v_pack.held > 0.0 then
        what := 'unsettled_packs';
        return next;
    end if;
    select case when a.included is null then a.usable
                else least(a.usable, greatest(0, a.included + a.drawn + a.usable - a.used - u.uncounted))
           end
      into v_left
    from periodd_allowances(p_org_id, p_at, v_pack.feature) a
    cross join lateral (
        select coalesce(sum(m.metric_value), 0) as uncounted from usage_metrics m
        where m.organization_id = p_org_id and m.counted_at is null
          and m.created_at >= a.period_start and m.created_at < a.period_end
          and periodd_folded(m.metric_type) = v_pack.feature) u;
    -- Nothing is claimed where nothing limits usage, nor of a pack that is not usable yet.
    v_free := case when v_pack.purchased_at > p_at then v_pack.held
                   else least(v_pack.held, coalesce(v_left, v_pack.held)) end;
    quantity := v_pack.held - v_free;
    if quantity > 0.0 then
        what := 'claimed';
        is_obstacle := v_free <= 0.0;
        return next;
    end if;
    what := case when v_free > 0.0 then 'packs' else 'spent' end;
    is_obstacle := v_free <= 0.0;
    quantity := greatest(v_free, 0.0);
    if v_free > 0.0 or v_pack.held <= 0.0 then
        return next;
    end if;
end
$$;
comment on function periodd_pack_move is 'How much of a pack can move to another org, and what keeps it from moving.';
