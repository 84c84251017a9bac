-- One feature as periodd_allowances has it, for statements that ask about many orgs: by a join where
-- periodd_standing is all, and by that function, which costs a call each, for the others alone. Its
-- body is bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_limit_used(p_org_id uuid, p_feature text, p_at timestamptz)
returns table (
    feature text, period_start timestamptz, period_end timestamptz, used numeric,
    included numeric, is_granted boolean, drawn numeric, usable numeric, owed numeric,
    allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric,
    why_not text
)
language sql stable parallel safe
begin atomic
    select p_feature,
           case when s.is_all then s.open_start else a.period_start end,
           case when s.is_all then s.open_end else a.period_end end,
           case when s.is_all then u.used else a.used end,
           case when s.is_all then u.included else a.included end,
           case when s.is_all then s.is_granted else a.is_granted end,
           case when s.is_all then 0 else a.drawn end,
           case when s.is_all then s.usable else a.usable end,
           case when s.is_all then 0 else a.owed end,
           case when s.is_all then l.allowance else a.allowance end,
           case when s.is_all then l.remaining else a.remaining end,
           case when s.is_all then l.purchased_remaining else a.purchased_remaining end,
           case when s.is_all then l.percent else a.percent end,
           case when s.is_all then l.why_not else a.why_not end
    from periodd_standing(p_org_id, p_feature, p_at) s
    cross join lateral (
        select coalesce(max(c.used), 0) as used,
               periodd_kept(s.included, max(c.used), max(c.included_at_least),
                            max(c.included_seen)) as included
        from usage_counters c
        where s.is_all and c.org_id = p_org_id and c.feature = p_feature
          and c.period_start = s.open_start) u
    cross join lateral periodd_left(u.used, u.included, 0, s.usable, s.is_granted,
                                    s.open_start, s.open_start, s.open_end) l
    left join lateral (
        select f.*
        from periodd_allowances(p_org_id, p_at, p_feature) f
        where not s.is_all
        -- Keeps the condition before the call: joined, it would be asked after it.
        offset 0) a on true;
end;
comment on function periodd_limit_used is 'Allowance and usage of one feature, from periodd_allowances, for statements over many orgs.';
