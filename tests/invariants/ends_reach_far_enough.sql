-- Every open period has at least three following ends, rising, and at least 35 days' worth; as many
-- as there are where the last one never comes.
select o.slug, o.current_period_end, o.next_period_ends
from organizations o
where o.id >= $1 and o.id <= $2 and o.parked_at is null and o.current_period_end is not null
  and (coalesce(o.next_period_ends[cardinality(o.next_period_ends)], o.current_period_end)
           < '9999-12-31 23:59:59.999999+00'
       and (cardinality(o.next_period_ends) < 3
            or o.next_period_ends[cardinality(o.next_period_ends)]
               < o.current_period_end + interval '35 days')
       or exists (select from generate_series(1, cardinality(o.next_period_ends)) i
                  where o.next_period_ends[i]
                        <= case when i = 1 then o.current_period_end
                                else o.next_period_ends[i - 1] end))
