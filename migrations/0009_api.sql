-- The rest of the API for application servers: increments that ask before they count, what is
-- left, who is near a limit; and who may see and move what.
--
-- Whoever is neither the tables' owner, nor a superuser, nor a member of periodd_app (a trusted
-- server) sees what concerns the user that the connection carries, and moves nothing but through
-- the functions. `db migrate --with-roles` makes the roles; until then there is no periodd_app.

-- Who is asking -----------------------------------------------------------------------------------

create function periodd_caller() returns uuid
language plpgsql stable parallel safe
set search_path = pg_catalog
as $$
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
$$;
comment on function periodd_caller is 'End user of this connection: app.user_id, else the claim sub of a JWT; null: none.';

create function periodd_caller_org() returns uuid
language plpgsql stable
set search_path from current
as $$
begin
    return (select u.organization_id from users u where u.id = periodd_caller());
end
$$;
comment on function periodd_caller_org is 'Org of the end user of this connection; null: no end user.';

-- Asked inside the functions that lend their owner's rights: current_user is the owner there, and
-- the caller is whom the session has become. Its body is bound when it is created, so that it needs
-- no search path, and becomes part of the expression that asks.
create function periodd_speaks_for(p_user_id uuid) returns boolean
language sql stable
begin atomic
    select pg_has_role(case when current_setting('role') = 'none' then session_user
                            else current_setting('role')::name end, current_user, 'usage')
        or coalesce(pg_has_role(case when current_setting('role') = 'none' then session_user
                                     else current_setting('role')::name end,
                                to_regrole('periodd_app')::oid, 'usage'), false)
        or coalesce(p_user_id = periodd_caller(), false);
end;
comment on function periodd_speaks_for is 'Whether the caller may act for this user: the owner and members of periodd_app for any user, others for themselves.';

-- How much may be used ----------------------------------------------------------------------------

-- What the next rollover will do to one feature's packs, told in advance: it settles expiries
-- that have passed and closes periods that have ended, oldest first, each by its own usage, and
-- draws what lies above included from the packs. A tier to come applies from its boundary on; a
-- subscription that ends does when its period is closed. Draws that the rollover would give back
-- are left out: for a moment less is allowed, never more.
create function periodd_foreseen(
    p_org_id uuid, p_feature text, p_at timestamptz,
    out included numeric, out is_granted boolean, out drawn numeric, out usable numeric
)
language plpgsql stable
set search_path from current
as $$
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
comment on function periodd_foreseen is 'Grant of one feature of an org at an instant, less the draws of ended periods that a rollover has not closed yet.';

-- How an org stands in its open period, but for what it has used: short, for this is read at every
-- increment. Packs have paid for something in an open period only where one of the feature has
-- expired in it, and been emptied by that, though it be later than the instant that is asked for.
-- Then, and while a rollover has yet to settle one, this is not all. Its body is bound when it is
-- created, so that it needs no search path, and becomes part of the statement that calls it.
create function periodd_standing(p_org_id uuid, p_feature text, p_at timestamptz)
returns table (
    at timestamptz, included numeric, usable numeric, is_granted boolean, tier text,
    subscription_status text, open_start timestamptz, open_end timestamptz,
    next_ends timestamptz[], revision bigint, is_all boolean
)
language sql stable
begin atomic
    select i.at,
           case when l.org_id is not null then l.included
                when t.tier is not null then t.included
                else 0 end,
           k.usable,
           l.org_id is not null or t.tier is not null,
           o.subscription_tier, o.subscription_status,
           o.current_period_start, o.current_period_end, o.next_period_ends, o.revision,
           coalesce(p_at < o.current_period_end, false) and o.current_period_start is not null
               and k.are_all is not false
    from organizations o
    left join limit_overrides l on l.org_id = o.id and l.feature = p_feature
    left join tier_limits t on t.tier = o.subscription_tier and t.feature = p_feature
    cross join lateral (select greatest(p_at, o.current_period_start) as at) i
    cross join lateral (
        select coalesce(sum(h.held) filter (
                   where h.held > 0 and p.purchased_at <= i.at
                     and (p.expires_at is null or p.expires_at > i.at)), 0) as usable,
               bool_and(p.expires_at is null
                        or p.expires_at <= o.current_period_start and h.held = 0
                        or p.expires_at > i.at and h.held > 0)
                   as are_all
        from overage_packs p
        cross join lateral (select coalesce(p.remaining, p.quantity) as held) h
        where p.org_id = o.id and p.feature = p_feature) k
    where o.id = p_org_id;
end;
comment on function periodd_standing is 'Usage and packs of an org in its open period; is_all: the period has not ended, and no pack that expires did so in it or is empty.';

-- What an org's packs add to its open period, one that has expired in it among them.
create function periodd_held(
    p_org_id uuid, p_feature text, p_at timestamptz, p_period_start timestamptz
) returns table (usable numeric, drawn numeric, holds_expired boolean)
language sql stable
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

-- Reads everything in the one snapshot of the statement that calls it.
create function periodd_allowance(
    p_org_id uuid, p_feature text, p_at timestamptz,
    -- The instant itself; the start of the open period, where that has begun since the caller's
    -- transaction did.
    out at timestamptz,
    -- The period that contains it; null when the stored ends do not reach that far.
    out period_start timestamptz, out period_end timestamptz,
    out used numeric,
    -- Null: unlimited. is_granted: somebody said so.
    out included numeric, out is_granted boolean,
    -- With these two it makes the allowance.
    out drawn numeric, out usable numeric,
    out tier text, out subscription_status text,
    -- The org's row as it was read.
    out open_start timestamptz, out open_end timestamptz, out revision bigint
)
language plpgsql stable
set search_path from current
as $$
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
comment on function periodd_allowance is 'Allowance and usage of a feature in the period of an instant.';

create function periodd_refuse_period(p_open_start timestamptz, p_open_end timestamptz)
returns void
language plpgsql immutable
set search_path = pg_catalog
as $$
begin
    if p_open_start is null or p_open_end is null then
        raise exception 'the org has no open period yet: periodd opens one within a minute, or run `periodd rollover`'
            using errcode = 'PB001';
    end if;
    raise exception 'periodd has not run since %, when the org''s period ended, and the ends that it knew are behind: run `periodd rollover`', p_open_end
        using errcode = 'PB003';
end
$$;
comment on function periodd_refuse_period is 'Raises the error of an instant without a period: none is open yet (PB001), or periodd has not run for too long (PB003).';

-- Increments --------------------------------------------------------------------------------------

-- The act is the guarded update of the org's counter, and everything else is written only if it
-- goes through. What is read before it decides the limit; whoever takes from the packs meanwhile
-- raises the counter's revision, which the guard asks for too.
--
-- What it costs besides its writes are statements and expressions, each of which is set up once per
-- transaction, and what stands beside them in the caches. So two functions have one body, instead
-- of one that calls the other, with constants where the second is not asked for anything; one
-- statement reads all that is needed, packs among it, and names what a subquery looks up only once,
-- for each name would look it up; a value that a statement can return is not assigned; a condition
-- holds no query. The writes are separate statements, because each lets go of the indexes that it
-- has opened: all at once they are more locks than a transaction has of its own.
do $do$
declare
    v_answer constant text := $answer$returns table (
    allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text
)$answer$;
    v_body text := $body$declare
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
                on conflict (organization_id, idempotency_key) do nothing;
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
$body$;
begin
    execute format('create function increment_feature_usage(
    p_user_id uuid,
    p_feature text,
    p_amount numeric default 1,
    p_idempotency_key text default null
) %s
language plpgsql security definer rows 1
set search_path from current
as %L', v_answer, v_body);
    v_body := replace(v_body, 'p_feature', '''scrapes''::text');
    v_body := replace(v_body, 'p_amount', '1::numeric');
    v_body := replace(v_body, 'p_idempotency_key', 'null::text');
    execute format('create function increment_usage_if_allowed(p_user_id uuid) %s
language plpgsql security definer rows 1
set search_path from current
as %L', v_answer, v_body);
end
$do$;
comment on function increment_feature_usage is 'Uses a quantity of a feature if the org''s allowance permits, all or nothing, and returns whether it did. A repeated key returns allowed and changes nothing.';
comment on function increment_usage_if_allowed is 'Uses one scrape if the org''s allowance permits, and returns whether it did.';

-- What is left ------------------------------------------------------------------------------------

create function periodd_percent(p_used numeric, p_allowance numeric) returns numeric
language plpgsql immutable parallel safe
set search_path = pg_catalog
as $$
begin
    if p_allowance = 0 then
        return case when p_used > 0 then 100 else 0 end;
    end if;
    -- Cut off, not rounded: 100 is said when it is reached.
    return trunc(p_used * 100 / p_allowance, 2);
end
$$;
comment on function periodd_percent is 'Used share of an allowance, in percent; null: unlimited.';

create function get_current_usage_stats(p_user_id uuid)
returns table (
    feature text, used numeric, included numeric, purchased_remaining numeric,
    effective_limit numeric, percent numeric, period_start timestamptz, period_end timestamptz
)
language plpgsql stable security definer
set search_path from current
as $$
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
comment on function get_current_usage_stats is 'Usage and remaining allowance of the user''s org per feature, in the current period.';

create view usage_alerts_view with (security_invoker = true) as
select s.org_id, s.slug, s.name, s.feature, s.used, s.allowance,
       periodd_percent(s.used, s.allowance) as percent,
       case when s.used * 100 >= s.allowance * 100 then 100
            when s.used * 100 >= s.allowance * 90 then 90
            else 80 end as level,
       s.period_start, s.period_end
from (
    select o.id as org_id, o.slug, o.name, c.feature, c.used, c.period_start, c.period_end,
           case when l.org_id is not null then l.included else t.included end
           + coalesce((select sum(e.quantity)
                       from overage_entries e
                       join overage_packs k on k.org_id = e.org_id and k.id = e.pack_id
                       where e.org_id = c.org_id and e.period_start = c.period_start
                         and e.kind = 'drawn' and k.feature = c.feature), 0)
           + coalesce((select sum(coalesce(k.remaining, k.quantity))
                       from overage_packs k
                       where k.org_id = c.org_id and k.feature = c.feature
                         and (k.remaining <> 0 or k.entries = 0)
                         and coalesce(k.remaining, k.quantity) > 0
                         and k.purchased_at <= now()
                         and (k.expires_at is null or k.expires_at > now())), 0) as allowance
    from usage_counters c
    join organizations o on o.id = c.org_id
    left join limit_overrides l on l.org_id = c.org_id and l.feature = c.feature
    left join tier_limits t on t.tier = o.subscription_tier and t.feature = c.feature
    where c.period_start <= now() and c.period_end > now() and c.used > 0
      and (l.org_id is not null or t.tier is not null)) s
where s.used * 100 >= s.allowance * 80;
comment on view usage_alerts_view is 'Orgs at 80, 90 or 100 percent of their allowance in the current period.';

-- Recording and granting, revised -------------------------------------------------------------------

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

create or replace function grant_overage_pack(
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

-- Who may run what --------------------------------------------------------------------------------

-- Functions are executable by everybody unless that is taken back; `db migrate --with-roles` gives
-- them to the two roles. The policies below need the two that say who is asking.
revoke execute on function
    periodd_period_at, periodd_speaks_for, periodd_foreseen, periodd_allowance,
    periodd_standing, periodd_held, periodd_refuse_period, increment_feature_usage, increment_usage_if_allowed,
    get_current_usage_stats, record_usage, grant_overage_pack, get_current_usage_period,
    periodd_percent
from public;

-- Who may see what --------------------------------------------------------------------------------

-- The org's own rows, for any of its users.
alter table organizations enable row level security;
alter table org_contacts enable row level security;
alter table limit_overrides enable row level security;
alter table usage_counters enable row level security;
alter table org_alert_settings enable row level security;
alter table overage_packs enable row level security;
alter table overage_entries enable row level security;
alter table billing_periods enable row level security;
alter table billing_period_usage enable row level security;
alter table billing_adjustments enable row level security;
create policy of_the_callers_org on organizations for select to public using (id = (select periodd_caller_org()));
create policy of_the_callers_org on org_contacts for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on limit_overrides for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on usage_counters for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on org_alert_settings for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on overage_packs for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on overage_entries for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on billing_periods for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_callers_org on billing_period_usage for select to public using (org_id = (select periodd_caller_org()));
create policy of_the_caller on periodd_usage_keys for select to public
    using (org_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));
create policy of_the_callers_org on billing_adjustments for select to public using (org_id = (select periodd_caller_org()));

-- What one person did and is called, for that person alone.
alter table users enable row level security;
alter table usage_metrics enable row level security;
alter table feature_usage enable row level security;
create policy of_the_caller on users for select to public using (id = (select periodd_caller()));
create policy of_the_caller on usage_metrics for select to public
    using (organization_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));
create policy of_the_caller on feature_usage for select to public
    using (organization_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));

-- What is the same for everybody.
alter table features enable row level security;
alter table subscription_tiers enable row level security;
alter table tier_limits enable row level security;
alter table pack_offers enable row level security;
alter table periodd_zone_months enable row level security;
create policy of_everybody on features for select to public using (true);
create policy of_everybody on subscription_tiers for select to public using (true);
create policy of_everybody on tier_limits for select to public using (true);
create policy of_everybody on pack_offers for select to public using (true);
create policy of_everybody on periodd_zone_months for select to public using (true);

-- periodd's own books concern nobody else.
do $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
          and c.relname like 'periodd\_%' and not c.relrowsecurity
    loop
        execute format('alter table %s enable row level security', v_table);
    end loop;
end
$$;
