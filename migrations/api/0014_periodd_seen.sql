-- What is granted in the open period, for whoever counts something there; no row for another period.
-- In one to come the tier may be another by then. Until a rollover has closed what a restart ended,
-- two are open: that one keeps the tier that the row was on until then, and the one that the restart
-- began is on the row's. A level has to be carried over to it first. Its body is bound when it is
-- created, and becomes part of the statement that calls it.
create or replace function periodd_seen(p_org_id uuid, p_feature text, p_period_start timestamptz)
returns table (included_seen numeric)
language sql stable parallel safe rows 1
begin atomic
    select coalesce(i.included, 9999999999999999999999.999999)
    from organizations o
    cross join lateral periodd_included(
        o.id, p_feature,
        coalesce(case when o.restarted_at > p_period_start then o.restarted_on end,
                 o.subscription_tier)) i
    where o.id = p_org_id
      and (o.current_period_start = p_period_start
           or o.restarted_at = p_period_start and o.restarted_at > o.current_period_start
              and not exists (
                  select from features f where f.feature = p_feature and f.kind = 'level'));
end;
comment on function periodd_seen is 'Granted quantity in an org''s open period or in the one that a restart began, the largest number for unlimited; no row for another period.';
