create or replace function get_current_usage_stats(p_user_id uuid)
returns table (
    feature text, used numeric, included numeric, purchased_remaining numeric,
    effective_limit numeric, percent numeric, period_start timestamptz, period_end timestamptz
)
language plpgsql stable parallel safe security definer
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_org uuid;
begin
    if not periodd_speaks_for(p_user_id) then
        raise exception 'the caller may only ask about itself: p_user_id is not the user of this connection'
            using errcode = '42501', hint = 'Set app.user_id or request.jwt.claims, or become a member of periodd_app.';
    end if;
    select u.organization_id into v_org from users u where u.id = p_user_id;
    if not found then
        raise exception 'unknown user %', p_user_id using errcode = 'PB002';
    end if;
    for feature, used, included, purchased_remaining, effective_limit, percent, period_start, period_end in
        select a.feature, a.used, a.included, a.purchased_remaining, a.allowance, a.percent,
               a.period_start, a.period_end
        from periodd_allowances(v_org, v_now) a
        order by a.feature
    loop
        return next;
    end loop;
end
$$;
comment on function get_current_usage_stats is 'Usage and remaining allowance of the user''s org per feature, in the current period.';
