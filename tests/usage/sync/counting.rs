//! Counting: plain inserts find their period, however late they come; none of it is drift.

use sqlx::Connection;

use crate::story::{counters, granted, inserted, rollover, used};
use crate::sync::words::{log, may, sync};

#[tokio::test]
async fn plain_inserts_go_into_the_period_that_contains_them() {
    let test = may().await;
    for (name, quantity, at) in [
        ("minutes_transcribed", "1", "2026-04-30T23:59:59.999999Z"), // before the first period
        ("Minutes_Transcribed", "10", "2026-05-01T00:00:00Z"),
        ("MINUTES_TRANSCRIBED", "20.5", "2026-05-31T23:59:59.999999Z"),
        ("minutes_transcribed", "100", "2026-06-01T00:00:00Z"), // the very end of May
        ("minutes_transcribed", "5000", "2031-01-01T00:00:00Z"), // beyond every stored end
    ] {
        inserted(&test, "acme", name, quantity, at).await;
    }
    let report = sync(&test, "2026-05-20T00:00:00Z", &[]).exits(0).json();
    assert_eq!(report["metrics_counted"], 3);
    assert_eq!(report["before_first_period"], 1);
    assert_eq!(report["drift_found"], 0);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z 2026-06-01T00:00:00Z 30.5",
            "2026-06-01T00:00:00Z 2026-07-01T00:00:00Z 100",
        ]
    );
    assert_eq!(test.rows("select used_minutes from organizations").await, ["30.5"]);
    let left = "select metric_value from usage_metrics where counted_at is null";
    assert_eq!(test.rows(left).await, ["5000"]);
    let states = "select distinct sync_status, discrepancy_count from usage_counters";
    assert_eq!(test.rows(states).await, ["synced 0"]);
    assert!(log(&test).await.is_empty());
    test.check_invariants().await;

    let again = sync(&test, "2026-05-20T00:00:00Z", &[]).exits(0).json();
    assert_eq!(again["metrics_counted"], 0);
    assert_eq!(again["counters_synced"], 0);

    // The next period counts it, and nobody else.
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["100"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_servers_time_zone_changes_no_result() {
    let mut results = Vec::new();
    for zone in ["UTC", "Australia/Melbourne"] {
        let test = may().await;
        test.sql(&format!("alter database {} set timezone = '{zone}'", test.name)).await;
        for at in ["2026-05-31T23:59:59.999999Z", "2026-06-01T00:00:00Z"] {
            inserted(&test, "acme", "minutes_transcribed", "7", at).await;
        }
        sync(&test, "2026-05-20T00:00:00Z", &["--full"]).exits(0);
        rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
        inserted(&test, "acme", "minutes_transcribed", "9", "2026-05-31T14:00:00Z").await;
        sync(&test, "2026-06-01T12:00:00Z", &["--full"]).exits(0);
        test.check_invariants().await;
        let books = "select period_start, period_end, used from usage_counters
                     union all select period_start, decided_at, used from billing_adjustments
                     order by 1, 2";
        results.push(test.rows(books).await);
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].len(), 3);
}

#[tokio::test]
async fn users_see_what_they_used_in_the_open_period() {
    let test = may().await;
    test.sql(
        "insert into users (organization_id, email)
         select id, e from organizations, unnest(array['a@b', 'c@d']) e;
         insert into usage_metrics (organization_id, user_id, metric_type, metric_value, created_at)
         select organization_id, id, 'Scrapes', 3, '2026-05-12T12:00:00Z' from users
         where email = 'c@d';
         select record_usage(organization_id, 'scrapes', 2, id, '2026-05-13') from users
         where email = 'c@d';
         select record_usage(organization_id, 'scrapes', 1, null, '2026-05-13')
         from organizations o join users u on u.organization_id = o.id and u.email = 'a@b'",
    )
    .await;
    sync(&test, "2026-05-20T00:00:00Z", &[]).exits(0);
    let users = "select email, usage_this_month from users order by email";
    assert_eq!(test.rows(users).await, ["a@b 0", "c@d 5"]);
    assert_eq!(test.rows("select used from usage_counters").await, ["6"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_missed() {
    let test = may().await;
    let mut slow = test.connect().await;
    let mut transaction = slow.begin().await.unwrap();
    sqlx::raw_sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                    recorded_at)
         select id, 'minutes_transcribed', 5, '2026-05-10', now() - interval '5 minutes'
         from organizations",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    for minute in 0..3 {
        inserted(&test, "acme", "minutes_transcribed", "1", "2026-05-10T12:00:00Z").await;
        let report = sync(&test, &format!("2026-05-10T13:0{minute}:00Z"), &[]).exits(0).json();
        assert_eq!(report["metrics_counted"], 1);
    }
    transaction.commit().await.unwrap();
    let report = sync(&test, "2026-05-10T13:05:00Z", &["--full"]).exits(0).json();
    assert_eq!((&report["metrics_counted"], &report["drift_found"]), (&1.into(), &0.into()));
    assert_eq!(test.rows("select used from usage_counters").await, ["8"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_application_that_only_inserts_makes_no_drift_and_is_never_refused() {
    let test = may().await;
    test.sql(
        "insert into organizations (slug, name, time_zone)
         select 'org-' || i, 'Org', 'UTC' from generate_series(1, 60) i",
    )
    .await;
    rollover(&test, "2026-05-02T00:00:00Z", &[]).exits(0);
    for day in 10..13 {
        test.sql(&format!(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'sms_sent', 1 + i % 3, '2026-05-{day}T00:00:00Z'::timestamptz
                                               + i * interval '1 minute'
             from organizations, generate_series(1, 200) i"
        ))
        .await;
        let report = sync(&test, &format!("2026-05-{day}T23:00:00Z"), &["--full"]).exits(0).json();
        assert_eq!(report["metrics_counted"], 61 * 200);
        assert_eq!(report["drift_found"], 0);
    }
    assert!(log(&test).await.is_empty());
    test.check_invariants().await;
}

#[tokio::test]
async fn a_granted_pack_shows_in_its_column_with_the_next_count() {
    let test = may().await;
    let overage = "select overage_minutes, overage_minutes_written, overage_minutes_granted
                   from organizations";
    granted(&test, "acme", "A", 100, "2026-05-02T00:00:00Z", "").await;
    assert_eq!(test.rows(overage).await, ["0 - 100"]);
    sync(&test, "2026-05-03T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["100 100 0"]);
    used(&test, "acme", "530", "2026-05-10T00:00:00Z").await;
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, purchased_at)
         select id, 'minutes_transcribed', 40, '2026-05-02' from organizations",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["110 110 0"]);
    assert!(log(&test).await.is_empty());
    test.check_invariants().await;
}

#[tokio::test]
async fn an_org_that_cannot_be_counted_is_parked_and_the_others_go_on() {
    let test = may().await;
    crate::story::add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    let huge = "9999999999999999999999";
    for _ in 0..2 {
        inserted(&test, "acme", "minutes_transcribed", huge, "2026-05-10T00:00:00Z").await;
    }
    inserted(&test, "zeta", "minutes_transcribed", "5", "2026-05-10T00:00:00Z").await;
    let report = sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(4).json();
    assert_eq!(report["parked"][0]["slug"], "acme");
    let zeta = "select used_minutes from organizations where slug = 'zeta'";
    assert_eq!(test.rows(zeta).await, ["5"]);
    let left = "select count(*) from usage_metrics where counted_at is null";
    assert_eq!(test.rows(left).await, ["2"]);
    // A parked org is left alone.
    sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0);
    sync(&test, "2026-05-11T00:00:00Z", &["--org", "acme"]).exits(0);
}
