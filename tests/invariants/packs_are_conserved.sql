-- granted = remaining + drawn + expired + refunded, for every pack and at every prefix of its
-- ledger; the ledger has no gaps, and its last line says what the pack holds.
select p.org_id, p.id, e.seq, e.kind, e.quantity, e.remaining, e.expected, p.remaining as holds
from (select q.* from overage_packs q
      where q.org_id >= $1 and q.org_id <= $2
        and ($3 = '-infinity'::timestamptz or q.remaining <> 0
             or exists (select from overage_entries y
                        where y.org_id = q.org_id and y.pack_id = q.id and y.recorded_at > $3))) p
cross join lateral (
      select x.*,
             sum(case when x.kind = 'granted' then x.quantity else -x.quantity end)
                 over ledger as expected,
             row_number() over ledger as place,
             count(*) over () as lines
      from overage_entries x
      where x.org_id = p.org_id and x.pack_id = p.id
      window ledger as (order by x.seq)) e
where e.remaining <> e.expected or e.remaining < 0 or e.seq <> e.place
   or p.entries <> e.lines
   or (e.seq = e.lines and e.remaining <> p.remaining)
   or (e.seq = 1) <> (e.kind = 'granted')
