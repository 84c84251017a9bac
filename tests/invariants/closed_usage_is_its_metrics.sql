-- What a closed period used, with its adjustments, is the sum of its counted metrics; and of what
-- its counter gained since, where nobody has looked at that yet. Metrics that have been kept long
-- enough may be gone.
select o.slug, k.feature, b.period_start, k.closed, k.metrics
from periodd_closed_since($1, $2, $3) b
join organizations o on o.id = b.org_id
cross join lateral (
    select feature, sum(closed) as closed, sum(metrics) as metrics
    from (select u.feature, u.used as closed, 0 as metrics from billing_period_usage u
          where u.org_id = b.org_id and u.period_start = b.period_start
          union all
          select a.feature, a.used, 0 from billing_adjustments a
          where a.org_id = b.org_id and a.period_start = b.period_start
          union all
          select periodd_folded(m.metric_type), 0, m.metric_value from usage_metrics m
          where m.organization_id = b.org_id and m.counted_at is not null
            and m.created_at >= b.period_start and m.created_at < b.period_end) s
    group by feature) k
left join periodd_removed r on r.org_id = b.org_id
left join usage_counters c on c.org_id = b.org_id and c.period_start = b.period_start
     and c.feature = k.feature and c.sync_status = 'pending'
where k.closed <> k.metrics and k.metrics is distinct from c.used
  and (r.before is null or b.period_start >= r.before)
