//! After an outage: replay, collapse, halt.

use crate::story::{
    add, boundaries, closed, counters, dump, granted, including, packs, rollover, used,
};
use crate::support::TestDatabase;

const AT: &str = "2026-08-20T00:00:00Z";

/// An org whose daemon went away in May, with usage in every month since and two packs.
async fn outage(catch_up: &str) -> TestDatabase {
    let test = including(500).await;
    test.configure(&format!("[rollover]\ncatch_up = \"{catch_up}\"\n"));
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    for (minutes, at) in [
        ("510", "2026-05-31T23:00:00Z"),
        ("530", "2026-06-10T00:00:00Z"),
        ("400", "2026-07-10T00:00:00Z"),
        ("20", "2026-08-10T00:00:00Z"),
    ] {
        used(&test, "acme", minutes, at).await;
    }
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "2026-07-05T00:00:00Z").await;
    granted(&test, "acme", "B", 200, "2026-07-20T00:00:00Z", "").await;
    test
}

#[tokio::test]
async fn replay_closes_each_missed_period_with_its_own_usage_and_packs() {
    let test = outage("replay").await;
    rollover(&test, AT, &[]).exits(0);
    assert_eq!(
        closed(&test, "acme").await,
        [
            "2026-06-01T00:00:00Z 510 500 10 0",
            "2026-07-01T00:00:00Z 530 500 30 0",
            "2026-08-01T00:00:00Z 400 500 0 0",
        ]
    );
    assert_eq!(packs(&test).await, ["A 0 40 60", "B 200 0 0"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["20"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn collapse_closes_the_missed_periods_as_one_with_one_included_quantity() {
    let test = outage("collapse").await;
    let report = rollover(&test, AT, &[]).exits(0).json();
    assert_eq!(report["periods_closed"], 2);
    // By July 5 A has to pay for 530 − 500; then 930 − 500 less what A paid, of which B has 200.
    assert_eq!(
        closed(&test, "acme").await,
        ["2026-06-01T00:00:00Z 510 500 10 0", "2026-08-01T00:00:00Z 930 500 230 200"]
    );
    assert_eq!(packs(&test).await, ["A 0 40 60", "B 0 200 0"]);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z 2026-06-01T00:00:00Z 510",
            "2026-06-01T00:00:00Z 2026-08-01T00:00:00Z 930",
            "2026-08-01T00:00:00Z 2026-09-01T00:00:00Z 20",
        ]
    );
    test.check_invariants().await;
    assert_eq!(rollover(&test, AT, &[]).exits(0).json()["orgs"], 0);
    rollover(&test, "2026-09-01T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await[2], "2026-09-01T00:00:00Z 20 500 0 0");
    test.check_invariants().await;
}

#[tokio::test]
async fn collapse_of_years_of_days_is_two_closes() {
    let test = including(500).await;
    test.configure("[rollover]\ncatch_up = \"collapse\"\n");
    add(&test, "acme", "2009-01-01T00:00:00Z", &["--zone", "UTC", "--cycle", "daily"]);
    used(&test, "acme", "5", "2009-01-20T00:00:00Z").await;
    used(&test, "acme", "7", "2012-01-20T00:00:00Z").await;
    assert_eq!(rollover(&test, AT, &[]).exits(0).json()["periods_closed"], 2);
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2009-01-01T00:00:00Z",
            "2009-01-02T00:00:00Z",
            "2026-08-20T00:00:00Z",
            "2026-08-21T00:00:00Z",
        ]
    );
    assert_eq!(closed(&test, "acme").await[1], "2026-08-20T00:00:00Z 12 500 0 0");
    test.check_invariants().await;
}

/// What a restart ends and what follows it are on different tiers, and never one period.
#[tokio::test]
async fn collapse_leaves_out_periods_around_a_restart() {
    let test = outage("collapse").await;
    test.sql(
        "insert into tier_limits values ('free', 'minutes_transcribed', 100);
         select restart_billing_cycle(id, 'free', 'evt_1', '2026-06-20T12:00:00Z')
         from organizations",
    )
    .await;
    rollover(&test, AT, &[]).exits(0);
    assert_eq!(
        closed(&test, "acme").await,
        [
            "2026-06-01T00:00:00Z 510 500 10 0",
            "2026-06-20T12:00:00Z 530 500 30 0",
            "2026-07-20T12:00:00Z 400 100 200 100",
        ]
    );
    let booked = test.rows("select tier from billing_periods order by period_start").await;
    assert_eq!(booked, ["pro", "pro", "free"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn halt_parks_an_org_with_more_than_one_period_due() {
    let test = outage("halt").await;
    add(&test, "fresh", "2026-07-10T00:00:00Z", &["--zone", "UTC"]);
    let report = rollover(&test, AT, &[]).exits(4).json();
    assert_eq!(report["orgs"], 1);
    assert_eq!(report["parked"][0]["slug"], "acme");
    let reason = report["parked"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("2026-06-01 00:00 UTC") && reason.contains("halt"), "{reason}");
    assert!(closed(&test, "acme").await.is_empty());
    assert_eq!(closed(&test, "fresh").await.len(), 1);
    let before = dump(&test).await;
    rollover(&test, AT, &[]).exits(0);
    assert_eq!(dump(&test).await, before);
    test.check_invariants().await;
}

#[tokio::test]
async fn catching_up_in_many_passes_ends_as_in_one() {
    let mut endings = Vec::new();
    for periods in [1, 2, 100] {
        let test = outage("replay").await;
        test.configure(&format!("max_periods_per_pass = {periods}\n"));
        rollover(&test, AT, &[]).exits(0);
        test.check_invariants().await;
        endings.push((
            closed(&test, "acme").await,
            packs(&test).await,
            test.rows("select kind, quantity, at, remaining from overage_entries order by at, seq")
                .await,
            test.rows("select used_minutes, overage_minutes from organizations").await,
        ));
    }
    assert_eq!(endings[0], endings[2]);
    assert_eq!(endings[1], endings[2]);
}
