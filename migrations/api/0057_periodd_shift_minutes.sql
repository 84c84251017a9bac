-- The column of minutes when a pack comes or goes, asked before it does: what others had added to
-- the column stays on top of what is left of the packs.
create or replace function periodd_shift_minutes(
    p_org_id uuid, p_quantity numeric, p_at timestamptz
) returns void
language plpgsql
set search_path from current
as $$
declare
    v_left numeric;
    v_held numeric;
    v_ours numeric;
begin
    select coalesce(max(a.purchased_remaining), 0) into v_left
    from periodd_allowances(p_org_id, p_at, 'minutes_transcribed') a;
    select o.overage_minutes,
           case when o.overage_minutes_written is null
                then greatest(o.overage_minutes_granted, v_left)
                else o.overage_minutes_written + o.overage_minutes_granted end
      into v_held, v_ours
    from organizations o where o.id = p_org_id;
    v_left := greatest(v_left + p_quantity, 0.0);
    v_held := v_left + greatest(v_held - v_ours, 0.0);
    update organizations o
    set overage_minutes = v_held, overage_minutes_written = v_left, overage_minutes_granted = 0
    where o.id = p_org_id;
end
$$;
comment on function periodd_shift_minutes is 'Moves overage_minutes by what a pack takes along or brings, and keeps what others added to it.';
