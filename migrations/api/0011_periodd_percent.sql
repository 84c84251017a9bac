-- Its body is bound when it is created, so that it needs no search path, and becomes part of the
-- expression that asks.
create or replace function periodd_percent(p_used numeric, p_allowance numeric) returns numeric
language sql immutable parallel safe
begin atomic
    -- Cut off, not rounded: 100 is said when it is reached.
    select case when p_allowance = 0 then case when p_used > 0 then 100 else 0 end
                -- No further than quantities reach: more is as much over the limit.
                when abs(p_used) * 100 / p_allowance >= 1e22
                    then sign(p_used) * 9999999999999999999999.99
                else trunc(p_used * 100 / p_allowance, 2) end;
end;
comment on function periodd_percent is 'Used share of an allowance, in percent; null: unlimited.';
