-- The open period of every org ends after it starts.
select o.slug, o.current_period_start, o.current_period_end
from organizations o
where o.current_period_end <= o.current_period_start and o.id >= $1 and o.id <= $2
