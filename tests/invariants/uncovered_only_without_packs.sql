-- Nothing is uncovered at a close while a pack that pays for it holds something. Packs of an hour
-- before the close count: it saw them, whatever committed in which order.
select c.org_id, u.feature, c.period_start, u.uncovered, p.id as pack, e.remaining
from periodd_closed_since($1, $2, $3) c
join billing_periods b on b.org_id = c.org_id and b.period_start = c.period_start
cross join lateral unnest(b.features, b.uncovered_each) as u (feature, uncovered)
join features f on f.feature = u.feature and f.kind = 'metered'
join overage_packs p on p.org_id = c.org_id and p.feature = u.feature
     and p.purchased_at < c.period_end and (p.expires_at is null or p.expires_at > c.period_start)
join overage_entries g on g.org_id = p.org_id and g.pack_id = p.id and g.seq = 1
     and g.recorded_at < b.recorded_at - interval '1 hour'
cross join lateral (
    select x.remaining from overage_entries x
    where x.org_id = p.org_id and x.pack_id = p.id and x.recorded_at <= b.recorded_at
    order by x.seq desc limit 1) e
where u.uncovered > 0 and e.remaining > 0
  -- What a later period gave back was not there at this close.
  and not exists (select 1 from overage_entries r
                  where r.org_id = p.org_id and r.pack_id = p.id and r.kind = 'drawn'
                    and r.quantity < 0 and r.recorded_at <= b.recorded_at
                    and r.period_start <> c.period_start)
