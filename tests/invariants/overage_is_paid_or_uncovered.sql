-- At a close drawn + uncovered is what was used above included; what is drawn, late usage included,
-- is what the ledger of packs says was drawn for that period; and less than nothing is never
-- uncovered.
select k.org_id, k.feature, k.period_start, u.used, u.included, u.drawn, u.uncovered,
       a.drawn as late, d.drawn as ledger
from (select org_id, feature, period_start from billing_period_usage
      union
      select org_id, feature, period_start from billing_adjustments
      union
      select e.org_id, p.feature, e.period_start
      from overage_entries e
      join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
      join billing_periods b on b.org_id = e.org_id and b.period_start = e.period_start
      where e.kind = 'drawn') k
left join billing_period_usage u
  on u.org_id = k.org_id and u.feature = k.feature and u.period_start = k.period_start
left join (
    select org_id, feature, period_start, sum(drawn) as drawn, sum(uncovered) as uncovered
    from billing_adjustments group by 1, 2, 3) a
  on a.org_id = k.org_id and a.feature = k.feature and a.period_start = k.period_start
left join (
    select e.org_id, p.feature, e.period_start, sum(e.quantity) as drawn
    from overage_entries e
    join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
    where e.kind = 'drawn'
    group by 1, 2, 3) d
  on d.org_id = k.org_id and d.feature = k.feature and d.period_start = k.period_start
where coalesce(d.drawn, 0) <> coalesce(u.drawn, 0) + coalesce(a.drawn, 0)
   or u.drawn + u.uncovered <> greatest(0, u.used - coalesce(u.included, u.used))
   or coalesce(u.uncovered, 0) + coalesce(a.uncovered, 0) < 0
