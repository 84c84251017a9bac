//! Orgs that pause: what their periods say meanwhile, and that they resume.

use crate::story::{add, closed, granted, including, packs, rollover, used};
use crate::support::TestDatabase;

/// An org of 500 minutes from May on, with a pack of 100 more.
async fn may() -> TestDatabase {
    let test = including(500).await;
    let may = ["--zone", "UTC", "--period-start", "2026-05-01T00:00:00Z"];
    add(&test, "acme", "2026-05-01T00:00:00Z", &may);
    granted(&test, "acme", "pack", 100, "2026-05-01T00:00:00Z", "").await;
    test
}

fn pause(test: &TestDatabase, now: &str, flags: &[&str]) -> crate::support::Answer {
    let words = ["--at", now, "--format", "json", "orgs", "pause", "acme", "--reason", "asked for"];
    test.periodd(&[&words[..], flags].concat())
}

/// Which closed periods are paused, oldest first.
async fn paused(test: &TestDatabase) -> Vec<String> {
    test.rows("select is_paused from billing_periods order by period_start").await
}

#[tokio::test]
async fn periods_within_a_pause_include_nothing_and_draw_nothing() {
    let test = may().await;
    let flags = ["--from", "period-end", "--until", "2026-08-10T00:00:00Z"];
    let answer = pause(&test, "2026-05-20T00:00:00Z", &flags).exits(0).json();
    assert_eq!(answer["pause"]["from"], "2026-06-01T00:00:00Z");
    assert_eq!(answer["is_paused"], false);
    used(&test, "acme", "550", "2026-05-10T00:00:00Z").await;
    // Nobody is asked about what is recorded: here a call that ended in the pause.
    used(&test, "acme", "7", "2026-06-01T00:30:00Z").await;
    used(&test, "acme", "520", "2026-08-15T00:00:00Z").await;
    rollover(&test, "2026-09-01T00:05:00Z", &[]).exits(0);
    let expected = [
        "2026-06-01T00:00:00Z 550 500 50 0",
        "2026-07-01T00:00:00Z 7 0 0 7",
        "2026-08-01T00:00:00Z - - - -",
        "2026-09-01T00:00:00Z 520 500 20 0",
    ];
    assert_eq!(closed(&test, "acme").await, expected);
    assert_eq!(paused(&test).await, ["false", "true", "true", "false"]);
    assert_eq!(packs(&test).await, ["pack 30 70 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn late_usage_of_a_paused_period_is_uncovered() {
    let test = may().await;
    pause(&test, "2026-05-20T00:00:00Z", &["--from", "period-end"]).exits(0);
    rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
    used(&test, "acme", "9", "2026-06-20T00:00:00Z").await;
    test.periodd(&["--at", "2026-07-01T01:00:00Z", "sync"]).exits(0);
    let late = "select kind, used, drawn, uncovered from billing_adjustments";
    assert_eq!(test.rows(late).await, ["late 9 0 9"]);
    assert_eq!(packs(&test).await, ["pack 100 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_paused_org_is_refused_everywhere_and_gets_no_alerts_until_it_resumes() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    test.periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--tier", "pro"])
        .exits(0);
    test.sql(
        "insert into users (id, organization_id, email)
         select '00000000-0000-0000-0000-00000000000a', id, 'a@example.com' from organizations",
    )
    .await;
    let increment = "select i.allowed, i.new_usage, i.effective_limit
         from increment_usage_if_allowed('00000000-0000-0000-0000-00000000000a') i";
    let by_org = "select i.allowed from organizations o,
                         increment_org_usage(o.id, 'scrapes', 1) i";
    assert_eq!(test.rows(increment).await, ["true 1 10"]);
    test.sql("select record_usage(id, 'scrapes', 8) from organizations").await;

    test.periodd(&["orgs", "pause", "acme", "--reason", "winter"]).exits(0);
    assert_eq!(test.rows(increment).await, ["false 9 10"]);
    assert_eq!(test.rows(by_org).await, ["false"]);
    let keyed = "select i.allowed from organizations o,
                        increment_org_usage(o.id, 'scrapes', 1, 'key') i";
    assert_eq!(test.rows(keyed).await, ["false"], "a refusal is not remembered");
    let check = ["--format", "json", "usage", "check", "--org", "acme", "--feature", "scrapes"];
    let checked = test.periodd(&check).exits(3).json();
    assert_eq!((&checked["why_not"], &checked["remaining"]), (&"paused".into(), &0.into()));
    assert_eq!(test.rows("select slug from usage_alerts_view").await, [""; 0]);
    test.periodd(&["alerts", "run"]).exits(0);
    assert_eq!(test.rows("select threshold from periodd_alerts").await, [""; 0]);
    let explained = test.periodd(&["--format", "json", "explain", "acme"]).json();
    assert_eq!(explained["org"]["pause_reason"], "winter");
    assert_eq!(explained["features"][0]["increment"]["why"], "the org is paused");

    let resumed = test.periodd(&["--format", "json", "orgs", "resume", "acme"]).exits(0).json();
    assert_eq!((&resumed["is_paused"], &resumed["changed"]), (&false.into(), &true.into()));
    assert_eq!(test.rows(keyed).await, ["true"]);
    test.periodd(&["alerts", "run"]).exits(0);
    assert_eq!(test.rows("select count(*) > 0 from periodd_alerts").await, ["true"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_pause_waits_for_the_books_and_is_taken_back_before_it_begins() {
    let test = may().await;
    pause(&test, "2026-06-02T00:00:00Z", &[]).exits(5);
    pause(&test, "2026-05-02T00:00:00Z", &["--until", "2026-05-01"]).exits(2);
    pause(&test, "2026-05-02T00:00:00Z", &["--from", "period-end"]).exits(0);
    let at = ["--at", "2026-05-03T00:00:00Z", "--format", "json", "orgs", "resume", "acme"];
    assert!(test.periodd(&at).exits(0).json()["pause"].is_null());
    assert_eq!(test.periodd(&at).exits(0).json()["changed"], false);
    rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
    assert_eq!(paused(&test).await, ["false", "false"]);
}
