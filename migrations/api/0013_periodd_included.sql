-- An override grants instead of the tier, and may grant without limit: null is an answer. Its body
-- is bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_included(p_org_id uuid, p_feature text, p_tier text)
returns table (included numeric, is_granted boolean)
language sql stable parallel safe rows 1
begin atomic
    select case when l.org_id is not null then l.included
                when t.tier is not null then t.included
                else 0 end,
           l.org_id is not null or t.tier is not null
    from (select) one
    left join limit_overrides l on l.org_id = p_org_id and l.feature = p_feature
    left join tier_limits t on t.tier = p_tier and t.feature = p_feature;
end;
comment on function periodd_included is 'Included quantity of a feature for an org on a tier; null: unlimited. is_granted: there is a row for it.';
