//! While the rollover is late, the functions already know what it will draw: what they say before
//! it is what they say after it.

use fastrand::Rng;

use crate::support::TestDatabase;

/// One org in a random situation: a few periods behind, with usage and packs in all of them.
fn situation(rng: &mut Rng, slug: &str) -> String {
    // Days and hours count from the first of the month three months ago.
    let late = rng.u32(0..4);
    let mut sql = format!(
        "insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                                    current_period_end, current_period_end_date,
                                    next_subscription_tier,
                                    next_subscription_tier_at)
         select '{slug}', '{slug}', 'UTC', 'pro', months[{open}], months[{open} + 1],
                months[{open} + 1]::date, {next}, months[{at}]
         from months;",
        open = 4 - late,
        next = if rng.bool() { "'free'" } else { "null" },
        at = rng.u32(1..6),
    );
    let moment = |rng: &mut Rng| {
        let hours = rng.u32(0..24 * 118);
        format!("least(months[1] + interval '{hours} hours', now())")
    };
    for pack in 0..rng.u32(0..4) {
        let (quantity, days) = (rng.u32(1..80), rng.u32(1..100));
        let bought = moment(rng);
        let expires = if rng.bool() {
            format!("{bought} + interval '{days} days'")
        } else {
            "null".to_owned()
        };
        sql += &format!(
            "select grant_overage_pack(o.id, 'scrapes', {quantity}, '{pack}', {expires}, {bought})
             from organizations o, months where slug = '{slug}';"
        );
    }
    for _ in 0..rng.u32(0..8) {
        let (amount, counted) = (rng.u32(1..60), rng.bool());
        let used = moment(rng);
        sql += &if counted {
            format!(
                "select record_usage(o.id, 'scrapes', {amount}, null, {used})
                 from organizations o, months
                 where slug = '{slug}' and {used} >= o.current_period_start;"
            )
        } else {
            format!(
                "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
                 select o.id, 'Scrapes', {amount}, {used} from organizations o, months
                 where slug = '{slug}' and {used} >= o.current_period_start
                   and {used} < months[4];"
            )
        };
    }
    sql
}

#[tokio::test]
async fn what_is_told_before_a_late_rollover_is_what_it_does() {
    let test = TestDatabase::new().await;
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    // January 31 of any year is no trouble: months are counted, not added.
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 50), ('free', 'scrapes', 10);
         create schema scene;
         create view scene.months as
             select array_agg(m order by m) as months
             from generate_series(date_trunc('month', now(), 'UTC') - interval '3 months',
                                  date_trunc('month', now(), 'UTC') + interval '3 months',
                                  interval '1 month') m;",
    )
    .await;
    // Usage before an open period's start counts nowhere, and a month may be too short for a
    // draw: what matters is that many situations are tried.
    for org in 0..120 {
        let sql = situation(&mut rng, &format!("org-{org}"));
        test.sql(&format!("set search_path = public, scene; {sql}")).await;
    }
    // Ends, so that functions find the period that contains now; as the daemon has stored them.
    test.sql(
        "update organizations o
         set next_period_ends = (select array_agg(m order by m)
                                 from scene.months, unnest(months) m where m > o.current_period_end)
                                || (select months[7] + interval '31 days' from scene.months),
             ends_time_zone = time_zone, ends_cycle = cycle, ends_anchor_day = anchor_day,
             ends_anchor_month = anchor_month",
    )
    .await;
    let told = "select o.slug, a.period_start, a.used, a.included, a.is_granted, a.drawn, a.usable
                from organizations o, periodd_allowance(o.id, 'scrapes', now()) a order by 1";
    let before = test.rows(told).await;
    test.periodd(&["rollover"]).exits(0);
    let closed = test.rows("select count(*) > 50 from billing_periods").await;
    assert_eq!(closed, ["true"], "something was late");
    let drawn =
        test.rows("select count(*) > 20 from overage_entries where kind <> 'granted'").await;
    assert_eq!(drawn, ["true"], "something was drawn");
    let after = test.rows(told).await;
    for (before, after) in before.iter().zip(&after) {
        // Metrics of the open period that nobody has counted are not in its counter before.
        let cut = |line: &str| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            words.remove(2);
            words.join(" ")
        };
        assert_eq!(cut(before), cut(after), "seed {seed}");
    }
    test.check_invariants().await;
}
