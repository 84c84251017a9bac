//! Alerts go when they have been kept long enough, after the emails that tell of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use periodd::config::Config;
use periodd::jobs::retention::{self, Request, RetentionReport};

use crate::alerts::story::Story;
use crate::support::at;

async fn keep(story: &Story, now: &str) -> RetentionReport {
    let config = Config::load(Some(&story.test.config()), std::iter::empty()).unwrap();
    let standing = Request::standing(&config.retention, &config.sync);
    let request =
        Request { emails_keep: "90 days".parse().unwrap(), at: Some(at(now)), ..standing };
    retention::run(&story.test.database, &request).await.unwrap()
}

#[tokio::test]
async fn alerts_of_ended_periods_go_after_their_emails() {
    let story = Story::new().await;
    story.uses_and_passes("570").await;
    assert_eq!(story.alerts().await, ["1 80 covered", "1 90 notified"]);
    let limits = "select quantity from periodd_alert_limits";
    // Ninety days after the period's end, but its email is still there, and may be sent again.
    let report = keep(&story, "2026-09-02T00:00:00Z").await;
    assert_eq!((report.emails, report.alerts), (0, 1));
    assert_eq!(story.alerts().await, ["1 90 notified"]);
    assert_eq!(story.test.rows(limits).await, ["600"]);
    // When an email was sent is real time.
    story.test.sql("update periodd_outbox set state = 'sent', settled_at = '2020-01-01Z'").await;
    let report = keep(&story, "2026-08-29T00:00:00Z").await;
    assert_eq!((report.emails, report.alerts), (1, 0), "the period ended less than that ago");
    let report = keep(&story, "2026-08-31T00:00:00Z").await;
    assert_eq!((report.emails, report.alerts), (0, 1));
    assert!(story.alerts().await.is_empty() && story.test.rows(limits).await.is_empty());
    assert_eq!(keep(&story, "2026-08-31T00:00:00Z").await.alerts, 0);
}
