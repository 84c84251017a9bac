-- At a close drawn + uncovered is what was used above included, and what is drawn is what the
-- ledger of packs says was drawn for that period.
select u.org_id, u.feature, u.period_start, u.used, u.included, u.drawn, u.uncovered, d.drawn as ledger
from billing_period_usage u
full join (
    select e.org_id, p.feature, e.period_start, sum(e.quantity) as drawn
    from overage_entries e
    join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
    join billing_periods b on b.org_id = e.org_id and b.period_start = e.period_start
    where e.kind = 'drawn'
    group by 1, 2, 3) d
  on d.org_id = u.org_id and d.feature = u.feature and d.period_start = u.period_start
left join (
    select a.org_id, a.feature, a.period_start, sum(a.drawn) as drawn
    from billing_adjustments a group by 1, 2, 3) a
  on a.org_id = u.org_id and a.feature = u.feature and a.period_start = u.period_start
where coalesce(d.drawn, 0) <> coalesce(u.drawn, 0) + coalesce(a.drawn, 0)
   or u.drawn + u.uncovered <> greatest(0, u.used - coalesce(u.included, u.used))
