create or replace function record_usage(
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
    v_used_at constant timestamptz := coalesce(p_used_at, v_now);
    v_feature text;
    v_org record;
    v_start timestamptz;
    v_end timestamptz;
    v_granted numeric;
    v_metric uuid := periodd_new_id();
    v_known record;
    v_counts boolean := false;
    v_user_id uuid := p_user_id;
begin
    if p_amount is null or not (abs(p_amount) < 1e22) or p_amount = 0.0 or p_amount <> round(p_amount, 6) then
        raise exception 'invalid amount %: it must not be zero, with at most 6 decimals', p_amount
            using errcode = '22023';
    end if;
    perform periodd_check_time('p_used_at', v_used_at);
    if p_idempotency_key is not null and not periodd_is_key(p_idempotency_key) then
        perform periodd_refuse_key(p_idempotency_key);
    end if;
    select f.feature into v_feature from features f where f.feature = periodd_folded(p_feature);
    if v_feature is null then
        raise exception 'unknown feature %', p_feature using errcode = 'PB002';
    end if;
    select o.current_period_start, o.current_period_end, o.next_period_ends, o.revision
      into v_org from organizations o where o.id = p_org_id and o.removed_at is null;
    if not found then
        raise exception 'unknown org %', p_org_id using errcode = 'PB002';
    end if;
    if p_user_id is not null and not exists (
        select from users u where u.organization_id = p_org_id and u.id = p_user_id
    ) then
        if not periodd_is_deleted(p_org_id, p_user_id) then
            raise exception 'unknown user % in org %', p_user_id, p_org_id using errcode = 'PB002';
        end if;
        -- What somebody used who is deleted is the org's.
        v_user_id := null;
    end if;

    if v_org.current_period_start is not null and v_org.current_period_end is not null then
        if v_used_at >= v_org.current_period_start then
            select p.period_start, p.period_end into v_start, v_end
            from periodd_period_at(v_org.current_period_start, v_org.current_period_end,
                                   v_org.next_period_ends, v_used_at) p;
            -- Beyond the last stored end the metric is kept and counted later.
            v_counts := found;
        else
            select b.period_start, b.period_end into v_start, v_end
            from (select c.period_start, c.period_end from billing_periods c
                  where c.org_id = p_org_id and c.period_start <= v_used_at
                  order by c.period_start desc limit 1) b
            where v_used_at < b.period_end;
            -- Before the org's first period a metric counts in no counter, and is done with.
            v_counts := true;
        end if;
    end if;

    for v_attempt in 1 .. 3 loop
        if p_idempotency_key is not null then
            select k.metric_id,
                   k.feature = v_feature and k.quantity = p_amount
                       and (k.user_id is not distinct from v_user_id or (k.user_id = p_user_id) is true)
                       as is_same
              into v_known
            from periodd_keyed(p_org_id, p_idempotency_key) k;
            if found then
                if not v_known.is_same then
                    perform periodd_refuse_reuse(p_org_id, p_idempotency_key, v_user_id);
                end if;
                return v_known.metric_id;
            end if;
        end if;
        insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                   created_at, recorded_at, counted_at, idempotency_key)
        values (v_metric, p_org_id, v_user_id, v_feature, p_amount,
                v_used_at, v_now, case when v_counts then v_now end, p_idempotency_key)
        on conflict (organization_id, idempotency_key) do nothing;
        exit when found;
        -- Somebody was quicker with the same key: the next statement sees with what.
        if v_attempt = 3 then
            raise exception 'the metric with the idempotency key % appears and disappears: try again', p_idempotency_key
                using errcode = '40001';
        end if;
    end loop;
    if v_start is null then
        return v_metric;
    end if;

    if v_start >= v_org.current_period_start then
        -- A limit that has fallen since the last use does not reach back.
        select s.included_seen into v_granted from periodd_seen(p_org_id, v_feature, v_start) s;
    end if;
    insert into usage_counters as c (org_id, feature, period_start, period_end, used, updated_at,
                                     included_seen)
    values (p_org_id, v_feature, v_start, v_end, p_amount, v_now, v_granted)
    on conflict (org_id, period_start, feature) do update
        set used = c.used + excluded.used, sync_status = 'pending', updated_at = excluded.updated_at,
            included_at_least = periodd_at_least(excluded.included_seen, c.used,
                                                 c.included_at_least, c.included_seen),
            included_seen = coalesce(excluded.included_seen, c.included_seen)
        where abs(c.used + excluded.used) < 1e22;
    if not found then
        raise exception 'the amount % cannot be recorded: the usage of org % of % in the period from % would leave the range of 1e22', p_amount, p_org_id, v_feature, v_start
            using errcode = '22003';
    end if;
    if v_user_id is not null then
        insert into feature_usage as c
            (organization_id, user_id, feature, period_start, period_end, usage_count, updated_at)
        values (p_org_id, v_user_id, v_feature, v_start, v_end, p_amount, v_now)
        on conflict (organization_id, user_id, period_start, feature) do update
            set usage_count = c.usage_count + excluded.usage_count,
                sync_status = 'pending', updated_at = excluded.updated_at
            where abs(c.usage_count + excluded.usage_count) < 1e22;
        if not found then
            raise exception 'the amount % cannot be recorded: the usage of user % of % in the period from % would leave the range of 1e22', p_amount, v_user_id, v_feature, v_start
                using errcode = '22003';
        end if;
    end if;
    -- The org's periods may have been given other bounds since they were read, and this usage then
    -- belongs to another one. Who does that raises the revision while it holds the counters. It is
    -- taken back, and counted with what was inserted plainly.
    perform from organizations o where o.id = p_org_id and o.revision = v_org.revision;
    if found then
        return v_metric;
    end if;
    -- The org or the user may be gone since, too.
    perform from organizations o
    where o.id = p_org_id and o.removed_at is null
      and (v_user_id is null
           or exists (select from users u where u.organization_id = p_org_id and u.id = v_user_id));
    if not found then
        raise exception 'org % or its user was removed while usage was recorded: try again', p_org_id
            using errcode = '40001';
    end if;
    perform from organizations o
    cross join lateral (
        select p.period_start, p.period_end
        from periodd_period_at(o.current_period_start, o.current_period_end, o.next_period_ends,
                               v_used_at) p
        union all
        select b.period_start, b.period_end from billing_periods b
        where b.org_id = p_org_id and b.period_start <= v_used_at and b.period_end > v_used_at) n
    where o.id = p_org_id and n.period_start = v_start and n.period_end = v_end;
    if not found then
        update usage_counters c set used = c.used - p_amount
        where c.org_id = p_org_id and c.period_start = v_start and c.feature = v_feature;
        update feature_usage c set usage_count = c.usage_count - p_amount
        where c.organization_id = p_org_id and c.user_id = v_user_id
          and c.period_start = v_start and c.feature = v_feature;
        update usage_metrics m set counted_at = null
        where m.organization_id = p_org_id and m.id = v_metric;
    end if;
    return v_metric;
end
$$;
comment on function record_usage is 'Records usage without checking the allowance; the metric and its counters change together. A repeated key counts once; used for another feature, amount or user it is an error (PB004).';
