-- The closed periods of an org touch, without gap, overlap or repeat, and the open period begins
-- where the last closed one ended.
select o.slug, p.period_start, p.period_end, p.next_start
from (select b.org_id, b.period_start, b.period_end,
             lead(b.period_start) over (partition by b.org_id order by b.period_start) as next_start
      from periodd_closed_since($1, $2, $3) b) p
join organizations o on o.id = p.org_id
where p.period_end is distinct from coalesce(p.next_start, o.current_period_start)
