-- A level is moved by a metric of the difference, so that it stays the sum of its metrics. The org's
-- row is locked first: no rollover carries the level over meanwhile.
create or replace function set_usage_level(
    p_org_id uuid,
    p_feature text,
    p_value numeric,
    p_idempotency_key text default null,
    p_set_at timestamptz default now()
)
returns table (level numeric, changed_by numeric, effective_limit numeric)
language plpgsql security definer rows 1
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_set_at constant timestamptz := coalesce(p_set_at, v_now);
    v_feature record;
    v_org record;
    v_limit record;
    v_known record;
    v_used numeric;
    v_granted numeric;
begin
    if not periodd_speaks_for(null) then
        raise exception 'only the owner and members of periodd_app may set a level'
            using errcode = '42501';
    end if;
    if p_value is null or not (p_value >= 0.0 and p_value < 1e22) or p_value <> round(p_value, 6) then
        raise exception 'invalid level %: it must not be negative, with at most 6 decimals', p_value
            using errcode = '22023';
    end if;
    if p_idempotency_key is not null and not periodd_is_key(p_idempotency_key) then
        perform periodd_refuse_key(p_idempotency_key);
    end if;
    perform periodd_check_time('p_set_at', v_set_at);
    select f.feature, f.kind into v_feature from features f where f.feature = periodd_folded(p_feature);
    if not found then
        raise exception 'unknown feature %', p_feature using errcode = 'PB002';
    end if;
    if v_feature.kind <> 'level' then
        raise exception 'the feature % is metered: only a feature of kind level is set', v_feature.feature
            using errcode = '22023';
    end if;
    perform periodd_lock_org(p_org_id);
    if p_idempotency_key is not null then
        insert into periodd_level_keys (org_id, idempotency_key, feature, level, set_at)
        values (p_org_id, p_idempotency_key, v_feature.feature, p_value, v_now)
        on conflict (org_id, idempotency_key) do nothing;
        if not found then
            select k.feature, k.level, k.set_at into v_known
            from periodd_level_keys k
            where k.org_id = p_org_id and k.idempotency_key = p_idempotency_key;
            if v_known.feature <> v_feature.feature or v_known.level <> p_value then
                raise exception 'the idempotency key % was used before to set % to %, at %: use a new key for another level', p_idempotency_key, v_known.feature, v_known.level, v_known.set_at
                    using errcode = 'PB004';
            end if;
            return query
            select a.used, 0::numeric, a.allowance
            from periodd_allowances(p_org_id, v_set_at, v_feature.feature) a;
            return;
        end if;
    end if;
    select o.current_period_start, o.current_period_end into v_org
    from organizations o where o.id = p_org_id;
    if v_org.current_period_start is null and v_org.current_period_end is null then
        perform periodd_opened(p_org_id, v_set_at);
    end if;
    select a.at, a.period_start, a.period_end, a.open_start, a.open_end, a.allowance into v_limit
    from periodd_allowances(p_org_id, v_set_at, v_feature.feature) a;
    if v_limit.period_start is null then
        perform periodd_refuse_period(v_limit.open_start, v_limit.open_end);
    end if;
    -- Locked, then read: a statement does not see what it waited for.
    insert into usage_counters as c (org_id, feature, period_start, period_end, updated_at)
    values (p_org_id, v_feature.feature, v_limit.period_start, v_limit.period_end, v_now)
    on conflict (org_id, period_start, feature) do update set used = c.used where false;
    -- What is not counted yet will be.
    select c.used
           + case when v_limit.period_start > v_limit.open_start
                  then coalesce(periodd_carried(p_org_id, v_feature.feature, v_limit.period_start), 0)
                  else 0 end
           + coalesce((select sum(m.metric_value) from usage_metrics m
                       where m.organization_id = p_org_id and m.counted_at is null
                         and m.created_at >= v_limit.period_start and m.created_at < v_limit.period_end
                         and periodd_folded(m.metric_type) = v_feature.feature), 0)
      into v_used
    from usage_counters c
    where c.org_id = p_org_id and c.period_start = v_limit.period_start
      and c.feature = v_feature.feature;
    if abs(p_value - v_used) >= 1e22 then
        raise exception 'the level % cannot be set: % is % away from it', p_value, v_feature.feature, abs(p_value - v_used)
            using errcode = '22003';
    end if;
    -- A limit that has fallen since the level was set last does not reach back.
    select s.included_seen into v_granted
    from periodd_seen(p_org_id, v_feature.feature, v_limit.period_start) s;
    update usage_counters c
    set included_at_least = periodd_at_least(v_granted, v_used, c.included_at_least,
                                             c.included_seen),
        included_seen = v_granted
    where c.org_id = p_org_id and c.period_start = v_limit.period_start
      and c.feature = v_feature.feature and c.included_seen is distinct from v_granted
      and v_granted is not null;
    if p_value <> v_used then
        update usage_counters c
        set used = c.used + p_value - v_used, sync_status = 'pending', updated_at = v_now
        where c.org_id = p_org_id and c.period_start = v_limit.period_start
          and c.feature = v_feature.feature and abs(c.used + p_value - v_used) < 1e22;
        if not found then
            raise exception 'the level % cannot be set: the counter of % of org % would leave the range of 1e22', p_value, v_feature.feature, p_org_id
                using errcode = '22003';
        end if;
        insert into usage_metrics (id, organization_id, metric_type, metric_value, created_at,
                                   recorded_at, counted_at)
        values (periodd_new_id(), p_org_id, v_feature.feature, p_value - v_used, v_limit.at, v_now,
                v_now);
    end if;
    return query select p_value, p_value - v_used, v_limit.allowance;
end
$$;
comment on function set_usage_level is 'Sets the level of a feature of kind level, without checking the allowance, and returns by how much it changed; for the owner and members of periodd_app. A repeated key sets nothing; used for another feature or level it is an error (PB004).';
