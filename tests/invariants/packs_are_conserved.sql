-- granted = remaining + drawn + expired + refunded, for every pack and at every prefix of its
-- ledger; the ledger has no gaps, and its last line says what the pack holds.
select p.org_id, p.id, e.seq, e.kind, e.quantity, e.remaining, e.expected, p.remaining as holds
from overage_packs p
join (select x.*,
             sum(case when x.kind = 'granted' then x.quantity else -x.quantity end)
                 over ledger as expected,
             row_number() over ledger as place,
             count(*) over (partition by x.org_id, x.pack_id) as lines
      from overage_entries x
      window ledger as (partition by x.org_id, x.pack_id order by x.seq)) e
  on e.org_id = p.org_id and e.pack_id = p.id
where e.remaining <> e.expected or e.remaining < 0 or e.seq <> e.place
   or p.entries <> e.lines
   or (e.seq = e.lines and e.remaining <> p.remaining)
   or (e.seq = 1) <> (e.kind = 'granted')
