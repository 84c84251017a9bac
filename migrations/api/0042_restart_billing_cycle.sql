-- A restart, effective at once for those who use something: the instant becomes an end of the org's periods, and
-- from there on an increment finds itself in the new one. What only the rules of zones can say is
-- left to the next rollover: the new period's own end, and the anchor. Until then the new period
-- reaches to the last of the stored ends, so that nothing is included twice in it.
create or replace function restart_billing_cycle(
    p_org_id uuid,
    p_tier text default null,
    p_reference text default null,
    p_at timestamptz default null
) returns timestamptz
language plpgsql security definer
set search_path from current
as $$
declare
    v_org record;
    v_known record;
    v_at timestamptz;
    v_start timestamptz;
    v_end timestamptz;
    v_ends timestamptz[];
    v_last timestamptz;
    v_clock timestamptz;
    v_now constant timestamptz := now();
begin
    if not periodd_speaks_for(null) then
        raise exception 'only the owner of the tables and members of periodd_app may restart a cycle'
            using errcode = '42501';
    end if;
    if p_reference = '' then
        raise exception 'the reference is empty: pass null for a restart without a reference'
            using errcode = '22023';
    end if;
    if p_tier is not null and not exists (select from subscription_tiers t where t.code = p_tier) then
        raise exception 'unknown tier %', p_tier using errcode = 'PB002';
    end if;
    perform periodd_lock_org(p_org_id);
    select o.current_period_start, o.current_period_end, o.next_period_ends, o.restarted_at,
           o.revision, o.subscription_tier
      into v_org from organizations o where o.id = p_org_id;
    if p_reference is not null then
        select r.at, r.tier into v_known
        from periodd_restarts r where r.org_id = p_org_id and r.reference = p_reference;
        if found then
            if v_known.tier is distinct from p_tier then
                raise exception 'reference % was used before for a restart on tier %', p_reference, coalesce(v_known.tier, '(none named)')
                    using errcode = 'PB004';
            end if;
            return v_known.at;
        end if;
    end if;
    if v_org.current_period_start is null or v_org.current_period_end is null then
        perform periodd_refuse_period(null, null);
    end if;

    -- Uses under way are waited for: they belong in the period that ends. Those that wait decide
    -- again, for the org's revision rises.
    perform from usage_counters c
    where c.org_id = p_org_id and c.period_start >= v_org.current_period_start
    order by c.period_start, c.feature for no key update;
    perform from feature_usage c
    where c.organization_id = p_org_id and c.period_start >= v_org.current_period_start
    order by c.user_id, c.period_start, c.feature for no key update;
    v_clock := clock_timestamp();
    v_at := coalesce(p_at, v_clock);
    if p_at > v_clock then
        raise exception 'p_at is %: a cycle cannot be restarted in the future', p_at
            using errcode = '22023';
    end if;
    select p.period_start, p.period_end into v_start, v_end
    from periodd_period_at(v_org.current_period_start, v_org.current_period_end,
                           v_org.next_period_ends, v_at) p;
    select max(e.at) into v_last
    from unnest(array[v_org.current_period_end] operator(pg_catalog.||)
                coalesce(v_org.next_period_ends, '{}')) as e (at);
    if v_at <= v_org.current_period_start then
        raise exception 'the restart at % lies before the open period, which began at %', v_at, v_org.current_period_start
            using errcode = '22023';
    end if;
    if v_start is null then
        perform periodd_refuse_period(v_org.current_period_start, v_org.current_period_end);
    end if;
    if v_at < v_start + interval '1 minute' then
        raise exception 'the open period began at %, less than a minute ago: a restart would include everything once more', v_start
            using errcode = 'PB005', hint = 'Pass the same reference when a call is repeated.';
    end if;
    if v_org.restarted_at > v_org.current_period_start then
        raise exception 'the restart at % waits for a rollover: run `periodd rollover`', v_org.restarted_at
            using errcode = 'PB003';
    end if;
    if v_last = v_end then
        -- A period that reaches to an end which nobody has computed yet.
        v_last := v_at + interval '35 days';
    end if;

    if v_at < v_org.current_period_end then
        v_ends := array[v_last];
    else
        select pg_catalog.array_agg(e.at order by e.at) into v_ends
        from (select e.at from unnest(v_org.next_period_ends) as e (at) where e.at < v_at
              union all select v_at
              union all select v_last) e;
    end if;
    -- What was used from there on moves to the new period, in the one snapshot of a statement. A
    -- counter that comes into being meanwhile has other bounds: the rollover counts it again.
    with used as materialized (
        select periodd_folded(m.metric_type) as feature, m.user_id, m.created_at, m.metric_value
        from usage_metrics m
        where m.organization_id = p_org_id and m.created_at >= v_at and m.counted_at is not null),
    gone as (
        delete from usage_counters c where c.org_id = p_org_id and c.period_start >= v_at),
    user_gone as (
        delete from feature_usage c where c.organization_id = p_org_id and c.period_start >= v_at),
    shortened as (
        update usage_counters c
        set period_end = v_at, revision = v_org.revision + 1, sync_status = 'pending',
            used = c.used - coalesce((
                select sum(u.metric_value) from used u
                where u.feature = c.feature and u.created_at < c.period_end), 0)
        where c.org_id = p_org_id and c.period_start < v_at and c.period_end > v_at),
    user_shortened as (
        update feature_usage c
        set period_end = v_at, sync_status = 'pending',
            usage_count = c.usage_count - coalesce((
                select sum(u.metric_value) from used u
                where u.feature = c.feature and u.user_id = c.user_id
                  and u.created_at < c.period_end), 0)
        where c.organization_id = p_org_id and c.period_start < v_at and c.period_end > v_at),
    begun as (
        insert into usage_counters (org_id, feature, period_start, period_end, used, revision,
                                    updated_at)
        select p_org_id, u.feature, v_at, v_last, sum(u.metric_value), v_org.revision + 1, v_now
        from used u group by u.feature)
    insert into feature_usage (organization_id, user_id, feature, period_start, period_end,
                               usage_count, updated_at)
    select p_org_id, u.user_id, u.feature, v_at, v_last, sum(u.metric_value), v_now
    from used u where u.user_id is not null group by u.user_id, u.feature;
    update organizations o
    set current_period_end = least(o.current_period_end, v_at),
        current_period_end_date = case when o.current_period_end > v_at then null
            else o.current_period_end_date end,
        ends_tzdb_version = case when o.current_period_end > v_at then null
            else o.ends_tzdb_version end,
        next_period_ends = v_ends,
        period_day_ends = null,
        subscription_tier = coalesce(p_tier, o.subscription_tier),
        next_subscription_tier = case
            when p_tier is null or o.next_subscription_tier_at > v_at
            then o.next_subscription_tier end,
        next_subscription_tier_at = case
            when p_tier is null or o.next_subscription_tier_at > v_at
            then o.next_subscription_tier_at end,
        subscription_ends_at = case
            when p_tier is null or o.subscription_ends_at > v_at
            then o.subscription_ends_at end,
        restarted_at = v_at,
        restarted_tier = p_tier,
        restarted_on = o.subscription_tier,
        -- One that is named may have been written just before.
        restarted_from = case when p_tier is null or p_tier = o.subscription_tier
            then coalesce(o.period_tier, o.subscription_tier)
            else o.subscription_tier end,
        revision = o.revision + 1
    where o.id = p_org_id;
    perform periodd_enter_tier_change(p_org_id, v_org.subscription_tier, v_at);
    if p_reference is not null then
        insert into periodd_restarts (org_id, reference, tier, at, recorded_at)
        values (p_org_id, p_reference, p_tier, v_at, v_now);
    end if;
    return v_at;
end
$$;
comment on function restart_billing_cycle is 'Ends the open period of an org now, or at p_at, and begins a full one, on a tier if one is named; returns the time. The next rollover closes the one and anchors the other. A repeated reference restarts once; with another tier it is an error (PB004).';
