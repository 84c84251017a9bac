-- The clock of the database, as this session has set it.
create function proof_now() returns timestamptz language sql stable parallel safe
return coalesce(nullif(current_setting('proof.now', true), '')::timestamptz, pg_catalog.now());

-- Every function that asks for the time asks that clock.
do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname <> 'proof_now'
          and pg_get_functiondef(p.oid) ~ '\m(now|clock_timestamp)\(\)'
          and p.prokind = 'f'
    loop
        execute regexp_replace(pg_get_functiondef(v_function),
                               '\m(now|clock_timestamp)\(\)', 'public.proof_now()', 'g');
    end loop;
end
$$;

create function proof_at(p_value text) returns timestamptz language sql immutable
return timestamptz 'epoch' + p_value::bigint * interval '1 microsecond';

create function proof_micros(p_at timestamptz) returns text language sql immutable
return (extract(epoch from p_at) * 1000000)::bigint::text;

create function proof_millionths(p_quantity numeric) returns text language sql immutable
return (p_quantity * 1000000)::bigint::text;

-- Does what is asked, in order, and says how each ended: `ok`, `allowed` with what is used then,
-- `refused`, or the SQLSTATE.
create function proof_play(p_asked jsonb) returns setof text language plpgsql as $$
declare
    v_one jsonb;
    v_org uuid;
    v_user uuid;
    v_amount numeric;
    v_use record;
    v_said text;
begin
    for v_one in select value from jsonb_array_elements(p_asked) loop
        perform set_config('proof.now', proof_at(v_one ->> 'now')::text, true);
        v_org := v_one ->> 'org';
        v_user := v_one ->> 'user';
        v_amount := (v_one ->> 'amount')::numeric / 1000000;
        v_said := 'ok';
        begin
            case v_one ->> 'do'
            when 'record' then
                perform record_usage(v_org, v_one ->> 'feature', v_amount, v_user,
                                     proof_at(v_one ->> 'at'), v_one ->> 'key');
            when 'use' then
                if v_user is null then
                    select * into v_use from increment_org_usage(
                        v_org, v_one ->> 'feature', v_amount, v_one ->> 'key');
                else
                    select * into v_use from increment_feature_usage(
                        v_user, v_one ->> 'feature', v_amount, v_one ->> 'key');
                end if;
                v_said := case when v_use.allowed
                    then 'allowed ' || proof_millionths(v_use.new_usage) else 'refused' end;
            when 'batch' then
                select string_agg(b.outcome, ',' order by b.event) into v_said
                from record_usage_batch((
                    select jsonb_agg(jsonb_build_object(
                        'org_id', v_org, 'feature', u ->> 'feature',
                        'amount', (u ->> 'amount')::numeric / 1000000,
                        'used_at', proof_at(u ->> 'at'), 'idempotency_key', u ->> 'key'))
                    from jsonb_array_elements(v_one -> 'uses') u), true) b;
            when 'insert' then
                insert into usage_metrics
                    (organization_id, user_id, metric_type, metric_value, created_at)
                values (v_org, v_user, v_one ->> 'feature', v_amount, proof_at(v_one ->> 'at'));
            when 'grant' then
                perform grant_overage_pack(v_org, v_one ->> 'feature', v_amount,
                                           v_one ->> 'reference', proof_at(v_one ->> 'expires'),
                                           proof_at(v_one ->> 'at'));
            when 'pack' then
                insert into overage_packs
                    (id, org_id, feature, quantity, reference, purchased_at, expires_at)
                values ((v_one ->> 'id')::uuid, v_org, v_one ->> 'feature', v_amount,
                        v_one ->> 'reference', proof_at(v_one ->> 'at'),
                        proof_at(v_one ->> 'expires'));
            when 'refund' then
                perform refund_overage_pack(v_org, v_one ->> 'reference', v_amount, v_one ->> 'key',
                                            proof_now());
            when 'limit' then
                insert into limit_overrides (org_id, feature, included)
                values (v_org, v_one ->> 'feature', v_amount)
                on conflict (org_id, feature) do update set included = excluded.included;
            when 'tier' then
                update organizations set subscription_tier = v_one ->> 'tier' where id = v_org;
            when 'next tier' then
                update organizations
                set next_subscription_tier = v_one ->> 'tier',
                    next_subscription_tier_at = proof_at(v_one ->> 'at')
                where id = v_org;
            when 'calendar' then
                update organizations
                set time_zone = v_one ->> 'zone', cycle = v_one ->> 'cycle',
                    anchor_day = (v_one ->> 'day')::int, anchor_month = (v_one ->> 'month')::int
                where id = v_org;
            when 'pause' then
                update organizations
                set paused_from = proof_at(v_one ->> 'at'),
                    paused_until = proof_at(v_one ->> 'until'), revision = revision + 1
                where id = v_org;
            when 'resume' then
                update organizations
                set paused_from = case when paused_from <= proof_now() then paused_from end,
                    paused_until = case when paused_from <= proof_now()
                                        then least(paused_until, proof_now()) end,
                    revision = revision + 1
                where id = v_org;
            end case;
        exception when others then
            v_said := sqlstate;
            if v_said not in ('PB002', 'PB003', 'PB004', 'PB005', '23505') then
                v_said := v_said || ' ' || sqlerrm;
            end if;
        end;
        return next v_said;
    end loop;
end
$$;

-- What is held of each org, a line each.
create function proof_state(p_orgs uuid[]) returns table (org uuid, said text[])
language sql stable as $$
    select o.id, array(
        select 'open ' || proof_micros(o.current_period_start) || ' '
               || proof_micros(o.current_period_end)
        union all
        select 'tier ' || o.subscription_tier
        union all
        select 'next ' || string_agg(proof_micros(e), ',' order by e)
        from unnest(o.next_period_ends) e
        union all
        select 'parked ' || o.parked_reason where o.parked_at is not null
        union all
        select 'period ' || proof_micros(b.period_start) || ' ' || proof_micros(b.period_end) || ' '
               || b.tier
        from billing_periods b where b.org_id = o.id
        union all
        select 'closed ' || proof_micros(u.period_start) || ' ' || u.feature || ' '
               || proof_millionths(u.used) || ' ' || coalesce(proof_millionths(u.included), '-')
               || ' ' || proof_millionths(u.drawn) || ' ' || proof_millionths(u.uncovered)
        from billing_period_usage u where u.org_id = o.id
        union all
        select 'late ' || proof_micros(a.period_start) || ' ' || a.feature || ' '
               || proof_millionths(coalesce(sum(a.used) filter (where a.kind = 'late'), 0)) || ' '
               || proof_millionths(sum(a.drawn)) || ' ' || proof_millionths(sum(a.uncovered)) || ' '
               || proof_millionths(coalesce(sum(a.used) filter (where a.kind = 'set_aside'), 0))
        from billing_adjustments a where a.org_id = o.id
        group by a.period_start, a.feature
        having array[coalesce(sum(a.used) filter (where a.kind = 'late'), 0), sum(a.drawn),
                     sum(a.uncovered), coalesce(sum(a.used) filter (where a.kind = 'set_aside'), 0)]
               <> '{0,0,0,0}'
        union all
        select 'pack ' || p.reference || ' '
               || proof_millionths(coalesce(p.remaining, p.quantity)) || ' '
               || proof_millionths(coalesce(e.drawn, 0)) || ' '
               || proof_millionths(coalesce(e.expired, 0)) || ' '
               || proof_millionths(coalesce(e.refunded, 0))
        from overage_packs p
        cross join lateral (
            select sum(x.quantity) filter (where x.kind = 'drawn') as drawn,
                   sum(x.quantity) filter (where x.kind = 'expired') as expired,
                   sum(x.quantity) filter (where x.kind = 'refunded') as refunded
            from overage_entries x where x.org_id = p.org_id and x.pack_id = p.id) e
        where p.org_id = o.id
        union all
        select 'counter ' || proof_micros(c.period_start) || ' ' || c.feature || ' '
               || proof_millionths(c.used)
        from usage_counters c where c.org_id = o.id and c.used <> 0
        union all
        select 'user counter ' || proof_micros(c.period_start) || ' ' || c.feature || ' '
               || proof_millionths(c.usage_count)
        from feature_usage c where c.organization_id = o.id and c.usage_count <> 0)
    from organizations o where o.id = any (p_orgs)
$$;
