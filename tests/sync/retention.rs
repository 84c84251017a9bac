//! Retention: metrics of closed periods and lines of the drift log go when they have been kept
//! long enough, and nobody takes them for lost.

use periodd::jobs::retention::{self, Request};

use crate::story::{counters, inserted, rollover, used};
use crate::support::{TestDatabase, at};
use crate::words::{adjustments, log, may, sync};

/// Retention as it is configured, at an instant.
async fn keep(test: &TestDatabase, now: &str, metrics: &str, drift: &str) -> retention::Report {
    let config = periodd::config::Config::load(Some(&test.config()), std::iter::empty()).unwrap();
    let request = Request {
        metrics_keep: metrics.parse().unwrap(),
        drift_keep: drift.parse().unwrap(),
        at: Some(at(now)),
        ..Request::standing(&config.retention, &config.sync)
    };
    retention::run(&test.database, &request).await.unwrap()
}

#[tokio::test]
async fn metrics_go_with_whole_closed_periods_beyond_the_grace() {
    let test = may().await;
    inserted(&test, "acme", "minutes_transcribed", "1", "2026-04-10T00:00:00Z").await;
    for month in 5..=8 {
        for day in [1, 15, 28] {
            used(&test, "acme", "10", &format!("2026-{month:02}-{day:02}T00:00:00Z")).await;
        }
    }
    for month in 6..=8 {
        rollover(&test, &format!("2026-{month:02}-01T00:00:00Z"), &[]).exits(0);
    }
    let months = "select created_at::date as day from usage_metrics order by 1";
    sync(&test, "2026-08-02T00:00:00Z", &["--full"]).exits(0);

    assert_eq!(keep(&test, "2026-08-02T00:00:00Z", "forever", "forever").await.metrics, 0);
    // July 17 lies in a period that has not ended by then; June has.
    let report = keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
    assert_eq!(report.metrics, 6);
    let left = test.rows(months).await;
    assert_eq!(left[..2], ["2026-04-10", "2026-07-01"], "what belongs to no period stays");
    assert_eq!(left.len(), 7);
    test.check_invariants().await;
    assert_eq!(keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await.metrics, 0);
    // The books know what was removed: no drift, no loss, nothing is zero now.
    sync(&test, "2026-08-31T00:00:00Z", &["--full"]).exits(0);
    sync(&test, "2026-08-31T00:00:00Z", &["--check"]).exits(0);
    // July closed on August 1, and its grace ends on the 4th.
    assert_eq!(keep(&test, "2026-08-03T00:00:00Z", "1 day", "forever").await.metrics, 0);
    assert_eq!(keep(&test, "2026-08-05T00:00:00Z", "1 day", "forever").await.metrics, 3);
    assert_eq!(test.rows("select before from periodd_removed").await, ["2026-08-01T00:00:00Z"]);
    test.check_invariants().await;

    // Nor is anything zero for an audit that looks back further than metrics are kept: by its own
    // time, or because the grace is longer now.
    let before = (log(&test).await, counters(&test, "acme").await);
    sync(&test, "2026-06-02T00:00:00Z", &["--full"]).exits(0);
    sync(&test, "2026-06-02T00:00:00Z", &["--org", "acme"]).exits(0);
    sync(&test, "2026-06-02T00:00:00Z", &["--check"]).exits(0);
    test.configure("[sync]\nlate_usage_grace = \"8760h\"\n");
    sync(&test, "2026-08-31T00:00:00Z", &["--full"]).exits(0);
    assert_eq!((log(&test).await, counters(&test, "acme").await), before);
    assert!(adjustments(&test).await.is_empty());
    test.check_invariants().await;
    let config = std::fs::read_to_string(test.config()).unwrap();
    std::fs::write(test.config(), config.replace("8760h", "72h")).unwrap();

    // Something comes late to a period whose metrics are gone.
    inserted(&test, "acme", "minutes_transcribed", "7", "2026-05-20T00:00:00Z").await;
    sync(&test, "2026-08-31T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(adjustments(&test).await, ["set_aside 7 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn many_metrics_go_in_batches_and_the_drift_log_has_a_span_of_its_own() {
    let test = may().await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'sms_sent', 1, '2026-05-10' from organizations, generate_series(1, 12000)",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    test.sql("update usage_counters set used = 5").await;
    sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    let report = keep(&test, "2026-07-01T00:00:00Z", "10 days", "2 months").await;
    assert_eq!((report.metrics, report.drift), (12_000, 0));
    let report = keep(&test, "2026-07-13T00:00:00Z", "10 days", "2 months").await;
    assert_eq!((report.metrics, report.drift), (0, 1));
    test.check_invariants().await;
}
