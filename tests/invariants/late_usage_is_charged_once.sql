-- What a closed period charges for in the end, late usage within the grace included, is what lies
-- above included; what was set aside is charged to nobody.
select a.org_id, a.feature, a.period_start, u.used, a.used as late, a.charged, u.included
from (select j.org_id, j.feature, j.period_start, sum(j.used) as used,
             sum(j.drawn + j.uncovered) as charged, max(j.recorded_at) as recorded_at,
             sum(abs(j.drawn) + abs(j.uncovered)) filter (where j.kind = 'set_aside') as set_aside
      from billing_adjustments j
      where j.org_id >= $1 and j.org_id <= $2 group by 1, 2, 3) a
left join billing_period_usage u
  on u.org_id = a.org_id and u.feature = a.feature and u.period_start = a.period_start
left join (select org_id, feature, period_start, sum(used) as used from billing_adjustments
           where kind = 'late' and org_id >= $1 and org_id <= $2 group by 1, 2, 3) l
  on l.org_id = a.org_id and l.feature = a.feature and l.period_start = a.period_start
where a.recorded_at > $3
  and (a.set_aside <> 0
       or u.org_id is not null
          and u.drawn + u.uncovered + a.charged
              <> greatest(0, u.used + coalesce(l.used, 0)
                             - coalesce(u.included, u.used + coalesce(l.used, 0))))
