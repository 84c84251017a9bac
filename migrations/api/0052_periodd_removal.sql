-- The plan of remove_org: what it would do, and what keeps it from doing so. A dry run shows it, and
-- the removal itself begins with it.
create or replace function periodd_removal(
    p_org_id uuid, p_with_history boolean, p_at timestamptz
) returns table (what text, feature text, quantity numeric, is_obstacle boolean)
language plpgsql stable parallel safe rows 20
set search_path from current
as $$
declare
    v_is_removed boolean;
    v_keeps boolean;
begin
    select o.removed_at is not null,
           not p_with_history and (exists (select from billing_periods b where b.org_id = o.id)
                                   or exists (select from overage_packs p where p.org_id = o.id))
      into v_is_removed, v_keeps
    from organizations o where o.id = p_org_id;
    return query
    select r.what, r.feature, r.quantity::numeric, r.is_obstacle
    from (
        -- What would be lost that nobody has been billed for, or paid back.
        select 1 as place, 'ended_period' as what, null::text as feature, count(*) as quantity,
               true as is_obstacle
        from organizations o
        where o.id = p_org_id and not v_is_removed
          and (o.current_period_end <= p_at or o.restarted_at > o.current_period_start)
        union all
        -- A level that was only carried into the period was billed for before it.
        select 2, 'open_usage', c.feature, sum(c.used), true
        from usage_counters c join organizations o on o.id = c.org_id
        cross join lateral (
            select coalesce(sum(m.metric_value), 0) as carried
            from usage_metrics m
            where m.organization_id = c.org_id and m.created_at >= c.period_start
              and m.created_at < c.period_end and periodd_folded(m.metric_type) = c.feature
              and starts_with(m.idempotency_key, 'periodd:carried:')) k
        where c.org_id = p_org_id and c.period_start >= o.current_period_start and c.used <> 0.0
          and c.used <> k.carried
        group by c.feature
        union all
        select 3, 'uncounted_usage', null, count(*), true
        from usage_metrics m where m.organization_id = p_org_id and m.counted_at is null
        union all
        select 4, 'late_usage', c.feature, count(*), true
        from usage_counters c
        join billing_periods b on b.org_id = c.org_id and b.period_start = c.period_start
        cross join lateral (
            select coalesce(sum(x.used), 0) as booked
            from (select u.used from unnest(b.features, b.used_each) as u (feature, used)
                  where u.feature = c.feature
                  union all
                  select a.used from billing_adjustments a
                  where a.org_id = c.org_id and a.period_start = c.period_start
                    and a.feature = c.feature) x) k
        where c.org_id = p_org_id and c.used <> k.booked
        group by c.feature
        union all
        select 5, 'packs_left', p.feature, sum(coalesce(p.remaining, p.quantity)), true
        from overage_packs p
        where p.org_id = p_org_id and coalesce(p.remaining, p.quantity) > 0.0
        group by p.feature
        union all
        select 6, 'open_purchases', p.feature, count(*), true
        from overage_packs p join organizations o on o.id = p.org_id
        where p.org_id = p_org_id and p.price_cents is not null and not v_is_removed
          and p.purchased_at >= o.current_period_start and p.purchased_at < p_at
        group by p.feature
        union all
        select 10, 'users', null, count(*), false from users u where u.organization_id = p_org_id
        union all
        select 11, 'contacts', null, count(*), false from org_contacts c where c.org_id = p_org_id
        union all
        select 12, 'emails', null, count(*), false from periodd_outbox x where x.org_id = p_org_id
        union all
        select 13, 'limits', null, count(*), false from limit_overrides l where l.org_id = p_org_id
        union all
        select 14, 'alert_settings', null, count(*), false
        from org_alert_settings s where s.org_id = p_org_id
        union all
        select 15, 'tokens', null, count(*), false
        from periodd_tokens t where t.only_org = p_org_id and t.revoked_at is null
        union all
        select case when v_keeps then 30 else 20 end,
               case when v_keeps then 'kept_periods' else 'periods' end, null, count(*), false
        from billing_periods b where b.org_id = p_org_id
        union all
        select case when v_keeps then 31 else 21 end,
               case when v_keeps then 'kept_packs' else 'packs' end, null, count(*), false
        from overage_packs p where p.org_id = p_org_id
        union all
        select case when v_keeps then 32 else 22 end,
               case when v_keeps then 'kept_metrics' else 'metrics' end, null, count(*), false
        from usage_metrics m where m.organization_id = p_org_id) r
    where r.quantity <> 0.0 and not (r.is_obstacle and p_with_history)
    order by r.place, r.feature;
end
$$;
comment on function periodd_removal is 'What the removal of an org would do, and what is open before it.';
