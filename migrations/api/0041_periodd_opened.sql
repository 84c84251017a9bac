-- The first period of an org that an application has just inserted, for a use that cannot wait for
-- the daemon.
create or replace function periodd_opened(p_org_id uuid, p_at timestamptz) returns boolean
language plpgsql
set search_path from current
as $$
declare
    v_month record;
begin
    select m.period_start, m.period_end, m.next_ends into v_month
    from periodd_first_month(p_org_id, p_at) m;
    if found then
        -- The sweep sees that nobody says where these ends came from, and writes its own.
        update organizations o
        set current_period_start = v_month.period_start, current_period_end = v_month.period_end,
            next_period_ends = v_month.next_ends, period_tier = o.subscription_tier, revision = o.revision + 1
        where o.id = p_org_id and o.current_period_start is null and o.current_period_end is null
          and o.parked_at is null;
        if found then
            return true;
        end if;
    end if;
    -- Somebody was quicker, or the org is parked.
    perform from organizations o
    where o.id = p_org_id and o.current_period_start is not null
      and o.current_period_end is not null;
    return found;
end
$$;
comment on function periodd_opened is 'Opens the calendar month that contains an instant as an org''s first period, if that is its cycle; says whether the org has an open period.';
