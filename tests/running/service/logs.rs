//! One event per run, with fields in the domain's words.

use serde_json::Value;

use crate::service::manager::Daemon;
use crate::support::TestDatabase;

fn ended(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["duration_ms"].is_u64()).collect()
}

#[tokio::test]
async fn a_run_is_one_event_with_its_counts_lateness_and_duration() {
    let database = TestDatabase::new().await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--period-start"];
    let due = [&add[..], &["2020-01-01T00:00:00Z", "--cycle", "yearly"]].concat();
    database.periodd(&due).exits(0);
    let bad = [&add[..2], &["broken"], &add[3..], &["2026-01-01T00:00:00Z"]].concat();
    database.periodd(&bad).exits(0);
    database
        .sql(
            "update organizations set time_zone = 'Mars/Phobos',
                  current_period_end = '2026-02-01T00:00:00Z' where slug = 'broken'",
        )
        .await;
    let mut daemon = Daemon::on(&database, &[("PERIODD__LOG__FORMAT", "json")]);
    daemon.logs(|events| ended(events).iter().any(|run| run["periods_closed"] == 6));
    assert_eq!(daemon.stop(), 0);

    let events = daemon.events();
    let run = ended(&events).into_iter().find(|run| run["periods_closed"] == 6).unwrap().clone();
    assert_eq!(run["level"], "INFO");
    assert_eq!(run["message"], "done");
    assert_eq!(run["outcome"], "done");
    assert_eq!(run["job"], "rollover");
    assert_eq!((&run["orgs"], &run["parked"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(run["counts"]["periods_closed"], 6, "an object, not text: {run}");
    assert!(run["trigger"].is_string() && run["lateness_ms"].is_i64(), "{run}");
    run["occurrence"].as_str().unwrap().parse::<periodd::billing::Instant>().unwrap();
    let parked = events.iter().find(|event| event["message"] == "parked").unwrap();
    assert_eq!((&parked["level"], &parked["org"]), (&"WARN".into(), &"broken".into()));
    assert!(parked["reason"].as_str().unwrap().contains("Mars/Phobos"), "{parked}");

    // As many events as runs, each by its number.
    let recorded = database
        .rows(
            "select id from periodd_runs
             where trigger <> 'command' and outcome <> 'skipped' order by id",
        )
        .await;
    let mut told: Vec<u64> =
        ended(&events).iter().map(|run| run["run"].as_u64().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told.iter().map(u64::to_string).collect::<Vec<_>>(), recorded);
    for noise in ["tokio_cron_scheduler", "sqlx"] {
        assert!(!daemon.log().contains(noise), "{}", daemon.log());
    }
}

#[tokio::test]
async fn every_field_that_is_logged_is_described() {
    let described = std::fs::read_to_string("docs/logging.md").unwrap();
    let database = TestDatabase::new().await;
    let mut daemon = Daemon::on(&database, &[]);
    daemon.hears_at_last("READY=1");
    daemon.logs(|events| !ended(events).is_empty());
    assert_eq!(daemon.stop(), 0);
    let events = daemon.events();
    let fields = events.iter().flat_map(|event| event.as_object().unwrap().keys());
    for field in fields {
        assert!(described.contains(&format!("`{field}`")), "docs/logging.md lacks `{field}`");
    }
}

#[tokio::test]
async fn the_form_follows_the_wish() {
    let database = TestDatabase::new().await;
    let log = |form: &str| {
        let mut daemon = Daemon::on(&database, &[("PERIODD__LOG__FORMAT", form)]);
        daemon.hears_at_last("READY=1");
        assert_eq!(daemon.stop(), 0, "{}", daemon.log());
        daemon.log()
    };
    let pretty = log("pretty");
    assert!(pretty.contains("  INFO ") && pretty.contains("started jobs="), "{pretty}");
    assert!(!pretty.contains('\u{1b}'), "no colour where nobody sees it");
    for line in log("auto").lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}
