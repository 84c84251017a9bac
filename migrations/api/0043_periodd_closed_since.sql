-- Goes back from the last closed period of each org, and stops at the first that was written by then:
-- what it costs does not depend on how much history lies before. Its body is bound when it is
-- created, and becomes part of the statement that calls it.
create or replace function periodd_closed_since(p_first uuid, p_last uuid, p_since timestamptz)
returns table (org_id uuid, period_start timestamptz, period_end timestamptz)
language sql stable parallel safe
begin atomic
    select b.org_id, b.period_start, b.period_end
    from organizations o
    cross join lateral (
        select x.org_id, x.period_start, x.period_end from billing_periods x
        where x.org_id = o.id
          and x.period_start > coalesce(
              (select y.period_start from billing_periods y
               where y.org_id = o.id and y.recorded_at <= p_since
               order by y.period_start desc limit 1), '-infinity')
        offset 0) b
    where o.id >= p_first and o.id <= p_last;
end;
comment on function periodd_closed_since is 'Closed periods of the orgs from one id to another that were written after an instant.';
