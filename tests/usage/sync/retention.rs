//! Retention: metrics and counters of closed periods and lines of the drift log go when they have
//! been kept long enough, and nobody takes them for lost.

use periodd::jobs::retention::{self, Request};

use crate::story::{counters, inserted, rollover, used};
use crate::support::{TestDatabase, at};
use crate::sync::words::{adjustments, closed_rows, log, may, sync};

/// Retention as it is configured, at an instant.
async fn keep(
    test: &TestDatabase,
    now: &str,
    metrics: &str,
    drift: &str,
) -> retention::RetentionReport {
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

/// Periods that have counters: of how many features, and of how many users and features.
async fn counted_periods(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select starts::date as starts,
                (select count(*) from usage_counters where period_start = starts) as of_orgs,
                (select count(*) from feature_usage where period_start = starts) as of_users
         from (select period_start as starts from usage_counters
               union select period_start from feature_usage) p order by 1",
    )
    .await
}

/// Somebody of acme uses two features.
async fn used_by_somebody(test: &TestDatabase, at: &str) {
    test.sql(&format!(
        "select record_usage(u.organization_id, f, 10, u.id, '{at}')
         from users u, unnest(array['minutes_transcribed', 'sms_sent']) f"
    ))
    .await;
}

/// An org with a user of two features from May to August, all settled and closed but August.
async fn used_for_four_months() -> TestDatabase {
    let test = may().await;
    test.sql(
        "insert into users (organization_id, email) select id, 'u@x.example' from organizations",
    )
    .await;
    // Imported, from before the first period.
    test.sql(
        "insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
         select id, 'sms_sent', '2026-04-01', '2026-05-01', 3, 'synced' from organizations",
    )
    .await;
    for month in 5..=8 {
        used_by_somebody(&test, &format!("2026-{month:02}-15T00:00:00Z")).await;
    }
    for month in 6..=8 {
        rollover(&test, &format!("2026-{month:02}-01T00:00:00Z"), &[]).exits(0);
    }
    sync(&test, "2026-08-20T00:00:00Z", &[]).exits(0);
    test
}

#[tokio::test]
async fn counters_go_with_the_metrics_of_their_periods() {
    let test = used_for_four_months().await;
    let books = closed_rows(&test).await;
    let all = ["2026-04-01 1 0", "2026-05-01 2 2", "2026-06-01 2 2", "2026-07-01 2 2"];
    let open = "2026-08-01 2 2";
    let counters = [&all[..], &[open]].concat();
    assert_eq!(counted_periods(&test).await, counters);
    let report = keep(&test, "2026-08-31T00:00:00Z", "forever", "forever").await;
    assert_eq!((report.metrics, report.counters), (0, 0));
    assert_eq!(counted_periods(&test).await, counters);

    let report = keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
    assert_eq!((report.metrics, report.counters), (4, 8));
    assert_eq!(counted_periods(&test).await, [all[0], all[3], open]);
    let again = keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
    assert_eq!((again.metrics, again.counters), (0, 0));
    test.check_invariants().await;
    // Nobody misses them, and what was closed is in the books.
    sync(&test, "2026-08-31T00:00:00Z", &["--full"]).exits(0);
    sync(&test, "2026-08-31T00:00:00Z", &["--check"]).exits(0);
    assert_eq!(counted_periods(&test).await, [all[0], all[3], open]);
    assert_eq!(closed_rows(&test).await, books);

    // Those of metrics that went before there was such a rule go, too.
    test.sql(
        "insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
         select id, 'scrapes', '2026-05-01', '2026-06-01', 3, 'synced' from organizations;
         update periodd_removed set counters_before = null",
    )
    .await;
    let report = keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
    assert_eq!((report.metrics, report.counters), (0, 1));
    assert_eq!(counted_periods(&test).await, [all[0], all[3], open]);
}

#[tokio::test]
async fn a_counter_that_is_not_settled_stays_until_it_is() {
    let test = used_for_four_months().await;
    used(&test, "acme", "7", "2026-06-20T00:00:00Z").await;
    let report = keep(&test, "2026-08-31T00:00:00Z", "25 days", "forever").await;
    // May's counters, and all those of the user, which are in no book.
    assert_eq!((report.metrics, report.counters), (7, 8));
    assert_eq!(
        counted_periods(&test).await,
        ["2026-04-01 1 0", "2026-06-01 2 0", "2026-07-01 2 0", "2026-08-01 2 2"]
    );
    sync(&test, "2026-08-31T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["set_aside 7 0 0"]);
    let report = keep(&test, "2026-08-31T00:00:00Z", "25 days", "forever").await;
    assert_eq!((report.metrics, report.counters), (0, 4));
    test.check_invariants().await;
}

#[tokio::test]
async fn what_is_late_after_its_counter_went_is_decided_once() {
    let test = used_for_four_months().await;
    keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
    let now = "2026-08-31T00:00:00Z";
    for (quantity, decided) in
        [("7", vec!["7"]), ("3", vec!["7", "3"]), ("-2", vec!["7", "3", "-2"])]
    {
        inserted(&test, "acme", "minutes_transcribed", quantity, "2026-05-20T00:00:00Z").await;
        for flags in [&[][..], &["--full"], &["--org", "acme"]] {
            sync(&test, now, flags).exits(0);
            let decided: Vec<String> =
                decided.iter().map(|quantity| format!("set_aside {quantity} 0 0")).collect();
            assert_eq!(adjustments(&test).await, decided);
        }
        test.check_invariants().await;
    }
    // By the function that applications call, in two periods at once, and within the grace.
    test.configure("[sync]\nlate_usage_grace = \"8760h\"\n");
    used(&test, "acme", "495", "2026-05-20T00:00:00Z").await;
    used(&test, "acme", "4", "2026-06-20T00:00:00Z").await;
    sync(&test, now, &[]).exits(0);
    assert_eq!(adjustments(&test).await[3..], ["late 495 0 5", "late 4 0 0"]);
    used(&test, "acme", "-495", "2026-05-20T00:00:00Z").await;
    used(&test, "acme", "1", "2026-06-20T00:00:00Z").await;
    used(&test, "acme", "-1", "2026-06-20T00:00:00Z").await;
    sync(&test, now, &[]).exits(0);
    let late = ["late 495 0 5", "late -495 0 -5", "late 4 0 0"];
    assert_eq!(adjustments(&test).await[3..], late, "nothing more is late in June");
    // What was settled so has no counter, or one that holds nothing and goes the next time.
    let left = "select used, sync_status from usage_counters
                where period_start in ('2026-05-01', '2026-06-01')";
    assert_eq!(test.rows(left).await, ["0 synced"]);
    test.check_invariants().await;
    assert_eq!(keep(&test, now, "45 days", "forever").await.counters, 1);
    assert!(test.rows(left).await.is_empty());
}

#[tokio::test]
async fn usage_beside_the_removal_of_its_counter_is_late_usage() {
    let test = used_for_four_months().await;
    let mut other = test.connect().await;
    let late = "begin; select record_usage(id, 'sms_sent', 5, null, '2026-06-20T00:00:00Z')
                from organizations";
    sqlx::raw_sql(late).execute(&mut other).await.unwrap();
    let (report, ()) =
        tokio::join!(keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever"), async {
            test.until_somebody_waits().await;
            sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
        });
    assert_eq!((report.counters, report.left), (6, 0));
    sync(&test, "2026-08-31T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["set_aside 5 0 0"]);
    assert_eq!(keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await.counters, 2);
    test.check_invariants().await;
}

/// What is inserted waits for nobody: a counter that came while the removal waited for another one
/// was not among those that it had looked at.
#[tokio::test]
async fn a_counter_that_comes_beside_the_removal_stays() {
    let test = used_for_four_months().await;
    let mut other = test.connect().await;
    let late = "begin;
                select record_usage(id, 'emails_sent', 2, null, '2026-05-20T00:00:00Z'),
                       record_usage(id, 'sms_sent', 5, null, '2026-06-20T00:00:00Z')
                from organizations";
    sqlx::raw_sql(late).execute(&mut other).await.unwrap();
    tokio::join!(keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever"), async {
        test.until_somebody_waits().await;
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    });
    sync(&test, "2026-08-31T00:00:00Z", &[]).exits(0);
    let mut booked = adjustments(&test).await;
    booked.sort();
    assert_eq!(booked, ["set_aside 2 0 0", "set_aside 5 0 0"]);
    keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await;
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

#[tokio::test]
async fn a_key_outlives_its_metric() {
    let test = may().await;
    let org = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    let user = uuid::Uuid::new_v4();
    let used_at = "2026-05-10T00:00:00Z";
    let record = |quantity: &str| {
        format!(
            "select record_usage('{org}', 'minutes_transcribed', {quantity}, null, '{used_at}',
                                 'job-7') as id"
        )
    };
    test.sql(&format!(
        "insert into users (id, organization_id, email) values ('{user}', '{org}', 'u@x.example')"
    ))
    .await;
    let first = test.rows(&record("12.5")).await;
    used(&test, "acme", "10", used_at).await;
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    sync(&test, "2026-08-02T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(keep(&test, "2026-08-31T00:00:00Z", "45 days", "forever").await.metrics, 2);
    assert_eq!(test.rows("select count(*) from usage_metrics").await, ["0"]);
    let keys = "select idempotency_key, feature, quantity, used_at from periodd_usage_keys";
    assert_eq!(
        test.rows(keys).await,
        ["job-7 minutes_transcribed 12.5 2026-05-10T00:00:00Z"],
        "what had no key leaves none"
    );

    // The same again moves nothing, whoever brings it; something else is refused.
    let before = test.contents().await;
    assert_eq!(test.rows(&record("12.5")).await, first);
    let mut connection = test.connect().await;
    for call in [record("13"), record("12.5").replace("null,", &format!("'{user}',"))] {
        let script = sqlx::AssertSqlSafe(call.clone());
        let error = sqlx::raw_sql(script).execute(&mut connection).await.expect_err("refused");
        let error = error.into_database_error().expect("the database's own");
        assert_eq!(error.code().as_deref(), Some("PB004"), "{call}: {error}");
    }
    let at = "2026-08-31T00:00:00Z";
    let of_command = ["usage", "record", "--org", "acme", "--feature", "minutes_transcribed"];
    let of_key = ["--used-at", used_at, "--key", "job-7", "--at", at];
    let same = [&of_command[..], &of_key, &["--quantity", "12.5"]].concat();
    let said = test.periodd(&same).exits(0).stdout;
    assert!(said.starts_with("already recorded at "), "{said}");
    test.periodd(&[&of_command[..], &of_key, &["--quantity", "1"]].concat()).exits(2);

    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
    let import = |quantity: &str| {
        let line = format!("acme,minutes_transcribed,{quantity},{used_at},job-7");
        let text = format!("org,feature,quantity,used_at,key\n{line}\n");
        std::fs::write(file.path(), text).expect("written");
        let name = file.path().to_str().expect("UTF-8");
        test.periodd(&["usage", "import", name, "--format", "json", "--at", at])
    };
    assert_eq!(import("12.5").exits(0).json()["known"], 1);
    assert_eq!(import("12").exits(1).json()["bad"], 1);
    assert_eq!(test.contents().await, before);

    // A trusted server that is not the owner knows it, too.
    test.periodd(&["db", "migrate", "--with-roles"]).exits(0);
    let before = test.contents().await;
    let as_app = format!("set role periodd_app; {}", record("12.5"));
    test.sql(&as_app).await;
    assert_eq!(test.contents().await, before);
}
