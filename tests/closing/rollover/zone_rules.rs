//! Governments change their clocks: ends that came from older zone rules move, once, and only
//! from future to future.

use crate::support::TestDatabase;

const ENDS: &str = "select current_period_end, next_period_ends from organizations";

/// An org in Vancouver whose December boundary was computed under rules that still knew winter
/// time: an hour late.
async fn vancouver(test: &TestDatabase) {
    test.periodd(&[
        "--at",
        "2026-11-10T00:00:00Z",
        "orgs",
        "add",
        "van",
        "--name",
        "V",
        "--zone",
        "America/Vancouver",
    ])
    .exits(0);
    assert!(test.rows(ENDS).await[0].starts_with("2026-12-01T07:00:00Z"));
    test.sql(
        "update organizations set current_period_end = '2026-12-01T08:00:00Z',
             next_period_ends = array['2027-01-01T08:00:00Z', '2027-02-01T08:00:00Z',
                                      '2027-03-01T08:00:00Z']::timestamptz[],
             ends_tzdb_version = '2025b';
         select record_usage(id, 'sms_sent', 3, null, '2026-11-12T00:00:00Z') from organizations;
         delete from periodd_facts",
    )
    .await;
}

#[tokio::test]
async fn an_end_in_the_future_moves_with_its_midnight_and_leaves_a_line() {
    let test = TestDatabase::new().await;
    vancouver(&test).await;

    test.periodd(&["--at", "2026-11-20T00:00:00Z", "rollover"]).exits(0);
    assert!(test.rows(ENDS).await[0].starts_with("2026-12-01T07:00:00Z"));
    let log = "select before, after, tzdb_before from periodd_moved_ends";
    assert_eq!(test.rows(log).await, ["2026-12-01T08:00:00Z 2026-12-01T07:00:00Z 2025b"]);
    let counter = "select period_end, used from usage_counters";
    assert_eq!(test.rows(counter).await, ["2026-12-01T07:00:00Z 3"]);

    test.periodd(&["--at", "2026-11-20T00:00:00Z", "rollover"]).exits(0);
    assert_eq!(test.rows(log).await.len(), 1);
    test.periodd(&["--at", "2026-12-01T07:00:00Z", "rollover"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_end_at_a_time_of_day_moves_with_that_time() {
    let test = TestDatabase::new().await;
    vancouver(&test).await;
    test.sql(
        "update organizations set anchor_time = '14:32:10', ends_anchor_time = '14:32:10',
             current_period_end = '2026-12-01T22:32:10Z',
             next_period_ends = array['2027-01-01T22:32:10Z', '2027-02-01T22:32:10Z',
                                      '2027-03-01T22:32:10Z']::timestamptz[];
         update usage_counters set period_end = '2026-12-01T22:32:10Z'",
    )
    .await;
    test.periodd(&["--at", "2026-11-20T00:00:00Z", "rollover"]).exits(0);
    assert!(test.rows(ENDS).await[0].starts_with("2026-12-01T21:32:10Z"));
    test.periodd(&["--at", "2026-12-01T21:32:10Z", "rollover"]).exits(0);
    let closed = "select period_end from billing_periods";
    assert_eq!(test.rows(closed).await, ["2026-12-01T21:32:10Z"]);
    test.check_invariants().await;
}

/// What waits for the end of the open period does not move it when rules come that change nothing.
#[tokio::test]
async fn a_calendar_that_waits_moves_no_end_with_new_rules() {
    for change in [["--anchor-time", "14:32"], ["--zone", "America/New_York"]] {
        let test = TestDatabase::new().await;
        let add = ["orgs", "add", "ber", "--name", "B", "--zone", "Europe/Berlin"];
        test.periodd(&[&["--at", "2026-04-02T00:00:00Z"][..], &add].concat()).exits(0);
        test.periodd(&[&["orgs", "set", "ber"][..], &change].concat()).exits(0);
        test.periodd(&["--at", "2026-04-10T00:00:00Z", "rollover"]).exits(0);
        test.sql(
            "update organizations set ends_tzdb_version = '2025b'
             where ends_tzdb_version is not null;
             delete from periodd_facts",
        )
        .await;
        test.periodd(&["--at", "2026-04-20T00:00:00Z", "rollover"]).exits(0);
        let end = "select current_period_end from organizations";
        assert_eq!(test.rows(end).await, ["2026-04-30T22:00:00Z"], "{change:?}");
        assert!(test.rows("select * from periodd_moved_ends").await.is_empty(), "{change:?}");
        // The next one comes from the new calendar, and moves with its rules.
        test.periodd(&["--at", "2026-05-02T00:00:00Z", "rollover"]).exits(0);
        let release = "select ends_tzdb_version is not null from organizations";
        assert_eq!(test.rows(release).await, ["true"], "{change:?}");
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn an_end_that_has_passed_never_moves() {
    let test = TestDatabase::new().await;
    vancouver(&test).await;
    test.periodd(&["--at", "2026-12-01T08:00:00Z", "rollover"]).exits(0);
    let closed = "select period_end from billing_periods";
    assert_eq!(test.rows(closed).await, ["2026-12-01T08:00:00Z"]);
    assert!(test.rows("select * from periodd_moved_ends").await.is_empty());
    let ends = "select current_period_end from organizations";
    assert_eq!(test.rows(ends).await, ["2027-01-01T07:00:00Z"]);
    test.check_invariants().await;
}
