-- No period ends with its last moment: an end is the first instant of what follows.
select p.org_id, p.start, p.ends
from (select o.id as org_id, o.current_period_start as start, o.current_period_end as ends,
             o.anchor_time as time
      from organizations o
      where o.id >= $1 and o.id <= $2
      union all
      select c.org_id, c.period_start, c.period_end, o.anchor_time
      from usage_counters c join organizations o on o.id = c.org_id
      where c.org_id >= $1 and c.org_id <= $2) p
where periodd_is_inclusive(p.start, p.ends, p.time)
