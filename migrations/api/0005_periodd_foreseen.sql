-- What the next rollover will do to one feature's packs, told in advance: it settles expiries
-- that have passed and closes periods that have ended, oldest first, each by its own usage, and
-- draws what lies above included from the packs. What was used within a limit that has fallen stays
-- included, as when it is closed. A tier to come and the end of a subscription apply from their
-- boundary on, as they will when the period is closed: the first one whose local day, of which the
-- end is stored, has not ended before them. Draws that the rollover would give back are left out:
-- for a moment less is allowed, never more.
--
-- Here and in the other bodies that are text, what takes an array of anything is called with its
-- schema, and a number beside a quantity has a point. The best fit wins wherever in the search path
-- it lies, and whoever may create in this schema could make one for whole numbers.
create or replace function periodd_foreseen(
    p_org_id uuid, p_feature text, p_at timestamptz,
    out included numeric, out is_granted boolean, out drawn numeric, out usable numeric,
    -- What periods that have ended will still take out of the packs that are usable.
    out owed numeric,
    -- As they are from the start of the period on that contains the instant.
    out tier text, out subscription_status text
)
language plpgsql stable parallel safe
set search_path from current
as $$
declare
    v_org record;
    v_bounds timestamptz[];
    v_left numeric[];
    v_bought timestamptz[];
    v_expires timestamptz[];
    v_owed numeric[];
    v_start timestamptz;
    v_end timestamptz;
    v_day_end timestamptz;
    v_moment timestamptz;
    v_settled timestamptz;
    v_closes boolean;
    v_used numeric;
    v_counted numeric;
    v_uncounted numeric;
    v_due numeric;
    v_part numeric;
    -- Before a restart that no rollover has closed yet: the period is booked on the tier that held
    -- in it, and covers what another one allowed that was set before.
    v_restarts boolean;
    -- A boundary has changed the tier since, or the end of the subscription.
    v_is_changed boolean := false;
    -- At a restart with a tier.
    v_is_taken boolean;
    v_is_level boolean;
begin
    select o.current_period_start, o.current_period_end, o.next_period_ends, o.subscription_tier,
           o.subscription_status, o.next_subscription_tier, o.next_subscription_tier_at,
           o.subscription_ends_at, o.period_day_ends, o.restarted_at, o.restarted_from,
           o.restarted_on, o.restarted_tier, o.paused_from, o.paused_until
      into v_org from organizations o where o.id = p_org_id;
    -- Packs raise the limit of a level, and never pay for it.
    v_is_level := exists (select from features f where f.feature = p_feature and f.kind = 'level');
    tier := v_org.subscription_tier;
    v_restarts := v_org.restarted_at <= p_at and v_org.restarted_at > v_org.current_period_start;
    if v_restarts then
        tier := coalesce(v_org.restarted_from, tier);
    end if;
    subscription_status := v_org.subscription_status;
    v_bounds := array[v_org.current_period_start, v_org.current_period_end]
                operator(pg_catalog.||) coalesce(v_org.next_period_ends, '{}');
    select coalesce(pg_catalog.array_agg(p.held order by p.expires_at nulls last, p.purchased_at, p.id), '{}'),
           coalesce(pg_catalog.array_agg(p.purchased_at order by p.expires_at nulls last, p.purchased_at, p.id), '{}'),
           coalesce(pg_catalog.array_agg(p.expires_at order by p.expires_at nulls last, p.purchased_at, p.id), '{}')
      into v_left, v_bought, v_expires
    from (select k.id, k.purchased_at, k.expires_at, coalesce(k.remaining, k.quantity) as held
          from overage_packs k
          where k.org_id = p_org_id and k.feature = p_feature
            and (k.remaining <> 0.0 or k.entries = 0)) p
    where p.held > 0.0;
    v_owed := pg_catalog.array_fill(0::numeric, array[pg_catalog.cardinality(v_left)]);

    for v_i in 1 .. pg_catalog.cardinality(v_bounds) - 1 loop
        v_start := v_bounds[v_i];
        v_end := v_bounds[v_i + 1];
        exit when v_start > p_at;
        select i.included, i.is_granted into included, is_granted
        from periodd_included(p_org_id, p_feature, tier) i;
        -- What is not counted yet will be by then.
        select coalesce(sum(m.metric_value), 0) into v_uncounted
        from usage_metrics m
        where m.organization_id = p_org_id and m.counted_at is null
          and m.created_at >= v_start and m.created_at < v_end
          and periodd_folded(m.metric_type) = p_feature;
        select periodd_kept(included, max(c.used) + v_uncounted, max(c.included_at_least),
                            max(c.included_seen)),
               coalesce(max(c.used), 0)
          into included, v_counted
        from usage_counters c
        where c.org_id = p_org_id and c.period_start = v_start and c.feature = p_feature;
        select coalesce(sum(e.quantity), 0) into drawn
        from overage_entries e
        join overage_packs k on k.org_id = e.org_id and k.id = e.pack_id
        where e.org_id = p_org_id and e.period_start = v_start and e.kind = 'drawn'
          and k.feature = p_feature;

        v_settled := '-infinity';
        loop
            select min(k.expires_at) into v_moment
            from unnest(v_left, v_expires) as k (held, expires_at)
            where k.held > 0.0 and k.expires_at > v_settled
              and k.expires_at <= v_end and k.expires_at <= p_at;
            v_closes := v_moment is null;
            exit when v_closes and v_end > p_at;
            if v_closes or v_moment = v_end then
                v_moment := v_end;
                v_used := v_counted + v_uncounted;
            else
                select coalesce(sum(m.metric_value), 0) into v_used
                from usage_metrics m
                where m.organization_id = p_org_id
                  and m.created_at >= v_start and m.created_at < v_moment
                  and periodd_folded(m.metric_type) = p_feature;
            end if;
            if v_restarts and v_org.restarted_on <> v_org.restarted_from and not v_is_changed then
                select case when periodd_foreseen.included is not null
                            then greatest(periodd_foreseen.included, least(v_used, i.included)) end
                  into included
                from periodd_included(p_org_id, p_feature, v_org.restarted_on) i;
            end if;
            v_settled := v_moment;
            v_due := coalesce(greatest(0, v_used - included) - drawn, 0);
            if included is null or v_moment <= v_start or v_is_level
               or v_org.paused_from <= v_start
                  and (v_org.paused_until is null or v_org.paused_until >= v_end) then
                v_due := 0;
            end if;
            for v_k in 1 .. pg_catalog.cardinality(v_left) loop
                v_part := least(v_due, v_left[v_k]);
                if v_part > 0.0 and v_bought[v_k] < v_end
                   and (v_closes and (v_expires[v_k] is null or v_expires[v_k] > v_start)
                        or not v_closes and v_bought[v_k] <= v_moment
                           and (v_expires[v_k] is null or v_expires[v_k] >= v_moment)) then
                    v_due := v_due - v_part;
                    drawn := drawn + v_part;
                    v_left[v_k] := v_left[v_k] - v_part;
                    if v_end <= p_at then
                        v_owed[v_k] := v_owed[v_k] + v_part;
                    end if;
                end if;
                if not v_closes and v_expires[v_k] <= v_moment then
                    v_left[v_k] := 0;
                end if;
            end loop;
            exit when v_closes;
        end loop;
        exit when v_end > p_at;
        if v_restarts and v_end >= v_org.restarted_at then
            -- What was written since the restart stays.
            if v_org.restarted_tier is not null or not v_is_changed
               or v_org.subscription_tier <> v_org.restarted_on then
                tier := v_org.subscription_tier;
            end if;
            v_restarts := false;
        end if;
        v_day_end := v_org.period_day_ends[v_i];
        -- Until the sweep has stored it, or where others moved the end since: the instants. After a
        -- change of zone the day may end before the period does, or two days after it.
        if (v_day_end > v_end - interval '2 days' and v_day_end <= v_end + interval '3 days') is not true then
            v_day_end := v_end + interval '1 microsecond';
        end if;
        -- A restart with a tier has taken what was due by then: what there is was written since. One
        -- without a tier on the day of the end is its boundary.
        v_is_taken := coalesce(v_end = v_org.restarted_at and v_org.restarted_tier is not null, false);
        if not v_is_taken
           and (v_org.subscription_ends_at < v_day_end
                or v_end = v_org.restarted_at
                   and v_org.subscription_ends_at < v_day_end + interval '1 day') then
            tier := coalesce(periodd_ended_tier(), tier);
            subscription_status := 'canceled';
            v_is_changed := true;
            v_org.subscription_ends_at := null;
            if v_org.next_subscription_tier_at is null
               or v_org.next_subscription_tier_at < v_day_end then
                v_org.next_subscription_tier := null;
            end if;
        elsif v_org.next_subscription_tier is not null
              and (v_org.next_subscription_tier_at is null
                   or v_org.next_subscription_tier_at < v_day_end)
              and not v_is_taken then
            tier := v_org.next_subscription_tier;
            v_is_changed := true;
            v_org.next_subscription_tier := null;
        end if;
    end loop;

    select coalesce(sum(k.held), 0), coalesce(sum(k.owed), 0) into usable, owed
    from unnest(v_left, v_owed, v_bought, v_expires) as k (held, owed, purchased_at, expires_at)
    where k.purchased_at <= p_at and (k.expires_at is null or k.expires_at > p_at);
end
$$;
comment on function periodd_foreseen is 'Grant of one feature of an org at an instant, less the draws of ended periods that a rollover has not closed yet.';
