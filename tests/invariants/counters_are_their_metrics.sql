-- Every counter is the sum of the counted metrics of its period, and every sum has its counter;
-- but for periods whose metrics may be gone, because they have been kept long enough.
select coalesce(c.org_id, m.org_id) as org, coalesce(c.feature, m.feature) as feature,
       coalesce(c.period_start, m.period_start) as period_start, c.used, m.used as metrics
from usage_counters c
full join (
    select x.organization_id as org_id, periodd_folded(x.metric_type) as feature, w.period_start,
           sum(x.metric_value) as used
    from usage_metrics x
    join (select org_id, period_start, period_end from billing_periods
          union all
          -- What was imported from before the org's first period has its counters and no more.
          (select distinct k.org_id, k.period_start, k.period_end
           from usage_counters k join organizations o on o.id = k.org_id
           where k.period_end <= coalesce(
               (select min(b.period_start) from billing_periods b where b.org_id = k.org_id),
               o.current_period_start))
          union all
          select o.id, e.bounds[i], e.bounds[i + 1]
          from organizations o,
               lateral (select array[o.current_period_start, o.current_period_end]
                               || o.next_period_ends as bounds) e,
               generate_series(1, cardinality(e.bounds) - 1) as i) w
      on w.org_id = x.organization_id
         and x.created_at >= w.period_start and x.created_at < w.period_end
    where x.counted_at is not null
    group by 1, 2, 3) m
  on m.org_id = c.org_id and m.feature = c.feature and m.period_start = c.period_start
left join periodd_removed r on r.org_id = coalesce(c.org_id, m.org_id)
where coalesce(c.used, 0) <> coalesce(m.used, 0)
  and (r.before is null or coalesce(c.period_start, m.period_start) >= r.before)
