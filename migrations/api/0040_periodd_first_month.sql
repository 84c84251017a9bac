-- The calendar month that contains an instant, for an org that has no period yet and whose first one
-- it is going to be: with the ends that follow. No row: what the computed months do not say
-- (another cycle or anchor, an unknown zone) the daemon opens, and a parked org nobody does.
create or replace function periodd_first_month(p_org_id uuid, p_at timestamptz)
returns table (period_start timestamptz, period_end timestamptz, next_ends timestamptz[])
language sql stable parallel safe
begin atomic
    select p.period_start, p.period_end,
           (select array_agg(s.at order by s.at) from unnest(z.starts) as s (at)
            where s.at > p.period_end)
    from organizations o
    join periodd_zone_months z on periodd_folded(z.time_zone) = periodd_folded(o.time_zone)
    cross join lateral periodd_period_at(z.starts[1], z.starts[2], z.starts[3:], p_at) p
    where o.id = p_org_id and o.cycle = 'monthly' and o.anchor_day = 1 and o.anchor_time = '00:00:00'
      and o.current_period_start is null and o.current_period_end is null and o.parked_at is null
      and p.period_start is not null
      -- What follows closed periods begins where they end.
      and not exists (select from billing_periods b where b.org_id = p_org_id);
end;
comment on function periodd_first_month is 'The calendar month that would become an org''s first period, with the ends that follow it.';
