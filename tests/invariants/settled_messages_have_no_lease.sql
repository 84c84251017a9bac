-- Emails and messages that are settled are in nobody's hands: whoever settles one gives up its lease.
select x.org_id, x.id, x.state, x.leased_until
from (select o.org_id, o.id, o.state, o.lease, o.leased_until, o.settled_at from periodd_outbox o
      union all
      select w.org_id, w.id, w.state, w.lease, w.leased_until, w.settled_at
      from periodd_webhook_outbox w) x
where x.org_id >= $1 and x.org_id <= $2 and x.state <> 'due' and x.settled_at > $3
  and (x.lease is not null or x.leased_until is not null)
