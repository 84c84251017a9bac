//! Changes of zone, cycle and anchor: the nominal dates go on, and nothing gapes or overlaps.

use crate::story::{add, boundaries, closed, counters, including, rollover, used};
use crate::support::TestDatabase;

/// Changes columns of every org, as an application would.
async fn set(test: &TestDatabase, assignments: &str) {
    test.sql(&format!("update organizations set {assignments}")).await;
}

async fn ends_ahead(test: &TestDatabase) -> Vec<String> {
    test.rows("select unnest(next_period_ends) from organizations limit 3").await
}

#[tokio::test]
async fn calendar_months_move_from_tokyo_to_new_york_and_back_without_a_stub() {
    let test = including(500).await;
    add(&test, "acme", "2026-01-10T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    set(&test, "time_zone = 'America/New_York'").await;
    rollover(&test, "2026-03-15T00:00:00Z", &[]).exits(0);
    set(&test, "time_zone = 'Asia/Tokyo'").await;
    for month in 4..=7 {
        rollover(&test, &format!("2026-{month:02}-02T00:00:00Z"), &[]).exits(0);
    }
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2025-12-31T15:00:00Z",
            "2026-01-31T15:00:00Z",
            "2026-03-01T05:00:00Z",
            "2026-04-01T04:00:00Z",
            "2026-04-30T15:00:00Z",
            "2026-05-31T15:00:00Z",
            "2026-06-30T15:00:00Z",
            "2026-07-31T15:00:00Z",
        ]
    );
    let zones = test.rows("select distinct time_zone from billing_periods order by 1").await;
    assert_eq!(zones, ["America/New_York", "Asia/Tokyo"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_sweep_recomputes_the_ends_ahead_once_the_calendar_differs() {
    let test = including(500).await;
    add(&test, "acme", "2026-01-10T00:00:00Z", &["--zone", "Asia/Tokyo"]);
    let changes = [
        ("time_zone = 'America/New_York'", "2026-03-01T05:00:00Z"),
        ("anchor_day = 15", "2026-02-15T05:00:00Z"),
        ("cycle = 'weekly', anchor_day = 1", "2026-02-02T05:00:00Z"),
        ("cycle = 'yearly', anchor_month = 6", "2026-06-01T04:00:00Z"),
        ("anchor_month = 7", "2026-07-01T04:00:00Z"),
        ("cycle = 'quarterly'", "2026-04-01T04:00:00Z"),
        ("cycle = 'semiannual', anchor_month = 2", "2026-08-01T04:00:00Z"),
        ("anchor_time = '14:32:10'", "2026-08-01T18:32:10Z"),
        ("cycle = 'daily', time_zone = 'UTC'", "2026-02-02T14:32:10Z"),
        ("anchor_time = '00:00'", "2026-02-02T00:00:00Z"),
        ("next_period_ends = null", "2026-02-02T00:00:00Z"),
    ];
    for (change, next) in changes {
        set(&test, change).await;
        let report = rollover(&test, "2026-01-20T00:00:00Z", &[]).exits(0).json();
        assert_eq!(report["periods_closed"], 0, "{change}");
        assert_eq!(ends_ahead(&test).await[0], next, "{change}");
        let source = "select (time_zone, cycle, anchor_day, anchor_month, anchor_time) =
                             (ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                              ends_anchor_time)
                      from organizations";
        assert_eq!(test.rows(source).await, ["true"], "{change}");
        assert_eq!(rollover(&test, "2026-01-20T00:00:00Z", &[]).exits(0).json()["orgs"], 0);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn an_anchor_change_gives_one_shorter_period_with_all_that_is_included() {
    let test = including(500).await;
    add(&test, "acme", "2026-01-20T00:00:00Z", &["--zone", "UTC", "--anchor-day", "15"]);
    set(&test, "anchor_day = 1").await;
    used(&test, "acme", "490", "2026-02-20T00:00:00Z").await;
    rollover(&test, "2026-04-02T00:00:00Z", &[]).exits(0);
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2026-01-15T00:00:00Z",
            "2026-02-15T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-04-01T00:00:00Z",
            "2026-05-01T00:00:00Z",
        ]
    );
    assert_eq!(closed(&test, "acme").await[1], "2026-03-01T00:00:00Z 490 500 0 0");
    test.check_invariants().await;
}

#[tokio::test]
async fn days_cross_the_date_line_and_come_back() {
    let test = including(500).await;
    let daily = ["--zone", "Pacific/Kiritimati", "--cycle", "daily"];
    add(&test, "acme", "2026-03-09T12:00:00Z", &daily);
    rollover(&test, "2026-03-10T12:00:00Z", &[]).exits(0);
    set(&test, "time_zone = 'Etc/GMT+12'").await;
    rollover(&test, "2026-03-14T12:00:00Z", &[]).exits(0);
    set(&test, "time_zone = 'Pacific/Kiritimati'").await;
    rollover(&test, "2026-03-17T12:00:00Z", &[]).exits(0);
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2026-03-09T10:00:00Z", // March 10 in Kiritimati
            "2026-03-10T10:00:00Z", // March 11
            "2026-03-11T10:00:00Z", // March 12
            "2026-03-13T12:00:00Z", // March 13 in Etc/GMT+12
            "2026-03-14T12:00:00Z", // March 14
            "2026-03-15T12:00:00Z", // March 15
            "2026-03-16T10:00:00Z", // March 17 in Kiritimati: the 16th began before
            "2026-03-17T10:00:00Z",
            "2026-03-18T10:00:00Z",
        ]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn months_become_years_and_months_again() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-10T00:00:00Z", &["--zone", "UTC"]);
    set(&test, "cycle = 'yearly', anchor_month = 3, anchor_day = 31").await;
    rollover(&test, "2027-05-02T00:00:00Z", &[]).exits(0);
    set(&test, "cycle = 'monthly', anchor_day = 31").await;
    rollover(&test, "2028-06-15T00:00:00Z", &[]).exits(0);
    assert_eq!(
        boundaries(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z",
            "2026-06-01T00:00:00Z",
            "2027-03-31T00:00:00Z",
            "2028-03-31T00:00:00Z",
            "2028-04-30T00:00:00Z",
            "2028-05-31T00:00:00Z",
            "2028-06-30T00:00:00Z",
        ]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn an_org_follows_its_subscription_to_the_second_through_quarters() {
    let test = including(500).await;
    let anchor = ["--anchor-month", "2", "--anchor-day", "28", "--anchor-time", "14:32:10"];
    let flags = [&["--zone", "UTC", "--cycle", "quarterly"], &anchor[..]].concat();
    add(&test, "acme", "2026-02-28T14:32:10Z", &flags);
    used(&test, "acme", "510", "2026-05-28T14:32:09Z").await;
    used(&test, "acme", "7", "2026-05-28T14:32:10Z").await;
    rollover(&test, "2026-05-28T14:32:09Z", &[]).exits(0);
    assert!(closed(&test, "acme").await.is_empty());
    rollover(&test, "2027-01-01T00:00:00Z", &[]).exits(0);
    assert_eq!(
        closed(&test, "acme").await,
        [
            "2026-05-28T14:32:10Z 510 500 0 10",
            "2026-08-28T14:32:10Z 7 500 0 0",
            "2026-11-28T14:32:10Z - - - -",
        ]
    );
    assert_eq!(ends_ahead(&test).await[0], "2027-05-28T14:32:10Z");
    test.check_invariants().await;
}

#[tokio::test]
async fn usage_counted_by_outdated_ends_is_counted_again_in_the_right_period() {
    for swept in [false, true] {
        let test = including(500).await;
        add(&test, "acme", "2026-01-10T00:00:00Z", &["--zone", "Asia/Tokyo"]);
        test.sql("insert into users (organization_id, email) select id, 'a@b' from organizations")
            .await;
        // In Tokyo this is March, in New York still February.
        let usage = "select record_usage(organization_id, 'minutes_transcribed', 40, id,
                                         '2026-02-28T20:00:00Z') from users";
        if swept {
            test.sql(usage).await;
        }
        set(&test, "time_zone = 'America/New_York'").await;
        if swept {
            rollover(&test, "2026-01-20T00:00:00Z", &[]).exits(0);
            let february = ["2026-01-31T15:00:00Z 2026-03-01T05:00:00Z 40"];
            assert_eq!(counters(&test, "acme").await, february);
        } else {
            test.sql(usage).await;
            let march = ["2026-02-28T15:00:00Z 2026-03-31T15:00:00Z 40"];
            assert_eq!(counters(&test, "acme").await, march);
        }
        used(&test, "acme", "7", "2026-03-10T00:00:00Z").await;
        rollover(&test, "2026-03-02T00:00:00Z", &[]).exits(0);
        assert_eq!(
            closed(&test, "acme").await,
            ["2026-01-31T15:00:00Z - - - -", "2026-03-01T05:00:00Z 40 500 0 0"]
        );
        assert_eq!(
            counters(&test, "acme").await,
            [
                "2026-01-31T15:00:00Z 2026-03-01T05:00:00Z 40",
                "2026-03-01T05:00:00Z 2026-04-01T04:00:00Z 7",
            ]
        );
        let of_users = "select period_start, period_end, usage_count from feature_usage";
        assert_eq!(test.rows(of_users).await, ["2026-01-31T15:00:00Z 2026-03-01T05:00:00Z 40"]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_calendar_changed_at_every_step_leaves_no_gap() {
    let test = including(500).await;
    add(&test, "acme", "2024-01-30T00:00:00Z", &["--zone", "Europe/Berlin", "--anchor-day", "31"]);
    let zones = ["Asia/Tokyo", "America/New_York", "Pacific/Apia", "Etc/GMT+12", "Asia/Kathmandu"];
    let cycles = ["monthly", "weekly", "daily", "quarterly", "semiannual", "yearly"];
    let times = ["00:00", "14:32:10", "02:30", "23:59:59"];
    for step in 0..20 {
        let (zone, cycle, time) = (zones[step % 5], cycles[step % 6], times[step % 4]);
        let day = 1 + step % 7;
        set(
            &test,
            &format!(
                "time_zone = '{zone}', cycle = '{cycle}', anchor_day = {day},
                 anchor_time = '{time}'"
            ),
        )
        .await;
        let month = 2 + step;
        let at = format!("{}-{:02}-17T03:00:00Z", 2024 + month / 12, 1 + month % 12);
        used(&test, "acme", "3", &at).await;
        rollover(&test, &at, &[]).exits(0);
        test.check_invariants().await;
    }
    let periods =
        "select sum(period_end - period_start) = max(period_end) - min(period_start) as whole
                   from billing_periods";
    assert_eq!(test.rows(periods).await, ["true"]);
}
