-- The plan of merge_orgs: a dry run shows it, and the merge itself begins with it. Usage of the open
-- period goes along, so nothing may be due, and no pack may have paid for a part of it yet. Periods of
-- the org that stays are not opened again: what is metered has to lie in its open one, or later.
create or replace function periodd_merge(p_from_org_id uuid, p_into_org_id uuid, p_at timestamptz)
returns table (what text, feature text, quantity numeric, is_obstacle boolean)
language plpgsql stable parallel safe rows 20
set search_path from current
as $$
declare
    v_start timestamptz;
begin
    select coalesce(o.current_period_start, '-infinity') into v_start
    from organizations o where o.id = p_from_org_id;
    return query
    select r.what, r.feature, r.quantity::numeric, r.is_obstacle
    from (
        select 1 as place, 'ended_period' as what, null::text as feature, count(*) as quantity,
               true as is_obstacle
        from organizations o
        where o.id in (p_from_org_id, p_into_org_id)
          and (o.current_period_end <= p_at or o.restarted_at > o.current_period_start)
        union all
        select 2, 'no_period', null, count(*), true
        from organizations o
        where o.id = p_into_org_id
          and (o.current_period_start is null or o.current_period_end is null)
        union all
        select 3, 'parked', null, count(*), true
        from organizations o
        where o.id in (p_from_org_id, p_into_org_id) and o.parked_at is not null
        union all
        select 4, 'unsettled_packs', p.feature, count(*), true
        from overage_packs p
        where p.org_id = p_from_org_id
          and (p.entries = 0 or p.remaining > 0.0 and p.expires_at <= p_at)
        group by p.feature
        union all
        select 5, 'drawn_packs', p.feature, sum(e.quantity), true
        from overage_entries e
        join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
        where e.org_id = p_from_org_id and e.period_start = v_start and e.kind = 'drawn'
        group by p.feature
        union all
        select 6, 'earlier_usage', periodd_folded(m.metric_type), count(*), true
        from usage_metrics m
        join organizations i on i.id = p_into_org_id
        left join features f on f.feature = periodd_folded(m.metric_type)
        where m.organization_id = p_from_org_id and m.created_at >= v_start
          and m.created_at < i.current_period_start and f.kind is distinct from 'level'
        group by periodd_folded(m.metric_type)
        union all
        select 7, 'uncounted_usage', null, count(*), true
        from usage_metrics m
        where m.organization_id = p_from_org_id and m.counted_at is null and m.created_at < v_start
        union all
        select 8, r.what, r.feature, r.quantity, true
        from periodd_removal(p_from_org_id, false, p_at) r where r.what = 'late_usage'
        union all
        -- Its statement shows what was sold: closed first, the period has one.
        select 9, 'open_purchases', p.feature, count(*), true
        from overage_packs p
        where p.org_id = p_from_org_id and p.price_cents is not null
          and p.purchased_at >= v_start and p.purchased_at < p_at
        group by p.feature
        union all
        select 10, 'users', null, count(*), false
        from users u where u.organization_id = p_from_org_id
        union all
        select 11, 'contacts', null, count(*), false
        from org_contacts c where c.org_id = p_from_org_id
        union all
        select 12, 'usage', periodd_folded(m.metric_type), sum(m.metric_value), false
        from usage_metrics m
        where m.organization_id = p_from_org_id and m.created_at >= v_start
        group by periodd_folded(m.metric_type)
        union all
        select 13, 'packs', p.feature, sum(p.remaining), false
        from overage_packs p
        where p.org_id = p_from_org_id and p.remaining > 0.0
        group by p.feature
        union all
        select 14, 'tokens', null, count(*), false
        from periodd_tokens t where t.only_org = p_from_org_id and t.revoked_at is null
        union all
        select 15, 'limits', null, count(*), false
        from limit_overrides l where l.org_id = p_from_org_id
        union all
        select 16, 'alert_settings', null, count(*), false
        from org_alert_settings s where s.org_id = p_from_org_id
        union all
        select 17, 'emails', null, count(*), false
        from periodd_outbox x where x.org_id = p_from_org_id and x.state = 'due'
        union all
        select 30, 'kept_periods', null, count(*), false
        from billing_periods b where b.org_id = p_from_org_id) r
    where r.quantity <> 0.0
    order by r.place, r.feature;
end
$$;
comment on function periodd_merge is 'What a merge of two orgs would do, and what keeps it from being done.';
