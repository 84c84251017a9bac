-- The rollover of all due orgs as one set-based statement, as one would write it by hand for just
-- these rows: one period each, one feature, one pack without expiry.
with due as (
    select o.id, o.current_period_start as period_start, o.current_period_end as period_end,
           o.time_zone, o.subscription_tier, coalesce(c.used, 0) as used, t.included,
           p.id as pack, p.remaining, p.entries,
           least(p.remaining, greatest(0, coalesce(c.used, 0) - t.included)) as drawn
    from organizations o
    join tier_limits t on t.tier = o.subscription_tier and t.feature = 'minutes_transcribed'
    left join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
         and c.feature = 'minutes_transcribed'
    left join overage_packs p on p.org_id = o.id and p.remaining > 0
         and p.feature = 'minutes_transcribed'
    where o.current_period_end <= '2026-06-02T12:00:00Z' and o.parked_at is null),
moved as (
    update organizations o
    set current_period_start = d.period_end, current_period_end = z.next[1],
        current_period_end_date = '2026-07-01', next_period_ends = z.next[2:4],
        ends_time_zone = d.time_zone, ends_cycle = 'monthly', ends_anchor_day = 1,
        ends_anchor_month = 1, ends_tzdb_version = '2099z', used_minutes = 0,
        overage_minutes = coalesce(d.remaining - d.drawn, 0),
        overage_minutes_written = coalesce(d.remaining - d.drawn, 0),
        overage_minutes_granted = 0
    from due d join bench_zones z on z.name = d.time_zone
    where o.id = d.id and o.current_period_end = d.period_end
    returning d.*),
closed as (
    insert into billing_periods (org_id, period_start, period_end, follows, time_zone,
                                 tzdb_version, tier, closed_at, features, used_each,
                                 included_each, drawn_each, uncovered_each)
    select id, period_start, period_end, null, time_zone, '2099z', subscription_tier,
           '2026-06-02T12:00:00Z',
           case when used = 0 then '{}' else array['minutes_transcribed'] end,
           case when used = 0 then '{}' else array[used] end,
           case when used = 0 then '{}' else array[included] end,
           case when used = 0 then '{}' else array[coalesce(drawn, 0)] end,
           case when used = 0 then '{}'
                else array[greatest(0, used - included) - coalesce(drawn, 0)] end
    from moved),
packs as (
    update overage_packs p set remaining = m.remaining - m.drawn, entries = m.entries + 1
    from moved m where p.org_id = m.id and p.id = m.pack and m.drawn > 0)
insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, period_start, remaining)
select id, pack, entries + 1, 'drawn', drawn, period_end, period_start, remaining - drawn
from moved where drawn > 0;
