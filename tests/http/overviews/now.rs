//! `/`: how late rollovers were, usage against the allowance, and from crossing to inbox.

use super::unread;
use crate::pages::{Browser, PUBLIC};
use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_rollovers_and_alerts_is_summed() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    let empty = browser.page("/").await;
    for text in ["No period was closed at its end within 24 hours.", "Not known yet"] {
        assert!(empty.contains(text), "{text}: {empty}");
    }
    assert!(!empty.contains("No daemon has run since"), "none ever has: {empty}");
    served.customer("acme").await;
    served
        .test
        .sql(
            "insert into periodd_runs (job, trigger, occurrence, outcome, replica, started_at,
                    finished_at, lateness_ms, counts)
             select 'rollover', 'boundary', now() - n * interval '1 hour', 'done', 'a:1',
                    now() - n * interval '1 hour',
                    now() - n * interval '1 hour' + (case n when 2 then 9 else 1 end)
                        * interval '1 second', 0,
                    '{\"orgs\": 12, \"periods_closed\": 12}'::jsonb
             from generate_series(1, 3) n
             union all
             select 'rollover', 'boundary', now() - interval '9 hours', 'done', 'a:1', now(),
                    now(), 0, '{\"orgs\": 0, \"periods_closed\": 0}'
             union all
             select job, 'schedule', now() - n * interval '1 minute', 'done', 'a:1', now(),
                    now(), 0, counts::jsonb
             from generate_series(1, 3) n,
                  (values ('alerts', '{\"notified\": 2, \"covered\": 1, \"emails\": 4}'),
                          ('deliver', '{\"sent\": 1000, \"given_up\": 1, \"suppressed\": 1}'))
                      as j (job, counts)
             union all
             select 'deliver', 'schedule', now() - interval '1 hour', 'done', 'a:1', now(),
                    now(), 0, '{\"sent\": \"many\"}';
             insert into periodd_daemons (replica, version, started_at, seen_at, stopped_at)
             values ('a:1', '1', now() - interval '3 days', now() - interval '2 days',
                     now() - interval '2 days')",
        )
        .await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let used = serde_json::json!({ "feature": "scrapes", "amount": "9" });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    served.test.periodd(&["alerts", "run"]).exits(0);
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    let page = browser.page("/").await;
    for text in [
        "1 of 3 period ends was closed later than 2 s",
        "Of 1 org, 1 has used 80 % or more",
        "All features",
        "No daemon has run since",
        "The same as a table",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let inbox = page.split("id=\"inbox\"").nth(1).expect("a block");
    for (what, count) in [
        // Those of the command above among them.
        ("thresholds crossed", "11"),
        ("of these, included in a higher one", "4"),
        ("emails sent", "3,001"),
        ("given up, too late or to unknown addresses", "6"),
        ("due now", "0"),
    ] {
        let line = format!("<dt>{what}</dt><dd><b>{count}</b>");
        assert!(inbox.contains(&line), "{line}: {inbox}");
    }
    assert!(page.len() < 60_000, "{} bytes", page.len());
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    unread(&served, &browser, "/", ("periodd_overview", 1, "period ends was closed")).await;
}
