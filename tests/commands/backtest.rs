//! `periodd forecast --backtest`: closed periods, replayed.

use serde_json::{Value, json};

use crate::support::TestDatabase;

/// Ten a day from June to September, of which 250 a month are included.
async fn four_months() -> TestDatabase {
    let test = TestDatabase::new().await;
    let run = |line: &str| test.periodd(&line.split(' ').collect::<Vec<_>>()).exits(0);
    run("orgs add acme --name Acme --zone UTC --tier pro --period-start 2026-06-01 \
         --at 2026-06-01T00:00:00Z");
    run("limits set --org acme --feature sms_sent --included 250");
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'sms_sent', 10, day
         from organizations o,
              generate_series('2026-06-01T12:00:00Z'::timestamptz, '2026-09-30T12:00:00Z',
                              '1 day') day",
    )
    .await;
    run("rollover --at 2026-10-01T00:00:00Z");
    test
}

fn backtest(test: &TestDatabase) -> Value {
    let words = ["forecast", "--backtest", "--org", "acme", "--format", "json"];
    test.periodd(&words).exits(0).json()
}

#[tokio::test]
async fn what_would_have_been_said_is_compared_with_what_came() {
    let test = four_months().await;
    let answer = backtest(&test);
    assert_eq!((&answer["replayed"], &answer["without_metrics"]), (&json!(4), &json!(0)));
    let of = |percent: u64, method: &str| {
        let rows = answer["figures"].as_array().expect("rows");
        let found = rows.iter().find(|row| row["percent"] == percent && row["method"] == method);
        found.unwrap_or_else(|| panic!("{percent} {method} in {answer}")).clone()
    };
    // 250 are used up on the 25th of each month, after three quarters of it.
    for percent in [25, 50, 75] {
        let row = of(percent, "weekdays");
        assert_eq!((&row["forecasts"], &row["foreseen"]), (&json!(4), &json!(4)), "{row}");
        assert_eq!((&row["days_off"], &row["missed"]), (&json!(0), &json!(0)), "{row}");
        assert_eq!(row["total_error_percent"], json!(0), "{row}");
    }
    // June has no month before it.
    assert_eq!(of(50, "last_period")["forecasts"], 3);
    let page = test.periodd(&["forecast", "--backtest"]).exits(0).stdout;
    assert!(page.contains("by weekdays") && page.contains("straight line"), "{page}");
}

#[tokio::test]
async fn a_period_whose_metrics_have_gone_is_not_replayed() {
    let test = four_months().await;
    test.sql("delete from usage_metrics where created_at < '2026-06-10'").await;
    let answer = backtest(&test);
    assert_eq!((&answer["replayed"], &answer["without_metrics"]), (&json!(3), &json!(1)));
    let said = test.periodd(&["forecast", "--backtest"]).exits(0).stderr;
    assert!(said.contains("skipped 1 period whose metrics have been removed"), "{said}");
}
