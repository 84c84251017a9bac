-- At a close drawn + uncovered is what was used above included; what is drawn, late usage included,
-- is what the ledger of packs says was drawn for that period; and less than nothing is never
-- uncovered.
with closed as materialized (select c.* from periodd_closed_since($1, $2, $3) c),
adjusted as materialized (
    select j.org_id, j.feature, j.period_start, sum(j.drawn) as drawn, sum(j.uncovered) as uncovered
    from closed c
    join billing_adjustments j on j.org_id = c.org_id and j.period_start = c.period_start
    group by 1, 2, 3),
paid as materialized (
    select e.org_id, p.feature, e.period_start, sum(e.quantity) as drawn
    from closed c
    join overage_entries e on e.org_id = c.org_id and e.period_start = c.period_start
         and e.kind = 'drawn'
    join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
    group by 1, 2, 3),
used as materialized (
    select u.org_id, u.feature, u.period_start, u.used, u.included, u.drawn, u.uncovered
    from closed c
    join billing_period_usage u on u.org_id = c.org_id and u.period_start = c.period_start)
select k.org_id, k.feature, k.period_start, u.used, u.included, u.drawn, u.uncovered,
       a.drawn as late, d.drawn as ledger
from (select org_id, feature, period_start from used
      union
      select org_id, feature, period_start from adjusted
      union
      select org_id, feature, period_start from paid) k
left join used u
  on u.org_id = k.org_id and u.feature = k.feature and u.period_start = k.period_start
left join adjusted a
  on a.org_id = k.org_id and a.feature = k.feature and a.period_start = k.period_start
left join paid d
  on d.org_id = k.org_id and d.feature = k.feature and d.period_start = k.period_start
where coalesce(d.drawn, 0) <> coalesce(u.drawn, 0) + coalesce(a.drawn, 0)
   or u.drawn + u.uncovered <> greatest(0, u.used - coalesce(u.included, u.used))
   or coalesce(u.uncovered, 0) + coalesce(a.uncovered, 0) < 0
