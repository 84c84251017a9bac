-- The closed months before each org's open period, as they come to be in the course of time: the
-- oldest first, each with the usage of every feature that the org has a counter of, and with the
-- counters, which stay. This is the only place where benchmarks make closed periods.
create procedure pg_temp.close_months(months int) language plpgsql as $$
begin
    -- Foreign keys hold by how the rows are made.
    set local session_replication_role = replica;
    create temporary table month
        (org_id uuid, feature text, period_start timestamptz, period_end timestamptz,
         used numeric, included numeric);
    for ago in reverse months .. 1 loop
        truncate month;
        insert into month
        select c.org_id, c.feature,
               (p.start - make_interval(months => ago)) at time zone o.time_zone,
               (p.start - make_interval(months => ago - 1)) at time zone o.time_zone,
               least(c.used, l.included), l.included
        from organizations o
        cross join lateral (select o.current_period_start at time zone o.time_zone) p (start)
        join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
        left join tier_limits l on l.tier = o.subscription_tier and l.feature = c.feature
        order by c.org_id;
        insert into billing_periods
            (org_id, period_start, period_end, follows, time_zone, tzdb_version, tier, closed_at,
             features, used_each, included_each, drawn_each, uncovered_each)
        select o.id, m.period_start, m.period_end, case when ago < months then m.period_start end,
               o.time_zone, '2099z', o.subscription_tier, m.period_end + interval '1 minute',
               m.features, m.used, m.included, array_fill(0::numeric, m.length),
               array_fill(0::numeric, m.length)
        from (select org_id, period_start, period_end, array[count(*)::int] as length,
                     array_agg(feature order by feature collate "C") as features,
                     array_agg(used order by feature collate "C") as used,
                     array_agg(included order by feature collate "C") as included
              from month group by org_id, period_start, period_end) m
        join organizations o on o.id = m.org_id
        order by o.id;
        insert into usage_counters
            (org_id, feature, period_start, period_end, used, sync_status, last_synced_at)
        select org_id, feature, period_start, period_end, used, 'synced', period_end
        from month order by org_id;
    end loop;
    set local session_replication_role = origin;
end $$;

