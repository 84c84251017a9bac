//! The cycle `none`: one open period without an end, and the way there and back.

use crate::story::{add, boundaries, closed, counters, including, rollover, used};

const NEVER: &str = "9999-12-31T23:59:59.999999Z";
const LIFETIME: &[&str] = &["--zone", "Europe/Berlin", "--cycle", "none"];

#[tokio::test]
async fn a_period_without_an_end_is_never_due_and_everybody_says_so() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-10T00:00:00Z", LIFETIME);
    used(&test, "acme", "40", "2026-05-11T00:00:00Z").await;
    used(&test, "acme", "60", "2031-05-11T00:00:00Z").await;
    let report = rollover(&test, "2026-11-01T00:00:00Z", &[]).exits(0).json();
    assert_eq!(report["orgs"], 0);
    assert_eq!(boundaries(&test, "acme").await, ["2026-04-30T22:00:00Z", NEVER]);
    assert_eq!(counters(&test, "acme").await, [format!("2026-04-30T22:00:00Z {NEVER} 100")]);
    let at = |words: &[&str]| {
        test.periodd(&[&["--at", "2026-11-02T00:00:00Z", "--utc"], words].concat()).exits(0).stdout
    };
    assert!(at(&["orgs", "show", "acme"]).contains("2026-04-30 22:00 UTC, without an end"));
    assert!(at(&["orgs", "list"]).contains("never"));
    assert!(at(&["explain", "acme"]).contains("2026-04-30 22:00 UTC, without an end"));
    assert!(!at(&["schedule", "next"]).contains("9999"));
    assert!(at(&["periods", "--zone", "UTC", "--cycle", "none"]).contains("never"));
    test.periodd(&["--at", "2026-11-02T00:00:00Z", "sync", "--full", "--check"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_org_comes_to_a_lifetime_plan_at_its_next_boundary_and_leaves_it_at_another() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "40", "2026-05-11T00:00:00Z").await;
    let set = |at: &str, cycle: &str| {
        let words = ["--at", at, "--utc", "orgs", "set", "acme", "--cycle", cycle];
        test.periodd(&words).exits(0).stdout
    };
    let told = set("2026-05-12T00:00:00Z", "none");
    assert!(told.contains("never ends"), "{told}");
    rollover(&test, "2026-05-12T00:01:00Z", &[]).exits(0);
    test.check_invariants().await;
    rollover(&test, "2026-06-01T00:01:00Z", &[]).exits(0);
    used(&test, "acme", "70", "2026-08-11T00:00:00Z").await;
    let told = set("2026-09-12T00:00:00Z", "monthly");
    assert!(told.contains("2026-10-01 00:00 UTC"), "{told}");
    rollover(&test, "2026-09-12T00:01:00Z", &[]).exits(0);
    test.check_invariants().await;
    rollover(&test, "2026-11-01T00:01:00Z", &[]).exits(0);
    let expected = [
        "2026-06-01T00:00:00Z 40 500 0 0",
        "2026-10-01T00:00:00Z 70 500 0 0",
        "2026-11-01T00:00:00Z - - - -",
    ];
    assert_eq!(closed(&test, "acme").await, expected);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_lifetime_period_is_closed_early_and_another_one_opens() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-10T00:00:00Z", LIFETIME);
    used(&test, "acme", "40", "2026-05-11T00:00:00Z").await;
    let early = ["--early", "--yes", "--org", "acme"];
    rollover(&test, "2026-06-10T00:00:00Z", &early).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-10T00:00:00Z 40 500 0 0"]);
    let expected = ["2026-04-30T22:00:00Z", "2026-06-10T00:00:00Z", NEVER];
    assert_eq!(boundaries(&test, "acme").await, expected);
    test.check_invariants().await;
}
