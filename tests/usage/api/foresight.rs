//! While the rollover is late, the functions already know what it will draw: what they say before
//! it is what they say after it.

use fastrand::Rng;
use std::fmt::Write as _;

use crate::support::TestDatabase;

/// How many situations are tried: a hundred for each of `PERIODD_TEST_ROUNDS`.
fn orgs() -> u32 {
    let rounds = std::env::var("PERIODD_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.unwrap_or(2) * 100
}

/// A boundary, an instant shortly before one, or none.
fn month(rng: &mut Rng) -> String {
    match rng.u32(0..5) {
        0 => "null".to_owned(),
        // On a boundary's day, which is the boundary's.
        4 => format!("months[{}] + interval '9 hours'", rng.u32(1..6)),
        1 => format!("months[{}] - interval '5 days'", rng.u32(1..6)),
        _ => format!("months[{}]", rng.u32(1..6)),
    }
}

/// Tiers of every kind, and the months around now.
pub(super) const SCENE: &str = "
    insert into subscription_tiers (code) values ('unlimited'), ('without'), ('ended');
    insert into tier_limits values ('pro', 'scrapes', 50), ('free', 'scrapes', 10),
                                   ('unlimited', 'scrapes', null), ('ended', 'scrapes', 20);
    create schema scene;
    create view scene.months as
        select array_agg(m order by m) as months
        from generate_series(date_trunc('month', now(), 'UTC') - interval '3 months',
                             date_trunc('month', now(), 'UTC') + interval '3 months',
                             interval '1 month') m;";

/// Stores the ends that follow, as the daemon does, so that functions find the period that
/// contains now.
pub(super) const ENDS: &str = "
    update organizations o
    set next_period_ends = (select array_agg(m order by m)
                            from scene.months, unnest(months) m where m > o.current_period_end)
                           || (select months[7] + interval '31 days' from scene.months),
        period_day_ends = array[o.current_period_end + interval '1 day']
                          || (select array_agg(m + interval '1 day' order by m)
                              from scene.months, unnest(months) m where m > o.current_period_end)
                          || (select months[7] + interval '32 days' from scene.months),
        ends_time_zone = time_zone, ends_cycle = cycle, ends_anchor_day = anchor_day,
        ends_anchor_month = anchor_month";

fn overridden(slug: &str, included: &str) -> String {
    format!(
        "insert into limit_overrides
         select id, 'scrapes', {included} from organizations where slug = '{slug}';"
    )
}

/// One org in a random situation: a few periods behind, with usage and packs in all of them.
pub(super) fn situation(rng: &mut Rng, slug: &str) -> String {
    // Days and hours count from the first of the month three months ago.
    let late = rng.u32(0..4);
    let mut sql = format!(
        "insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                                    current_period_end, current_period_end_date,
                                    next_subscription_tier,
                                    next_subscription_tier_at, subscription_ends_at)
         select '{slug}', '{slug}', 'UTC', '{tier}', months[{open}], months[{open} + 1],
                months[{open} + 1]::date, {next}, {at}, {ends}
         from months;
         insert into users (organization_id, email)
         select id, '{slug}@example.com' from organizations where slug = '{slug}';",
        open = 4 - late,
        tier = rng.choice(["pro", "pro", "unlimited", "without"]).expect("one of them"),
        next = rng.choice(["'free'", "'unlimited'", "'without'", "null"]).expect("one of them"),
        at = month(rng),
        ends = month(rng),
    );
    match rng.u32(0..8) {
        0 => sql.push_str(&overridden(slug, "null")),
        1 => sql.push_str(&overridden(slug, "0")),
        2 => sql.push_str(&overridden(slug, "30")),
        _ => {}
    }
    let moment = |rng: &mut Rng| {
        let hours = rng.u32(0..24 * 118);
        format!("least(months[1] + interval '{hours} hours', now())")
    };
    for pack in 0..rng.u32(0..4) {
        let (quantity, days) = (rng.u32(1..80), rng.u32(1..100));
        let bought = moment(rng);
        let expires = match rng.u32(0..8) {
            0..3 => format!("{bought} + interval '{days} days'"),
            3 => format!("(select min(m) from unnest(months) m where m > {bought})"),
            _ => "null".to_owned(),
        };
        let grant = if rng.u32(0..5) == 0 {
            // As applications may that know nothing of the ledger.
            format!(
                "insert into overage_packs (org_id, feature, quantity, purchased_at, expires_at)
                 select o.id, 'scrapes', {quantity}, {bought}, {expires}
                 from organizations o, months where slug = '{slug}';"
            )
        } else {
            format!(
                "select grant_overage_pack(o.id, 'scrapes', {quantity}, '{pack}', {expires},
                                           {bought})
                 from organizations o, months where slug = '{slug}';"
            )
        };
        sql.push_str(&grant);
    }
    for _ in 0..rng.u32(0..8) {
        // Some of it is a correction, of more than was used at times.
        let amount = if rng.u32(0..5) == 0 { -rng.i32(1..40) } else { rng.i32(1..60) };
        let counted = rng.bool();
        let used = moment(rng);
        let used = if counted {
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
        sql.push_str(&used);
    }
    if rng.u32(0..4) == 0 {
        let (from, days) = (month(rng), rng.u32(1..90));
        let until =
            if rng.bool() { "null".to_owned() } else { format!("p.at + interval '{days} days'") };
        write!(
            sql,
            "update organizations o set paused_from = p.at, paused_until = {until}
             from (select ({from})::timestamptz as at from months) p
             where slug = '{slug}' and p.at is not null;"
        )
        .expect("a string takes it");
    }
    sql
}

/// Limits that fall in the open period, after some of it was used: of tiers, and of overrides.
/// Where something waits to be counted, whoever counts it keeps that, too, and nobody says so
/// before.
pub(super) const FALLS: &str = "
    create view scene.counted as
        select o.id, o.slug from organizations o
        where not exists (select from usage_metrics m
                          where m.organization_id = o.id and m.counted_at is null);
    update organizations o set subscription_tier = 'free' from scene.counted c
    where c.id = o.id and (c.slug like '%3' or c.slug like '%8' or c.slug like '%1');
    update limit_overrides l set included = 5 from scene.counted c
    where c.id = l.org_id and c.slug like '%4' and coalesce(l.included, 6) > 5;
    delete from limit_overrides l using scene.counted c
    where c.id = l.org_id and c.slug like '%6';";

#[tokio::test]
async fn what_is_told_before_a_late_rollover_is_what_it_does() {
    is_told_beforehand("metered").await;
}

#[tokio::test]
async fn a_level_is_told_before_a_late_rollover_carries_it_over() {
    is_told_beforehand("level").await;
}

async fn is_told_beforehand(kind: &str) {
    let test = TestDatabase::new().await;
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    test.sql(SCENE).await;
    // The functions know the tier of ended subscriptions from here on.
    test.configure("[rollover]\nended_tier = \"ended\"\n");
    test.periodd(&["db", "migrate"]).exits(0);
    // Usage before an open period's start counts nowhere, and a month may be too short for a
    // draw: what matters is that many situations are tried.
    for org in 0..orgs() {
        let sql = situation(&mut rng, &format!("org-{org}"));
        test.sql(&format!("set search_path = public, scene; {sql}")).await;
    }
    test.sql(ENDS).await;
    test.sql(FALLS).await;
    let kept = "select count(*) > 0 from usage_counters c join organizations o on o.id = c.org_id
                where c.included_seen > 10 and c.used > 10 and o.subscription_tier = 'free'";
    assert_eq!(test.rows(kept).await, ["true"], "something fell after it was used");
    let told = "select o.slug, a.period_start, a.used, a.included, a.is_granted, a.drawn, a.usable,
                       a.tier, a.subscription_status
                from organizations o, periodd_allowances(o.id, now(), 'scrapes') a order by 1";
    test.sql(&format!("update features set kind = '{kind}' where feature = 'scrapes'")).await;
    let before = test.rows(told).await;
    test.periodd(&["rollover"]).exits(0);
    let closed = test.rows("select count(*) > 50 from billing_periods").await;
    assert_eq!(closed, ["true"], "something was late");
    let paid = if kind == "level" { "expired" } else { "drawn" };
    let moved = format!("select count(*) > 20 from overage_entries where kind = '{paid}'");
    assert_eq!(test.rows(&moved).await, ["true"], "packs moved");
    let drawn = "select count(*) > 0 from overage_entries where kind = 'drawn'";
    assert_eq!(test.rows(drawn).await, [(kind != "level").to_string()]);
    let paused = test.rows("select count(*) > 0 from billing_periods where is_paused").await;
    assert_eq!(paused, ["true"], "something was paused");
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
