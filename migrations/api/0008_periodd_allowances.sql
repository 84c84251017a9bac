-- What an org may use, for everybody who asks: the features that it is granted, has bought or has
-- used, by the tier that holds at the instant; with p_feature that one, granted or not. Reads
-- everything in the one snapshot of the statement that calls it.
create or replace function periodd_allowances(
    p_org_id uuid, p_at timestamptz, p_feature text default null
)
returns table (
    feature text,
    -- The instant itself; the start of the open period, where that has begun since the caller's
    -- transaction did, or of the one that a restart began since.
    at timestamptz,
    -- The period that contains it; null when the stored ends do not reach that far.
    period_start timestamptz, period_end timestamptz,
    used numeric,
    -- Null: unlimited. is_granted: somebody said so.
    included numeric, is_granted boolean,
    -- What packs have paid for in the period, and what those hold that are usable, without what
    -- periods that have ended will still draw from them.
    drawn numeric, usable numeric, owed numeric,
    -- Included, drawn and usable. Null: unlimited, and so is what remains of it.
    allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric,
    -- Why one more unit would be refused: no_period, beyond_ends, paused,
    -- not_granted, used_up.
    why_not text,
    tier text, subscription_status text,
    -- The org's row as it was read.
    open_start timestamptz, open_end timestamptz, revision bigint
)
language plpgsql stable parallel safe rows 10
set search_path from current
as $$
declare
    v_features text[] := array[p_feature];
    v_next_ends timestamptz[];
    v_is_all boolean;
    v_is_paused boolean;
begin
    if p_feature is null then
        select pg_catalog.array_agg(n.feature order by n.feature) into v_features
        from organizations o
        cross join lateral (select greatest(p_at, o.current_period_start, o.restarted_at) as at) i
        cross join lateral (
            select t.feature
            from tier_limits t
            where t.tier = case when i.at < o.current_period_end then o.subscription_tier
                else coalesce((
                    select f.tier
                    from periodd_period_at(o.current_period_start, o.current_period_end,
                                           o.next_period_ends, i.at) p,
                         periodd_foreseen(o.id, '', i.at) f), o.subscription_tier) end
            union
            select l.feature from limit_overrides l where l.org_id = o.id
            union
            select k.feature from overage_packs k
            where k.org_id = o.id and (k.remaining <> 0.0 or k.entries = 0)
            union
            select c.feature from usage_counters c
            where c.org_id = o.id and c.period_start >= o.current_period_start
              and c.period_start <= i.at and c.period_end > i.at) n
        where o.id = p_org_id;
    end if;
    foreach feature in array coalesce(v_features, '{}') loop
        select s.at, s.open_start, s.open_end, s.included, s.is_granted, 0,
               case when s.is_all then s.usable else 0 end, 0, s.tier,
               s.subscription_status, s.open_start, s.open_end, s.revision, s.next_ends, s.is_all
          into at, period_start, period_end, included, is_granted, drawn, usable, owed, tier,
               subscription_status, open_start, open_end, revision, v_next_ends, v_is_all
        from periodd_standing(p_org_id, feature, p_at) s;
        if not found then
            return;
        end if;
        if not v_is_all then
            select periodd_is_paused(o.paused_from, o.paused_until, periodd_allowances.at)
              into v_is_paused from organizations o where o.id = p_org_id;
        end if;
        if not v_is_all and at < open_end then
            select k.usable, k.drawn, not k.holds_expired into usable, drawn, v_is_all
            from periodd_held(p_org_id, feature, at, open_start) k;
        end if;
        if not v_is_all then
            period_start := null;
            period_end := null;
            select p.period_start, p.period_end into period_start, period_end
            from periodd_period_at(open_start, open_end, v_next_ends, at) p;
            if open_start is null and open_end is null then
                -- Whoever uses something now opens the org's first month.
                select m.period_start, m.period_end into period_start, period_end
                from periodd_first_month(p_org_id, at) m;
                if period_start is not null then
                    select k.usable, k.drawn into usable, drawn
                    from periodd_held(p_org_id, feature, at, period_start) k;
                end if;
            elsif period_start is not null then
                select f.included, f.is_granted, f.drawn, f.usable, f.owed, f.tier,
                       f.subscription_status
                  into included, is_granted, drawn, usable, owed, tier, subscription_status
                from periodd_foreseen(p_org_id, feature, at) f;
            end if;
        end if;
        select u.used, u.included, l.allowance, l.remaining, l.purchased_remaining, l.percent,
               l.why_not
          into used, included, allowance, remaining, purchased_remaining, percent, why_not
        from (select coalesce(w.counted, 0) + w.carried as used,
                     periodd_kept(periodd_allowances.included, w.counted + w.carried, w.at_least,
                                  w.seen) as included
              from (select max(c.used) as counted, max(c.included_at_least) as at_least,
                           max(c.included_seen) as seen,
                           case when periodd_allowances.period_start > open_start
                                then coalesce(periodd_carried(p_org_id, periodd_allowances.feature,
                                                              periodd_allowances.period_start), 0)
                                else 0 end as carried
                    from usage_counters c
                    where c.org_id = p_org_id and c.feature = periodd_allowances.feature
                      and c.period_start
                          = coalesce(periodd_allowances.period_start, open_start)) w) u
        cross join lateral periodd_left(
            u.used, u.included, periodd_allowances.drawn,
            periodd_allowances.usable, periodd_allowances.is_granted,
            periodd_allowances.period_start, open_start, open_end) l;
        if v_is_paused and period_start is not null then
            remaining := 0;
            why_not := 'paused';
        end if;
        return next;
    end loop;
end
$$;
comment on function periodd_allowances is 'Allowance and usage per feature in the period of an instant, and the reason why one more unit would be refused.';
