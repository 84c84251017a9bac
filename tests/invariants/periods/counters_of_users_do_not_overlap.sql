-- The counters of a user and a feature do not overlap, but for those that hold nothing.
select n.organization_id, n.user_id, n.feature, n.period_end, n.next
from (select f.organization_id, f.user_id, f.feature, f.period_end,
             lead(f.period_start) over (
                 partition by f.organization_id, f.user_id, f.feature
                 order by f.period_start) as next
      from feature_usage f
      where f.usage_count <> 0 and f.organization_id >= $1 and f.organization_id <= $2) n
where n.next < n.period_end
