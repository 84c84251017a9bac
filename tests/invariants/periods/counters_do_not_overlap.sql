-- The counters of an org and a feature do not overlap: with each of them the sum of its metrics, no
-- metric counts twice. One that holds nothing may have the bounds that a use was about to count in
-- when the period was given others.
select n.org_id, n.feature, n.period_end, n.next
from (select c.org_id, c.feature, c.period_end,
             lead(c.period_start) over (
                 partition by c.org_id, c.feature order by c.period_start) as next
      from usage_counters c
      where c.used <> 0 and c.org_id >= $1 and c.org_id <= $2) n
where n.next < n.period_end
