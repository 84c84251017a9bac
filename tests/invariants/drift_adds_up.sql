-- Every line of the drift log adds up, and says something.
select d.org_id, d.place, d.before, d.after, d.difference
from periodd_drift d
where d.org_id >= $1 and d.org_id <= $2 and d.recorded_at > $3
  and (d.difference <> d.after - coalesce(d.before, 0)
       or d.difference = 0 and d.before is not null)
