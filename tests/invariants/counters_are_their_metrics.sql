-- Every counter is the sum of the counted metrics of its period, and every sum has its counter;
-- but for periods whose metrics may be gone, because they have been kept long enough.
with windows as materialized (
    select c.org_id, c.period_start, c.period_end from periodd_closed_since($1, $2, $3) c
    union all
    -- What was imported from before the org's first period has its counters and no more.
    (select distinct k.org_id, k.period_start, k.period_end
     from usage_counters k join organizations o on o.id = k.org_id
     where $3 = '-infinity'::timestamptz and o.id >= $1 and o.id <= $2
       and k.period_end <= coalesce(
         (select min(b.period_start) from billing_periods b where b.org_id = k.org_id),
         o.current_period_start))
    union all
    select o.id, e.bounds[i], e.bounds[i + 1]
    from organizations o,
         lateral (select array[o.current_period_start, o.current_period_end]
                         || o.next_period_ends as bounds) e,
         generate_series(1, cardinality(e.bounds) - 1) as i
    where o.id >= $1 and o.id <= $2),
earliest as (
    select w.org_id,
           case when $3 > '-infinity'::timestamptz then min(w.period_start)
                else '-infinity' end as start
    from windows w group by w.org_id)
select coalesce(c.org_id, m.org_id) as org, coalesce(c.feature, m.feature) as feature,
       coalesce(c.period_start, m.period_start) as period_start, c.used, m.used as metrics
from (select k.* from usage_counters k left join earliest e on e.org_id = k.org_id
      where k.org_id >= $1 and k.org_id <= $2
        and k.period_start >= coalesce(e.start, '-infinity')) c
full join (
    select x.organization_id as org_id, periodd_folded(x.metric_type) as feature, w.period_start,
           sum(x.metric_value) as used
    from usage_metrics x
    join windows w
      on w.org_id = x.organization_id
         and x.created_at >= w.period_start and x.created_at < w.period_end
    where x.counted_at is not null and x.organization_id >= $1 and x.organization_id <= $2
    group by 1, 2, 3) m
  on m.org_id = c.org_id and m.feature = c.feature and m.period_start = c.period_start
left join periodd_removed r on r.org_id = coalesce(c.org_id, m.org_id)
where coalesce(c.used, 0) <> coalesce(m.used, 0)
  and (r.before is null or coalesce(c.period_start, m.period_start) >= r.before)
