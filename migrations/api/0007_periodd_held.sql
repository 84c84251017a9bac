-- What an org's packs add to its open period, one that has expired in it among them.
create or replace function periodd_held(
    p_org_id uuid, p_feature text, p_at timestamptz, p_period_start timestamptz
) returns table (usable numeric, drawn numeric, holds_expired boolean)
language sql stable parallel safe
begin atomic
    select coalesce(sum(k.held) filter (
               where k.purchased_at <= p_at and (k.expires_at is null or k.expires_at > p_at)), 0),
           (select coalesce(sum(e.quantity), 0)
            from overage_entries e
            join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
            where e.org_id = p_org_id and e.period_start = p_period_start and e.kind = 'drawn'
              and p.feature = p_feature),
           coalesce(bool_or(k.expires_at <= p_at), false)
    from (select coalesce(p.remaining, p.quantity) as held, p.purchased_at, p.expires_at
          from overage_packs p
          where p.org_id = p_org_id and p.feature = p_feature
            and (p.remaining <> 0 or p.entries = 0)) k
    where k.held > 0;
end;
comment on function periodd_held is 'Remaining and drawn quantities of packs in a period; holds_expired: a rollover has not settled an expired pack yet.';
