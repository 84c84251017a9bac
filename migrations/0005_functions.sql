-- The API for application servers. No dynamic SQL, a pinned search path, one round trip each;
-- safe at READ COMMITTED, and behind a pooler in transaction mode.

-- The bounds of the period that contains an instant, from the ends that periodd stored;
-- no row when they do not reach that far.
create function periodd_period_at(
    p_start timestamptz, p_end timestamptz, p_next_ends timestamptz[], p_at timestamptz
) returns table (period_start timestamptz, period_end timestamptz)
language sql immutable parallel safe
set search_path = pg_catalog
as $$
    select bounds.ends[i], bounds.ends[i + 1]
    from (select array[p_start, p_end] || coalesce(p_next_ends, '{}') as ends) as bounds,
         generate_subscripts(bounds.ends, 1) as i
    where bounds.ends[i] <= p_at and p_at < bounds.ends[i + 1]
$$;
comment on function periodd_period_at is 'Period of an instant, found among the stored ends of an org.';

create function record_usage(
    p_org_id uuid,
    p_feature text,
    p_amount numeric,
    p_user_id uuid default null,
    p_used_at timestamptz default now(),
    p_idempotency_key text default null
) returns uuid
language plpgsql
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_feature text;
    v_org record;
    v_start timestamptz;
    v_end timestamptz;
    v_metric uuid := gen_random_uuid();
    v_counts boolean := false;
begin
    if p_amount is null or not (p_amount > '-Infinity' and p_amount < 'Infinity')
       or p_amount = 0 or p_amount <> round(p_amount, 6) then
        raise exception 'the amount % is no quantity: it must not be zero and has at most 6 decimals', p_amount
            using errcode = '22023';
    end if;
    select f.feature into v_feature from features f where f.feature = lower(p_feature);
    if v_feature is null then
        raise exception 'there is no feature %', p_feature using errcode = 'PB002';
    end if;
    select o.current_period_start, o.current_period_end, o.next_period_ends
      into v_org from organizations o where o.id = p_org_id;
    if not found then
        raise exception 'there is no org %', p_org_id using errcode = 'PB002';
    end if;
    if p_user_id is not null and not exists (
        select from users u where u.organization_id = p_org_id and u.id = p_user_id
    ) then
        raise exception 'there is no user % in org %', p_user_id, p_org_id using errcode = 'PB002';
    end if;

    if v_org.current_period_start is not null and v_org.current_period_end is not null then
        if p_used_at >= v_org.current_period_start then
            select p.period_start, p.period_end into v_start, v_end
            from periodd_period_at(v_org.current_period_start, v_org.current_period_end,
                                   v_org.next_period_ends, p_used_at) p;
            -- Beyond the last stored end the metric is kept and counted later.
            v_counts := found;
        else
            select b.period_start, b.period_end into v_start, v_end
            from billing_periods b
            where b.org_id = p_org_id and b.period_start <= p_used_at
            order by b.period_start desc limit 1;
            -- Before the org's first period a metric counts in no counter, and is done with.
            v_counts := true;
        end if;
    end if;

    insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                               created_at, recorded_at, counted_at, idempotency_key)
    values (v_metric, p_org_id, p_user_id, v_feature, p_amount,
            p_used_at, v_now, case when v_counts then v_now end, p_idempotency_key)
    on conflict (organization_id, idempotency_key) do nothing;
    if not found then
        return (select m.id from usage_metrics m
                where m.organization_id = p_org_id and m.idempotency_key = p_idempotency_key);
    end if;
    if v_start is null then
        return v_metric;
    end if;

    insert into usage_counters as c (org_id, feature, period_start, period_end, used, updated_at)
    values (p_org_id, v_feature, v_start, v_end, p_amount, v_now)
    on conflict (org_id, period_start, feature) do update
        set used = c.used + excluded.used, sync_status = 'pending', updated_at = excluded.updated_at;
    if p_user_id is not null then
        insert into feature_usage as c
            (organization_id, user_id, feature, period_start, period_end, usage_count, updated_at)
        values (p_org_id, p_user_id, v_feature, v_start, v_end, p_amount, v_now)
        on conflict (organization_id, user_id, period_start, feature) do update
            set usage_count = c.usage_count + excluded.usage_count,
                sync_status = 'pending', updated_at = excluded.updated_at;
    end if;
    return v_metric;
end
$$;
comment on function record_usage is 'Records usage without checking the allowance; the metric and its counters change together. A repeated key counts once.';

create function grant_overage_pack(
    p_org_id uuid,
    p_feature text,
    p_quantity numeric,
    p_reference text,
    p_expires_at timestamptz default null,
    p_purchased_at timestamptz default now()
) returns uuid
language plpgsql
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_feature text;
    v_pack uuid := gen_random_uuid();
    v_known record;
begin
    if p_quantity is null or not (p_quantity > 0 and p_quantity < 'Infinity')
       or p_quantity <> round(p_quantity, 6) then
        raise exception 'the quantity % cannot be granted: it must be above zero, with at most 6 decimals', p_quantity
            using errcode = '22023';
    end if;
    if p_expires_at <= p_purchased_at then
        raise exception 'the pack would expire at %, not after its purchase at %', p_expires_at, p_purchased_at
            using errcode = '22023';
    end if;
    select f.feature into v_feature from features f where f.feature = lower(p_feature);
    if v_feature is null then
        raise exception 'there is no feature %', p_feature using errcode = 'PB002';
    end if;

    -- The org's row first: whoever plans a rollover right now has to plan again.
    update organizations o set revision = o.revision + 1 where o.id = p_org_id;
    if not found then
        raise exception 'there is no org %', p_org_id using errcode = 'PB002';
    end if;
    insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at, expires_at, reference, entries)
    values (v_pack, p_org_id, v_feature, p_quantity, p_quantity, p_purchased_at, p_expires_at, p_reference, 1)
    on conflict (org_id, reference) do nothing;
    if not found then
        select p.id, p.feature, p.quantity into v_known
        from overage_packs p where p.org_id = p_org_id and p.reference = p_reference;
        if v_known.feature <> v_feature or v_known.quantity <> p_quantity then
            raise exception 'reference % was granted before as % %', p_reference, v_known.quantity, v_known.feature
                using errcode = '22023';
        end if;
        return v_known.id;
    end if;
    insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining, recorded_at)
    values (p_org_id, v_pack, 1, 'granted', p_quantity, p_purchased_at, p_quantity, v_now);
    return v_pack;
end
$$;
comment on function grant_overage_pack is 'Grants an overage pack and returns its id. A repeated reference grants once.';

create function get_current_usage_period(p_timezone text default 'UTC')
returns table (period_start timestamptz, period_end timestamptz)
language plpgsql stable
set search_path from current
as $$
begin
    return query
    select p.period_start, p.period_end
    from periodd_zone_months z,
         periodd_period_at(z.starts[1], z.starts[2], z.starts[3:], now()) p
    where lower(z.time_zone) = lower(p_timezone);
    if not found then
        raise exception 'there is no time zone %, or its months are out of date: run periodd db migrate', p_timezone
            using errcode = '22023';
    end if;
end
$$;
comment on function get_current_usage_period is 'Current calendar month in a zone.';
