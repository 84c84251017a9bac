-- What follows from what an org may use and has used in a period: the last step of whoever says so.
-- Its body is bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_left(
    p_used numeric, p_included numeric, p_drawn numeric, p_usable numeric, p_is_granted boolean,
    p_period_start timestamptz, p_open_start timestamptz, p_open_end timestamptz
)
returns table (
    allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric,
    why_not text
)
language sql immutable parallel safe
begin atomic
    select a.allowance,
           case when a.allowance is not null then greatest(0, a.allowance - p_used) end,
           -- Of what is unlimited, all that is usable: least() passes over a null.
           least(p_usable, case when a.allowance is not null
                                then greatest(0, a.allowance - p_used) end),
           periodd_percent(p_used, a.allowance),
           case
               when p_period_start is null and (p_open_start is null or p_open_end is null)
                   then 'no_period'
               when p_period_start is null then 'beyond_ends'
               -- Unlimited is what a counter can hold.
               when p_used + 1.0 <= least(a.allowance, 9999999999999999999999.999999) then null
               when p_is_granted then 'used_up'
               else 'not_granted' end
    from (select p_included + p_drawn + p_usable as allowance) a;
end;
comment on function periodd_left is 'Allowance, remaining quantity and percent used, and the reason why one more unit would be refused.';
