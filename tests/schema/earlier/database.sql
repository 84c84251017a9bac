


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;


CREATE FUNCTION public.get_current_usage_period(p_timezone text DEFAULT 'UTC'::text) RETURNS TABLE(period_start timestamp with time zone, period_end timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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



COMMENT ON FUNCTION public.get_current_usage_period(p_timezone text) IS 'The calendar month that contains now in a zone.';



CREATE FUNCTION public.get_current_usage_stats(p_user_id uuid) RETURNS TABLE(feature text, used numeric, included numeric, purchased_remaining numeric, effective_limit numeric, percent numeric, period_start timestamp with time zone, period_end timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_now constant timestamptz := now();
    v_org uuid;
begin
    if not periodd_speaks_for(p_user_id) then
        raise exception 'the caller may only ask for itself: p_user_id is not the user that this connection carries'
            using errcode = '42501', hint = 'Set app.user_id or request.jwt.claims, or become a member of periodd_app.';
    end if;
    select u.organization_id into v_org from users u where u.id = p_user_id;
    if not found then
        raise exception 'there is no user %', p_user_id using errcode = 'PB002';
    end if;
    for feature, used, included, purchased_remaining, effective_limit, percent, period_start, period_end in
        select n.feature, a.used, a.included,
               least(a.usable, greatest(0, l.allowance - a.used)),
               l.allowance, periodd_percent(a.used, l.allowance), a.period_start, a.period_end
        from (select t.feature from tier_limits t
              join organizations o on o.subscription_tier = t.tier where o.id = v_org
              union
              select l.feature from limit_overrides l where l.org_id = v_org
              union
              select k.feature from overage_packs k
              where k.org_id = v_org and (k.remaining <> 0 or k.entries = 0)
              union
              select c.feature from usage_counters c
              join organizations o on o.id = c.org_id
              where o.id = v_org and c.period_start >= o.current_period_start
                and c.period_start <= v_now and c.period_end > v_now) n
        cross join lateral periodd_allowance(v_org, n.feature, v_now) a
        cross join lateral (select a.included + a.drawn + a.usable as allowance) l
        order by n.feature
    loop
        return next;
    end loop;
end
$$;



COMMENT ON FUNCTION public.get_current_usage_stats(p_user_id uuid) IS 'Per feature: what the user''s org has used in the period that contains now, and what is left.';



CREATE FUNCTION public.grant_overage_pack(p_org_id uuid, p_feature text, p_quantity numeric, p_reference text, p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_purchased_at timestamp with time zone DEFAULT now()) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_now constant timestamptz := now();
    v_purchased_at constant timestamptz := coalesce(p_purchased_at, v_now);
    v_feature text;
    v_pack uuid := gen_random_uuid();
    v_known record;
begin
    if p_quantity is null or not (p_quantity > 0 and p_quantity < 1e22)
       or p_quantity <> round(p_quantity, 6) then
        raise exception 'the quantity % cannot be granted: it must be above zero, with at most 6 decimals', p_quantity
            using errcode = '22023';
    end if;
    if not isfinite(v_purchased_at) or not isfinite(p_expires_at) then
        raise exception 'the pack must be bought and expire at moments, not at % and %; without p_expires_at it never expires', v_purchased_at, p_expires_at
            using errcode = '22023';
    end if;
    if p_expires_at <= v_purchased_at then
        raise exception 'the pack would expire at %, not after its purchase at %', p_expires_at, v_purchased_at
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
    values (v_pack, p_org_id, v_feature, p_quantity, p_quantity, v_purchased_at, p_expires_at, p_reference, 1)
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
    values (p_org_id, v_pack, 1, 'granted', p_quantity, v_purchased_at, p_quantity, v_now);
    -- Whoever keeps a copy of what is left of the packs is told that it moved, and by how much.
    if v_feature = 'minutes_transcribed' then
        update organizations o set overage_minutes_granted = o.overage_minutes_granted + p_quantity
        where o.id = p_org_id;
    end if;
    insert into usage_counters as c (org_id, feature, period_start, period_end, updated_at)
    select o.id, v_feature, o.current_period_start, o.current_period_end, v_now
    from organizations o
    where o.id = p_org_id and o.current_period_start < o.current_period_end
    on conflict (org_id, period_start, feature) do update set sync_status = 'pending';
    return v_pack;
end
$$;



COMMENT ON FUNCTION public.grant_overage_pack(p_org_id uuid, p_feature text, p_quantity numeric, p_reference text, p_expires_at timestamp with time zone, p_purchased_at timestamp with time zone) IS 'Grants a pack of overage and returns its id. A repeated reference grants once.';



CREATE FUNCTION public.increment_feature_usage(p_user_id uuid, p_feature text, p_amount numeric DEFAULT 1, p_idempotency_key text DEFAULT NULL::text) RETURNS TABLE(allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text)
    LANGUAGE plpgsql SECURITY DEFINER ROWS 1
    SET search_path TO 'public', 'pg_temp'
    AS $$declare
    v_now timestamptz;
    v_feature text;
    v_metric uuid;
    v_org uuid;
    v_at timestamptz;
    v_start timestamptz;
    v_end timestamptz;
    v_open_start timestamptz;
    v_open_end timestamptz;
    v_revision bigint;
    -- The limit is what was read.
    v_is_known boolean;
    -- A good amount, by the owner.
    v_is_proper boolean;
    -- Of a counter that did not move: there is one, and the org stands as it was read.
    v_exists boolean;
    v_is_current boolean;
    v_count numeric;
    v_tries int;
begin
    loop
        -- Without what is used: the counter says that when it is moved. The owner itself needs no
        -- longer question who it is.
        select u.organization_id, s.at, s.open_start, s.open_end, s.revision, s.is_all,
               s.included + s.usable, coalesce(u.plan, s.tier),
               coalesce(u.subscription_status, s.subscription_status), now(), lower(p_feature),
               gen_random_uuid(),
               p_amount > 0 and p_amount < 1e22 and p_amount = round(p_amount, 6)
               and session_user = current_user and current_setting('role') = 'none'
          into v_org, v_at, v_start, v_end, v_revision, v_is_known, effective_limit,
               plan, subscription_status, v_now, v_feature, v_metric, v_is_proper
        from users u
        cross join lateral periodd_standing(u.organization_id, lower(p_feature), now()) s
        where u.id = p_user_id;
        if (v_is_proper and v_is_known and p_idempotency_key is null) is not true then
            if v_is_proper is not true then
                if p_amount is null or not (p_amount > 0 and p_amount < 1e22) or p_amount <> round(p_amount, 6) then
                    raise exception 'the amount % cannot be used: it must be above zero, with at most 6 decimals', p_amount
                        using errcode = '22023';
                end if;
                if not periodd_speaks_for(p_user_id) then
                    raise exception 'the caller may only act for itself: p_user_id is not the user that this connection carries'
                        using errcode = '42501', hint = 'Set app.user_id or request.jwt.claims, or become a member of periodd_app.';
                end if;
                if v_org is null then
                    raise exception 'there is no user %', p_user_id using errcode = 'PB002';
                end if;
            end if;
            if not v_is_known then
                select a.at, a.period_start, a.period_end, a.open_start, a.open_end, a.revision,
                       a.included + a.drawn + a.usable, coalesce(u.plan, a.tier),
                       coalesce(u.subscription_status, a.subscription_status)
                  into v_at, v_start, v_end, v_open_start, v_open_end, v_revision,
                       effective_limit, plan, subscription_status
                from users u cross join periodd_allowance(v_org, v_feature, v_now) a
                where u.id = p_user_id;
            end if;
            if v_start is null then
                perform periodd_refuse_period(v_open_start, v_open_end);
            end if;
            if p_idempotency_key is not null then
                perform from usage_metrics m
                where m.organization_id = v_org and m.idempotency_key = p_idempotency_key;
                if found then
                    perform from features f where f.feature = v_feature;
                    if not found then
                        raise exception 'there is no feature %', p_feature using errcode = 'PB002';
                    end if;
                    select true, coalesce(max(c.used), 0) into allowed, new_usage
                    from usage_counters c
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    return next;
                    return;
                end if;
            end if;
        end if;

        update usage_counters c
        set used = c.used + p_amount, sync_status = 'pending', updated_at = v_now
        where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature
          and (effective_limit is null or c.used + p_amount <= effective_limit)
          and c.revision <= v_revision
          -- A period that was closed before its end has been made shorter. Where a counter's end is
          -- just not the org's, the org is believed after a second look.
          and (c.period_end > v_at or v_tries is not null)
        returning true, c.used into allowed, new_usage;
        if found then
            if p_idempotency_key is null then
                insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                           created_at, recorded_at, counted_at)
                values (v_metric, v_org, p_user_id, v_feature, p_amount, v_at, v_now, v_now);
            else
                insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                           created_at, recorded_at, counted_at, idempotency_key)
                values (v_metric, v_org, p_user_id, v_feature, p_amount, v_at, v_now, v_now,
                        p_idempotency_key)
                on conflict (organization_id, idempotency_key) where idempotency_key is not null
                    do nothing;
                if not found then
                    -- Somebody was quicker with the same key, and the next round finds it.
                    update usage_counters c set used = c.used - p_amount
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    continue;
                end if;
            end if;
            update feature_usage c
            set usage_count = c.usage_count + p_amount, sync_status = 'pending', updated_at = v_now
            where c.organization_id = v_org and c.user_id = p_user_id
              and c.period_start = v_start and c.feature = v_feature
            returning c.usage_count into v_count;
            if not found then
                insert into feature_usage as c (organization_id, user_id, feature, period_start,
                                                period_end, usage_count, updated_at)
                values (v_org, p_user_id, v_feature, v_start, v_end, p_amount, v_now)
                on conflict (organization_id, user_id, period_start, feature) do update
                    set usage_count = c.usage_count + excluded.usage_count,
                        sync_status = 'pending', updated_at = excluded.updated_at
                returning c.usage_count into v_count;
            end if;
            if v_feature = 'scrapes' then
                update users u set usage_this_month = v_count
                where u.organization_id = v_org and u.id = p_user_id;
            end if;
            -- It may have been closed since it was read, if it has ended.
            if clock_timestamp() < v_end then
                return next;
                return;
            end if;
            perform from organizations o where o.id = v_org and o.current_period_start <= v_start;
            if found then
                return next;
                return;
            end if;
            -- As if nothing had been done, and decided anew.
            update usage_counters c set used = c.used - p_amount
            where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
            update feature_usage c set usage_count = c.usage_count - p_amount
            where c.organization_id = v_org and c.user_id = p_user_id
              and c.period_start = v_start and c.feature = v_feature;
            update users u set usage_this_month = u.usage_this_month - p_amount
            where v_feature = 'scrapes' and u.organization_id = v_org and u.id = p_user_id;
            delete from usage_metrics m where m.organization_id = v_org and m.id = v_metric;
        else
            -- Used up; or the first use of a period; or packs or the period are others than was read.
            select c.used, c.used is not null, o.revision = v_revision
              into new_usage, v_exists, v_is_current
            from organizations o
            left join usage_counters c
              on c.org_id = o.id and c.period_start = v_start and c.feature = v_feature
            where o.id = v_org;
            if not v_exists and p_amount > effective_limit is not true then
                insert into usage_counters (org_id, feature, period_start, period_end, updated_at)
                values (v_org, v_feature, v_start, v_end, v_now)
                on conflict (org_id, period_start, feature) do nothing;
            end if;
            new_usage := coalesce(new_usage, 0);
            if v_is_current and new_usage + p_amount > effective_limit then
                perform from features f where f.feature = v_feature;
                if not found then
                    raise exception 'there is no feature %', p_feature using errcode = 'PB002';
                end if;
                allowed := false;
                return next;
                return;
            end if;
        end if;
        v_tries := coalesce(v_tries, 0) + 1;
        if v_tries = 100 then
            raise exception 'the packs and the period of org % change without a pause: try again', v_org
                using errcode = '40001';
        end if;
    end loop;
end
$$;



COMMENT ON FUNCTION public.increment_feature_usage(p_user_id uuid, p_feature text, p_amount numeric, p_idempotency_key text) IS 'Uses so much of a feature if the org''s allowance permits, and says so: all or nothing. A repeated key answers allowed and moves nothing.';



CREATE FUNCTION public.increment_usage_if_allowed(p_user_id uuid) RETURNS TABLE(allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text)
    LANGUAGE plpgsql SECURITY DEFINER ROWS 1
    SET search_path TO 'public', 'pg_temp'
    AS $$declare
    v_now timestamptz;
    v_feature text;
    v_metric uuid;
    v_org uuid;
    v_at timestamptz;
    v_start timestamptz;
    v_end timestamptz;
    v_open_start timestamptz;
    v_open_end timestamptz;
    v_revision bigint;
    -- The limit is what was read.
    v_is_known boolean;
    -- A good amount, by the owner.
    v_is_proper boolean;
    -- Of a counter that did not move: there is one, and the org stands as it was read.
    v_exists boolean;
    v_is_current boolean;
    v_count numeric;
    v_tries int;
begin
    loop
        -- Without what is used: the counter says that when it is moved. The owner itself needs no
        -- longer question who it is.
        select u.organization_id, s.at, s.open_start, s.open_end, s.revision, s.is_all,
               s.included + s.usable, coalesce(u.plan, s.tier),
               coalesce(u.subscription_status, s.subscription_status), now(), lower('scrapes'::text),
               gen_random_uuid(),
               1::numeric > 0 and 1::numeric < 1e22 and 1::numeric = round(1::numeric, 6)
               and session_user = current_user and current_setting('role') = 'none'
          into v_org, v_at, v_start, v_end, v_revision, v_is_known, effective_limit,
               plan, subscription_status, v_now, v_feature, v_metric, v_is_proper
        from users u
        cross join lateral periodd_standing(u.organization_id, lower('scrapes'::text), now()) s
        where u.id = p_user_id;
        if (v_is_proper and v_is_known and null::text is null) is not true then
            if v_is_proper is not true then
                if 1::numeric is null or not (1::numeric > 0 and 1::numeric < 1e22) or 1::numeric <> round(1::numeric, 6) then
                    raise exception 'the amount % cannot be used: it must be above zero, with at most 6 decimals', 1::numeric
                        using errcode = '22023';
                end if;
                if not periodd_speaks_for(p_user_id) then
                    raise exception 'the caller may only act for itself: p_user_id is not the user that this connection carries'
                        using errcode = '42501', hint = 'Set app.user_id or request.jwt.claims, or become a member of periodd_app.';
                end if;
                if v_org is null then
                    raise exception 'there is no user %', p_user_id using errcode = 'PB002';
                end if;
            end if;
            if not v_is_known then
                select a.at, a.period_start, a.period_end, a.open_start, a.open_end, a.revision,
                       a.included + a.drawn + a.usable, coalesce(u.plan, a.tier),
                       coalesce(u.subscription_status, a.subscription_status)
                  into v_at, v_start, v_end, v_open_start, v_open_end, v_revision,
                       effective_limit, plan, subscription_status
                from users u cross join periodd_allowance(v_org, v_feature, v_now) a
                where u.id = p_user_id;
            end if;
            if v_start is null then
                perform periodd_refuse_period(v_open_start, v_open_end);
            end if;
            if null::text is not null then
                perform from usage_metrics m
                where m.organization_id = v_org and m.idempotency_key = null::text;
                if found then
                    perform from features f where f.feature = v_feature;
                    if not found then
                        raise exception 'there is no feature %', 'scrapes'::text using errcode = 'PB002';
                    end if;
                    select true, coalesce(max(c.used), 0) into allowed, new_usage
                    from usage_counters c
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    return next;
                    return;
                end if;
            end if;
        end if;

        update usage_counters c
        set used = c.used + 1::numeric, sync_status = 'pending', updated_at = v_now
        where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature
          and (effective_limit is null or c.used + 1::numeric <= effective_limit)
          and c.revision <= v_revision
          -- A period that was closed before its end has been made shorter. Where a counter's end is
          -- just not the org's, the org is believed after a second look.
          and (c.period_end > v_at or v_tries is not null)
        returning true, c.used into allowed, new_usage;
        if found then
            if null::text is null then
                insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                           created_at, recorded_at, counted_at)
                values (v_metric, v_org, p_user_id, v_feature, 1::numeric, v_at, v_now, v_now);
            else
                insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                           created_at, recorded_at, counted_at, idempotency_key)
                values (v_metric, v_org, p_user_id, v_feature, 1::numeric, v_at, v_now, v_now,
                        null::text)
                on conflict (organization_id, idempotency_key) where idempotency_key is not null
                    do nothing;
                if not found then
                    -- Somebody was quicker with the same key, and the next round finds it.
                    update usage_counters c set used = c.used - 1::numeric
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    continue;
                end if;
            end if;
            update feature_usage c
            set usage_count = c.usage_count + 1::numeric, sync_status = 'pending', updated_at = v_now
            where c.organization_id = v_org and c.user_id = p_user_id
              and c.period_start = v_start and c.feature = v_feature
            returning c.usage_count into v_count;
            if not found then
                insert into feature_usage as c (organization_id, user_id, feature, period_start,
                                                period_end, usage_count, updated_at)
                values (v_org, p_user_id, v_feature, v_start, v_end, 1::numeric, v_now)
                on conflict (organization_id, user_id, period_start, feature) do update
                    set usage_count = c.usage_count + excluded.usage_count,
                        sync_status = 'pending', updated_at = excluded.updated_at
                returning c.usage_count into v_count;
            end if;
            if v_feature = 'scrapes' then
                update users u set usage_this_month = v_count
                where u.organization_id = v_org and u.id = p_user_id;
            end if;
            -- It may have been closed since it was read, if it has ended.
            if clock_timestamp() < v_end then
                return next;
                return;
            end if;
            perform from organizations o where o.id = v_org and o.current_period_start <= v_start;
            if found then
                return next;
                return;
            end if;
            -- As if nothing had been done, and decided anew.
            update usage_counters c set used = c.used - 1::numeric
            where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
            update feature_usage c set usage_count = c.usage_count - 1::numeric
            where c.organization_id = v_org and c.user_id = p_user_id
              and c.period_start = v_start and c.feature = v_feature;
            update users u set usage_this_month = u.usage_this_month - 1::numeric
            where v_feature = 'scrapes' and u.organization_id = v_org and u.id = p_user_id;
            delete from usage_metrics m where m.organization_id = v_org and m.id = v_metric;
        else
            -- Used up; or the first use of a period; or packs or the period are others than was read.
            select c.used, c.used is not null, o.revision = v_revision
              into new_usage, v_exists, v_is_current
            from organizations o
            left join usage_counters c
              on c.org_id = o.id and c.period_start = v_start and c.feature = v_feature
            where o.id = v_org;
            if not v_exists and 1::numeric > effective_limit is not true then
                insert into usage_counters (org_id, feature, period_start, period_end, updated_at)
                values (v_org, v_feature, v_start, v_end, v_now)
                on conflict (org_id, period_start, feature) do nothing;
            end if;
            new_usage := coalesce(new_usage, 0);
            if v_is_current and new_usage + 1::numeric > effective_limit then
                perform from features f where f.feature = v_feature;
                if not found then
                    raise exception 'there is no feature %', 'scrapes'::text using errcode = 'PB002';
                end if;
                allowed := false;
                return next;
                return;
            end if;
        end if;
        v_tries := coalesce(v_tries, 0) + 1;
        if v_tries = 100 then
            raise exception 'the packs and the period of org % change without a pause: try again', v_org
                using errcode = '40001';
        end if;
    end loop;
end
$$;



COMMENT ON FUNCTION public.increment_usage_if_allowed(p_user_id uuid) IS 'Uses one scrape if the org''s allowance permits, and says so: all or nothing.';



CREATE FUNCTION public.periodd_allowance(p_org_id uuid, p_feature text, p_at timestamp with time zone, OUT at timestamp with time zone, OUT period_start timestamp with time zone, OUT period_end timestamp with time zone, OUT used numeric, OUT included numeric, OUT is_granted boolean, OUT drawn numeric, OUT usable numeric, OUT tier text, OUT subscription_status text, OUT open_start timestamp with time zone, OUT open_end timestamp with time zone, OUT revision bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_next_ends timestamptz[];
    v_is_all boolean;
begin
    select s.at, s.open_start, s.open_end, s.included, s.is_granted, 0,
           case when s.is_all then s.usable else 0 end, s.tier,
           s.subscription_status, s.open_start, s.open_end, s.revision, s.next_ends, s.is_all
      into at, period_start, period_end, included, is_granted, drawn, usable, tier,
           subscription_status, open_start, open_end, revision, v_next_ends, v_is_all
    from periodd_standing(p_org_id, p_feature, p_at) s;
    if not v_is_all and at < open_end then
        select k.usable, k.drawn, not k.holds_expired into usable, drawn, v_is_all
        from periodd_held(p_org_id, p_feature, at, open_start) k;
    end if;
    if not v_is_all then
        select p.period_start, p.period_end into period_start, period_end
        from periodd_period_at(open_start, open_end, v_next_ends, at) p;
        if period_start is not null then
            select f.included, f.is_granted, f.drawn, f.usable
              into included, is_granted, drawn, usable
            from periodd_foreseen(p_org_id, p_feature, at) f;
        end if;
    end if;
    used := coalesce((select c.used from usage_counters c
                      where c.org_id = p_org_id and c.feature = p_feature
                        and c.period_start = coalesce(periodd_allowance.period_start, open_start)), 0);
end
$$;



COMMENT ON FUNCTION public.periodd_allowance(p_org_id uuid, p_feature text, p_at timestamp with time zone, OUT at timestamp with time zone, OUT period_start timestamp with time zone, OUT period_end timestamp with time zone, OUT used numeric, OUT included numeric, OUT is_granted boolean, OUT drawn numeric, OUT usable numeric, OUT tier text, OUT subscription_status text, OUT open_start timestamp with time zone, OUT open_end timestamp with time zone, OUT revision bigint) IS 'What an org may use of a feature in the period that contains an instant, and what it has used.';



CREATE FUNCTION public.periodd_caller() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    AS $_$
declare
    v_user text := nullif(current_setting('app.user_id', true), '');
begin
    if v_user is null then
        v_user := nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '');
    end if;
    if v_user is null then
        v_user := nullif(current_setting('request.jwt.claim.sub', true), '');
    end if;
    -- What is no uuid is nobody.
    if v_user ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        return v_user::uuid;
    end if;
    return null;
end
$_$;



COMMENT ON FUNCTION public.periodd_caller() IS 'The end user that this connection carries: app.user_id, else the claim sub of a JWT; null: nobody.';



CREATE FUNCTION public.periodd_caller_org() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    return (select u.organization_id from users u where u.id = periodd_caller());
end
$$;



COMMENT ON FUNCTION public.periodd_caller_org() IS 'The org of the end user that this connection carries; null: of nobody.';



CREATE FUNCTION public.periodd_foreseen(p_org_id uuid, p_feature text, p_at timestamp with time zone, OUT included numeric, OUT is_granted boolean, OUT drawn numeric, OUT usable numeric) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_org record;
    v_override record;
    v_tier text;
    v_bounds timestamptz[];
    v_left numeric[];
    v_bought timestamptz[];
    v_expires timestamptz[];
    v_start timestamptz;
    v_end timestamptz;
    v_moment timestamptz;
    v_settled timestamptz;
    v_closes boolean;
    v_used numeric;
    v_due numeric;
    v_part numeric;
begin
    select o.current_period_start, o.current_period_end, o.next_period_ends, o.subscription_tier,
           o.next_subscription_tier, o.next_subscription_tier_at, o.subscription_ends_at
      into v_org from organizations o where o.id = p_org_id;
    select l.included into v_override
    from limit_overrides l where l.org_id = p_org_id and l.feature = p_feature;
    is_granted := found;
    included := v_override.included;
    v_tier := v_org.subscription_tier;
    v_bounds := array[v_org.current_period_start, v_org.current_period_end]
                || coalesce(v_org.next_period_ends, '{}');
    select coalesce(array_agg(p.held order by p.expires_at nulls last, p.purchased_at, p.id), '{}'),
           coalesce(array_agg(p.purchased_at order by p.expires_at nulls last, p.purchased_at, p.id), '{}'),
           coalesce(array_agg(p.expires_at order by p.expires_at nulls last, p.purchased_at, p.id), '{}')
      into v_left, v_bought, v_expires
    from (select k.id, k.purchased_at, k.expires_at, coalesce(k.remaining, k.quantity) as held
          from overage_packs k
          where k.org_id = p_org_id and k.feature = p_feature
            and (k.remaining <> 0 or k.entries = 0)) p
    where p.held > 0;

    for v_i in 1 .. cardinality(v_bounds) - 1 loop
        v_start := v_bounds[v_i];
        v_end := v_bounds[v_i + 1];
        exit when v_start > p_at;
        if v_override is null then
            select t.included into included
            from tier_limits t where t.tier = v_tier and t.feature = p_feature;
            is_granted := found;
            if not is_granted then
                included := 0;
            end if;
        end if;
        select coalesce(sum(e.quantity), 0) into drawn
        from overage_entries e
        join overage_packs k on k.org_id = e.org_id and k.id = e.pack_id
        where e.org_id = p_org_id and e.period_start = v_start and e.kind = 'drawn'
          and k.feature = p_feature;

        v_settled := '-infinity';
        loop
            select min(k.expires_at) into v_moment
            from unnest(v_left, v_expires) as k (held, expires_at)
            where k.held > 0 and k.expires_at > v_settled
              and k.expires_at <= v_end and k.expires_at <= p_at;
            v_closes := v_moment is null;
            exit when v_closes and v_end > p_at;
            if v_closes or v_moment = v_end then
                v_moment := v_end;
                select coalesce((select c.used from usage_counters c
                                 where c.org_id = p_org_id and c.period_start = v_start
                                   and c.feature = p_feature), 0)
                       + coalesce((select sum(m.metric_value) from usage_metrics m
                                   where m.organization_id = p_org_id and m.counted_at is null
                                     and m.created_at >= v_start and m.created_at < v_end
                                     and lower(m.metric_type) = p_feature), 0)
                  into v_used;
            else
                select coalesce(sum(m.metric_value), 0) into v_used
                from usage_metrics m
                where m.organization_id = p_org_id
                  and m.created_at >= v_start and m.created_at < v_moment
                  and lower(m.metric_type) = p_feature;
            end if;
            v_settled := v_moment;
            v_due := coalesce(greatest(0, v_used - included) - drawn, 0);
            if included is null or v_moment <= v_start then
                v_due := 0;
            end if;
            for v_k in 1 .. cardinality(v_left) loop
                v_part := least(v_due, v_left[v_k]);
                if v_part > 0 and v_bought[v_k] < v_end
                   and (v_closes and (v_expires[v_k] is null or v_expires[v_k] > v_start)
                        or not v_closes and v_bought[v_k] <= v_moment
                           and (v_expires[v_k] is null or v_expires[v_k] >= v_moment)) then
                    v_due := v_due - v_part;
                    drawn := drawn + v_part;
                    v_left[v_k] := v_left[v_k] - v_part;
                end if;
                if not v_closes and v_expires[v_k] <= v_moment then
                    v_left[v_k] := 0;
                end if;
            end loop;
            exit when v_closes;
        end loop;
        exit when v_end > p_at;
        if v_org.next_subscription_tier is not null
           and (v_org.next_subscription_tier_at is null or v_org.next_subscription_tier_at <= v_end)
           and (v_org.subscription_ends_at is null or v_org.subscription_ends_at > v_end) then
            v_tier := v_org.next_subscription_tier;
            v_org.next_subscription_tier := null;
        end if;
    end loop;

    select coalesce(sum(k.held), 0) into usable
    from unnest(v_left, v_bought, v_expires) as k (held, purchased_at, expires_at)
    where k.purchased_at <= p_at and (k.expires_at is null or k.expires_at > p_at);
end
$$;



COMMENT ON FUNCTION public.periodd_foreseen(p_org_id uuid, p_feature text, p_at timestamp with time zone, OUT included numeric, OUT is_granted boolean, OUT drawn numeric, OUT usable numeric) IS 'What one feature of an org is granted at an instant, with the draws that a rollover still has to make already made.';


SET default_tablespace = '';

SET default_table_access_method = heap;


CREATE TABLE public.overage_entries (
    org_id uuid NOT NULL,
    pack_id uuid NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    quantity numeric DEFAULT 0 NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    period_start timestamp with time zone,
    remaining numeric DEFAULT 0 NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT overage_entries_kind_check CHECK ((kind = ANY (ARRAY['granted'::text, 'drawn'::text, 'expired'::text, 'refunded'::text]))),
    CONSTRAINT overage_entries_quantity_check CHECK (((quantity > '-Infinity'::numeric) AND (quantity < 'Infinity'::numeric) AND (quantity = round(quantity, 6)))),
    CONSTRAINT overage_entries_remaining_check CHECK (((remaining >= (0)::numeric) AND (remaining < 'Infinity'::numeric) AND (remaining = round(remaining, 6)))),
    CONSTRAINT overage_entries_seq_check CHECK ((seq > 0))
);



COMMENT ON TABLE public.overage_entries IS 'The append-only ledger of packs: granted = remaining + drawn + expired + refunded, at every prefix.';



COMMENT ON COLUMN public.overage_entries.org_id IS 'Who bought the pack.';



COMMENT ON COLUMN public.overage_entries.pack_id IS 'The pack.';



COMMENT ON COLUMN public.overage_entries.seq IS 'The entry''s place in the pack''s ledger, from 1 on.';



COMMENT ON COLUMN public.overage_entries.kind IS 'granted, drawn (negative: given back), expired or refunded.';



COMMENT ON COLUMN public.overage_entries.quantity IS 'How much; negative for a draw that was given back.';



COMMENT ON COLUMN public.overage_entries.at IS 'The moment in business time.';



COMMENT ON COLUMN public.overage_entries.period_start IS 'Start of the period that a draw belongs to.';



COMMENT ON COLUMN public.overage_entries.remaining IS 'What the pack held afterwards.';



COMMENT ON COLUMN public.overage_entries.recorded_at IS 'When the entry was written.';



CREATE TABLE public.overage_packs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    org_id uuid NOT NULL,
    feature text NOT NULL,
    quantity numeric DEFAULT 0 NOT NULL,
    remaining numeric,
    purchased_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    reference text,
    entries integer DEFAULT 0 NOT NULL,
    CONSTRAINT overage_packs_check CHECK ((expires_at > purchased_at)),
    CONSTRAINT overage_packs_entries_check CHECK ((entries >= 0)),
    CONSTRAINT overage_packs_quantity_check CHECK (((quantity >= (0)::numeric) AND (quantity < 'Infinity'::numeric) AND (quantity = round(quantity, 6)))),
    CONSTRAINT overage_packs_remaining_check CHECK (((remaining > '-Infinity'::numeric) AND (remaining < 'Infinity'::numeric) AND (remaining = round(remaining, 6))))
)
WITH (fillfactor='80');



COMMENT ON TABLE public.overage_packs IS 'Overage that an org bought. It survives every rollover until it is drawn, expires or is refunded.';



COMMENT ON COLUMN public.overage_packs.id IS 'The pack''s id.';



COMMENT ON COLUMN public.overage_packs.org_id IS 'Who bought it.';



COMMENT ON COLUMN public.overage_packs.feature IS 'What it pays for.';



COMMENT ON COLUMN public.overage_packs.quantity IS 'How much was bought.';



COMMENT ON COLUMN public.overage_packs.remaining IS 'How much is left; null in a row inserted without it: all.';



COMMENT ON COLUMN public.overage_packs.purchased_at IS 'From when it is usable.';



COMMENT ON COLUMN public.overage_packs.expires_at IS 'From when it is no longer usable; null: never.';



COMMENT ON COLUMN public.overage_packs.reference IS 'The buyer''s reference; the same one grants once.';



COMMENT ON COLUMN public.overage_packs.entries IS 'How many entries its ledger has; 0 in a row that periodd has not seen yet.';



CREATE FUNCTION public.periodd_held(p_org_id uuid, p_feature text, p_at timestamp with time zone, p_period_start timestamp with time zone) RETURNS TABLE(usable numeric, drawn numeric, holds_expired boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(sum(k.held) FILTER (WHERE ((k.purchased_at <= periodd_held.p_at) AND ((k.expires_at IS NULL) OR (k.expires_at > periodd_held.p_at)))), (0)::numeric) AS "coalesce",
     ( SELECT COALESCE(sum(e.quantity), (0)::numeric) AS "coalesce"
            FROM (public.overage_entries e
              JOIN public.overage_packs p ON (((p.org_id = e.org_id) AND (p.id = e.pack_id))))
           WHERE ((e.org_id = periodd_held.p_org_id) AND (e.period_start = periodd_held.p_period_start) AND (e.kind = 'drawn'::text) AND (p.feature = periodd_held.p_feature))) AS "coalesce",
     COALESCE(bool_or((k.expires_at <= periodd_held.p_at)), false) AS "coalesce"
    FROM ( SELECT COALESCE(p.remaining, p.quantity) AS held,
             p.purchased_at,
             p.expires_at
            FROM public.overage_packs p
           WHERE ((p.org_id = periodd_held.p_org_id) AND (p.feature = periodd_held.p_feature) AND ((p.remaining <> (0)::numeric) OR (p.entries = 0)))) k
   WHERE (k.held > (0)::numeric);
END;



COMMENT ON FUNCTION public.periodd_held(p_org_id uuid, p_feature text, p_at timestamp with time zone, p_period_start timestamp with time zone) IS 'What an org''s packs hold and have paid for in a period; holds_expired: a rollover has yet to settle one.';



CREATE FUNCTION public.periodd_percent(p_used numeric, p_allowance numeric) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    AS $$
begin
    if p_allowance = 0 then
        return case when p_used > 0 then 100 else 0 end;
    end if;
    -- Cut off, not rounded: 100 is said when it is reached.
    return trunc(p_used * 100 / p_allowance, 2);
end
$$;



COMMENT ON FUNCTION public.periodd_percent(p_used numeric, p_allowance numeric) IS 'How much of an allowance is used, in percent; null where it is unlimited.';



CREATE FUNCTION public.periodd_period_at(p_start timestamp with time zone, p_end timestamp with time zone, p_next_ends timestamp with time zone[], p_at timestamp with time zone) RETURNS TABLE(period_start timestamp with time zone, period_end timestamp with time zone)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog'
    AS $$
    select bounds.ends[i], bounds.ends[i + 1]
    from (select array[p_start, p_end] || coalesce(p_next_ends, '{}') as ends) as bounds,
         generate_subscripts(bounds.ends, 1) as i
    where bounds.ends[i] <= p_at and p_at < bounds.ends[i + 1]
$$;



COMMENT ON FUNCTION public.periodd_period_at(p_start timestamp with time zone, p_end timestamp with time zone, p_next_ends timestamp with time zone[], p_at timestamp with time zone) IS 'The period that contains an instant, among the ends that periodd stored for an org.';



CREATE FUNCTION public.periodd_refuse_period(p_open_start timestamp with time zone, p_open_end timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog'
    AS $$
begin
    if p_open_start is null or p_open_end is null then
        raise exception 'the org has no open period yet: periodd opens one within a minute, or run `periodd rollover`'
            using errcode = 'PB001';
    end if;
    raise exception 'periodd has not run since %, when the org''s period ended, and the ends that it knew are behind: run `periodd rollover`', p_open_end
        using errcode = 'PB003';
end
$$;



COMMENT ON FUNCTION public.periodd_refuse_period(p_open_start timestamp with time zone, p_open_end timestamp with time zone) IS 'Says why an instant is in no period: none is open yet (PB001), or periodd has not run for too long (PB003).';



CREATE FUNCTION public.periodd_speaks_for(p_user_id uuid) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (pg_has_role(
         CASE
             WHEN (current_setting('role'::text) = 'none'::text) THEN SESSION_USER
             ELSE (current_setting('role'::text))::name
         END, CURRENT_USER, 'usage'::text) OR COALESCE(pg_has_role(
         CASE
             WHEN (current_setting('role'::text) = 'none'::text) THEN SESSION_USER
             ELSE (current_setting('role'::text))::name
         END, (to_regrole('periodd_app'::text))::oid, 'usage'::text), false) OR COALESCE((p_user_id = public.periodd_caller()), false));
END;



COMMENT ON FUNCTION public.periodd_speaks_for(p_user_id uuid) IS 'May the caller act for this user? The owner and members of periodd_app for anybody, others for themselves.';



CREATE TABLE public.limit_overrides (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    included numeric,
    judged boolean DEFAULT false NOT NULL,
    judged_included numeric,
    CONSTRAINT limit_overrides_included_check CHECK (((included >= (0)::numeric) AND (included < 'Infinity'::numeric) AND (included = round(included, 6)))),
    CONSTRAINT limit_overrides_judged_included_check CHECK (((judged_included >= (0)::numeric) AND (judged_included < 'Infinity'::numeric) AND (judged_included = round(judged_included, 6))))
);



COMMENT ON TABLE public.limit_overrides IS 'What one org is granted instead of what its tier includes.';



COMMENT ON COLUMN public.limit_overrides.org_id IS 'The org.';



COMMENT ON COLUMN public.limit_overrides.feature IS 'The feature.';



COMMENT ON COLUMN public.limit_overrides.included IS 'Included per period; null is unlimited.';



COMMENT ON COLUMN public.limit_overrides.judged IS 'Whether alerts have judged by this row.';



COMMENT ON COLUMN public.limit_overrides.judged_included IS 'The included quantity that alerts judged by last; null is unlimited.';



CREATE TABLE public.organizations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    cycle text DEFAULT 'monthly'::text NOT NULL,
    anchor_day smallint DEFAULT 1 NOT NULL,
    anchor_month smallint DEFAULT 1 NOT NULL,
    subscription_tier text DEFAULT 'free'::text NOT NULL,
    next_subscription_tier text,
    next_subscription_tier_at timestamp with time zone,
    subscription_status text,
    subscription_ends_at timestamp with time zone,
    current_period_start timestamp with time zone,
    current_period_end timestamp with time zone,
    current_period_end_date date,
    next_period_ends timestamp with time zone[],
    ends_time_zone text,
    ends_cycle text,
    ends_anchor_day smallint,
    ends_anchor_month smallint,
    ends_tzdb_version text,
    used_minutes numeric DEFAULT 0 NOT NULL,
    overage_minutes numeric DEFAULT 0 NOT NULL,
    overage_minutes_written numeric,
    parked_at timestamp with time zone,
    parked_reason text,
    revision bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    overage_minutes_granted numeric DEFAULT 0 NOT NULL,
    judged_tier text,
    locale text,
    CONSTRAINT organizations_anchor_day_check CHECK (((anchor_day >= 1) AND (anchor_day <= 31))),
    CONSTRAINT organizations_anchor_month_check CHECK (((anchor_month >= 1) AND (anchor_month <= 12))),
    CONSTRAINT organizations_cycle_check CHECK ((cycle = ANY (ARRAY['monthly'::text, 'yearly'::text, 'weekly'::text, 'daily'::text]))),
    CONSTRAINT organizations_locale_check CHECK ((locale ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$'::text)),
    CONSTRAINT organizations_overage_minutes_check CHECK (((overage_minutes >= (0)::numeric) AND (overage_minutes < 'Infinity'::numeric) AND (overage_minutes = round(overage_minutes, 6)))),
    CONSTRAINT organizations_overage_minutes_granted_check CHECK (((overage_minutes_granted >= (0)::numeric) AND (overage_minutes_granted < 'Infinity'::numeric) AND (overage_minutes_granted = round(overage_minutes_granted, 6)))),
    CONSTRAINT organizations_overage_minutes_written_check CHECK (((overage_minutes_written >= (0)::numeric) AND (overage_minutes_written < 'Infinity'::numeric) AND (overage_minutes_written = round(overage_minutes_written, 6)))),
    CONSTRAINT organizations_slug_check CHECK ((slug <> ''::text)),
    CONSTRAINT organizations_used_minutes_check CHECK (((used_minutes > '-Infinity'::numeric) AND (used_minutes < 'Infinity'::numeric) AND (used_minutes = round(used_minutes, 6))))
)
WITH (fillfactor='80');



COMMENT ON TABLE public.organizations IS 'The billed parties. A user who pays alone is an org of one.';



COMMENT ON COLUMN public.organizations.id IS 'The org''s id; every table of an org''s data carries it.';



COMMENT ON COLUMN public.organizations.slug IS 'The org''s short name, for commands and URLs.';



COMMENT ON COLUMN public.organizations.name IS 'The org''s name for people.';



COMMENT ON COLUMN public.organizations.time_zone IS 'tz database name; periods end at midnight there. A change holds from the open period''s end.';



COMMENT ON COLUMN public.organizations.cycle IS 'How often a period ends: monthly, yearly, weekly or daily.';



COMMENT ON COLUMN public.organizations.anchor_day IS 'Day of the month (short months: their last day), or ISO weekday of a weekly cycle.';



COMMENT ON COLUMN public.organizations.anchor_month IS 'Month of a yearly cycle.';



COMMENT ON COLUMN public.organizations.subscription_tier IS 'The tier that grants now.';



COMMENT ON COLUMN public.organizations.next_subscription_tier IS 'The tier to come; taken at the first boundary on or after next_subscription_tier_at.';



COMMENT ON COLUMN public.organizations.next_subscription_tier_at IS 'From when the tier to come may apply; null is the next boundary.';



COMMENT ON COLUMN public.organizations.subscription_status IS 'What the payment provider says; reported, never judged.';



COMMENT ON COLUMN public.organizations.subscription_ends_at IS 'At the first boundary on or after this the org falls back to the ended tier.';



COMMENT ON COLUMN public.organizations.current_period_start IS 'Start of the open period, inside it; null until periodd opens one.';



COMMENT ON COLUMN public.organizations.current_period_end IS 'End of the open period, outside it; due once it has passed.';



COMMENT ON COLUMN public.organizations.current_period_end_date IS 'The nominal local date that current_period_end stands for.';



COMMENT ON COLUMN public.organizations.next_period_ends IS 'The ends that follow current_period_end, so that a function finds an instant''s period however late the rollover is.';



COMMENT ON COLUMN public.organizations.ends_time_zone IS 'The zone that next_period_ends came from; periodd recomputes the ends where it differs from time_zone.';



COMMENT ON COLUMN public.organizations.ends_cycle IS 'The cycle that next_period_ends came from.';



COMMENT ON COLUMN public.organizations.ends_anchor_day IS 'The anchor_day that next_period_ends came from.';



COMMENT ON COLUMN public.organizations.ends_anchor_month IS 'The anchor_month that next_period_ends came from.';



COMMENT ON COLUMN public.organizations.ends_tzdb_version IS 'The tz database release that current_period_end was computed with.';



COMMENT ON COLUMN public.organizations.used_minutes IS 'Derived: minutes_transcribed used in the open period.';



COMMENT ON COLUMN public.organizations.overage_minutes IS 'Derived: purchased minutes_transcribed remaining, plus what an application added to the column without a pack.';



COMMENT ON COLUMN public.organizations.overage_minutes_written IS 'What periodd wrote to overage_minutes last, without what others had added; null until the first write.';



COMMENT ON COLUMN public.organizations.parked_at IS 'Since when the org is set aside; null for an org that is processed.';



COMMENT ON COLUMN public.organizations.parked_reason IS 'Why the org is set aside.';



COMMENT ON COLUMN public.organizations.revision IS 'Moves when a pack is granted, refunded or given; a rollover planned before that is planned again.';



COMMENT ON COLUMN public.organizations.created_at IS 'When the row was written.';



COMMENT ON COLUMN public.organizations.overage_minutes_granted IS 'Minutes granted in packs since periodd wrote overage_minutes last: what the column holds without a pack is less by that much.';



COMMENT ON COLUMN public.organizations.judged_tier IS 'The tier that alerts judged by last; null until then.';



COMMENT ON COLUMN public.organizations.locale IS 'Language and region of the org''s emails, such as en-GB; null: en.';



CREATE TABLE public.tier_limits (
    tier text NOT NULL,
    feature text NOT NULL,
    included numeric,
    judged boolean DEFAULT false NOT NULL,
    judged_included numeric,
    CONSTRAINT tier_limits_included_check CHECK (((included >= (0)::numeric) AND (included < 'Infinity'::numeric) AND (included = round(included, 6)))),
    CONSTRAINT tier_limits_judged_included_check CHECK (((judged_included >= (0)::numeric) AND (judged_included < 'Infinity'::numeric) AND (judged_included = round(judged_included, 6))))
);



COMMENT ON TABLE public.tier_limits IS 'What each tier includes per period. No row: nothing is included.';



COMMENT ON COLUMN public.tier_limits.tier IS 'The tier.';



COMMENT ON COLUMN public.tier_limits.feature IS 'The feature.';



COMMENT ON COLUMN public.tier_limits.included IS 'Included per period; null is unlimited.';



COMMENT ON COLUMN public.tier_limits.judged IS 'Whether alerts have judged by this row.';



COMMENT ON COLUMN public.tier_limits.judged_included IS 'The included quantity that alerts judged by last; null is unlimited.';



CREATE FUNCTION public.periodd_standing(p_org_id uuid, p_feature text, p_at timestamp with time zone) RETURNS TABLE(at timestamp with time zone, included numeric, usable numeric, is_granted boolean, tier text, subscription_status text, open_start timestamp with time zone, open_end timestamp with time zone, next_ends timestamp with time zone[], revision bigint, is_all boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT i.at,
         CASE
             WHEN (l.org_id IS NOT NULL) THEN l.included
             WHEN (t.tier IS NOT NULL) THEN t.included
             ELSE (0)::numeric
         END AS "case",
     k.usable,
     ((l.org_id IS NOT NULL) OR (t.tier IS NOT NULL)),
     o.subscription_tier,
     o.subscription_status,
     o.current_period_start,
     o.current_period_end,
     o.next_period_ends,
     o.revision,
     (COALESCE((periodd_standing.p_at < o.current_period_end), false) AND (o.current_period_start IS NOT NULL) AND (k.are_all IS NOT FALSE))
    FROM ((((public.organizations o
      LEFT JOIN public.limit_overrides l ON (((l.org_id = o.id) AND (l.feature = periodd_standing.p_feature))))
      LEFT JOIN public.tier_limits t ON (((t.tier = o.subscription_tier) AND (t.feature = periodd_standing.p_feature))))
      CROSS JOIN LATERAL ( SELECT GREATEST(periodd_standing.p_at, o.current_period_start) AS at) i)
      CROSS JOIN LATERAL ( SELECT COALESCE(sum(h.held) FILTER (WHERE ((h.held > (0)::numeric) AND (p.purchased_at <= i.at) AND ((p.expires_at IS NULL) OR (p.expires_at > i.at)))), (0)::numeric) AS usable,
             bool_and(((p.expires_at IS NULL) OR ((p.expires_at <= o.current_period_start) AND (h.held = (0)::numeric)) OR ((p.expires_at > i.at) AND (h.held > (0)::numeric)))) AS are_all
            FROM (public.overage_packs p
              CROSS JOIN LATERAL ( SELECT COALESCE(p.remaining, p.quantity) AS held) h)
           WHERE ((p.org_id = o.id) AND (p.feature = periodd_standing.p_feature))) k)
   WHERE (o.id = periodd_standing.p_org_id);
END;



COMMENT ON FUNCTION public.periodd_standing(p_org_id uuid, p_feature text, p_at timestamp with time zone) IS 'How an org stands in its open period; is_all: it has not ended, and no pack that expires has done so in it, or is empty.';



CREATE FUNCTION public.record_usage(p_org_id uuid, p_feature text, p_amount numeric, p_user_id uuid DEFAULT NULL::uuid, p_used_at timestamp with time zone DEFAULT now(), p_idempotency_key text DEFAULT NULL::text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_now constant timestamptz := now();
    v_used_at constant timestamptz := coalesce(p_used_at, v_now);
    v_feature text;
    v_org record;
    v_start timestamptz;
    v_end timestamptz;
    v_metric uuid := gen_random_uuid();
    v_counts boolean := false;
begin
    if p_amount is null or not (abs(p_amount) < 1e22) or p_amount = 0 or p_amount <> round(p_amount, 6) then
        raise exception 'the amount % is no quantity: it must not be zero and has at most 6 decimals', p_amount
            using errcode = '22023';
    end if;
    if not isfinite(v_used_at) then
        raise exception 'the usage was at no moment: p_used_at is %', v_used_at using errcode = '22023';
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

    insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                               created_at, recorded_at, counted_at, idempotency_key)
    values (v_metric, p_org_id, p_user_id, v_feature, p_amount,
            v_used_at, v_now, case when v_counts then v_now end, p_idempotency_key)
    on conflict (organization_id, idempotency_key) where idempotency_key is not null do nothing;
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



COMMENT ON FUNCTION public.record_usage(p_org_id uuid, p_feature text, p_amount numeric, p_user_id uuid, p_used_at timestamp with time zone, p_idempotency_key text) IS 'Records usage unconditionally: the metric and its counters move together. A repeated key counts once.';



CREATE TABLE public.billing_adjustments (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    used numeric DEFAULT 0 NOT NULL,
    drawn numeric DEFAULT 0 NOT NULL,
    uncovered numeric DEFAULT 0 NOT NULL,
    reason text,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT billing_adjustments_drawn_check CHECK (((drawn > '-Infinity'::numeric) AND (drawn < 'Infinity'::numeric) AND (drawn = round(drawn, 6)))),
    CONSTRAINT billing_adjustments_kind_check CHECK ((kind = ANY (ARRAY['late'::text, 'set_aside'::text]))),
    CONSTRAINT billing_adjustments_seq_check CHECK ((seq > 0)),
    CONSTRAINT billing_adjustments_uncovered_check CHECK (((uncovered > '-Infinity'::numeric) AND (uncovered < 'Infinity'::numeric) AND (uncovered = round(uncovered, 6)))),
    CONSTRAINT billing_adjustments_used_check CHECK (((used > '-Infinity'::numeric) AND (used < 'Infinity'::numeric) AND (used = round(used, 6))))
);



COMMENT ON TABLE public.billing_adjustments IS 'Late usage of closed periods. Closed used plus adjustments is the sum of the period''s metrics.';



COMMENT ON COLUMN public.billing_adjustments.org_id IS 'The org.';



COMMENT ON COLUMN public.billing_adjustments.feature IS 'The feature.';



COMMENT ON COLUMN public.billing_adjustments.period_start IS 'The closed period, by its start.';



COMMENT ON COLUMN public.billing_adjustments.seq IS 'The adjustment''s place, from 1 on.';



COMMENT ON COLUMN public.billing_adjustments.kind IS 'late: within the grace, packs pay; set_aside: after it, nothing is drawn.';



COMMENT ON COLUMN public.billing_adjustments.used IS 'Usage that came late; negative for a correction.';



COMMENT ON COLUMN public.billing_adjustments.drawn IS 'What packs paid for it; negative when it went back.';



COMMENT ON COLUMN public.billing_adjustments.uncovered IS 'What nothing paid for; negative when less is uncovered.';



COMMENT ON COLUMN public.billing_adjustments.reason IS 'Why, in a sentence.';



COMMENT ON COLUMN public.billing_adjustments.decided_at IS 'When it was decided, in business time.';



COMMENT ON COLUMN public.billing_adjustments.recorded_at IS 'When the row was written.';



CREATE TABLE public.billing_period_usage (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    used numeric DEFAULT 0 NOT NULL,
    included numeric,
    drawn numeric DEFAULT 0 NOT NULL,
    uncovered numeric DEFAULT 0 NOT NULL,
    CONSTRAINT billing_period_usage_check CHECK (((drawn + uncovered) = GREATEST((0)::numeric, (used - COALESCE(included, used))))),
    CONSTRAINT billing_period_usage_drawn_check CHECK (((drawn >= (0)::numeric) AND (drawn < 'Infinity'::numeric) AND (drawn = round(drawn, 6)))),
    CONSTRAINT billing_period_usage_included_check CHECK (((included >= (0)::numeric) AND (included < 'Infinity'::numeric) AND (included = round(included, 6)))),
    CONSTRAINT billing_period_usage_uncovered_check CHECK (((uncovered >= (0)::numeric) AND (uncovered < 'Infinity'::numeric) AND (uncovered = round(uncovered, 6)))),
    CONSTRAINT billing_period_usage_used_check CHECK (((used > '-Infinity'::numeric) AND (used < 'Infinity'::numeric) AND (used = round(used, 6))))
);



COMMENT ON TABLE public.billing_period_usage IS 'What a closed period used and who paid: one row per feature with usage or a draw.';



COMMENT ON COLUMN public.billing_period_usage.org_id IS 'The org.';



COMMENT ON COLUMN public.billing_period_usage.feature IS 'The feature.';



COMMENT ON COLUMN public.billing_period_usage.period_start IS 'The period, by its start.';



COMMENT ON COLUMN public.billing_period_usage.used IS 'What was used.';



COMMENT ON COLUMN public.billing_period_usage.included IS 'What was included; null is unlimited.';



COMMENT ON COLUMN public.billing_period_usage.drawn IS 'Overage that packs paid for.';



COMMENT ON COLUMN public.billing_period_usage.uncovered IS 'Overage that nothing paid for.';



CREATE TABLE public.billing_periods (
    org_id uuid NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    follows timestamp with time zone,
    time_zone text,
    tzdb_version text,
    tier text DEFAULT 'free'::text NOT NULL,
    closed_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT billing_periods_check CHECK ((period_end > period_start)),
    CONSTRAINT billing_periods_check1 CHECK ((follows = period_start))
);



COMMENT ON TABLE public.billing_periods IS 'Closed periods. Those of an org touch, without gap, overlap or repeat: the foreign key says so.';



COMMENT ON COLUMN public.billing_periods.org_id IS 'The org.';



COMMENT ON COLUMN public.billing_periods.period_start IS 'The first instant inside.';



COMMENT ON COLUMN public.billing_periods.period_end IS 'The first instant after.';



COMMENT ON COLUMN public.billing_periods.follows IS 'The end of the period before, which is this one''s start; null for the org''s first.';



COMMENT ON COLUMN public.billing_periods.time_zone IS 'The org''s zone when it closed; null where that is not known any more.';



COMMENT ON COLUMN public.billing_periods.tzdb_version IS 'The tz database release in use when it closed; null where that is not known.';



COMMENT ON COLUMN public.billing_periods.tier IS 'The tier that granted in it.';



COMMENT ON COLUMN public.billing_periods.closed_at IS 'When it closed, in business time.';



COMMENT ON COLUMN public.billing_periods.recorded_at IS 'When the row was written.';



CREATE TABLE public.feature_usage (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    usage_count numeric DEFAULT 0 NOT NULL,
    sync_status text DEFAULT 'pending'::text NOT NULL,
    last_synced_at timestamp with time zone,
    discrepancy_count integer DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT feature_usage_check CHECK ((period_end > period_start)),
    CONSTRAINT feature_usage_discrepancy_count_check CHECK ((discrepancy_count >= 0)),
    CONSTRAINT feature_usage_sync_status_check CHECK ((sync_status = ANY (ARRAY['pending'::text, 'synced'::text]))),
    CONSTRAINT feature_usage_usage_count_check CHECK (((usage_count > '-Infinity'::numeric) AND (usage_count < 'Infinity'::numeric) AND (usage_count = round(usage_count, 6))))
)
WITH (fillfactor='70');



COMMENT ON TABLE public.feature_usage IS 'Usage of one user and feature in one period of the user''s org.';



COMMENT ON COLUMN public.feature_usage.organization_id IS 'The org that pays.';



COMMENT ON COLUMN public.feature_usage.user_id IS 'The user.';



COMMENT ON COLUMN public.feature_usage.feature IS 'The feature.';



COMMENT ON COLUMN public.feature_usage.period_start IS 'Start of the period, inside it.';



COMMENT ON COLUMN public.feature_usage.period_end IS 'End of the period, outside it.';



COMMENT ON COLUMN public.feature_usage.usage_count IS 'The sum of the user''s counted metrics with created_at in [period_start, period_end).';



COMMENT ON COLUMN public.feature_usage.sync_status IS 'pending: moved since the derived columns were written; synced: they agree.';



COMMENT ON COLUMN public.feature_usage.last_synced_at IS 'When the derived columns were written last, or an audit mended the counter.';



COMMENT ON COLUMN public.feature_usage.discrepancy_count IS 'How often an audit found this counter wrong.';



COMMENT ON COLUMN public.feature_usage.updated_at IS 'When the counter moved last.';



CREATE TABLE public.features (
    feature text NOT NULL,
    unit text DEFAULT 'units'::text NOT NULL,
    CONSTRAINT features_feature_check CHECK (((feature = lower(feature)) AND (feature <> ''::text)))
);



COMMENT ON TABLE public.features IS 'What is metered. Names are in lower case and match without regard to case.';



COMMENT ON COLUMN public.features.feature IS 'The name, such as minutes_transcribed.';



COMMENT ON COLUMN public.features.unit IS 'What one unit is called, such as minutes.';



CREATE TABLE public.org_alert_settings (
    org_id uuid NOT NULL,
    feature text DEFAULT '*'::text NOT NULL,
    thresholds smallint[],
    basis text,
    judged boolean DEFAULT false NOT NULL,
    judged_thresholds smallint[],
    judged_basis text,
    CONSTRAINT org_alert_settings_basis_check CHECK ((basis = ANY (ARRAY['allowance'::text, 'included'::text]))),
    CONSTRAINT org_alert_settings_feature_check CHECK ((feature <> ''::text)),
    CONSTRAINT org_alert_settings_thresholds_check CHECK (((1 <= ALL (thresholds)) AND (100 >= ALL (thresholds)) AND (cardinality(thresholds) <= 10) AND (array_position(thresholds, NULL::smallint) IS NULL)))
);



COMMENT ON TABLE public.org_alert_settings IS 'Thresholds of one org''s own, instead of those of the configuration.';



COMMENT ON COLUMN public.org_alert_settings.org_id IS 'The org.';



COMMENT ON COLUMN public.org_alert_settings.feature IS 'The feature, or * for all that have no row of their own.';



COMMENT ON COLUMN public.org_alert_settings.thresholds IS 'Percentages; empty: no alerts; null: as the configuration says.';



COMMENT ON COLUMN public.org_alert_settings.basis IS 'What they are percentages of: allowance or included; null: as the configuration says.';



COMMENT ON COLUMN public.org_alert_settings.judged IS 'Whether alerts have judged by this row.';



COMMENT ON COLUMN public.org_alert_settings.judged_thresholds IS 'The thresholds that alerts judged by last.';



COMMENT ON COLUMN public.org_alert_settings.judged_basis IS 'The basis that alerts judged by last.';



CREATE TABLE public.org_contacts (
    org_id uuid NOT NULL,
    email text NOT NULL,
    opted_out_at timestamp with time zone,
    CONSTRAINT org_contacts_email_check CHECK (((length(email) <= 254) AND (email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'::text)))
);



COMMENT ON TABLE public.org_contacts IS 'Who gets an org''s emails; without any row, its users do.';



COMMENT ON COLUMN public.org_contacts.org_id IS 'The org.';



COMMENT ON COLUMN public.org_contacts.email IS 'The address.';



COMMENT ON COLUMN public.org_contacts.opted_out_at IS 'Since when the address wants no warnings; null: it wants them.';



CREATE VIEW public.organisations WITH (security_invoker='true') AS
 SELECT organizations.id,
    organizations.slug,
    organizations.name,
    organizations.time_zone,
    organizations.cycle,
    organizations.anchor_day,
    organizations.anchor_month,
    organizations.subscription_tier,
    organizations.next_subscription_tier,
    organizations.next_subscription_tier_at,
    organizations.subscription_status,
    organizations.subscription_ends_at,
    organizations.current_period_start,
    organizations.current_period_end,
    organizations.current_period_end_date,
    organizations.next_period_ends,
    organizations.ends_time_zone,
    organizations.ends_cycle,
    organizations.ends_anchor_day,
    organizations.ends_anchor_month,
    organizations.ends_tzdb_version,
    organizations.used_minutes,
    organizations.overage_minutes,
    organizations.overage_minutes_written,
    organizations.parked_at,
    organizations.parked_reason,
    organizations.revision,
    organizations.created_at,
    organizations.overage_minutes_granted
   FROM public.organizations;



COMMENT ON VIEW public.organisations IS 'organizations under its British name; rows can be changed through it.';



CREATE TABLE public.organizations_legacy (
    id uuid NOT NULL,
    name text,
    used_minutes numeric,
    overage_minutes numeric,
    current_period_start timestamp with time zone,
    current_period_end timestamp with time zone
);



CREATE TABLE public.pack_offers (
    code text NOT NULL,
    feature text NOT NULL,
    quantity numeric NOT NULL,
    price_cents bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT 'USD'::text NOT NULL,
    CONSTRAINT pack_offers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT pack_offers_price_cents_check CHECK ((price_cents >= 0)),
    CONSTRAINT pack_offers_quantity_check CHECK (((quantity > (0)::numeric) AND (quantity < 'Infinity'::numeric) AND (quantity = round(quantity, 6))))
);



COMMENT ON TABLE public.pack_offers IS 'Packs of overage that are on sale.';



COMMENT ON COLUMN public.pack_offers.code IS 'The offer''s code.';



COMMENT ON COLUMN public.pack_offers.feature IS 'What the pack pays for.';



COMMENT ON COLUMN public.pack_offers.quantity IS 'How much of it.';



COMMENT ON COLUMN public.pack_offers.price_cents IS 'Price in the currency''s smallest unit.';



COMMENT ON COLUMN public.pack_offers.currency IS 'ISO 4217 code.';



CREATE TABLE public.periodd_alert_limits (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    quantity numeric,
    used numeric DEFAULT 0 NOT NULL,
    seq integer DEFAULT 1 NOT NULL,
    judged_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT periodd_alert_limits_check CHECK ((period_end > period_start)),
    CONSTRAINT periodd_alert_limits_generation_check CHECK ((generation > 0)),
    CONSTRAINT periodd_alert_limits_quantity_check CHECK (((quantity >= (0)::numeric) AND (quantity < 'Infinity'::numeric) AND (quantity = round(quantity, 6)))),
    CONSTRAINT periodd_alert_limits_seq_check CHECK ((seq > 0)),
    CONSTRAINT periodd_alert_limits_used_check CHECK (((used > '-Infinity'::numeric) AND (used < 'Infinity'::numeric) AND (used = round(used, 6))))
)
WITH (fillfactor='70');



COMMENT ON TABLE public.periodd_alert_limits IS 'Counters that have crossed a threshold, with the limit and the usage that they were judged by last.';



COMMENT ON COLUMN public.periodd_alert_limits.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_alert_limits.feature IS 'The feature.';



COMMENT ON COLUMN public.periodd_alert_limits.period_start IS 'Start of the counter''s period.';



COMMENT ON COLUMN public.periodd_alert_limits.period_end IS 'End of the counter''s period.';



COMMENT ON COLUMN public.periodd_alert_limits.generation IS 'How often the limit has risen in this period, counted from 1.';



COMMENT ON COLUMN public.periodd_alert_limits.quantity IS 'The limit: allowance or included, by the basis; null is unlimited.';



COMMENT ON COLUMN public.periodd_alert_limits.used IS 'Usage at that time.';



COMMENT ON COLUMN public.periodd_alert_limits.seq IS 'Moves with every judgement: of two at once only one is written.';



COMMENT ON COLUMN public.periodd_alert_limits.judged_at IS 'When, in business time.';



CREATE TABLE public.periodd_alerts (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    threshold smallint NOT NULL,
    state text DEFAULT 'notified'::text NOT NULL,
    limit_change boolean DEFAULT false NOT NULL,
    basis text DEFAULT 'allowance'::text NOT NULL,
    used numeric DEFAULT 0 NOT NULL,
    included numeric,
    drawn numeric DEFAULT 0 NOT NULL,
    purchased numeric DEFAULT 0 NOT NULL,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT periodd_alerts_basis_check CHECK ((basis = ANY (ARRAY['allowance'::text, 'included'::text]))),
    CONSTRAINT periodd_alerts_check CHECK ((period_end > period_start)),
    CONSTRAINT periodd_alerts_drawn_check CHECK (((drawn >= (0)::numeric) AND (drawn < 'Infinity'::numeric) AND (drawn = round(drawn, 6)))),
    CONSTRAINT periodd_alerts_generation_check CHECK ((generation > 0)),
    CONSTRAINT periodd_alerts_included_check CHECK (((included >= (0)::numeric) AND (included < 'Infinity'::numeric) AND (included = round(included, 6)))),
    CONSTRAINT periodd_alerts_purchased_check CHECK (((purchased >= (0)::numeric) AND (purchased < 'Infinity'::numeric) AND (purchased = round(purchased, 6)))),
    CONSTRAINT periodd_alerts_state_check CHECK ((state = ANY (ARRAY['notified'::text, 'covered'::text, 'waiting'::text, 'recorded'::text, 'expired'::text]))),
    CONSTRAINT periodd_alerts_threshold_check CHECK (((threshold >= 1) AND (threshold <= 100))),
    CONSTRAINT periodd_alerts_used_check CHECK (((used > '-Infinity'::numeric) AND (used < 'Infinity'::numeric) AND (used = round(used, 6))))
);



COMMENT ON TABLE public.periodd_alerts IS 'Thresholds that were crossed: each once per org, feature, period and generation of the limit.';



COMMENT ON COLUMN public.periodd_alerts.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_alerts.feature IS 'The feature.';



COMMENT ON COLUMN public.periodd_alerts.period_start IS 'Start of the period.';



COMMENT ON COLUMN public.periodd_alerts.period_end IS 'End of the period: nobody is told after it.';



COMMENT ON COLUMN public.periodd_alerts.generation IS 'The generation of the limit.';



COMMENT ON COLUMN public.periodd_alerts.threshold IS 'The percentage.';



COMMENT ON COLUMN public.periodd_alerts.state IS 'notified: emails were queued; covered: a higher one says it; waiting: for a recipient; recorded: transport none; expired: no recipient before the period''s end.';



COMMENT ON COLUMN public.periodd_alerts.limit_change IS 'Whether it was crossed because the limit fell, not because usage rose.';



COMMENT ON COLUMN public.periodd_alerts.basis IS 'What it is a percentage of.';



COMMENT ON COLUMN public.periodd_alerts.used IS 'Usage when it was decided.';



COMMENT ON COLUMN public.periodd_alerts.included IS 'Included quantity when it was decided; null is unlimited.';



COMMENT ON COLUMN public.periodd_alerts.drawn IS 'What packs had paid for in the period when it was decided.';



COMMENT ON COLUMN public.periodd_alerts.purchased IS 'What usable packs held when it was decided.';



COMMENT ON COLUMN public.periodd_alerts.decided_at IS 'When it was decided, in business time.';



COMMENT ON COLUMN public.periodd_alerts.recorded_at IS 'When the row was written.';



CREATE TABLE public.periodd_audited (
    audit uuid NOT NULL,
    first_org uuid NOT NULL,
    last_org uuid NOT NULL,
    orgs uuid[] NOT NULL,
    starts timestamp with time zone[] NOT NULL,
    ends timestamp with time zone[] NOT NULL,
    metrics bigint[] NOT NULL,
    is_complete boolean DEFAULT false NOT NULL
);



COMMENT ON TABLE public.periodd_audited IS 'How many metrics each period held when it was audited last: a row per page of orgs, an entry of its arrays per period.';



COMMENT ON COLUMN public.periodd_audited.audit IS 'The audit.';



COMMENT ON COLUMN public.periodd_audited.first_org IS 'The first org of the page.';



COMMENT ON COLUMN public.periodd_audited.last_org IS 'The last org of the page.';



COMMENT ON COLUMN public.periodd_audited.orgs IS 'Whose period it is, entry by entry.';



COMMENT ON COLUMN public.periodd_audited.starts IS 'When it starts.';



COMMENT ON COLUMN public.periodd_audited.ends IS 'When it ends.';



COMMENT ON COLUMN public.periodd_audited.metrics IS 'How many metrics it held.';



COMMENT ON COLUMN public.periodd_audited.is_complete IS 'The audit came to its end: the next one is compared with it.';



CREATE TABLE public.periodd_derived (
    org_id uuid NOT NULL,
    target text NOT NULL,
    key uuid NOT NULL,
    written numeric DEFAULT 0 NOT NULL,
    granted numeric DEFAULT 0 NOT NULL,
    CONSTRAINT periodd_derived_granted_check CHECK (((granted >= (0)::numeric) AND (granted < 'Infinity'::numeric) AND (granted = round(granted, 6)))),
    CONSTRAINT periodd_derived_written_check CHECK (((written > '-Infinity'::numeric) AND (written < 'Infinity'::numeric) AND (written = round(written, 6))))
);



COMMENT ON TABLE public.periodd_derived IS 'What periodd wrote last to derived columns that depend on more than a counter, but for organizations.overage_minutes.';



COMMENT ON COLUMN public.periodd_derived.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_derived.target IS 'The column: table.column.';



COMMENT ON COLUMN public.periodd_derived.key IS 'The row''s key: the id of the org or of the user.';



COMMENT ON COLUMN public.periodd_derived.written IS 'What was written, without what others had added.';



COMMENT ON COLUMN public.periodd_derived.granted IS 'What packs had granted in all by then.';



CREATE TABLE public.periodd_drift (
    org_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    run bigint,
    found_at timestamp with time zone DEFAULT now() NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    place text NOT NULL,
    subject uuid,
    before numeric,
    after numeric NOT NULL,
    difference numeric NOT NULL,
    reason text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT periodd_drift_after_check CHECK (((after > '-Infinity'::numeric) AND (after < 'Infinity'::numeric) AND (after = round(after, 6)))),
    CONSTRAINT periodd_drift_before_check CHECK (((before > '-Infinity'::numeric) AND (before < 'Infinity'::numeric) AND (before = round(before, 6)))),
    CONSTRAINT periodd_drift_difference_check CHECK (((difference > '-Infinity'::numeric) AND (difference < 'Infinity'::numeric) AND (difference = round(difference, 6))))
);



COMMENT ON TABLE public.periodd_drift IS 'The drift log: every value that an audit found wrong and mended.';



COMMENT ON COLUMN public.periodd_drift.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_drift.id IS 'The entry''s id.';



COMMENT ON COLUMN public.periodd_drift.run IS 'The run that mended it, by its number in periodd_runs.';



COMMENT ON COLUMN public.periodd_drift.found_at IS 'When, in business time.';



COMMENT ON COLUMN public.periodd_drift.feature IS 'The feature.';



COMMENT ON COLUMN public.periodd_drift.period_start IS 'The period, by its start.';



COMMENT ON COLUMN public.periodd_drift.place IS 'Where: table.column.';



COMMENT ON COLUMN public.periodd_drift.subject IS 'Whose row: the user''s id, or the org''s.';



COMMENT ON COLUMN public.periodd_drift.before IS 'What it held; null: there was no row, or null in it.';



COMMENT ON COLUMN public.periodd_drift.after IS 'What it holds since.';



COMMENT ON COLUMN public.periodd_drift.difference IS 'After less before.';



COMMENT ON COLUMN public.periodd_drift.reason IS 'What was wrong, in a sentence.';



COMMENT ON COLUMN public.periodd_drift.recorded_at IS 'When the row was written.';



CREATE TABLE public.periodd_facts (
    name text NOT NULL,
    value text NOT NULL
);



COMMENT ON TABLE public.periodd_facts IS 'Facts about this database that periodd remembers, such as the newest tz database release used.';



COMMENT ON COLUMN public.periodd_facts.name IS 'Which fact.';



COMMENT ON COLUMN public.periodd_facts.value IS 'Its value.';



CREATE TABLE public.periodd_import_sums (
    import integer NOT NULL,
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone,
    amount numeric DEFAULT 0 NOT NULL,
    CONSTRAINT periodd_import_sums_amount_check CHECK (((amount > '-Infinity'::numeric) AND (amount < 'Infinity'::numeric) AND (amount = round(amount, 6))))
);



COMMENT ON TABLE public.periodd_import_sums IS 'What the replaced tables held, per org, feature and period: db verify adds up what became of it.';



COMMENT ON COLUMN public.periodd_import_sums.import IS 'The import.';



COMMENT ON COLUMN public.periodd_import_sums.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_import_sums.feature IS 'The feature.';



COMMENT ON COLUMN public.periodd_import_sums.period_start IS 'The period, by its start; null for metrics, which bring their own instants; -infinity for everything of the feature, added up row by row.';



COMMENT ON COLUMN public.periodd_import_sums.amount IS 'How much.';



CREATE TABLE public.periodd_imports (
    id integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    tables text[] DEFAULT '{}'::text[] NOT NULL,
    indexes text[] DEFAULT '{}'::text[] NOT NULL,
    views text[] DEFAULT '{}'::text[] NOT NULL,
    foreign_keys text[] DEFAULT '{}'::text[] NOT NULL,
    after_sql text DEFAULT ''::text NOT NULL,
    legacy_dropped_at timestamp with time zone
);



COMMENT ON TABLE public.periodd_imports IS 'What db import adopted; the replaced tables stay as NAME_legacy until db import --drop-legacy.';



COMMENT ON COLUMN public.periodd_imports.id IS 'The import''s number.';



COMMENT ON COLUMN public.periodd_imports.applied_at IS 'When it was applied.';



COMMENT ON COLUMN public.periodd_imports.tables IS 'The tables that were replaced, by their former names.';



COMMENT ON COLUMN public.periodd_imports.indexes IS 'The indexes that were renamed, by their former names.';



COMMENT ON COLUMN public.periodd_imports.views IS 'Statements that make the views again that were in the way.';



COMMENT ON COLUMN public.periodd_imports.foreign_keys IS 'Statements that point foreign keys of other tables at the replaced ones again.';



COMMENT ON COLUMN public.periodd_imports.after_sql IS 'The query that adds up what was imported, for db verify.';



COMMENT ON COLUMN public.periodd_imports.legacy_dropped_at IS 'When the replaced tables were dropped; null: they are there.';



CREATE TABLE public.periodd_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);



COMMENT ON TABLE public.periodd_migrations IS 'Migrations that were applied to this database.';



COMMENT ON COLUMN public.periodd_migrations.version IS 'The migration''s number.';



COMMENT ON COLUMN public.periodd_migrations.description IS 'What it brought.';



COMMENT ON COLUMN public.periodd_migrations.checksum IS 'Of its text: a change is noticed.';



COMMENT ON COLUMN public.periodd_migrations.applied_at IS 'When it was applied.';



CREATE TABLE public.periodd_moved_ends (
    org_id uuid NOT NULL,
    moved_at timestamp with time zone DEFAULT now() NOT NULL,
    before timestamp with time zone NOT NULL,
    after timestamp with time zone NOT NULL,
    tzdb_before text,
    tzdb_after text NOT NULL
);



COMMENT ON TABLE public.periodd_moved_ends IS 'Ends of open periods that moved because a government changed its clocks.';



COMMENT ON COLUMN public.periodd_moved_ends.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_moved_ends.moved_at IS 'When, in business time.';



COMMENT ON COLUMN public.periodd_moved_ends.before IS 'The end before.';



COMMENT ON COLUMN public.periodd_moved_ends.after IS 'The end after.';



COMMENT ON COLUMN public.periodd_moved_ends.tzdb_before IS 'The tz database release that the end before came from.';



COMMENT ON COLUMN public.periodd_moved_ends.tzdb_after IS 'The tz database release that the end after comes from.';



CREATE TABLE public.periodd_outbox (
    org_id uuid NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    threshold smallint NOT NULL,
    recipient text NOT NULL,
    state text DEFAULT 'due'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    leased_until timestamp with time zone,
    lease uuid,
    message_id text,
    dated timestamp with time zone,
    letter text,
    answer text,
    settled_at timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT periodd_outbox_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT periodd_outbox_check CHECK ((period_end > period_start)),
    CONSTRAINT periodd_outbox_check1 CHECK ((((message_id IS NULL) = (letter IS NULL)) AND ((dated IS NULL) = (letter IS NULL)))),
    CONSTRAINT periodd_outbox_check2 CHECK (((state = 'due'::text) = (settled_at IS NULL))),
    CONSTRAINT periodd_outbox_generation_check CHECK ((generation > 0)),
    CONSTRAINT periodd_outbox_state_check CHECK ((state = ANY (ARRAY['due'::text, 'sent'::text, 'given_up'::text, 'suppressed'::text]))),
    CONSTRAINT periodd_outbox_threshold_check CHECK (((threshold >= 1) AND (threshold <= 100)))
)
WITH (fillfactor='60');



COMMENT ON TABLE public.periodd_outbox IS 'Emails: written with the alert that they tell of, sent after that is committed.';



COMMENT ON COLUMN public.periodd_outbox.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_outbox.id IS 'The email.';



COMMENT ON COLUMN public.periodd_outbox.feature IS 'The alert''s feature.';



COMMENT ON COLUMN public.periodd_outbox.period_start IS 'Start of the alert''s period.';



COMMENT ON COLUMN public.periodd_outbox.period_end IS 'End of the alert''s period: an email that has not been sent by then is given up.';



COMMENT ON COLUMN public.periodd_outbox.generation IS 'The alert''s generation of the limit.';



COMMENT ON COLUMN public.periodd_outbox.threshold IS 'The alert''s percentage.';



COMMENT ON COLUMN public.periodd_outbox.recipient IS 'The address.';



COMMENT ON COLUMN public.periodd_outbox.state IS 'due: to be sent; sent: accepted; given_up: never to be sent; suppressed: the address is dead.';



COMMENT ON COLUMN public.periodd_outbox.attempts IS 'Attempts that failed.';



COMMENT ON COLUMN public.periodd_outbox.next_attempt_at IS 'From when it may be tried again, in real time.';



COMMENT ON COLUMN public.periodd_outbox.leased_until IS 'Until when somebody is at it, in real time; null: nobody.';



COMMENT ON COLUMN public.periodd_outbox.lease IS 'Who is at it.';



COMMENT ON COLUMN public.periodd_outbox.message_id IS 'The Message-ID of every attempt, without angle brackets; null until it is composed.';



COMMENT ON COLUMN public.periodd_outbox.dated IS 'The Date of every attempt, in business time; null until it is composed.';



COMMENT ON COLUMN public.periodd_outbox.letter IS 'What it says, as JSON, the same at every attempt; null until it is composed.';



COMMENT ON COLUMN public.periodd_outbox.answer IS 'What the server answered last, or why the email was given up.';



COMMENT ON COLUMN public.periodd_outbox.settled_at IS 'When it was sent or given up, in real time; null while it is due.';



COMMENT ON COLUMN public.periodd_outbox.recorded_at IS 'When the row was written.';



CREATE TABLE public.periodd_removed (
    org_id uuid NOT NULL,
    before timestamp with time zone NOT NULL
);



COMMENT ON TABLE public.periodd_removed IS 'Up to where an org''s metrics may be gone, because they have been kept long enough.';



COMMENT ON COLUMN public.periodd_removed.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_removed.before IS 'The end of the last closed period whose metrics were removed.';



CREATE TABLE public.periodd_runs (
    id bigint NOT NULL,
    job text NOT NULL,
    trigger text NOT NULL,
    occurrence timestamp with time zone,
    last_occurrence timestamp with time zone,
    occurrences bigint DEFAULT 1 NOT NULL,
    outcome text NOT NULL,
    reason text,
    replica text NOT NULL,
    token bigint,
    attempts integer DEFAULT 1 NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    lateness_ms bigint,
    counts jsonb,
    error text,
    CONSTRAINT periodd_runs_attempts_check CHECK ((attempts > 0)),
    CONSTRAINT periodd_runs_check CHECK (((trigger = 'command'::text) = (occurrence IS NULL))),
    CONSTRAINT periodd_runs_check1 CHECK (((outcome = 'skipped'::text) = (reason IS NOT NULL))),
    CONSTRAINT periodd_runs_check2 CHECK (((outcome = 'running'::text) = (finished_at IS NULL))),
    CONSTRAINT periodd_runs_check3 CHECK ((last_occurrence >= occurrence)),
    CONSTRAINT periodd_runs_occurrences_check CHECK ((occurrences > 0)),
    CONSTRAINT periodd_runs_outcome_check CHECK ((outcome = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'skipped'::text]))),
    CONSTRAINT periodd_runs_reason_check CHECK ((reason = ANY (ARRAY['paused'::text, 'overlapped'::text, 'too late'::text]))),
    CONSTRAINT periodd_runs_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'boundary'::text, 'command'::text])))
);



COMMENT ON TABLE public.periodd_runs IS 'Every run, and every occurrence of a schedule that was left out, with its reason.';



COMMENT ON COLUMN public.periodd_runs.id IS 'Its number.';



COMMENT ON COLUMN public.periodd_runs.job IS 'The job.';



COMMENT ON COLUMN public.periodd_runs.trigger IS 'What started it: schedule, boundary (the end of a period) or command (a person).';



COMMENT ON COLUMN public.periodd_runs.occurrence IS 'When it was due; null for a command.';



COMMENT ON COLUMN public.periodd_runs.last_occurrence IS 'For skips in a row: the last of them; null where it is one.';



COMMENT ON COLUMN public.periodd_runs.occurrences IS 'How many occurrences the row stands for.';



COMMENT ON COLUMN public.periodd_runs.outcome IS 'running, done, failed or skipped.';



COMMENT ON COLUMN public.periodd_runs.reason IS 'Why it was skipped: paused, overlapped (the run before it was still going) or too late.';



COMMENT ON COLUMN public.periodd_runs.replica IS 'Which process ran or skipped it: host and process id.';



COMMENT ON COLUMN public.periodd_runs.token IS 'The fencing token under which it runs; null for a command, which has no lease.';



COMMENT ON COLUMN public.periodd_runs.attempts IS 'How often it was begun: once more each time that a process went away in the middle of it.';



COMMENT ON COLUMN public.periodd_runs.started_at IS 'When it began first; null for a skip.';



COMMENT ON COLUMN public.periodd_runs.finished_at IS 'When it ended or was skipped; null while it is going.';



COMMENT ON COLUMN public.periodd_runs.lateness_ms IS 'Milliseconds from when it was due to when it began.';



COMMENT ON COLUMN public.periodd_runs.counts IS 'What it did, in numbers.';



COMMENT ON COLUMN public.periodd_runs.error IS 'Why it failed, or more about why it was skipped.';



ALTER TABLE public.periodd_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.periodd_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.periodd_schedules (
    job text NOT NULL,
    trigger text NOT NULL,
    line text,
    seed bigint NOT NULL,
    settled timestamp with time zone NOT NULL,
    paused_at timestamp with time zone,
    pause_reason text,
    running timestamp with time zone,
    run_token bigint,
    replica text,
    lease_until timestamp with time zone,
    token bigint DEFAULT 0 NOT NULL,
    CONSTRAINT periodd_schedules_check CHECK (((paused_at IS NULL) = (pause_reason IS NULL))),
    CONSTRAINT periodd_schedules_check1 CHECK (((running IS NULL) = (lease_until IS NULL))),
    CONSTRAINT periodd_schedules_check2 CHECK (((running IS NULL) = (replica IS NULL))),
    CONSTRAINT periodd_schedules_check3 CHECK (((running IS NULL) = (run_token IS NULL))),
    CONSTRAINT periodd_schedules_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'boundary'::text])))
);



COMMENT ON TABLE public.periodd_schedules IS 'How far each job''s schedule has come, and who runs it now. Whoever moves a row first has the occurrence.';



COMMENT ON COLUMN public.periodd_schedules.job IS 'The job.';



COMMENT ON COLUMN public.periodd_schedules.trigger IS 'What starts it: schedule is its cron line, boundary the end of a period.';



COMMENT ON COLUMN public.periodd_schedules.line IS 'The cron line and zone that the daemon last started with; null while it is switched off. A schedule whose line changed is new, and replays nothing.';



COMMENT ON COLUMN public.periodd_schedules.seed IS 'Drawn once: makes this database''s jitter differ from that of others.';



COMMENT ON COLUMN public.periodd_schedules.settled IS 'Every occurrence up to here has its row in periodd_runs.';



COMMENT ON COLUMN public.periodd_schedules.paused_at IS 'Since when it is paused; null: it is not.';



COMMENT ON COLUMN public.periodd_schedules.pause_reason IS 'Why it is paused.';



COMMENT ON COLUMN public.periodd_schedules.running IS 'The occurrence that is running; null: none is.';



COMMENT ON COLUMN public.periodd_schedules.run_token IS 'The token under which it was taken last.';



COMMENT ON COLUMN public.periodd_schedules.replica IS 'Which process runs it: host and process id.';



COMMENT ON COLUMN public.periodd_schedules.lease_until IS 'Until when nobody else may take it over, by the database''s clock.';



COMMENT ON COLUMN public.periodd_schedules.token IS 'Moves on whenever somebody takes an occurrence. Who comes with an older one is refused.';



CREATE TABLE public.periodd_suppressions (
    org_id uuid NOT NULL,
    email text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    suppressed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT periodd_suppressions_email_check CHECK ((email = lower(email)))
);



COMMENT ON TABLE public.periodd_suppressions IS 'Addresses that a mail server does not know: nothing is sent there any more.';



COMMENT ON COLUMN public.periodd_suppressions.org_id IS 'The org.';



COMMENT ON COLUMN public.periodd_suppressions.email IS 'The address, in lower case.';



COMMENT ON COLUMN public.periodd_suppressions.reason IS 'What the server said.';



COMMENT ON COLUMN public.periodd_suppressions.suppressed_at IS 'Since when, in real time.';



CREATE TABLE public.periodd_zone_months (
    time_zone text NOT NULL,
    starts timestamp with time zone[] NOT NULL,
    tzdb_version text NOT NULL
);



COMMENT ON TABLE public.periodd_zone_months IS 'When calendar months begin in every accepted zone; db migrate and the daemon keep it filled.';



COMMENT ON COLUMN public.periodd_zone_months.time_zone IS 'tz database name.';



COMMENT ON COLUMN public.periodd_zone_months.starts IS 'First instants of consecutive months, rising.';



COMMENT ON COLUMN public.periodd_zone_months.tzdb_version IS 'The tz database release that they come from.';



CREATE TABLE public.subscription_tiers (
    code text NOT NULL,
    name text,
    monthly_price_cents bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT 'USD'::text NOT NULL,
    CONSTRAINT subscription_tiers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT subscription_tiers_monthly_price_cents_check CHECK ((monthly_price_cents >= 0))
);



COMMENT ON TABLE public.subscription_tiers IS 'What customers subscribe to.';



COMMENT ON COLUMN public.subscription_tiers.code IS 'The tier''s code, such as pro; organizations refer to it.';



COMMENT ON COLUMN public.subscription_tiers.name IS 'The tier''s name for people; null: its code.';



COMMENT ON COLUMN public.subscription_tiers.monthly_price_cents IS 'Price per month in the currency''s smallest unit.';



COMMENT ON COLUMN public.subscription_tiers.currency IS 'ISO 4217 code.';



CREATE TABLE public.usage_counters (
    org_id uuid NOT NULL,
    feature text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    period_end timestamp with time zone NOT NULL,
    used numeric DEFAULT 0 NOT NULL,
    sync_status text DEFAULT 'pending'::text NOT NULL,
    last_synced_at timestamp with time zone,
    discrepancy_count integer DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    CONSTRAINT usage_counters_check CHECK ((period_end > period_start)),
    CONSTRAINT usage_counters_discrepancy_count_check CHECK ((discrepancy_count >= 0)),
    CONSTRAINT usage_counters_sync_status_check CHECK ((sync_status = ANY (ARRAY['pending'::text, 'synced'::text]))),
    CONSTRAINT usage_counters_used_check CHECK (((used > '-Infinity'::numeric) AND (used < 'Infinity'::numeric) AND (used = round(used, 6))))
)
WITH (fillfactor='70');



COMMENT ON TABLE public.usage_counters IS 'Usage of one org and feature in one period: the sum of its counted metrics.';



COMMENT ON COLUMN public.usage_counters.org_id IS 'The org.';



COMMENT ON COLUMN public.usage_counters.feature IS 'The feature.';



COMMENT ON COLUMN public.usage_counters.period_start IS 'Start of the period, inside it.';



COMMENT ON COLUMN public.usage_counters.period_end IS 'End of the period, outside it.';



COMMENT ON COLUMN public.usage_counters.used IS 'The sum of the counted metrics with created_at in [period_start, period_end).';



COMMENT ON COLUMN public.usage_counters.sync_status IS 'pending: moved since the derived columns were written; synced: they agree.';



COMMENT ON COLUMN public.usage_counters.last_synced_at IS 'When the derived columns were written last, or an audit mended the counter.';



COMMENT ON COLUMN public.usage_counters.discrepancy_count IS 'How often an audit found this counter wrong.';



COMMENT ON COLUMN public.usage_counters.updated_at IS 'When the counter moved last.';



COMMENT ON COLUMN public.usage_counters.revision IS 'The revision of the org with which its packs last sank by anything but a rollover: an increment whose limit was read before that decides anew.';



CREATE VIEW public.usage_alerts_view WITH (security_invoker='true') AS
 SELECT s.org_id,
    s.slug,
    s.name,
    s.feature,
    s.used,
    s.allowance,
    public.periodd_percent(s.used, s.allowance) AS percent,
        CASE
            WHEN ((s.used * (100)::numeric) >= (s.allowance * (100)::numeric)) THEN 100
            WHEN ((s.used * (100)::numeric) >= (s.allowance * (90)::numeric)) THEN 90
            ELSE 80
        END AS level,
    s.period_start,
    s.period_end
   FROM ( SELECT o.id AS org_id,
            o.slug,
            o.name,
            c.feature,
            c.used,
            c.period_start,
            c.period_end,
            ((
                CASE
                    WHEN (l.org_id IS NOT NULL) THEN l.included
                    ELSE t.included
                END + COALESCE(( SELECT sum(e.quantity) AS sum
                   FROM (public.overage_entries e
                     JOIN public.overage_packs k ON (((k.org_id = e.org_id) AND (k.id = e.pack_id))))
                  WHERE ((e.org_id = c.org_id) AND (e.period_start = c.period_start) AND (e.kind = 'drawn'::text) AND (k.feature = c.feature))), (0)::numeric)) + COALESCE(( SELECT sum(COALESCE(k.remaining, k.quantity)) AS sum
                   FROM public.overage_packs k
                  WHERE ((k.org_id = c.org_id) AND (k.feature = c.feature) AND ((k.remaining <> (0)::numeric) OR (k.entries = 0)) AND (COALESCE(k.remaining, k.quantity) > (0)::numeric) AND (k.purchased_at <= now()) AND ((k.expires_at IS NULL) OR (k.expires_at > now())))), (0)::numeric)) AS allowance
           FROM (((public.usage_counters c
             JOIN public.organizations o ON ((o.id = c.org_id)))
             LEFT JOIN public.limit_overrides l ON (((l.org_id = c.org_id) AND (l.feature = c.feature))))
             LEFT JOIN public.tier_limits t ON (((t.tier = o.subscription_tier) AND (t.feature = c.feature))))
          WHERE ((c.period_start <= now()) AND (c.period_end > now()) AND (c.used > (0)::numeric) AND ((l.org_id IS NOT NULL) OR (t.tier IS NOT NULL)))) s
  WHERE ((s.used * (100)::numeric) >= (s.allowance * (80)::numeric));



COMMENT ON VIEW public.usage_alerts_view IS 'Orgs near a limit in the period that contains now: 80, 90 or 100 percent of their allowance.';



CREATE TABLE public.usage_metrics (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    user_id uuid,
    metric_type text NOT NULL,
    metric_value numeric NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    counted_at timestamp with time zone,
    idempotency_key text,
    CONSTRAINT usage_metrics_metric_type_check CHECK ((metric_type <> ''::text)),
    CONSTRAINT usage_metrics_metric_value_check CHECK (((metric_value > '-Infinity'::numeric) AND (metric_value < 'Infinity'::numeric) AND (metric_value = round(metric_value, 6))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.02', autovacuum_vacuum_scale_factor='0.02');



COMMENT ON TABLE public.usage_metrics IS 'The append-only truth about usage. A correction is a metric with a negative value.';



COMMENT ON COLUMN public.usage_metrics.id IS 'The metric''s id.';



COMMENT ON COLUMN public.usage_metrics.organization_id IS 'Who pays.';



COMMENT ON COLUMN public.usage_metrics.user_id IS 'Who used it; null when it was nobody in particular.';



COMMENT ON COLUMN public.usage_metrics.metric_type IS 'The feature, in any case of letters.';



COMMENT ON COLUMN public.usage_metrics.metric_value IS 'How much; negative for a correction.';



COMMENT ON COLUMN public.usage_metrics.created_at IS 'When it was used: decides the period that it counts in.';



COMMENT ON COLUMN public.usage_metrics.recorded_at IS 'When it was written.';



COMMENT ON COLUMN public.usage_metrics.counted_at IS 'When it went into its counter; null: not yet.';



COMMENT ON COLUMN public.usage_metrics.idempotency_key IS 'A repeated key of the same org counts once.';



CREATE VIEW public.usage_events WITH (security_invoker='true') AS
 SELECT usage_metrics.id,
    usage_metrics.organization_id,
    usage_metrics.user_id,
    usage_metrics.metric_type,
    usage_metrics.metric_value,
    usage_metrics.created_at,
    usage_metrics.recorded_at,
    usage_metrics.counted_at,
    usage_metrics.idempotency_key
   FROM public.usage_metrics;



COMMENT ON VIEW public.usage_events IS 'usage_metrics under the name that some applications use.';



CREATE TABLE public.usage_metrics_legacy (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    metric_type text NOT NULL,
    metric_value numeric NOT NULL,
    created_at timestamp with time zone
);



CREATE TABLE public.users (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    email text NOT NULL,
    plan text,
    subscription_status text,
    usage_this_month numeric DEFAULT 0 NOT NULL,
    plan_limits_scrapes numeric,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_plan_limits_scrapes_check CHECK (((plan_limits_scrapes >= (0)::numeric) AND (plan_limits_scrapes < 'Infinity'::numeric) AND (plan_limits_scrapes = round(plan_limits_scrapes, 6)))),
    CONSTRAINT users_usage_this_month_check CHECK (((usage_this_month > '-Infinity'::numeric) AND (usage_this_month < 'Infinity'::numeric) AND (usage_this_month = round(usage_this_month, 6))))
)
WITH (fillfactor='80');



COMMENT ON TABLE public.users IS 'The people who use what an org pays for.';



COMMENT ON COLUMN public.users.id IS 'The user''s id, unique over all orgs.';



COMMENT ON COLUMN public.users.organization_id IS 'The org that pays.';



COMMENT ON COLUMN public.users.email IS 'Where the user is reached.';



COMMENT ON COLUMN public.users.plan IS 'The user''s own plan as the application shows it; null: the org''s tier.';



COMMENT ON COLUMN public.users.subscription_status IS 'The user''s own status as the application shows it; null: the org''s.';



COMMENT ON COLUMN public.users.usage_this_month IS 'Derived: scrapes that this user used in the open period.';



COMMENT ON COLUMN public.users.plan_limits_scrapes IS 'Derived, written and never read: scrapes that the org may use per period; null is unlimited. A changed limit shows with the next rollover or audit.';



COMMENT ON COLUMN public.users.created_at IS 'When the row was written.';



INSERT INTO public.billing_adjustments VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-07-31 22:00:00+00', 1, 'late', 5, 5, 0, 'counted after the close, within the grace', '2026-11-03 12:00:00+00', '2026-11-30 09:44:18.073231+00');
INSERT INTO public.billing_adjustments VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-09-30 22:00:00+00', 1, 'late', 30, 0, 0, 'counted after the close, within the grace', '2026-11-03 12:00:00+00', '2026-11-30 09:44:18.073231+00');



INSERT INTO public.billing_period_usage VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-07-31 22:00:00+00', 700, 600, 100, 0);
INSERT INTO public.billing_period_usage VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-08-31 22:00:00+00', 4, 12.25, 0, 0);
INSERT INTO public.billing_period_usage VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'sms_sent', '2026-08-31 22:00:00+00', 260, 250.5, 9.5, 0);
INSERT INTO public.billing_period_usage VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', 'sms_sent', '2026-09-29 13:30:00+00', 7000.000001, NULL, 0, 0);



INSERT INTO public.billing_periods VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '2026-07-31 22:00:00+00', '2026-08-31 22:00:00+00', NULL, 'Europe/Berlin', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:15.443845+00');
INSERT INTO public.billing_periods VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '2026-08-31 22:00:00+00', '2026-09-30 22:00:00+00', '2026-08-31 22:00:00+00', 'Europe/Berlin', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:15.443845+00');
INSERT INTO public.billing_periods VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '2026-09-30 22:00:00+00', '2026-10-31 23:00:00+00', '2026-09-30 22:00:00+00', 'Europe/Berlin', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:15.443845+00');
INSERT INTO public.billing_periods VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', '2026-09-29 13:30:00+00', '2026-10-06 13:00:00+00', NULL, 'Australia/Lord_Howe', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.235695+00');
INSERT INTO public.billing_periods VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', '2026-10-06 13:00:00+00', '2026-10-13 13:00:00+00', '2026-10-06 13:00:00+00', 'Australia/Lord_Howe', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.235695+00');
INSERT INTO public.billing_periods VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', '2026-10-13 13:00:00+00', '2026-10-20 13:00:00+00', '2026-10-13 13:00:00+00', 'Australia/Lord_Howe', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.235695+00');
INSERT INTO public.billing_periods VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', '2026-10-20 13:00:00+00', '2026-10-27 13:00:00+00', '2026-10-20 13:00:00+00', 'Australia/Lord_Howe', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.235695+00');
INSERT INTO public.billing_periods VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', '2026-08-30 23:00:00+00', '2026-09-30 00:00:00+00', NULL, 'Africa/Casablanca', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.673968+00');
INSERT INTO public.billing_periods VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', '2026-09-30 00:00:00+00', '2026-10-31 00:00:00+00', '2026-09-30 00:00:00+00', 'Africa/Casablanca', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.673968+00');
INSERT INTO public.billing_periods VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', '2026-10-01 00:00:00+00', '2026-11-01 00:00:00+00', NULL, 'UTC', '2026e', 'pro', '2026-11-02 12:00:00+00', '2026-11-30 09:44:16.937112+00');
INSERT INTO public.billing_periods VALUES ('2905e477-fb5d-46ac-99ed-4486de600f12', '2026-10-01 00:00:00+00', '2026-11-01 00:00:00+00', NULL, 'UTC', '2026e', 'starter', '2026-11-02 12:00:00+00', '2026-11-30 09:44:17.241543+00');



INSERT INTO public.feature_usage VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '20000000-0000-4000-8000-000000000001', 'scrapes', '2026-08-31 22:00:00+00', '2026-09-30 22:00:00+00', 4, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:14.297656+00');
INSERT INTO public.feature_usage VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '20000000-0000-4000-8000-000000000002', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 14, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:18.74506+00');



INSERT INTO public.features VALUES ('minutes_transcribed', 'minutes');
INSERT INTO public.features VALUES ('sms_sent', 'messages');
INSERT INTO public.features VALUES ('emails_sent', 'emails');
INSERT INTO public.features VALUES ('scrapes', 'scrapes');
INSERT INTO public.features VALUES ('ai_messages', 'messages');



INSERT INTO public.limit_overrides VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', 'sms_sent', NULL, true, NULL);
INSERT INTO public.limit_overrides VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', 12.25, true, 12.25);



INSERT INTO public.org_alert_settings VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'sms_sent', '{95}', 'included', true, '{95}', 'included');



INSERT INTO public.org_contacts VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'o`hara@acme.example', NULL);
INSERT INTO public.org_contacts VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'ops@acme.example', NULL);



INSERT INTO public.organizations VALUES ('2905e477-fb5d-46ac-99ed-4486de600f12', 'changing', 'changing Ltd', 'UTC', 'monthly', 1, 1, 'starter', 'business', '2026-12-01 00:00:00+00', NULL, NULL, '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', '2026-12-01', '{"2027-01-01 00:00:00+00","2027-02-01 00:00:00+00","2027-03-01 00:00:00+00"}', 'UTC', 'monthly', 1, 1, '2026e', 0, 0, 0, NULL, NULL, 1, '2026-11-30 09:44:12.567056+00', 0, 'starter', NULL);
INSERT INTO public.organizations VALUES ('f5aac541-fa1e-44c2-8e91-8d09dc4218a0', 'inverted', 'Inverted', 'UTC', 'monthly', 1, 1, 'free', NULL, NULL, NULL, NULL, '2026-11-10 00:00:00+00', '2026-11-10 00:00:00+00', '2026-11-10', NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, '2026-11-12 15:00:00+00', 'the period [2026-11-10T00:00:00Z, 2026-11-10T00:00:00Z) does not end after it starts', 0, '2026-11-30 09:44:20.460105+00', 0, NULL, NULL);
INSERT INTO public.organizations VALUES ('73f78fd7-c379-497c-b6cf-50c8e0f02bd4', 'martian', 'Martian', 'Mars/Base', 'monthly', 1, 1, 'free', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, '2026-11-12 15:00:00+00', 'time zone `Mars/Base` is no time zone; write it as Area/Location, such as Europe/Berlin, or UTC', 0, '2026-11-30 09:44:20.460105+00', 0, NULL, NULL);
INSERT INTO public.organizations VALUES ('3cc0b6d4-5b6a-4656-b257-4f2a66455eeb', 'daily', 'daily Ltd', 'America/New_York', 'daily', 1, 1, 'free', NULL, NULL, NULL, NULL, '2026-11-10 05:00:00+00', '2026-11-11 05:00:00+00', '2026-11-11', '{"2026-11-12 05:00:00+00","2026-11-13 05:00:00+00","2026-11-14 05:00:00+00","2026-11-15 05:00:00+00","2026-11-16 05:00:00+00","2026-11-17 05:00:00+00","2026-11-18 05:00:00+00","2026-11-19 05:00:00+00","2026-11-20 05:00:00+00","2026-11-21 05:00:00+00","2026-11-22 05:00:00+00","2026-11-23 05:00:00+00","2026-11-24 05:00:00+00","2026-11-25 05:00:00+00","2026-11-26 05:00:00+00","2026-11-27 05:00:00+00","2026-11-28 05:00:00+00","2026-11-29 05:00:00+00","2026-11-30 05:00:00+00","2026-12-01 05:00:00+00","2026-12-02 05:00:00+00","2026-12-03 05:00:00+00","2026-12-04 05:00:00+00","2026-12-05 05:00:00+00","2026-12-06 05:00:00+00","2026-12-07 05:00:00+00","2026-12-08 05:00:00+00","2026-12-09 05:00:00+00","2026-12-10 05:00:00+00","2026-12-11 05:00:00+00","2026-12-12 05:00:00+00","2026-12-13 05:00:00+00","2026-12-14 05:00:00+00","2026-12-15 05:00:00+00","2026-12-16 05:00:00+00"}', 'America/New_York', 'daily', 1, 1, '2026e', 0, 0, NULL, '2026-11-12 15:00:00+00', 'asked us to wait', 1, '2026-11-30 09:44:11.647462+00', 0, 'free', NULL);
INSERT INTO public.organizations VALUES ('10000000-0000-4000-8000-000000000009', 'new', 'New', 'Asia/Kathmandu', 'monthly', 1, 1, 'free', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, 0, '2026-11-30 09:44:20.930369+00', 0, NULL, NULL);
INSERT INTO public.organizations VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'nippon', 'nippon Ltd', 'Asia/Tokyo', 'yearly', 1, 4, 'business', NULL, NULL, NULL, NULL, '2026-03-31 15:00:00+00', '2027-03-31 15:00:00+00', '2027-04-01', '{"2028-03-31 15:00:00+00","2029-03-31 15:00:00+00","2030-03-31 15:00:00+00"}', 'Asia/Tokyo', 'yearly', 1, 4, '2026e', 0, 0, NULL, NULL, NULL, 0, '2026-11-30 09:44:11.50633+00', 0, 'business', NULL);
INSERT INTO public.organizations VALUES ('10000000-0000-4000-8000-000000000001', 'old-hand', 'Old Hand', 'UTC', 'monthly', 1, 11, 'free', NULL, NULL, NULL, NULL, '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', '2026-12-01', '{"2027-01-01 00:00:00+00","2027-02-01 00:00:00+00","2027-03-01 00:00:00+00"}', 'UTC', 'monthly', 1, 11, '2026e', 0, 0, 0, NULL, NULL, 0, '2026-11-30 09:44:10.245619+00', 0, 'free', NULL);
INSERT INTO public.organizations VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'month-end', 'month-end Ltd', 'Africa/Casablanca', 'monthly', 31, 1, 'pro', NULL, NULL, NULL, NULL, '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', '2026-11-30', '{"2026-12-31 00:00:00+00","2027-01-31 00:00:00+00","2027-02-28 00:00:00+00"}', 'Africa/Casablanca', 'monthly', 31, 1, '2026e', 1150, 0, 0, NULL, NULL, 0, '2026-11-30 09:44:11.835574+00', 0, 'pro', NULL);
INSERT INTO public.organizations VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'acme', 'acme Ltd', 'Europe/Berlin', 'monthly', 1, 1, 'pro', NULL, NULL, NULL, NULL, '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', '2026-12-01', '{"2026-12-31 23:00:00+00","2027-01-31 23:00:00+00","2027-02-28 23:00:00+00"}', 'Europe/Berlin', 'monthly', 1, 1, '2026e', 547.5, 895, 895, NULL, NULL, 5, '2026-11-30 09:44:11.259333+00', 0, 'pro', NULL);
INSERT INTO public.organizations VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'late', 'late Ltd', 'America/Sao_Paulo', 'monthly', 1, 1, 'pro', NULL, NULL, NULL, NULL, '2026-08-01 03:00:00+00', '2026-09-01 03:00:00+00', '2026-09-01', '{"2026-10-01 03:00:00+00","2026-11-01 03:00:00+00","2026-12-01 03:00:00+00"}', 'America/Sao_Paulo', 'monthly', 1, 1, '2026e', 900, 700, 700, NULL, NULL, 2, '2026-11-30 09:44:12.046066+00', 0, 'pro', NULL);
INSERT INTO public.organizations VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', 'lord-howe', 'lord-howe Ltd', 'Australia/Lord_Howe', 'weekly', 3, 1, 'pro', NULL, NULL, NULL, NULL, '2026-10-27 13:00:00+00', '2026-11-03 13:00:00+00', '2026-11-04', '{"2026-11-10 13:00:00+00","2026-11-17 13:00:00+00","2026-11-24 13:00:00+00","2026-12-01 13:00:00+00","2026-12-08 13:00:00+00"}', 'Australia/Lord_Howe', 'weekly', 3, 1, '2026e', 0, 0, 0, NULL, NULL, 0, '2026-11-30 09:44:11.733464+00', 0, 'pro', NULL);
INSERT INTO public.organizations VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'leaving', 'leaving Ltd', 'UTC', 'monthly', 1, 1, 'pro', NULL, NULL, NULL, '2026-12-01 00:00:00+00', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', '2026-12-01', '{"2027-01-01 00:00:00+00","2027-02-01 00:00:00+00","2027-03-01 00:00:00+00"}', 'UTC', 'monthly', 1, 1, '2026e', 0, 0, 0, NULL, NULL, 2, '2026-11-30 09:44:12.309967+00', 0, 'pro', NULL);



INSERT INTO public.organizations_legacy VALUES ('10000000-0000-4000-8000-000000000001', 'Old Hand', 4.5, 40, '2026-10-01 00:00:00+00', '2026-11-01 00:00:00+00');



INSERT INTO public.overage_entries VALUES ('10000000-0000-4000-8000-000000000001', 'e1c42330-c256-42f0-a1b8-ebe6ce679677', 1, 'granted', 40, '2026-11-30 09:44:10.245619+00', NULL, 40, '2026-11-30 09:44:10.245619+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'c7550fb6-5cc3-4281-ae65-2326f988abed', 1, 'granted', 1000, '2026-08-10 00:00:00+00', NULL, 1000, '2026-11-30 09:44:13.208882+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '366bd438-33de-41ae-9de4-c7e40a5cf780', 1, 'granted', 80, '2026-08-10 00:00:00+00', NULL, 80, '2026-11-30 09:44:13.377643+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '61707e7d-6697-42f1-bd9d-afe19bde9726', 1, 'granted', 6, '2026-10-01 00:00:00+00', NULL, 6, '2026-11-30 09:44:13.565834+00');
INSERT INTO public.overage_entries VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'f3b13be8-c550-40c0-a636-0b2e63fd631f', 1, 'granted', 1000, '2026-08-01 12:00:00+00', NULL, 1000, '2026-11-30 09:44:13.714049+00');
INSERT INTO public.overage_entries VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', '0e8fb32e-e9dd-447c-a2eb-7b15647bc852', 1, 'granted', 120.5, '2026-08-01 12:00:00+00', NULL, 120.5, '2026-11-30 09:44:13.800045+00');
INSERT INTO public.overage_entries VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'f92dd448-6352-4d2d-a9f7-387e1b1a76f9', 1, 'granted', 3, '2026-10-05 00:00:00+00', NULL, 3, '2026-11-30 09:44:15.407976+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'c7550fb6-5cc3-4281-ae65-2326f988abed', 2, 'drawn', 100, '2026-08-31 22:00:00+00', '2026-07-31 22:00:00+00', 900, '2026-11-30 09:44:15.443845+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '366bd438-33de-41ae-9de4-c7e40a5cf780', 2, 'drawn', 9.5, '2026-09-15 00:00:00+00', '2026-08-31 22:00:00+00', 70.5, '2026-11-30 09:44:15.443845+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '366bd438-33de-41ae-9de4-c7e40a5cf780', 3, 'expired', 70.5, '2026-09-15 00:00:00+00', '2026-08-31 22:00:00+00', 0, '2026-11-30 09:44:15.443845+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'c7550fb6-5cc3-4281-ae65-2326f988abed', 3, 'drawn', 5, '2026-11-03 12:00:00+00', '2026-07-31 22:00:00+00', 895, '2026-11-30 09:44:18.073231+00');
INSERT INTO public.overage_entries VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '61707e7d-6697-42f1-bd9d-afe19bde9726', 2, 'refunded', 2, '2026-11-12 12:00:00+00', NULL, 4, '2026-11-30 09:44:19.083159+00');



INSERT INTO public.overage_packs VALUES ('e1c42330-c256-42f0-a1b8-ebe6ce679677', '10000000-0000-4000-8000-000000000001', 'minutes_transcribed', 40, 40, '2026-11-30 09:44:10.245619+00', NULL, 'periodd-import:overage', 1);
INSERT INTO public.overage_packs VALUES ('f3b13be8-c550-40c0-a636-0b2e63fd631f', '9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', 1000, 1000, '2026-08-01 12:00:00+00', NULL, 'inv-4', 1);
INSERT INTO public.overage_packs VALUES ('0e8fb32e-e9dd-447c-a2eb-7b15647bc852', '9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', 120.5, 120.5, '2026-08-01 12:00:00+00', '2026-09-20 00:00:00+00', 'inv-5', 1);
INSERT INTO public.overage_packs VALUES ('f92dd448-6352-4d2d-a9f7-387e1b1a76f9', 'f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', 3, 3, '2026-10-05 00:00:00+00', NULL, NULL, 1);
INSERT INTO public.overage_packs VALUES ('366bd438-33de-41ae-9de4-c7e40a5cf780', '4c406da9-471c-43fe-8e94-6f999b09904c', 'sms_sent', 80, 0, '2026-08-10 00:00:00+00', '2026-09-15 00:00:00+00', 'inv-2', 3);
INSERT INTO public.overage_packs VALUES ('c7550fb6-5cc3-4281-ae65-2326f988abed', '4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', 1000, 895, '2026-08-10 00:00:00+00', NULL, 'inv-1', 3);
INSERT INTO public.overage_packs VALUES ('61707e7d-6697-42f1-bd9d-afe19bde9726', '4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', 6, 4, '2026-10-01 00:00:00+00', NULL, 'inv-3', 2);



INSERT INTO public.pack_offers VALUES ('minutes-300', 'minutes_transcribed', 300, 2900, 'USD');



INSERT INTO public.periodd_alert_limits VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'sms_sent', '2026-03-31 15:00:00+00', '2027-03-31 15:00:00+00', 1, 1000, 955, 1, '2026-11-12 14:00:00+00');
INSERT INTO public.periodd_alert_limits VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 1, 16.25, 14, 1, '2026-11-12 14:00:00+00');
INSERT INTO public.periodd_alert_limits VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'minutes_transcribed', '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', 1, 600, 1150, 1, '2026-11-12 14:00:00+00');
INSERT INTO public.periodd_alert_limits VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', 1, 103, 101, 1, '2026-11-12 14:00:00+00');



INSERT INTO public.periodd_alerts VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'minutes_transcribed', '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', 1, 80, 'covered', false, 'allowance', 1150, 600, 0, 0, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'minutes_transcribed', '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', 1, 90, 'covered', false, 'allowance', 1150, 600, 0, 0, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'minutes_transcribed', '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', 1, 100, 'waiting', false, 'allowance', 1150, 600, 0, 0, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 1, 80, 'notified', false, 'allowance', 14, 12.25, 0, 4, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', 1, 80, 'covered', false, 'allowance', 101, 100, 0, 3, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', 1, 90, 'waiting', false, 'allowance', 101, 100, 0, 3, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_alerts VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'sms_sent', '2026-03-31 15:00:00+00', '2027-03-31 15:00:00+00', 1, 95, 'waiting', false, 'included', 955, 1000, 0, 0, '2026-11-12 14:00:00+00', '2026-11-30 09:44:19.916925+00');



INSERT INTO public.periodd_audited VALUES ('ee157ac3-347c-45d0-a1ff-12f3133bb20f', '064e6299-24e5-4371-a44b-e162ec0ae1d5', 'f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', '{064e6299-24e5-4371-a44b-e162ec0ae1d5,582d6c43-a82f-45ad-90e6-eb5098cc9570,9e540245-6fe9-4ada-847f-b4b33c00aa98,9e540245-6fe9-4ada-847f-b4b33c00aa98,f9c29a7d-4d9a-4bad-8025-5d0353a7fa38,4c406da9-471c-43fe-8e94-6f999b09904c,9e540245-6fe9-4ada-847f-b4b33c00aa98,2905e477-fb5d-46ac-99ed-4486de600f12,9e540245-6fe9-4ada-847f-b4b33c00aa98}', '{"2026-03-31 15:00:00+00","2026-10-31 00:00:00+00","2026-08-01 03:00:00+00","2026-09-01 03:00:00+00","2026-11-01 00:00:00+00","2026-10-31 23:00:00+00","2026-11-01 03:00:00+00","2026-11-01 00:00:00+00","2026-10-01 03:00:00+00"}', '{"2027-03-31 15:00:00+00","2026-11-30 00:00:00+00","2026-09-01 03:00:00+00","2026-10-01 03:00:00+00","2026-12-01 00:00:00+00","2026-11-30 23:00:00+00","2026-12-01 03:00:00+00","2026-12-01 00:00:00+00","2026-11-01 03:00:00+00"}', '{1,2,1,1,1,3,1,1,1}', true);






INSERT INTO public.periodd_drift VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'db8f3de5-2014-4545-97ab-b47f816582bf', 11, '2026-11-12 13:00:00+00', 'sms_sent', '2026-03-31 15:00:00+00', 'usage_counters.used', '064e6299-24e5-4371-a44b-e162ec0ae1d5', 956, 955, -1, 'the counter was not the sum of its counted metrics', '2026-11-30 09:44:19.607388+00');



INSERT INTO public.periodd_facts VALUES ('tzdb_release', '2026e');
INSERT INTO public.periodd_facts VALUES ('alerts_judged', '{"began":"2026-11-30T09:44:19.842396Z","now":"2026-11-12T14:00:00Z","everything_at":"2026-11-12T14:00:00Z","watch":"* [80, 90, 100] allowance;"}');



INSERT INTO public.periodd_import_sums VALUES (1, '10000000-0000-4000-8000-000000000001', 'sms_sent', NULL, 7);
INSERT INTO public.periodd_import_sums VALUES (1, '10000000-0000-4000-8000-000000000001', 'minutes_transcribed', NULL, 4.5);
INSERT INTO public.periodd_import_sums VALUES (1, '10000000-0000-4000-8000-000000000001', 'sms_sent', '-infinity', 7);
INSERT INTO public.periodd_import_sums VALUES (1, '10000000-0000-4000-8000-000000000001', 'minutes_transcribed', '-infinity', 4.5);



INSERT INTO public.periodd_imports VALUES (1, '2026-11-30 09:44:10.245619+00', '{organizations,usage_metrics}', '{organizations_pkey,usage_metrics_pkey}', '{}', '{}', 'select org_id, feature, s.start as period_start, sum(amount) as amount
         from (select m.organization_id as org_id, lower(m.metric_type) as feature, to_timestamp(split_part(m.idempotency_key, '':'', 4), ''YYYYMMDDHH24MISSUS'')::timestamp at time zone ''UTC'' as period_start, m.metric_value as amount
         from usage_metrics m where m.idempotency_key like ''periodd-import:%'' union all select m.organization_id as org_id, lower(m.metric_type) as feature, null, m.metric_value
             from usage_metrics m join "usage_metrics_legacy" l on l.id = m.id
             where (m.idempotency_key like ''periodd-import:%'') is not true) r,
              lateral (values (period_start), (''-infinity''::timestamptz)) as s (start)
         group by 1, 2, 3', NULL);



INSERT INTO public.periodd_migrations VALUES (1, 'tenants', '\x515298acfe506660bcf0b44047c515a7704330a141907ab16d8dd7d9a67255d9902f99282a507ea5583f303c6437e98f', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (2, 'usage', '\x9cb27a83c133d38d2001a80dd5192d2be27862ac7f37311ae085b7fe2af8d6d2226393b64cdff35f71384e9d856bf875', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (3, 'packs', '\xb642d60e60c7dcd8a122f6417e2e7920d78c88a0e4518406393079642d4b2f0f4ce7f970d01d427147f790d4c2fb67da', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (4, 'periods', '\xcd27996c9d69b1fc7c98bf3f1f41ec230f21165a57f8a785462dd9b6f9f9f6857424c5a701195318a0c82a19c35265c5', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (5, 'functions', '\x68441d34992d1ed6d0ae620a66214572f69b6ee04c617f202e6a19055e4bee22beea9f779f22883fd890cb95bd404835', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (6, 'runs', '\x7bb12198a5c97b5601b61b7847f275e01cb0457b25a93c8f88aad6fb03b8ce223cbf39af25faa73978218086ada01d2a', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (7, 'sync', '\x36d79daf131625323e6501fe9c95ec3f5b06bb91bc639d177e6aa6906c46e60f713da24e8d5428d8b1e1868cd48103a2', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (8, 'alerts', '\xc9d0cf385f464df421ec96a7665c0aff629f9fe270f4ac0ca6d123c2c81c92a7a57c7c799737e2c43a960108219a584c', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (9, 'api', '\xc4da630dbabb0128506131c11287d14964f3c7e1793073d6b79967b3dd35170923238f9d3549b06edcb13758c1fc325c', '2026-11-30 09:44:10.245619+00');
INSERT INTO public.periodd_migrations VALUES (10, 'import', '\xbe5661da0f1f5c23c94c088cc6e0f2ca0cb12b9000b3faf88f36734fcf3d0faa9955bc3fcb703063f3ce8b354ae6b7ce', '2026-11-30 09:44:10.245619+00');






INSERT INTO public.periodd_outbox VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', '68336716-a032-465a-b583-83729a38ee3f', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 1, 80, 'o`hara@acme.example', 'due', 1, '2026-11-30 09:45:50.91113+00', NULL, NULL, '68336716-a032-465a-b583-83729a38ee3f@example.com', '2026-11-12 14:00:00+00', '{"template":null,"threshold":80,"limit_change":false,"basis":"allowance","org_name":"acme Ltd","org_slug":"acme","feature":"scrapes","unit":"scrapes","used":14,"included":12.25,"drawn":0,"purchased_remaining":2.25,"allowance":16.25,"period_start":"2026-11-01T00:00:00+01:00","period_end":"2026-12-01T00:00:00+01:00","time_zone":"Europe/Berlin","locale":"en","forecast":{"used_up_on":null,"expected_at_end":14},"offer":[],"composed_at":"2026-11-12T15:00:00+01:00"}', 'localhost:9 cannot be reached: Connection refused (os error 111)', NULL, '2026-11-30 09:44:19.916925+00');
INSERT INTO public.periodd_outbox VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'e9539a5f-3884-4ba0-8627-f7295901881f', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 1, 80, 'ops@acme.example', 'due', 1, '2026-11-30 09:45:54.737653+00', NULL, NULL, 'e9539a5f-3884-4ba0-8627-f7295901881f@example.com', '2026-11-12 14:00:00+00', '{"template":null,"threshold":80,"limit_change":false,"basis":"allowance","org_name":"acme Ltd","org_slug":"acme","feature":"scrapes","unit":"scrapes","used":14,"included":12.25,"drawn":0,"purchased_remaining":2.25,"allowance":16.25,"period_start":"2026-11-01T00:00:00+01:00","period_end":"2026-12-01T00:00:00+01:00","time_zone":"Europe/Berlin","locale":"en","forecast":{"used_up_on":null,"expected_at_end":14},"offer":[],"composed_at":"2026-11-12T15:00:00+01:00"}', 'localhost:9 cannot be reached: Connection refused (os error 111)', NULL, '2026-11-30 09:44:19.916925+00');






INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (1, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18011', NULL, 1, '2026-11-30 09:44:15.391873+00', '2026-11-30 09:44:15.514904+00', NULL, '{"orgs": 1, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 3, "periods_closed": 3}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (2, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18025', NULL, 1, '2026-11-30 09:44:15.71586+00', '2026-11-30 09:44:15.813012+00', NULL, '{"orgs": 0, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (3, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18062', NULL, 1, '2026-11-30 09:44:15.980888+00', '2026-11-30 09:44:16.069757+00', NULL, '{"orgs": 0, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (4, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18070', NULL, 1, '2026-11-30 09:44:16.177463+00', '2026-11-30 09:44:16.447348+00', NULL, '{"orgs": 1, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 4}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (5, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18106', NULL, 1, '2026-11-30 09:44:16.600001+00', '2026-11-30 09:44:16.732771+00', NULL, '{"orgs": 1, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 2}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (6, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18125', NULL, 1, '2026-11-30 09:44:16.835576+00', '2026-11-30 09:44:17.022773+00', NULL, '{"orgs": 1, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 1}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (7, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18160', NULL, 1, '2026-11-30 09:44:17.174945+00', '2026-11-30 09:44:17.343052+00', NULL, '{"orgs": 1, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 1}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (8, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18186', NULL, 1, '2026-11-30 09:44:17.499184+00', '2026-11-30 09:44:17.652365+00', NULL, '{"orgs": 0, "opened": 0, "parked": 0, "conflicts": 0, "pack_entries": 0, "periods_closed": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (9, 'audit', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18228', NULL, 1, '2026-11-30 09:44:18.031767+00', '2026-11-30 09:44:18.253778+00', NULL, '{"late": 2, "parked": 0, "conflicts": 0, "drift_found": 0, "orgs_audited": 1, "columns_written": 3, "counters_synced": 6, "metrics_counted": 0, "purchases_without_pack": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (10, 'sync', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18327', NULL, 1, '2026-11-30 09:44:19.255642+00', '2026-11-30 09:44:19.340269+00', NULL, '{"late": 0, "parked": 0, "conflicts": 0, "drift_found": 0, "orgs_audited": null, "columns_written": 5, "counters_synced": 13, "metrics_counted": 1, "purchases_without_pack": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (11, 'audit', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18342', NULL, 1, '2026-11-30 09:44:19.493164+00', '2026-11-30 09:44:19.64933+00', NULL, '{"late": 0, "parked": 0, "conflicts": 0, "drift_found": 1, "orgs_audited": 9, "columns_written": 1, "counters_synced": 1, "metrics_counted": 0, "purchases_without_pack": 0}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (12, 'alerts', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18381', NULL, 1, '2026-11-30 09:44:19.833426+00', '2026-11-30 09:44:20.169473+00', NULL, '{"alerts": {"emails": 2, "judged": 4, "missed": 0, "covered": 3, "waiting": 3, "notified": 1, "recorded": 0, "everything": true}, "emails": {"sent": 0, "expired": 0, "given_up": 0, "postponed": 2, "locked_out": null, "suppressed": 0, "unreachable": "localhost:9 cannot be reached: Connection refused (os error 111)"}}', NULL);
INSERT INTO public.periodd_runs OVERRIDING SYSTEM VALUE VALUES (13, 'rollover', 'command', NULL, NULL, 1, 'done', NULL, 'vm:18450', NULL, 1, '2026-11-30 09:44:20.597802+00', '2026-11-30 09:44:20.717149+00', NULL, '{"orgs": 0, "opened": 0, "parked": 2, "conflicts": 0, "pack_entries": 0, "periods_closed": 0}', NULL);



INSERT INTO public.periodd_schedules VALUES ('rollover', 'schedule', NULL, 3370813998321910323, '2026-11-30 09:44:20.378827+00', '2026-11-30 09:44:20.378827+00', 'moving the database', NULL, NULL, NULL, NULL, 0);
INSERT INTO public.periodd_schedules VALUES ('rollover', 'boundary', NULL, 3370813998321910323, '2026-11-30 09:44:20.378827+00', '2026-11-30 09:44:20.378827+00', 'moving the database', NULL, NULL, NULL, NULL, 0);



INSERT INTO public.periodd_suppressions VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'gone@acme.example', '', '2026-11-30 09:44:19.702123+00');



INSERT INTO public.subscription_tiers VALUES ('free', 'Free', 0, 'USD');
INSERT INTO public.subscription_tiers VALUES ('starter', 'Starter', 2900, 'USD');
INSERT INTO public.subscription_tiers VALUES ('pro', 'Pro', 7900, 'USD');
INSERT INTO public.subscription_tiers VALUES ('business', 'Business', 14900, 'USD');



INSERT INTO public.tier_limits VALUES ('free', 'scrapes', 5, true, 5);
INSERT INTO public.tier_limits VALUES ('free', 'minutes_transcribed', 10, true, 10);
INSERT INTO public.tier_limits VALUES ('pro', 'minutes_transcribed', 600, true, 600);
INSERT INTO public.tier_limits VALUES ('pro', 'scrapes', 100, true, 100);
INSERT INTO public.tier_limits VALUES ('pro', 'sms_sent', 250.5, true, 250.5);
INSERT INTO public.tier_limits VALUES ('business', 'minutes_transcribed', NULL, true, NULL);
INSERT INTO public.tier_limits VALUES ('business', 'sms_sent', 1000, true, 1000);



INSERT INTO public.usage_counters VALUES ('064e6299-24e5-4371-a44b-e162ec0ae1d5', 'sms_sent', '2026-03-31 15:00:00+00', '2027-03-31 15:00:00+00', 955, 'synced', '2026-11-30 09:44:19.507382+00', 1, '2026-11-30 09:44:19.507382+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-07-31 22:00:00+00', '2026-08-31 22:00:00+00', 0, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:13.565834+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'sms_sent', '2026-07-31 22:00:00+00', '2026-08-31 22:00:00+00', 0, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:13.377643+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-08-31 22:00:00+00', '2026-09-30 22:00:00+00', 4, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:14.297656+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'sms_sent', '2026-08-31 22:00:00+00', '2026-09-30 22:00:00+00', 260, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:14.161571+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-07-31 22:00:00+00', '2026-08-31 22:00:00+00', 705, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:17.868326+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-09-30 22:00:00+00', '2026-10-31 23:00:00+00', 30, 'synced', '2026-11-30 09:44:18.032674+00', 0, '2026-11-30 09:44:17.760834+00', 0);
INSERT INTO public.usage_counters VALUES ('2905e477-fb5d-46ac-99ed-4486de600f12', 'emails_sent', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', 3, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:19.256408+00', 0);
INSERT INTO public.usage_counters VALUES ('48ddf06c-c7d9-46b6-9778-917004fde027', 'sms_sent', '2026-09-29 13:30:00+00', '2026-10-06 13:00:00+00', 7000.000001, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:14.632864+00', 0);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'minutes_transcribed', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 547.5, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:18.593248+00', 4);
INSERT INTO public.usage_counters VALUES ('4c406da9-471c-43fe-8e94-6f999b09904c', 'scrapes', '2026-10-31 23:00:00+00', '2026-11-30 23:00:00+00', 14, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:18.74506+00', 5);
INSERT INTO public.usage_counters VALUES ('582d6c43-a82f-45ad-90e6-eb5098cc9570', 'minutes_transcribed', '2026-10-31 00:00:00+00', '2026-11-30 00:00:00+00', 1150, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:18.871332+00', 0);
INSERT INTO public.usage_counters VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', '2026-08-01 03:00:00+00', '2026-09-01 03:00:00+00', 900, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:14.826175+00', 0);
INSERT INTO public.usage_counters VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', '2026-09-01 03:00:00+00', '2026-10-01 03:00:00+00', 900, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:14.929151+00', 0);
INSERT INTO public.usage_counters VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', '2026-10-01 03:00:00+00', '2026-11-01 03:00:00+00', 900, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:15.106366+00', 0);
INSERT INTO public.usage_counters VALUES ('9e540245-6fe9-4ada-847f-b4b33c00aa98', 'minutes_transcribed', '2026-11-01 03:00:00+00', '2026-12-01 03:00:00+00', 100, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:15.277257+00', 0);
INSERT INTO public.usage_counters VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', '2026-10-01 00:00:00+00', '2026-11-01 00:00:00+00', 0, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:15.407976+00', 0);
INSERT INTO public.usage_counters VALUES ('f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', 'scrapes', '2026-11-01 00:00:00+00', '2026-12-01 00:00:00+00', 101, 'synced', '2026-11-30 09:44:19.256408+00', 0, '2026-11-30 09:44:19.021738+00', 0);



INSERT INTO public.usage_metrics VALUES ('f1375318-56fa-41b3-aba9-b34f58ada399', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'minutes_transcribed', 700, '2026-08-20 10:00:00+00', '2026-11-30 09:44:13.996219+00', '2026-11-30 09:44:13.996219+00', NULL);
INSERT INTO public.usage_metrics VALUES ('abb2b9be-b648-4ee9-ac42-65ac635dba75', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'sms_sent', 260, '2026-09-10 10:00:00+00', '2026-11-30 09:44:14.161571+00', '2026-11-30 09:44:14.161571+00', NULL);
INSERT INTO public.usage_metrics VALUES ('8ff57183-6d4a-4109-93b6-d6fdfb5d93ad', '4c406da9-471c-43fe-8e94-6f999b09904c', '20000000-0000-4000-8000-000000000001', 'scrapes', 4, '2026-09-10 10:00:00+00', '2026-11-30 09:44:14.297656+00', '2026-11-30 09:44:14.297656+00', 'click-1');
INSERT INTO public.usage_metrics VALUES ('8c8157ba-25c2-4834-a5c7-3e9f3f7274b0', '064e6299-24e5-4371-a44b-e162ec0ae1d5', NULL, 'sms_sent', 955, '2026-05-01 00:00:00+00', '2026-11-30 09:44:14.44051+00', '2026-11-30 09:44:14.44051+00', NULL);
INSERT INTO public.usage_metrics VALUES ('68d06132-5189-4ed2-9b43-945295f73d4e', '48ddf06c-c7d9-46b6-9778-917004fde027', NULL, 'sms_sent', 7000.000001, '2026-10-03 16:00:00+00', '2026-11-30 09:44:14.632864+00', '2026-11-30 09:44:14.632864+00', NULL);
INSERT INTO public.usage_metrics VALUES ('5d2b4052-7856-4ee5-a422-41e06d4f43fd', '582d6c43-a82f-45ad-90e6-eb5098cc9570', NULL, 'minutes_transcribed', 590, '2026-10-31 09:00:00+00', '2026-11-30 09:44:14.745798+00', '2026-11-30 09:44:14.745798+00', NULL);
INSERT INTO public.usage_metrics VALUES ('7b9b1981-0bf1-43d0-b546-364cdfe1ca18', '9e540245-6fe9-4ada-847f-b4b33c00aa98', NULL, 'minutes_transcribed', 900, '2026-08-12 12:00:00+00', '2026-11-30 09:44:14.826175+00', '2026-11-30 09:44:14.826175+00', NULL);
INSERT INTO public.usage_metrics VALUES ('23ad849c-276e-4801-8e81-2f11fb5c7f4d', '9e540245-6fe9-4ada-847f-b4b33c00aa98', NULL, 'minutes_transcribed', 900, '2026-09-12 12:00:00+00', '2026-11-30 09:44:14.929151+00', '2026-11-30 09:44:14.929151+00', NULL);
INSERT INTO public.usage_metrics VALUES ('728f7321-3567-4703-8502-046e32511a2c', '9e540245-6fe9-4ada-847f-b4b33c00aa98', NULL, 'minutes_transcribed', 900, '2026-10-12 12:00:00+00', '2026-11-30 09:44:15.106366+00', '2026-11-30 09:44:15.106366+00', NULL);
INSERT INTO public.usage_metrics VALUES ('e8137c7c-f33d-4124-85b2-8f7ec9e7541d', '9e540245-6fe9-4ada-847f-b4b33c00aa98', NULL, 'minutes_transcribed', 100, '2026-11-11 12:00:00+00', '2026-11-30 09:44:15.277257+00', '2026-11-30 09:44:15.277257+00', NULL);
INSERT INTO public.usage_metrics VALUES ('5b875f21-3a08-4e28-901d-5dfdb489ca1a', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'minutes_transcribed', 30, '2026-10-31 20:00:00+00', '2026-11-30 09:44:17.760834+00', '2026-11-30 09:44:17.760834+00', NULL);
INSERT INTO public.usage_metrics VALUES ('7de4b869-b425-44a8-84eb-4216dec7d5f9', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'minutes_transcribed', 5, '2026-08-21 10:00:00+00', '2026-11-30 09:44:17.868326+00', '2026-11-30 09:44:17.868326+00', NULL);
INSERT INTO public.usage_metrics VALUES ('3163a218-eda5-410c-a462-132dc3bcf81b', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'minutes_transcribed', 550, '2026-11-12 09:00:00+00', '2026-11-30 09:44:18.461073+00', '2026-11-30 09:44:18.461073+00', NULL);
INSERT INTO public.usage_metrics VALUES ('8d15a0fb-f47a-4140-9c14-d752128f42d5', '4c406da9-471c-43fe-8e94-6f999b09904c', NULL, 'minutes_transcribed', -2.5, '2026-11-12 10:00:00+00', '2026-11-30 09:44:18.593248+00', '2026-11-30 09:44:18.593248+00', 'take-back');
INSERT INTO public.usage_metrics VALUES ('a67193ba-559d-428d-9dcd-ba488714a3bd', '4c406da9-471c-43fe-8e94-6f999b09904c', '20000000-0000-4000-8000-000000000002', 'scrapes', 14, '2026-11-12 10:00:00+00', '2026-11-30 09:44:18.74506+00', '2026-11-30 09:44:18.74506+00', 'click-2');
INSERT INTO public.usage_metrics VALUES ('78359807-90c1-4a7f-bad2-3dd1d1cab454', '582d6c43-a82f-45ad-90e6-eb5098cc9570', NULL, 'minutes_transcribed', 560, '2026-11-11 09:00:00+00', '2026-11-30 09:44:18.871332+00', '2026-11-30 09:44:18.871332+00', NULL);
INSERT INTO public.usage_metrics VALUES ('3f8b40c3-a09d-4e36-ab10-0182a8abc420', 'f9c29a7d-4d9a-4bad-8025-5d0353a7fa38', NULL, 'scrapes', 101, '2026-11-05 00:00:00+00', '2026-11-30 09:44:19.021738+00', '2026-11-30 09:44:19.021738+00', NULL);
INSERT INTO public.usage_metrics VALUES ('30cc5fe3-067e-4f91-b69e-9f266c5aa527', '2905e477-fb5d-46ac-99ed-4486de600f12', NULL, 'Emails_Sent', 3, '2026-11-12 11:00:00+00', '2026-11-30 09:44:19.137195+00', '2026-11-30 09:44:19.256408+00', '');
INSERT INTO public.usage_metrics VALUES ('bfe485f8-2803-4b15-a251-f1dae8712b6f', '10000000-0000-4000-8000-000000000001', NULL, 'Minutes_Transcribed', 3, '2026-10-02 08:00:00+00', '2026-11-30 09:44:10.245619+00', '2026-11-30 09:44:19.256408+00', NULL);
INSERT INTO public.usage_metrics VALUES ('a0f2bf59-e74a-467a-b9c1-5482c81ac90b', '10000000-0000-4000-8000-000000000001', NULL, 'minutes_transcribed', 1.5, '2026-10-03 08:00:00+00', '2026-11-30 09:44:10.245619+00', '2026-11-30 09:44:19.256408+00', NULL);
INSERT INTO public.usage_metrics VALUES ('e09f1102-9f9f-428d-ad8c-2fd70a4c26ff', '10000000-0000-4000-8000-000000000001', NULL, 'sms_sent', 7, '2026-09-03 08:00:00+00', '2026-11-30 09:44:10.245619+00', '2026-11-30 09:44:19.256408+00', NULL);
INSERT INTO public.usage_metrics VALUES ('1e819e19-a692-446e-b286-c4c05cd1f2b5', '10000000-0000-4000-8000-000000000009', NULL, 'scrapes', 2, '2026-11-12 11:00:00+00', '2026-11-30 09:44:20.930369+00', NULL, NULL);



INSERT INTO public.usage_metrics_legacy VALUES ('bfe485f8-2803-4b15-a251-f1dae8712b6f', '10000000-0000-4000-8000-000000000001', 'Minutes_Transcribed', 3, '2026-10-02 08:00:00+00');
INSERT INTO public.usage_metrics_legacy VALUES ('a0f2bf59-e74a-467a-b9c1-5482c81ac90b', '10000000-0000-4000-8000-000000000001', 'minutes_transcribed', 1.5, '2026-10-03 08:00:00+00');
INSERT INTO public.usage_metrics_legacy VALUES ('e09f1102-9f9f-428d-ad8c-2fd70a4c26ff', '10000000-0000-4000-8000-000000000001', 'sms_sent', 7, '2026-09-03 08:00:00+00');



INSERT INTO public.users VALUES ('20000000-0000-4000-8000-000000000001', '4c406da9-471c-43fe-8e94-6f999b09904c', 'user1@acme.example', NULL, NULL, 0, 12.25, '2026-11-30 09:44:12.628279+00');
INSERT INTO public.users VALUES ('20000000-0000-4000-8000-000000000002', '4c406da9-471c-43fe-8e94-6f999b09904c', 'user2@acme.example', 'legacy', NULL, 14, 12.25, '2026-11-30 09:44:12.628279+00');



SELECT pg_catalog.setval('public.periodd_runs_id_seq', 13, true);



ALTER TABLE ONLY public.billing_adjustments
    ADD CONSTRAINT billing_adjustments_pkey PRIMARY KEY (org_id, period_start, feature, seq);



ALTER TABLE ONLY public.billing_period_usage
    ADD CONSTRAINT billing_period_usage_pkey PRIMARY KEY (org_id, period_start, feature);



ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_org_id_period_end_key UNIQUE (org_id, period_end);



ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_pkey PRIMARY KEY (org_id, period_start);



ALTER TABLE ONLY public.feature_usage
    ADD CONSTRAINT feature_usage_pkey PRIMARY KEY (organization_id, user_id, period_start, feature);



ALTER TABLE ONLY public.features
    ADD CONSTRAINT features_pkey PRIMARY KEY (feature);



ALTER TABLE ONLY public.limit_overrides
    ADD CONSTRAINT limit_overrides_pkey PRIMARY KEY (org_id, feature);



ALTER TABLE ONLY public.org_alert_settings
    ADD CONSTRAINT org_alert_settings_pkey PRIMARY KEY (org_id, feature);



ALTER TABLE ONLY public.org_contacts
    ADD CONSTRAINT org_contacts_pkey PRIMARY KEY (org_id, email);



ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.organizations_legacy
    ADD CONSTRAINT organizations_pkey_legacy PRIMARY KEY (id);



ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_slug_key UNIQUE (slug);



ALTER TABLE ONLY public.overage_entries
    ADD CONSTRAINT overage_entries_pkey PRIMARY KEY (org_id, pack_id, seq);



ALTER TABLE ONLY public.overage_packs
    ADD CONSTRAINT overage_packs_org_id_reference_key UNIQUE (org_id, reference);



ALTER TABLE ONLY public.overage_packs
    ADD CONSTRAINT overage_packs_pkey PRIMARY KEY (org_id, id);



ALTER TABLE ONLY public.pack_offers
    ADD CONSTRAINT pack_offers_pkey PRIMARY KEY (code);



ALTER TABLE ONLY public.periodd_alert_limits
    ADD CONSTRAINT periodd_alert_limits_pkey PRIMARY KEY (org_id, period_start, feature);



ALTER TABLE ONLY public.periodd_alerts
    ADD CONSTRAINT periodd_alerts_pkey PRIMARY KEY (org_id, period_start, feature, generation, threshold);



ALTER TABLE ONLY public.periodd_audited
    ADD CONSTRAINT periodd_audited_pkey PRIMARY KEY (audit, first_org);



ALTER TABLE ONLY public.periodd_derived
    ADD CONSTRAINT periodd_derived_pkey PRIMARY KEY (org_id, target, key);



ALTER TABLE ONLY public.periodd_drift
    ADD CONSTRAINT periodd_drift_pkey PRIMARY KEY (org_id, id);



ALTER TABLE ONLY public.periodd_facts
    ADD CONSTRAINT periodd_facts_pkey PRIMARY KEY (name);



ALTER TABLE ONLY public.periodd_import_sums
    ADD CONSTRAINT periodd_import_sums_import_org_id_feature_period_start_key UNIQUE (import, org_id, feature, period_start);



ALTER TABLE ONLY public.periodd_imports
    ADD CONSTRAINT periodd_imports_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.periodd_migrations
    ADD CONSTRAINT periodd_migrations_pkey PRIMARY KEY (version);



ALTER TABLE ONLY public.periodd_moved_ends
    ADD CONSTRAINT periodd_moved_ends_pkey PRIMARY KEY (org_id, moved_at);



ALTER TABLE ONLY public.periodd_outbox
    ADD CONSTRAINT periodd_outbox_org_id_period_start_feature_generation_thres_key UNIQUE (org_id, period_start, feature, generation, threshold, recipient);



ALTER TABLE ONLY public.periodd_outbox
    ADD CONSTRAINT periodd_outbox_pkey PRIMARY KEY (org_id, id);



ALTER TABLE ONLY public.periodd_removed
    ADD CONSTRAINT periodd_removed_pkey PRIMARY KEY (org_id);



ALTER TABLE ONLY public.periodd_runs
    ADD CONSTRAINT periodd_runs_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.periodd_schedules
    ADD CONSTRAINT periodd_schedules_pkey PRIMARY KEY (job, trigger);



ALTER TABLE ONLY public.periodd_suppressions
    ADD CONSTRAINT periodd_suppressions_pkey PRIMARY KEY (org_id, email);



ALTER TABLE ONLY public.periodd_zone_months
    ADD CONSTRAINT periodd_zone_months_pkey PRIMARY KEY (time_zone);



ALTER TABLE ONLY public.subscription_tiers
    ADD CONSTRAINT subscription_tiers_pkey PRIMARY KEY (code);



ALTER TABLE ONLY public.tier_limits
    ADD CONSTRAINT tier_limits_pkey PRIMARY KEY (tier, feature);



ALTER TABLE ONLY public.usage_counters
    ADD CONSTRAINT usage_counters_pkey PRIMARY KEY (org_id, period_start, feature);



ALTER TABLE ONLY public.usage_metrics
    ADD CONSTRAINT usage_metrics_pkey PRIMARY KEY (organization_id, id);



ALTER TABLE ONLY public.usage_metrics_legacy
    ADD CONSTRAINT usage_metrics_pkey_legacy PRIMARY KEY (id);



ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_id_key UNIQUE (id);



ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (organization_id, id);



CREATE UNIQUE INDEX billing_periods_first ON public.billing_periods USING btree (org_id) WHERE (follows IS NULL);



CREATE INDEX feature_usage_pending ON public.feature_usage USING btree (organization_id) WHERE (sync_status = 'pending'::text);



CREATE INDEX limit_overrides_moved ON public.limit_overrides USING btree (org_id) INCLUDE (feature, included) WHERE ((NOT judged) OR (included IS DISTINCT FROM judged_included));



CREATE INDEX org_alert_settings_moved ON public.org_alert_settings USING btree (org_id) WHERE ((NOT judged) OR ((thresholds IS DISTINCT FROM judged_thresholds) OR (basis IS DISTINCT FROM judged_basis)));



CREATE INDEX organizations_due ON public.organizations USING btree (current_period_end, id) WHERE (parked_at IS NULL);



CREATE INDEX organizations_parked ON public.organizations USING btree (id) WHERE (parked_at IS NOT NULL);



CREATE INDEX organizations_stale_ends ON public.organizations USING btree (id) WHERE ((parked_at IS NULL) AND ((next_period_ends IS NULL) OR ((((time_zone IS DISTINCT FROM ends_time_zone) OR (cycle IS DISTINCT FROM ends_cycle)) OR (anchor_day IS DISTINCT FROM ends_anchor_day)) OR (anchor_month IS DISTINCT FROM ends_anchor_month))));



CREATE INDEX organizations_tier_moved ON public.organizations USING btree (id) INCLUDE (subscription_tier) WHERE (judged_tier <> subscription_tier);



CREATE INDEX organizations_tier_unjudged ON public.organizations USING btree (id) WHERE (judged_tier IS NULL);



CREATE INDEX organizations_unopened ON public.organizations USING btree (id) WHERE ((parked_at IS NULL) AND ((current_period_start IS NULL) OR (current_period_end IS NULL)));



CREATE INDEX overage_entries_drawn ON public.overage_entries USING btree (org_id, period_start) WHERE (kind = 'drawn'::text);



CREATE INDEX overage_entries_refunded ON public.overage_entries USING btree (recorded_at, org_id) WHERE (kind = 'refunded'::text);



CREATE INDEX overage_packs_ending ON public.overage_packs USING btree (expires_at, org_id) WHERE (expires_at IS NOT NULL);



CREATE INDEX overage_packs_expiring ON public.overage_packs USING btree (expires_at, org_id) WHERE ((remaining > (0)::numeric) AND (expires_at IS NOT NULL));



CREATE INDEX overage_packs_holding ON public.overage_packs USING btree (org_id) WHERE (remaining <> (0)::numeric);



CREATE INDEX overage_packs_unseen ON public.overage_packs USING btree (org_id) WHERE (entries = 0);



CREATE INDEX periodd_alerts_waiting ON public.periodd_alerts USING btree (period_end, org_id) WHERE (state = 'waiting'::text);



CREATE INDEX periodd_drift_age ON public.periodd_drift USING btree (found_at);



CREATE INDEX periodd_outbox_due ON public.periodd_outbox USING btree (next_attempt_at, org_id, id) WHERE (state = 'due'::text);



CREATE INDEX periodd_outbox_ending ON public.periodd_outbox USING btree (period_end) WHERE (state = 'due'::text);



CREATE INDEX periodd_outbox_settled ON public.periodd_outbox USING btree (settled_at) WHERE (settled_at IS NOT NULL);



CREATE INDEX periodd_runs_finished ON public.periodd_runs USING btree (finished_at);



CREATE INDEX periodd_runs_job ON public.periodd_runs USING btree (job, id);



CREATE UNIQUE INDEX periodd_runs_occurrence ON public.periodd_runs USING btree (job, trigger, occurrence) WHERE (occurrence IS NOT NULL);



CREATE INDEX usage_counters_pending ON public.usage_counters USING btree (org_id) WHERE (sync_status = 'pending'::text);



CREATE INDEX usage_counters_synced ON public.usage_counters USING btree (last_synced_at);



CREATE UNIQUE INDEX usage_metrics_key ON public.usage_metrics USING btree (organization_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);



CREATE INDEX usage_metrics_time ON public.usage_metrics USING btree (organization_id, created_at) INCLUDE (metric_type, metric_value, user_id, counted_at);



CREATE INDEX usage_metrics_uncounted ON public.usage_metrics USING btree (organization_id, created_at) WHERE (counted_at IS NULL);



CREATE INDEX users_email ON public.users USING btree (lower(email));



ALTER TABLE ONLY public.billing_adjustments
    ADD CONSTRAINT billing_adjustments_org_id_period_start_fkey FOREIGN KEY (org_id, period_start) REFERENCES public.billing_periods(org_id, period_start);



ALTER TABLE ONLY public.billing_period_usage
    ADD CONSTRAINT billing_period_usage_org_id_period_start_fkey FOREIGN KEY (org_id, period_start) REFERENCES public.billing_periods(org_id, period_start);



ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_org_id_follows_fkey FOREIGN KEY (org_id, follows) REFERENCES public.billing_periods(org_id, period_end);



ALTER TABLE ONLY public.feature_usage
    ADD CONSTRAINT feature_usage_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.limit_overrides
    ADD CONSTRAINT limit_overrides_feature_fkey FOREIGN KEY (feature) REFERENCES public.features(feature);



ALTER TABLE ONLY public.limit_overrides
    ADD CONSTRAINT limit_overrides_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.usage_metrics_legacy
    ADD CONSTRAINT of_an_org FOREIGN KEY (organization_id) REFERENCES public.organizations_legacy(id);



ALTER TABLE ONLY public.org_alert_settings
    ADD CONSTRAINT org_alert_settings_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.org_contacts
    ADD CONSTRAINT org_contacts_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_next_subscription_tier_fkey FOREIGN KEY (next_subscription_tier) REFERENCES public.subscription_tiers(code);



ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_subscription_tier_fkey FOREIGN KEY (subscription_tier) REFERENCES public.subscription_tiers(code);



ALTER TABLE ONLY public.overage_entries
    ADD CONSTRAINT overage_entries_org_id_pack_id_fkey FOREIGN KEY (org_id, pack_id) REFERENCES public.overage_packs(org_id, id);



ALTER TABLE ONLY public.overage_packs
    ADD CONSTRAINT overage_packs_feature_fkey FOREIGN KEY (feature) REFERENCES public.features(feature);



ALTER TABLE ONLY public.overage_packs
    ADD CONSTRAINT overage_packs_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.pack_offers
    ADD CONSTRAINT pack_offers_feature_fkey FOREIGN KEY (feature) REFERENCES public.features(feature);



ALTER TABLE ONLY public.periodd_alert_limits
    ADD CONSTRAINT periodd_alert_limits_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_alerts
    ADD CONSTRAINT periodd_alerts_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_derived
    ADD CONSTRAINT periodd_derived_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_drift
    ADD CONSTRAINT periodd_drift_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_moved_ends
    ADD CONSTRAINT periodd_moved_ends_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_outbox
    ADD CONSTRAINT periodd_outbox_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_removed
    ADD CONSTRAINT periodd_removed_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.periodd_suppressions
    ADD CONSTRAINT periodd_suppressions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.tier_limits
    ADD CONSTRAINT tier_limits_feature_fkey FOREIGN KEY (feature) REFERENCES public.features(feature);



ALTER TABLE ONLY public.tier_limits
    ADD CONSTRAINT tier_limits_tier_fkey FOREIGN KEY (tier) REFERENCES public.subscription_tiers(code);



ALTER TABLE ONLY public.usage_counters
    ADD CONSTRAINT usage_counters_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.usage_metrics
    ADD CONSTRAINT usage_metrics_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);



ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);



ALTER TABLE public.billing_adjustments ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.billing_period_usage ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.billing_periods ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.feature_usage ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.features ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.limit_overrides ENABLE ROW LEVEL SECURITY;


CREATE POLICY of_everybody ON public.features FOR SELECT USING (true);



CREATE POLICY of_everybody ON public.pack_offers FOR SELECT USING (true);



CREATE POLICY of_everybody ON public.periodd_zone_months FOR SELECT USING (true);



CREATE POLICY of_everybody ON public.subscription_tiers FOR SELECT USING (true);



CREATE POLICY of_everybody ON public.tier_limits FOR SELECT USING (true);



CREATE POLICY of_the_caller ON public.feature_usage FOR SELECT USING (((organization_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT public.periodd_caller() AS periodd_caller))));



CREATE POLICY of_the_caller ON public.usage_metrics FOR SELECT USING (((organization_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT public.periodd_caller() AS periodd_caller))));



CREATE POLICY of_the_caller ON public.users FOR SELECT USING ((id = ( SELECT public.periodd_caller() AS periodd_caller)));



CREATE POLICY of_the_callers_org ON public.billing_adjustments FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.billing_period_usage FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.billing_periods FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.limit_overrides FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.org_alert_settings FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.org_contacts FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.organizations FOR SELECT USING ((id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.overage_entries FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.overage_packs FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



CREATE POLICY of_the_callers_org ON public.usage_counters FOR SELECT USING ((org_id = ( SELECT public.periodd_caller_org() AS periodd_caller_org)));



ALTER TABLE public.org_alert_settings ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.org_contacts ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.overage_entries ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.overage_packs ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.pack_offers ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_alert_limits ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_alerts ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_audited ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_derived ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_drift ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_facts ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_import_sums ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_imports ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_migrations ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_moved_ends ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_outbox ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_removed ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_runs ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_schedules ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_suppressions ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.periodd_zone_months ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.subscription_tiers ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.tier_limits ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.usage_counters ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.usage_metrics ENABLE ROW LEVEL SECURITY;


ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;



