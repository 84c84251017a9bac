-- Every line of the drift log adds up, and every mend of a counter was counted on the counter.
select d.org_id, d.place, d.before, d.after, d.difference
from periodd_drift d
where d.difference <> d.after - coalesce(d.before, 0) or d.difference = 0 and d.before is not null
union all
select c.org_id, c.feature, c.discrepancy_count, d.lines, null
from usage_counters c
join (select org_id, feature, period_start, count(*) as lines from periodd_drift
      where place = 'usage_counters.used' group by 1, 2, 3) d
  on d.org_id = c.org_id and d.feature = c.feature and d.period_start = c.period_start
where c.discrepancy_count < d.lines
