//! Late usage: adjustments beside closed periods, which stay byte for byte what they were.

use crate::story::{granted, inserted, packs, rollover, used};
use crate::support::TestDatabase;
use crate::sync::words::{adjustments, closed_rows, may, sync};

/// May, closed on June 1 with some minutes used.
async fn closed_may(minutes: &str, packs: &[(&str, i64, &str, &str)]) -> TestDatabase {
    let test = may().await;
    for (name, quantity, purchased, expires) in packs {
        granted(&test, "acme", name, *quantity, purchased, expires).await;
    }
    used(&test, "acme", minutes, "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    test
}

#[tokio::test]
async fn late_usage_within_the_grace_is_paid_by_packs_that_were_usable_then() {
    let test = closed_may(
        "530",
        &[
            ("may", 50, "2026-05-02T00:00:00Z", ""),
            ("expired", 100, "2026-05-02T00:00:00Z", "2026-05-09T00:00:00Z"),
        ],
    )
    .await;
    granted(&test, "acme", "june", 500, "2026-06-01T00:00:00Z", "").await;
    let closed = closed_rows(&test).await;
    inserted(&test, "acme", "minutes_transcribed", "50", "2026-05-20T00:00:00Z").await;
    let report = sync(&test, "2026-06-02T00:00:00Z", &[]).exits(0).json();
    let late = &report["late"][0];
    assert_eq!(
        (&late["org"], &late["kind"], &late["used"]),
        (&"acme".into(), &"late".into(), &50.into())
    );
    assert_eq!(report["drift_found"], 0);
    // 20 are left of the pack of May; the one of June came after it.
    assert_eq!(adjustments(&test).await, ["late 50 20 30"]);
    assert_eq!(packs(&test).await, ["expired 0 0 100", "june 500 0 0", "may 0 50 0"]);
    let decided = "select decided_at, reason from billing_adjustments";
    assert_eq!(
        test.rows(decided).await,
        ["2026-06-02T00:00:00Z counted after the close, within the grace period"]
    );
    assert_eq!(closed_rows(&test).await, closed);
    assert_eq!(test.rows("select overage_minutes from organizations").await, ["500"]);
    test.check_invariants().await;

    let again = sync(&test, "2026-06-02T01:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(again["late"].as_array().unwrap().len(), 0);
    assert_eq!(adjustments(&test).await.len(), 1);
    // Through the function, and a second time: the next line beside the same period.
    used(&test, "acme", "5", "2026-05-30T00:00:00Z").await;
    sync(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["late 50 20 30", "late 5 0 5"]);
    rollover(&test, "2026-07-01T00:00:00Z", &[]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_correction_lowers_uncovered_first_and_then_gives_back() {
    let test = closed_may(
        "590",
        &[
            ("a", 40, "2026-05-02T00:00:00Z", "2026-06-02T00:00:00Z"),
            ("b", 30, "2026-05-03T00:00:00Z", ""),
        ],
    )
    .await;
    let closed = closed_rows(&test).await;
    let uncovered = "select drawn, uncovered from billing_period_usage";
    assert_eq!(test.rows(uncovered).await, ["70 20"]);
    used(&test, "acme", "-10", "2026-05-20T00:00:00Z").await;
    sync(&test, "2026-06-01T01:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["late -10 0 -10"]);
    // 10 are still uncovered; b was drawn last; what returns to a has expired on June 2.
    used(&test, "acme", "-50", "2026-05-21T00:00:00Z").await;
    sync(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["late -10 0 -10", "late -50 -40 -10"]);
    assert_eq!(packs(&test).await, ["a 0 30 10", "b 30 0 0"]);
    assert_eq!(test.rows("select overage_minutes from organizations").await, ["30"]);
    assert_eq!(closed_rows(&test).await, closed);
    test.check_invariants().await;
    // More is taken away than was ever above included.
    used(&test, "acme", "-600", "2026-05-21T00:00:00Z").await;
    sync(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await[2], "late -600 -30 0");
    test.check_invariants().await;
}

#[tokio::test]
async fn after_the_grace_it_is_set_aside() {
    let test = closed_may("530", &[("a", 500, "2026-05-02T00:00:00Z", "")]).await;
    let closed = closed_rows(&test).await;
    inserted(&test, "acme", "minutes_transcribed", "50", "2026-05-20T00:00:00Z").await;
    inserted(&test, "acme", "sms_sent", "3", "2026-05-20T00:00:00Z").await;
    let report = sync(&test, "2026-06-20T00:00:00Z", &[]).exits(0).json();
    assert_eq!(report["late"].as_array().unwrap().len(), 2);
    assert_eq!(adjustments(&test).await, ["set_aside 50 0 0", "set_aside 3 0 0"]);
    assert_eq!(packs(&test).await, ["a 470 30 0"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["0"]);
    assert_eq!(closed_rows(&test).await, closed);
    test.check_invariants().await;
}

#[tokio::test]
async fn or_it_is_charged_to_the_open_period_by_policy() {
    let test = closed_may("530", &[("a", 500, "2026-05-02T00:00:00Z", "")]).await;
    test.configure("[sync]\nlate_usage_policy = \"open_period\"\nlate_usage_grace = \"48h\"\n");
    inserted(&test, "acme", "minutes_transcribed", "50", "2026-05-20T00:00:00Z").await;
    sync(&test, "2026-06-03T00:00:00.000001Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["set_aside 50 0 0"]);
    let reason = "counted after the grace period; charged to the open period";
    assert_eq!(test.rows("select reason from billing_adjustments").await, [reason]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["50"]);
    let counters = "select period_start, used from usage_counters order by 1";
    assert_eq!(test.rows(counters).await, ["2026-05-01T00:00:00Z 580", "2026-06-01T00:00:00Z 50"]);
    test.check_invariants().await;
    sync(&test, "2026-06-04T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(test.rows(counters).await[1], "2026-06-01T00:00:00Z 50");
    assert_eq!(adjustments(&test).await.len(), 1);
}

#[tokio::test]
async fn two_months_at_once_draw_on_the_same_pack_one_after_the_other() {
    let test = closed_may("500", &[("a", 60, "2026-05-02T00:00:00Z", "")]).await;
    used(&test, "acme", "500", "2026-06-10T00:00:00Z").await;
    rollover(&test, "2026-07-01T00:00:00Z", &[]).exits(0);
    test.configure("[sync]\nlate_usage_grace = \"2000h\"\n");
    inserted(&test, "acme", "minutes_transcribed", "40", "2026-05-20T00:00:00Z").await;
    inserted(&test, "acme", "minutes_transcribed", "40", "2026-06-20T00:00:00Z").await;
    sync(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["late 40 40 0", "late 40 20 20"]);
    assert_eq!(packs(&test).await, ["a 0 60 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn drift_of_a_closed_period_within_the_grace_is_mended_before_it_counts_as_late() {
    let test = closed_may("530", &[]).await;
    sync(&test, "2026-06-01T06:00:00Z", &["--full"]).exits(0);
    test.sql("update usage_counters set used = 700 where used = 530").await;
    let report = sync(&test, "2026-06-02T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 1);
    assert!(adjustments(&test).await.is_empty());
    // Lost from the counter, but not from the metrics: found, mended, and then it is late.
    test.sql(
        "insert into usage_metrics
             (organization_id, metric_type, metric_value, created_at, counted_at)
         select id, 'minutes_transcribed', 20, '2026-05-20', now() from organizations",
    )
    .await;
    sync(&test, "2026-06-02T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(adjustments(&test).await, ["late 20 0 20"]);
    test.check_invariants().await;
}
