//! Levels: what does not reset, from one period to the next.

use periodd::jobs::retention::{self, Request};

use crate::story::{add, rollover};
use crate::support::{TestDatabase, at};

const FEATURE: &str =
    "insert into features (feature, unit, kind) values ('seats', 'seats', 'level');
    insert into tier_limits values ('pro', 'seats', 10)";
const MAY: &[&str] = &["--zone", "UTC", "--period-start", "2026-05-01T00:00:00Z"];

/// An org on a tier of ten seats, from May on.
async fn of_ten_seats() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(FEATURE).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", MAY);
    test
}

async fn taken(test: &TestDatabase, seats: &str, at: &str) {
    test.sql(&format!(
        "select record_usage(id, 'seats', {seats}, null, '{at}') from organizations"
    ))
    .await;
}

async fn granted(test: &TestDatabase, seats: i64, purchased: &str, expires: &str) {
    test.sql(&format!(
        "select grant_overage_pack(id, 'seats', {seats}, 'more',
                                   nullif('{expires}', '')::timestamptz, '{purchased}')
         from organizations"
    ))
    .await;
}

/// The closed periods: end, used, included, drawn, uncovered.
async fn closed(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select (b.period_end at time zone 'UTC')::date as ends, u.used, u.included, u.drawn,
                u.uncovered
         from billing_periods b left join billing_period_usage u
              on u.org_id = b.org_id and u.period_start = b.period_start
         order by b.period_start",
    )
    .await
}

/// The counters: start and level.
async fn counters(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select (c.period_start at time zone 'UTC')::date as starts, c.used
         from usage_counters c where c.feature = 'seats' order by 1",
    )
    .await
}

#[tokio::test]
async fn a_level_carries_over_and_its_books_add_up() {
    let test = of_ten_seats().await;
    taken(&test, "7", "2026-05-03T10:00:00Z").await;
    taken(&test, "-2", "2026-05-20T10:00:00Z").await;
    rollover(&test, "2026-06-01T00:05:00Z", &[]).exits(0);
    assert_eq!(closed(&test).await, ["2026-06-01 5 10 0 0"]);
    assert_eq!(counters(&test).await, ["2026-05-01 5", "2026-06-01 5"]);
    taken(&test, "1", "2026-06-10T10:00:00Z").await;
    rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
    rollover(&test, "2026-07-01T00:06:00Z", &[]).exits(0);
    assert_eq!(closed(&test).await, ["2026-06-01 5 10 0 0", "2026-07-01 6 10 0 0"]);
    assert_eq!(counters(&test).await.last().unwrap(), "2026-07-01 6");
    test.periodd(&["--at", "2026-07-02T00:00:00Z", "sync", "--full", "--check"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn several_periods_that_were_missed_carry_over_one_into_the_other() {
    let test = of_ten_seats().await;
    taken(&test, "4", "2026-05-03T10:00:00Z").await;
    // Inserted plainly, and counted by the rollover.
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'Seats', 3, '2026-07-04' from organizations",
    )
    .await;
    rollover(&test, "2026-08-09T00:00:00Z", &[]).exits(0);
    let expected = ["2026-06-01 4 10 0 0", "2026-07-01 4 10 0 0", "2026-08-01 7 10 0 0"];
    assert_eq!(closed(&test).await, expected);
    assert_eq!(counters(&test).await.last().unwrap(), "2026-08-01 7");
    test.check_invariants().await;
}

#[tokio::test]
async fn packs_raise_the_limit_of_a_level_while_they_last_and_are_never_drawn() {
    let test = of_ten_seats().await;
    granted(&test, 5, "2026-05-02T00:00:00Z", "2026-06-15T00:00:00Z").await;
    taken(&test, "13", "2026-05-03T10:00:00Z").await;
    rollover(&test, "2026-06-01T00:05:00Z", &[]).exits(0);
    assert_eq!(closed(&test).await, ["2026-06-01 13 15 0 0"]);
    rollover(&test, "2026-06-15T00:05:00Z", &[]).exits(0);
    rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
    assert_eq!(closed(&test).await[1], "2026-07-01 13 10 0 3");
    let ledger = test.rows("select kind, quantity from overage_entries order by seq").await;
    assert_eq!(ledger, ["granted 5", "expired 5"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_early_close_carries_the_level_over_at_that_instant() {
    let test = of_ten_seats().await;
    taken(&test, "6", "2026-05-03T10:00:00Z").await;
    taken(&test, "1", "2026-05-20T10:00:00Z").await;
    let early = ["--early", "--yes", "--org", "acme"];
    rollover(&test, "2026-05-10T00:00:00Z", &early).exits(0);
    assert_eq!(closed(&test).await, ["2026-05-10 6 10 0 0"]);
    assert_eq!(counters(&test).await, ["2026-05-01 6", "2026-05-10 7"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_level_that_changes_late_changes_now_too() {
    let test = of_ten_seats().await;
    taken(&test, "6", "2026-05-03T10:00:00Z").await;
    rollover(&test, "2026-06-01T00:05:00Z", &[]).exits(0);
    rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
    // Within the grace of June, and long after that of May.
    taken(&test, "2", "2026-06-30T10:00:00Z").await;
    taken(&test, "-1", "2026-05-30T10:00:00Z").await;
    for at in ["2026-07-02T00:00:00Z", "2026-07-02T00:01:00Z"] {
        test.periodd(&["--at", at, "sync"]).exits(0);
    }
    assert_eq!(counters(&test).await.last().unwrap(), "2026-07-01 7");
    let late = test.rows("select kind, used, drawn from billing_adjustments order by used").await;
    assert_eq!(late, ["set_aside -1 0", "late 2 0"]);
    test.check_invariants().await;
}

/// A level that was reached within a limit stays included when the limit falls: in the period in
/// which it was set, and in one that it was carried over to.
#[tokio::test]
async fn a_level_stays_within_a_limit_that_has_fallen() {
    for falls_in in ["2026-05-20T00:00:00Z", "2026-06-20T00:00:00Z"] {
        let test = of_ten_seats().await;
        let words = ["--at", "2026-05-09T00:00:00Z", "usage", "set", "--org", "acme"];
        test.periodd(&[&words[..], &["--feature", "seats", "--level", "9"]].concat()).exits(0);
        rollover(&test, falls_in, &[]).exits(0);
        test.sql("update tier_limits set included = 1").await;
        // Whoever sets what is set already sees it, too.
        let level = format!("select set_usage_level(id, 'seats', 9, null, '{falls_in}')");
        test.sql(&format!("{level} from organizations")).await;
        let kept = "select included_at_least, included_seen from usage_counters
                    order by period_start desc limit 1";
        assert_eq!(test.rows(kept).await, ["9 1"]);
        rollover(&test, "2026-07-01T00:05:00Z", &[]).exits(0);
        let fallen = closed(&test).await.into_iter().find(|line| *line != "2026-06-01 9 10 0 0");
        assert!(fallen.expect("a close").ends_with(" 9 9 0 0"), "{falls_in}");
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_level_is_set_once_by_a_key_and_stays_when_its_metrics_are_removed() {
    let test = of_ten_seats().await;
    let set = |level: &str, key: &str| {
        let words = ["--at", "2026-05-09T00:00:00Z", "--format", "json", "usage", "set"];
        let whose = ["--org", "acme", "--feature", "Seats", "--level", level, "--key", key];
        test.periodd(&[&words[..], &whose[..]].concat())
    };
    assert_eq!(set("8", "a").exits(0).json()["changed_by"], 8);
    assert_eq!(set("8", "a").exits(0).json()["changed_by"], 0);
    set("9", "a").exits(2);
    assert_eq!(set("3", "b").exits(0).json()["changed_by"], -5);
    set("-1", "c").exits(2);
    assert_eq!(test.rows("select sum(metric_value) from usage_metrics").await, ["3"]);
    let words = ["usage", "set", "--org", "acme", "--feature", "sms_sent", "--level", "1"];
    test.periodd(&words).exits(2);
    assert_eq!(test.rows("select used from usage_counters").await, ["3"]);
}

#[tokio::test]
async fn the_level_stays_when_retention_removes_what_made_it() {
    let test = of_ten_seats().await;
    taken(&test, "6", "2026-05-03T10:00:00Z").await;
    rollover(&test, "2026-09-09T00:00:00Z", &[]).exits(0);
    test.periodd(&["--at", "2026-09-09T00:01:00Z", "sync"]).exits(0);
    let config = periodd::config::Config::load(Some(&test.config()), std::iter::empty()).unwrap();
    let request = Request {
        metrics_keep: "30 days".parse().unwrap(),
        at: Some(at("2026-10-20T00:00:00Z")),
        ..Request::standing(&config.retention, &config.sync)
    };
    // May's, and those that carried it over to June, July and August; that of September stays.
    assert_eq!(retention::run(&test.database, &request).await.unwrap().metrics, 4);
    assert_eq!(counters(&test).await.last().unwrap(), "2026-09-01 6");
    assert_eq!(test.rows("select count(*) from periodd_usage_keys").await, ["0"]);
    test.periodd(&["--at", "2026-10-20T00:00:00Z", "sync", "--full", "--check"]).exits(0);
    test.check_invariants().await;
}
