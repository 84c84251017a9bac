//! `--early` closes an open period now, and `--org` and `--zone` choose whose.

use crate::story::{
    add, boundaries, closed, counters, dump, granted, including, inserted, packs, rollover, used,
};
use crate::support::TestDatabase;

async fn may() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test
}

#[tokio::test]
async fn an_early_close_ends_now_and_the_new_period_where_the_closed_one_would_have() {
    let test = may().await;
    granted(&test, "acme", "pack", 100, "2026-05-01T00:00:00Z", "").await;
    used(&test, "acme", "550", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "30", "2026-05-15T12:00:00Z").await;
    inserted(&test, "acme", "Minutes_Transcribed", "7", "2026-05-16T00:00:00Z").await;
    inserted(&test, "acme", "minutes_transcribed", "9", "2026-05-15T11:59:59Z").await;
    let ends = test.rows("select next_period_ends from organizations").await;

    let report = rollover(&test, "2026-05-15T12:00:00Z", &["--early"]).exits(0).json();
    assert_eq!((&report["orgs"], &report["periods_closed"]), (&1.into(), &1.into()));
    assert_eq!(closed(&test, "acme").await, ["2026-05-15T12:00:00Z 559 500 59 0"]);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z 2026-05-15T12:00:00Z 559",
            "2026-05-15T12:00:00Z 2026-06-01T00:00:00Z 37",
        ]
    );
    let org = "select used_minutes, overage_minutes, next_period_ends from organizations";
    assert_eq!(test.rows(org).await, [format!("37 41 {}", ends[0])]);
    test.check_invariants().await;

    // The same again changes nothing: the period that is open now starts now.
    assert_eq!(rollover(&test, "2026-05-15T12:00:00Z", &["--early"]).exits(0).json()["orgs"], 0);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z",
            "2026-05-15T12:00:00Z",
            "2026-06-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
        ]
    );
    assert_eq!(packs(&test).await, ["pack 41 59 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_early_close_first_catches_up_with_what_is_due() {
    let test = may().await;
    used(&test, "acme", "100", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "200", "2026-06-10T00:00:00Z").await;
    used(&test, "acme", "300", "2026-06-20T00:00:00Z").await;
    let report = rollover(&test, "2026-06-15T00:00:00Z", &["--org", "acme", "--early"]);
    let report = report.exits(0).json();
    assert_eq!((&report["orgs"], &report["periods_closed"]), (&1.into(), &2.into()));
    assert_eq!(
        closed(&test, "acme").await,
        ["2026-06-01T00:00:00Z 100 500 0 0", "2026-06-15T00:00:00Z 200 500 0 0"]
    );
    assert_eq!(test.rows("select used_minutes from organizations").await, ["300"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_dry_run_of_an_early_close_says_what_it_would_close() {
    let test = may().await;
    used(&test, "acme", "100", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "200", "2026-06-10T00:00:00Z").await;
    used(&test, "acme", "300", "2026-07-10T00:00:00Z").await;
    // Counted as June's, and July's once the org has moved to Berlin.
    used(&test, "acme", "4", "2026-06-30T23:00:00Z").await;
    test.sql("update organizations set time_zone = 'Europe/Berlin'").await;
    let planned = rollover(&test, "2026-07-05T00:00:00Z", &["--early", "--dry-run"]);
    let planned = planned.exits(3).json();
    let closes = planned["plans"][0]["closes"].as_array().unwrap().iter();
    let closes = closes.map(|close| {
        let used = close["features"][0]["used"].to_string();
        format!("{} {used} 500 0 0", close["end"].as_str().unwrap())
    });
    let closes: Vec<String> = closes.collect();
    assert_eq!(
        closes,
        [
            "2026-06-01T00:00:00Z 100 500 0 0",
            "2026-06-30T22:00:00Z 200 500 0 0",
            "2026-07-05T00:00:00Z 4 500 0 0",
        ]
    );
    rollover(&test, "2026-07-05T00:00:00Z", &["--early"]).exits(0);
    assert_eq!(closed(&test, "acme").await, closes);
    test.check_invariants().await;
}

#[tokio::test]
async fn several_orgs_are_not_closed_early_by_accident() {
    let test = may().await;
    add(&test, "globex", "2026-05-01T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    add(&test, "initech", "2026-05-01T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    let before = dump(&test).await;
    let cases: [&[&str]; 3] = [
        &["--early"],
        &["--early", "--org", "acme", "--org", "globex"],
        &["--early", "--zone", "Asia/Tokyo"],
    ];
    for flags in cases {
        let refused = rollover(&test, "2026-05-15T00:00:00Z", flags).exits(5);
        assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
        assert_eq!(refused.json()["error"]["exit"], 5, "{refused:?}");
        assert_eq!(dump(&test).await, before, "{flags:?}");
    }
    rollover(&test, "2026-05-15T00:00:00Z", &["--early", "--zone", "UTC"]).exits(0);
    rollover(&test, "2026-05-15T00:00:00Z", &["--early", "--yes"]).exits(0);
    for slug in ["acme", "globex", "initech"] {
        assert_eq!(closed(&test, slug).await.len(), 1, "{slug}");
    }
    test.check_invariants().await;
}

#[tokio::test]
async fn only_the_orgs_that_are_named_are_rolled_over() {
    let test = may().await;
    for (slug, zone) in [("globex", "Asia/Tokyo"), ("initech", "Asia/Tokyo"), ("hooli", "UTC")] {
        add(&test, slug, "2026-05-02T00:00:00Z", &["--zone", zone]);
    }
    let id = test.rows("select id from organizations where slug = 'globex'").await;
    let flags = ["--org", "acme", "--org", &id[0], "--org", "globex"];
    let report = rollover(&test, "2026-06-02T00:00:00Z", &flags).exits(0).json();
    assert_eq!(report["orgs"], 2);
    let due = "select slug from organizations where current_period_end <= '2026-06-02' order by 1";
    assert_eq!(test.rows(due).await, ["hooli", "initech"]);

    let report = rollover(&test, "2026-06-02T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    assert_eq!(report.exits(0).json()["orgs"], 1);
    assert_eq!(test.rows(due).await, ["hooli"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_zone_is_swept_for_more_than_due_periods() {
    let test = may().await;
    granted(&test, "acme", "pack", 50, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
    add(&test, "globex", "2026-05-01T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    test.sql("update organizations set time_zone = 'UTC' where slug = 'globex'").await;
    rollover(&test, "2026-05-12T00:00:00Z", &["--zone", "UTC"]).exits(0);
    assert_eq!(packs(&test).await, ["pack 0 0 50"]);
    let ends = "select ends_time_zone from organizations where slug = 'globex'";
    assert_eq!(test.rows(ends).await, ["UTC"]);
    test.check_invariants().await;
}
