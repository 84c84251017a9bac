-- For statements over many orgs: periodd_standing where that is all, which is a join, and
-- periodd_allowances, which is called for the others alone. Its body is bound when it is created,
-- and becomes part of the statement that calls it.
create or replace function periodd_limit(p_org_id uuid, p_feature text, p_at timestamptz)
returns table (
    period_start timestamptz, included numeric, is_granted boolean, drawn numeric, usable numeric,
    allowance numeric
)
language sql stable parallel safe
begin atomic
    select case when s.is_all then s.open_start else a.period_start end,
           case when s.is_all then k.included else a.included end,
           case when s.is_all then s.is_granted else a.is_granted end,
           case when s.is_all then 0 else a.drawn end,
           case when s.is_all then s.usable else a.usable end,
           case when s.is_all then k.included + s.usable else a.allowance end
    from periodd_standing(p_org_id, p_feature, p_at) s
    cross join lateral (
        select periodd_kept_in(p_org_id, p_feature, s.open_start, s.included) as included) k
    left join lateral (
        select f.period_start, f.included, f.is_granted, f.drawn, f.usable, f.allowance
        from periodd_allowances(p_org_id, p_at, p_feature) f
        where not s.is_all
        -- Keeps the condition before the call: joined, it would be asked after it.
        offset 0) a on true;
end;
comment on function periodd_limit is 'Allowance of one feature, from periodd_allowances, for statements over many orgs.';
