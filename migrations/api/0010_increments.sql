-- The act is the guarded update of the org's counter, and everything else is written only if it
-- goes through. What is read before it decides the limit; whoever takes from the packs meanwhile
-- raises the counter's revision, which the guard asks for too. What the counter keeps included, where
-- a limit has fallen within the period, it adds itself: the same update sees that, and remembers it.
--
-- What it costs besides its writes are statements and expressions, each of which is set up once per
-- transaction, and what stands beside them in the caches. So two functions have one body, instead
-- of one that calls the other: the second is made from the first, below. One statement reads all
-- that is needed, packs among it, and names what a subquery looks up only once, for each name would
-- look it up; a value that a statement can return is not assigned; a condition holds no query. The
-- writes are separate statements, because each lets go of the indexes that it has opened: all at
-- once they are more locks than a transaction has of its own.
create or replace function increment_feature_usage(
    p_user_id uuid,
    p_feature text,
    p_amount numeric default 1,
    p_idempotency_key text default null
)
returns table (
    allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text
)
language plpgsql security definer rows 1
set search_path from current
as $$
declare
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
    -- What is granted, as counters remember it: unlimited is what one can hold.
    v_granted numeric;
    -- That and the packs, without what a counter keeps.
    v_limit numeric;
    -- The limit is what was read.
    v_is_known boolean;
    -- A good amount, by the owner.
    v_is_proper boolean;
    -- Of a counter that did not move: there is one, and the org stands as it was read.
    v_exists boolean;
    v_is_current boolean;
    -- Of a known key: it was used for the same.
    v_is_same boolean;
    v_count numeric;
    v_tries int;
    v_is_paused boolean;
    -- A level that is not in the period's counter yet.
    v_carried numeric;
begin
    loop
        -- Without what is used: the counter says that when it is moved. The owner itself needs no
        -- longer question who it is.
        select u.organization_id, s.at, s.open_start, s.open_end, s.revision, s.is_all,
               s.included + s.usable, coalesce(s.included, 9999999999999999999999.999999),
               coalesce(u.plan, s.tier),
               coalesce(u.subscription_status, s.subscription_status), false, 0::numeric, now(),
               periodd_folded(p_feature),
               periodd_new_id(),
               p_amount > 0.0 and p_amount < 1e22 and p_amount = round(p_amount, 6)
               and session_user = current_user and current_setting('role') = 'none'
          into v_org, v_at, v_start, v_end, v_revision, v_is_known, v_limit, v_granted,
               plan, subscription_status, v_is_paused, v_carried, v_now, v_feature, v_metric,
               v_is_proper
        from users u
        cross join lateral periodd_standing(u.organization_id, periodd_folded(p_feature), now()) s
        where u.id = p_user_id;
        if (v_is_proper and v_is_known and p_idempotency_key is null) is not true then
            if v_is_proper is not true then
                if p_amount is null or not (p_amount > 0.0 and p_amount < 1e22) or p_amount <> round(p_amount, 6) then
                    raise exception 'invalid amount %: it must be greater than zero, with at most 6 decimals', p_amount
                        using errcode = '22023';
                end if;
                if not periodd_speaks_for(p_user_id) then
                    raise exception 'the caller may only act for itself: p_user_id is not the user of this connection'
                        using errcode = '42501', hint = 'Set app.user_id or request.jwt.claims, or become a member of periodd_app.';
                end if;
                if v_org is null then
                    raise exception 'unknown user %', p_user_id using errcode = 'PB002';
                end if;
            end if;
            if not v_is_known then
                select a.at, a.period_start, a.period_end, a.open_start, a.open_end, a.revision,
                       g.included + a.drawn + a.usable,
                       coalesce(g.included, 9999999999999999999999.999999), a.allowance,
                       coalesce(u.plan, a.tier),
                       coalesce(u.subscription_status, a.subscription_status),
                       a.used, a.why_not is not distinct from 'paused',
                       case when a.period_start > a.open_start
                            then coalesce(periodd_carried(v_org, v_feature, a.period_start), 0)
                            else 0 end
                  into v_at, v_start, v_end, v_open_start, v_open_end, v_revision,
                       v_limit, v_granted, effective_limit, plan, subscription_status, new_usage,
                       v_is_paused, v_carried
                from users u cross join periodd_allowances(v_org, v_now, v_feature) a
                cross join lateral periodd_included(v_org, v_feature, a.tier) g
                where u.id = p_user_id;
                if v_open_start is null and v_open_end is null then
                    -- An application has just inserted the org.
                    if periodd_opened(v_org, v_now) then
                        continue;
                    end if;
                    v_start := null;
                end if;
            end if;
            if v_start is null then
                perform periodd_refuse_period(v_open_start, v_open_end);
            end if;
            if p_idempotency_key is not null then
                if not periodd_is_key(p_idempotency_key) then
                    perform periodd_refuse_key(p_idempotency_key);
                end if;
                select k.feature = v_feature and k.quantity = p_amount
                       and k.user_id is not distinct from p_user_id
                  into v_is_same
                from periodd_keyed(v_org, p_idempotency_key) k;
                if found then
                    perform from features f where f.feature = v_feature;
                    if not found then
                        raise exception 'unknown feature %', p_feature using errcode = 'PB002';
                    end if;
                    if v_is_same is not true then
                        perform periodd_refuse_reuse(v_org, p_idempotency_key, p_user_id);
                    end if;
                    select true, coalesce(max(c.used), 0) + v_carried,
                           v_limit - v_granted
                           + periodd_kept(v_granted, max(c.used) + v_carried,
                                          max(c.included_at_least), max(c.included_seen))
                      into allowed, new_usage, effective_limit
                    from usage_counters c
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    return next;
                    return;
                end if;
            end if;
            if v_is_paused then
                perform from features f where f.feature = v_feature;
                if not found then
                    raise exception 'unknown feature %', p_feature using errcode = 'PB002';
                end if;
                allowed := false;
                return next;
                return;
            end if;
        end if;

        update usage_counters c
        set used = c.used + p_amount, sync_status = 'pending', updated_at = v_now,
            included_at_least = periodd_at_least(v_granted, c.used + v_carried,
                                                 c.included_at_least, c.included_seen),
            included_seen = v_granted
        where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature
          -- Unlimited is what a counter can hold.
          and c.used + p_amount + v_carried <= least(
              v_limit - v_granted
              + periodd_kept(v_granted, c.used + v_carried, c.included_at_least, c.included_seen),
              9999999999999999999999.999999)
          and c.revision <= v_revision
          -- A period that was closed before its end has been made shorter. Where a counter's end is
          -- just not the org's, the org is believed after a second look.
          and (c.period_end > v_at or v_tries is not null)
        returning true, c.used + v_carried,
                  v_limit - v_granted + greatest(v_granted, c.included_at_least)
          into allowed, new_usage, effective_limit;
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
                on conflict (organization_id, idempotency_key) do nothing;
                if not found then
                    -- Somebody was quicker with the same key, and the next round finds it.
                    update usage_counters c set used = c.used - p_amount
                    where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
                    continue;
                end if;
            end if;
            if p_user_id is not null then
                update feature_usage c
                set usage_count = c.usage_count + p_amount, sync_status = 'pending', updated_at = v_now
                where c.organization_id = v_org and c.user_id = p_user_id
                  and c.period_start = v_start and c.feature = v_feature
                  and c.usage_count + p_amount < 1e22
                returning c.usage_count into v_count;
                if not found then
                    insert into feature_usage as c (organization_id, user_id, feature, period_start,
                                                    period_end, usage_count, updated_at)
                    values (v_org, p_user_id, v_feature, v_start, v_end, p_amount, v_now)
                    on conflict (organization_id, user_id, period_start, feature) do update
                        set usage_count = c.usage_count + excluded.usage_count,
                            sync_status = 'pending', updated_at = excluded.updated_at
                        where c.usage_count + excluded.usage_count < 1e22
                    returning c.usage_count into v_count;
                    if not found then
                        raise exception 'the amount % cannot be used: user % would have used 1e22 of % or more in the period from %', p_amount, p_user_id, v_feature, v_start
                            using errcode = '22003';
                    end if;
                end if;
                if v_feature = 'scrapes' then
                    update users u set usage_this_month = v_count
                    where u.organization_id = v_org and u.id = p_user_id;
                end if;
            end if;
            -- It may have been closed since it was read, if it has ended. Where periods before it
            -- are not closed yet, usage of theirs may have taken from the packs since then.
            if clock_timestamp() < v_end then
                if (v_start > v_open_start) is not true then
                    return next;
                    return;
                end if;
            end if;
            if v_start > v_open_start then
                perform from periodd_allowances(v_org, v_now, v_feature) a
                where a.period_start = v_start
                  and (new_usage - v_carried + coalesce(periodd_carried(v_org, v_feature, v_start), 0)
                       <= a.allowance) is not false;
            else
                perform from organizations o
                where o.id = v_org and o.current_period_start <= v_start;
            end if;
            if found then
                return next;
                return;
            end if;
            -- As if nothing had been done, and decided anew.
            update usage_counters c set used = c.used - p_amount
            where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature;
            if p_user_id is not null then
                update feature_usage c set usage_count = c.usage_count - p_amount
                where c.organization_id = v_org and c.user_id = p_user_id
                  and c.period_start = v_start and c.feature = v_feature;
                update users u set usage_this_month = u.usage_this_month - p_amount
                where v_feature = 'scrapes' and u.organization_id = v_org and u.id = p_user_id;
            end if;
            delete from usage_metrics m where m.organization_id = v_org and m.id = v_metric;
        else
            -- Used up; or the first use of a period; or packs or the period are others than was read.
            select c.used + v_carried, c.used is not null, o.revision = v_revision,
                   v_limit - v_granted
                   + periodd_kept(v_granted, c.used + v_carried, c.included_at_least,
                                  c.included_seen)
              into new_usage, v_exists, v_is_current, effective_limit
            from organizations o
            left join usage_counters c
              on c.org_id = o.id and c.period_start = v_start and c.feature = v_feature
            where o.id = v_org;
            if not v_exists and p_amount + v_carried > effective_limit is not true then
                insert into usage_counters (org_id, feature, period_start, period_end, updated_at)
                values (v_org, v_feature, v_start, v_end, v_now)
                on conflict (org_id, period_start, feature) do nothing;
            end if;
            new_usage := coalesce(new_usage, v_carried);
            v_is_current := v_is_current
                and new_usage + p_amount > least(effective_limit, 9999999999999999999999.999999);
            if v_is_current and p_idempotency_key is not null then
                -- The first call with this key may be under way, and have taken what was left:
                -- whoever moves the counter is waited for.
                select c.used + v_carried into v_count from usage_counters c
                where c.org_id = v_org and c.period_start = v_start and c.feature = v_feature
                for no key update;
                perform from usage_metrics m
                where m.organization_id = v_org and m.idempotency_key = p_idempotency_key;
                v_is_current := not found and coalesce(v_count, v_carried) = new_usage;
            end if;
            if v_is_current then
                perform from features f where f.feature = v_feature;
                if not found then
                    raise exception 'unknown feature %', p_feature using errcode = 'PB002';
                end if;
                if (new_usage + p_amount > effective_limit) is not true then
                    raise exception 'the amount % cannot be used: org % would have used 1e22 of % or more in the period from %', p_amount, v_org, v_feature, v_start
                        using errcode = '22003';
                end if;
                allowed := false;
                return next;
                return;
            end if;
        end if;
        v_tries := coalesce(v_tries, 0) + 1;
        if v_tries = 100 then
            raise exception 'the packs and the period of org % keep changing: try again', v_org
                using errcode = '40001';
        end if;
    end loop;
end
$$;

-- The same with constants for what it is not asked: one scrape, without a key.
do $do$
declare
    v_body text := (select p.prosrc from pg_catalog.pg_proc p
                    where p.oid = 'increment_feature_usage(uuid, text, numeric, text)'::regprocedure);
begin
    v_body := replace(v_body, 'p_feature', '''scrapes''::text');
    v_body := replace(v_body, 'p_amount', '1::numeric');
    v_body := replace(v_body, 'p_idempotency_key', 'null::text');
    execute format('create or replace function increment_usage_if_allowed(p_user_id uuid)
returns table (
    allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text
)
language plpgsql security definer rows 1
set search_path from current
as %L', v_body);
end
$do$;
comment on function increment_feature_usage is 'Uses a quantity of a feature if the org''s allowance permits, all or nothing, and returns whether it did. A repeated key returns allowed and changes nothing; used for another feature, amount or user it is an error (PB004).';
comment on function increment_usage_if_allowed is 'Uses one scrape if the org''s allowance permits, and returns whether it did.';

-- The same for an org as a whole, without a user: who calls is an application.
do $do$
declare
    v_body text := (select p.prosrc from pg_catalog.pg_proc p
                    where p.oid = 'increment_feature_usage(uuid, text, numeric, text)'::regprocedure);
begin
    v_body := replace(v_body, 'from users u', 'from (select p_org_id as organization_id, '
        'null::text as plan, null::text as subscription_status) u');
    v_body := replace(v_body, E'\n        where u.id = p_user_id;', ';');
    v_body := replace(v_body, E'\n                where u.id = p_user_id;', ';');
    v_body := replace(v_body, '''unknown user %'', p_user_id', '''unknown organization %'', p_org_id');
    v_body := replace(v_body, 'p_user_id', 'null::uuid');
    execute format('create or replace function increment_org_usage(
    p_org_id uuid,
    p_feature text,
    p_amount numeric default 1,
    p_idempotency_key text default null
)
returns table (
    allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text
)
language plpgsql security definer rows 1
set search_path from current
as %L', v_body);
end
$do$;
comment on function increment_org_usage is 'Like increment_feature_usage, for the organization as a whole instead of one of its users; for the owner and members of periodd_app.';
