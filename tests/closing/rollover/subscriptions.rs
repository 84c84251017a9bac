//! Tiers to come and ended subscriptions apply at boundaries, also at missed ones.

use crate::story::{add, including, rollover, used};
use crate::support::TestDatabase;

/// 600 used in every month from May on; pro includes 500, business 550, free 10.
async fn months(count: u32) -> TestDatabase {
    let test = including(500).await;
    test.sql(
        "insert into tier_limits values ('business', 'minutes_transcribed', 550),
                                        ('free', 'minutes_transcribed', 10)",
    )
    .await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    for month in 5..5 + count {
        used(&test, "acme", "600", &format!("2026-{month:02}-10T00:00:00Z")).await;
    }
    test
}

/// Month, tier and included quantity of every close.
async fn tiers(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select to_char(b.period_start at time zone 'UTC', 'YYYY-MM') as month, b.tier, u.included
         from billing_periods b
         left join billing_period_usage u using (org_id, period_start) order by 1",
    )
    .await
}

async fn standing(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select subscription_tier, next_subscription_tier, next_subscription_tier_at,
                subscription_status, subscription_ends_at from organizations",
    )
    .await
}

#[tokio::test]
async fn a_tier_to_come_without_a_time_applies_at_the_next_boundary() {
    let test = months(4).await;
    test.sql("update organizations set next_subscription_tier = 'business'").await;
    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(
        tiers(&test).await,
        ["2026-05 pro 500", "2026-06 business 550", "2026-07 business 550"]
    );
    assert_eq!(standing(&test).await, ["business - - - -"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_tier_to_come_waits_for_the_first_boundary_on_or_after_its_date() {
    for (time, first) in [
        ("2026-07-01T00:00:00Z", 2),
        ("2026-06-02T00:00:00Z", 2),
        ("2026-07-01T23:59:59Z", 2),
        ("2026-07-02T00:00:00Z", 3),
    ] {
        let test = months(4).await;
        test.sql(&format!(
            "update organizations set next_subscription_tier = 'business',
                    next_subscription_tier_at = '{time}'"
        ))
        .await;
        rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
        assert_eq!(standing(&test).await, [format!("pro business {} - -", &time)]);
        rollover(&test, "2026-09-02T00:00:00Z", &[]).exits(0);
        let tiers = tiers(&test).await;
        let pro = tiers.iter().filter(|line| line.contains("pro 500")).count();
        assert_eq!((pro, tiers.len()), (first, 4), "{time}: {tiers:?}");
        assert_eq!(standing(&test).await, ["business - - - -"]);
        test.check_invariants().await;
    }
}

/// Payment providers' ends carry a time of day: an end on a boundary's date is that boundary's.
#[tokio::test]
async fn the_end_of_a_subscription_means_its_date_in_the_zone_of_the_org() {
    for (ends_at, ends) in [
        ("2026-12-15T14:32:00Z", "2026-12-15T05:00:00Z"),
        ("2026-12-16T04:59:59Z", "2026-12-15T05:00:00Z"),
        ("2026-12-15T04:59:59Z", "2026-12-15T05:00:00Z"),
        ("2026-12-16T05:00:00Z", "2027-01-15T05:00:00Z"),
    ] {
        let test = including(500).await;
        let flags = ["--zone", "America/New_York", "--anchor-day", "15"];
        add(&test, "acme", "2026-11-20T00:00:00Z", &flags);
        test.sql(&format!("update organizations set subscription_ends_at = '{ends_at}'")).await;
        let stale = "select has_stale_ends, period_day_ends[1] from organizations";
        assert_eq!(test.rows(stale).await, ["true -"]);
        // The sweep stores the ends of the days, for the functions.
        rollover(&test, "2026-11-21T00:00:00Z", &[]).exits(0);
        assert_eq!(test.rows(stale).await, ["false 2026-12-16T05:00:00Z"]);
        let line = format!("takes effect {}", &ends[..10]);
        let shown = test.periodd(&["--at", "2026-11-21T00:00:00Z", "orgs", "show", "acme"]);
        assert!(shown.exits(0).stdout.contains(&line), "{line}");
        // Before the late rollover and after it.
        let tier = format!(
            "select tier, subscription_status
             from periodd_allowances((select id from organizations),
                                     timestamptz '{ends}' + interval '1 minute',
                                     'minutes_transcribed')"
        );
        assert_eq!(test.rows(&tier).await, ["free canceled"]);
        rollover(&test, "2026-12-20T00:00:00Z", &[]).exits(0);
        let is_ended = ends.starts_with("2026-12");
        let now = if is_ended { "free canceled" } else { "pro -" };
        let row = "select subscription_tier, subscription_status from organizations";
        assert_eq!(test.rows(row).await, [now]);
        assert_eq!(test.rows(&tier).await, ["free canceled"]);
        test.check_invariants().await;
    }
}

/// After a move eastward the local day of a boundary may end before the boundary: functions and
/// rollovers agree still on when the subscription ends.
#[tokio::test]
async fn an_org_that_moved_east_has_the_same_tier_before_its_rollover_and_after_it() {
    let test = including(500).await;
    let flags = ["--zone", "America/New_York", "--anchor-time", "20:00"];
    add(&test, "acme", "2026-04-05T00:00:00Z", &flags);
    test.sql(
        "update organizations
         set subscription_ends_at = '2026-05-02T00:00:00Z', time_zone = 'Europe/Berlin'",
    )
    .await;
    rollover(&test, "2026-04-10T00:00:00Z", &[]).exits(0);
    let tier = "select tier from periodd_allowances((select id from organizations),
                                                    '2026-05-02T00:01:00Z', 'minutes_transcribed')";
    let foreseen = test.rows(tier).await;
    rollover(&test, "2026-05-02T00:01:00Z", &[]).exits(0);
    assert_eq!(test.rows("select subscription_tier from organizations").await, foreseen);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
    test.check_invariants().await;
}

/// A date is meant, wherever the org is.
#[tokio::test]
async fn a_date_goes_with_its_org_to_another_zone() {
    let test = including(500).await;
    add(&test, "acme", "2026-04-05T00:00:00Z", &["--zone", "Europe/Berlin"]);
    test.periodd(&["orgs", "set", "acme", "--ends-at", "2030-06-01"]).exits(0);
    let ends = "select subscription_ends_at from organizations";
    assert_eq!(test.rows(ends).await, ["2030-05-31T22:00:00Z"]);
    test.periodd(&["orgs", "set", "acme", "--zone", "America/New_York"]).exits(0);
    assert_eq!(test.rows(ends).await, ["2030-06-01T04:00:00Z"]);
}

#[tokio::test]
async fn an_ended_subscription_falls_back_to_free_and_keeps_its_packs() {
    let test = months(4).await;
    test.sql(
        "update organizations set subscription_status = 'active',
                subscription_ends_at = '2026-06-15T00:00:00Z';
         select grant_overage_pack(id, 'minutes_transcribed', 1000, 'pack', null, '2026-05-01')
         from organizations",
    )
    .await;
    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, ["2026-05 pro 500", "2026-06 pro 500", "2026-07 free 10"]);
    assert_eq!(standing(&test).await, ["free - - canceled -"]);
    assert_eq!(test.rows("select remaining from overage_packs").await, ["210"]);
    test.check_invariants().await;

    // Someone who subscribes again is not canceled once more.
    test.sql("update organizations set subscription_tier = 'pro', subscription_status = 'active'")
        .await;
    rollover(&test, "2026-09-02T00:00:00Z", &[]).exits(0);
    assert_eq!(standing(&test).await, ["pro - - active -"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_end_of_a_subscription_goes_before_a_tier_to_come_and_leaves_a_later_one() {
    let test = months(4).await;
    test.sql(
        "update organizations set subscription_ends_at = '2026-06-01T00:00:00Z',
                next_subscription_tier = 'business'",
    )
    .await;
    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, ["2026-05 pro 500", "2026-06 free 10", "2026-07 free 10"]);
    assert_eq!(standing(&test).await, ["free - - canceled -"]);
    test.check_invariants().await;

    // A tier that is to come later was sold for then.
    let test = months(4).await;
    test.sql(
        "update organizations set subscription_ends_at = '2026-06-01T00:00:00Z',
                next_subscription_tier = 'business',
                next_subscription_tier_at = '2026-07-01T00:00:00Z'",
    )
    .await;
    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, ["2026-05 pro 500", "2026-06 free 10", "2026-07 business 550"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_override_goes_before_the_tier_and_null_is_unlimited() {
    let test = months(2).await;
    test.sql(
        "insert into limit_overrides select id, 'minutes_transcribed', 590 from organizations",
    )
    .await;
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    test.sql("update limit_overrides set included = null").await;
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    let closed =
        "select used, included, drawn, uncovered from billing_period_usage order by period_start";
    assert_eq!(test.rows(closed).await, ["600 590 0 10", "600 - 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_ended_tier_that_does_not_exist_parks_nobody_and_a_dry_run_says_so() {
    let test = months(2).await;
    add(&test, "bolt", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test.sql("update organizations set subscription_ends_at = '2026-06-01Z' where slug = 'acme'")
        .await;
    test.configure("[rollover]\nended_tier = \"hoby\"\n");
    let check = test.periodd(&["config", "check"]).exits(3).stdout;
    assert!(check.contains("the tier `hoby` of [rollover] ended_tier does not exist"), "{check}");
    for dry_run in [&["--dry-run"][..], &[]] {
        let refused = rollover(&test, "2026-06-02T00:00:00Z", dry_run).exits(1);
        assert!(refused.stderr.contains("the tier `hoby` of [rollover] ended_tier"), "{refused:?}");
    }
    let rows = "select slug, parked_at is not null as parked,
                       current_period_start = '2026-06-01Z' as closed
                from organizations order by slug";
    assert_eq!(test.rows(rows).await, ["acme false false", "bolt false true"]);
    let config = std::fs::read_to_string(test.config()).expect("a configuration");
    std::fs::write(test.config(), config.replace("hoby", "free")).expect("written");
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(rows).await, ["acme false true", "bolt false true"]);
    test.check_invariants().await;
}
