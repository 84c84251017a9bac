//! The sentences that only these stories need.

use crate::story::{add, including};
use crate::support::{Answer, TestDatabase};

/// `periodd --at AT --format json sync FLAGS`.
pub(crate) fn sync(test: &TestDatabase, at: &str, flags: &[&str]) -> Answer {
    test.periodd(&[&["--at", at, "--format", "json", "sync"], flags].concat())
}

/// An org in UTC whose open period is May 2026, with 500 minutes included.
pub(crate) async fn may() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test
}

/// The drift log, in the order in which it was written.
pub(crate) async fn log(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select place, before, after, difference from periodd_drift
         order by recorded_at, place desc, after",
    )
    .await
}

/// The adjustments, in their order: kind, used, drawn, uncovered.
pub(crate) async fn adjustments(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select kind, used, drawn, uncovered from billing_adjustments
         order by period_start, feature, seq",
    )
    .await
}

/// Every closed row, byte for byte.
pub(crate) async fn closed_rows(test: &TestDatabase) -> Vec<String> {
    test.rows("select b::text as row from billing_periods b order by 1").await
}
