//! Drift: what is wrong is found, mended where it still is what was read, and recorded.

use crate::story::{add, granted, inserted, rollover, used};
use crate::sync::words::{log, may, sync};

#[tokio::test]
async fn a_counter_that_lies_is_mended_with_its_copy_and_one_line() {
    let test = may().await;
    used(&test, "acme", "480", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    test.sql(
        "insert into usage_metrics
             (organization_id, metric_type, metric_value, created_at, counted_at)
         select id, 'minutes_transcribed', 20, '2026-05-10', now() from organizations",
    )
    .await;
    let state = "select used, sync_status, discrepancy_count, used_minutes
                 from usage_counters, organizations";
    assert_eq!(test.rows(state).await, ["480 synced 0 480"]);

    let check = sync(&test, "2026-05-12T00:00:00Z", &["--check"]).exits(3).json();
    assert_eq!((&check["drift_found"], &check["drift"][0]["after"]), (&1.into(), &500.into()));
    assert_eq!(test.rows(state).await, ["480 synced 0 480"], "a check only looks");
    assert!(log(&test).await.is_empty());
    assert!(test.rows("select 1 from periodd_audited").await.is_empty());

    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 1);
    assert_eq!(test.rows(state).await, ["500 synced 1 500"]);
    let synced = "select last_synced_at is not null from usage_counters";
    assert_eq!(test.rows(synced).await, ["true"]);
    assert_eq!(log(&test).await, ["usage_counters.used 480 500 20"]);
    let line = "select o.slug, d.feature, d.period_start, d.found_at, d.reason, d.run is not null
                from periodd_drift d join organizations o on o.id = d.org_id";
    assert_eq!(
        test.rows(line).await,
        ["acme minutes_transcribed 2026-05-01T00:00:00Z 2026-05-12T00:00:00Z the counter \
             differed from the sum of its counted metrics true"]
    );
    test.check_invariants().await;

    let before = test.contents().await;
    let again = sync(&test, "2026-05-12T01:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(again["drift_found"], 0);
    sync(&test, "2026-05-12T01:00:00Z", &["--check"]).exits(0);
    assert_eq!(test.contents().await, before);
    assert_eq!(log(&test).await.len(), 1);
}

#[tokio::test]
async fn every_kind_of_drift_is_found_and_mended() {
    let test = may().await;
    add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test.sql(
        "insert into users (organization_id, email) select id, 'a@' || slug from organizations;
         select record_usage(organization_id, 'scrapes', 7, id, '2026-05-10') from users;
         select record_usage(id, 'minutes_transcribed', 30, null, '2026-05-10') from organizations",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0);
    assert!(log(&test).await.is_empty());
    test.sql(
        "-- A user's counter, which moves its copy along.
         update feature_usage set usage_count = 5 where user_id = (
             select id from users where email = 'a@acme');
         update users set usage_this_month = 5 where email = 'a@acme';
         -- A copy alone.
         update organizations set used_minutes = 31 where slug = 'acme';
         -- A counter that is gone, and one that nobody should have.
         delete from usage_counters where feature = 'scrapes' and org_id = (
             select id from organizations where slug = 'zeta');
         insert into usage_counters (org_id, feature, period_start, period_end, used)
         select id, 'ghosts', current_period_start, current_period_end, 9
         from organizations where slug = 'zeta'",
    )
    .await;
    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 4, "{report}");
    let mut lines = log(&test).await;
    lines.sort();
    assert_eq!(
        lines,
        [
            "feature_usage.usage_count 5 7 2",
            "organizations.used_minutes 31 30 -1",
            "usage_counters.used - 7 7",
            "usage_counters.used 9 0 -9",
        ]
    );
    assert_eq!(test.rows("select usage_this_month from users").await, ["7", "7"]);
    let counters = "select u.email, f.usage_count, f.sync_status, f.discrepancy_count,
                           f.last_synced_at is not null
                    from feature_usage f join users u on u.id = f.user_id order by 1";
    assert_eq!(test.rows(counters).await, ["a@acme 7 synced 1 true", "a@zeta 7 synced 0 true"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["30", "30"]);
    test.check_invariants().await;
    let again = sync(&test, "2026-05-12T01:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(again["drift_found"], 0);
}

#[tokio::test]
async fn only_the_org_that_was_asked_for_is_looked_at() {
    let test = may().await;
    add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "30", "2026-05-10T00:00:00Z").await;
    used(&test, "zeta", "30", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    test.sql("update usage_counters set used = 1").await;
    inserted(&test, "zeta", "minutes_transcribed", "5", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-12T00:00:00Z", &["--org", "acme"]).exits(0);
    let minutes = "select slug, used, used_minutes from usage_counters c
                   join organizations o on o.id = c.org_id order by 1";
    assert_eq!(test.rows(minutes).await, ["acme 30 30", "zeta 1 30"]);
    let waiting = "select metric_value from usage_metrics where counted_at is null";
    assert_eq!(test.rows(waiting).await, ["5"]);
    let nobody = sync(&test, "2026-05-12T00:00:00Z", &["--org", "nobody"]).exits(2);
    assert_eq!(nobody.json()["error"]["kind"], "usage");
}

#[tokio::test]
async fn usage_in_a_counter_where_it_does_not_belong_is_put_right_by_the_audit() {
    let test = may().await;
    used(&test, "acme", "100", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-05-20T00:00:00Z", &["--early"]).exits(0);
    // Somebody counts by himself, by the ends that May had before it was closed on the 20th.
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                    counted_at)
         select id, 'sms_sent', 7, '2026-05-25', now() from organizations;
         insert into usage_counters (org_id, feature, period_start, period_end, used)
         select id, 'sms_sent', '2026-05-01', '2026-06-01', 7 from organizations",
    )
    .await;
    let counters = "select period_start, used from usage_counters where feature = 'sms_sent'
                    order by 1";
    assert_eq!(test.rows(counters).await, ["2026-05-01T00:00:00Z 7"], "where it does not belong");
    // Counting takes a counter that is not its metrics for no late usage.
    let report = sync(&test, "2026-05-20T12:00:00Z", &[]).exits(0).json();
    assert_eq!(report["late"].as_array().unwrap().len(), 0);

    let report = sync(&test, "2026-05-20T12:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 2, "{report}");
    assert_eq!(test.rows(counters).await, ["2026-05-01T00:00:00Z 0", "2026-05-20T00:00:00Z 7"]);
    assert!(test.rows("select 1 from billing_adjustments").await.is_empty());
    test.check_invariants().await;
    let again = sync(&test, "2026-05-20T13:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(again["drift_found"], 0);
    assert_eq!(again["counters_synced"], 0);
}

#[tokio::test]
async fn a_counter_of_no_period_is_emptied() {
    let test = may().await;
    used(&test, "acme", "100", "2026-05-10T00:00:00Z").await;
    test.sql(
        "insert into usage_counters (org_id, feature, period_start, period_end, used)
         select id, 'minutes_transcribed', '2026-05-07', '2026-05-14', 3 from organizations",
    )
    .await;
    let report = sync(&test, "2026-05-20T12:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift"][0]["reason"], "the org has no period with this start");
    assert_eq!(log(&test).await, ["usage_counters.used 3 0 -3"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn minutes_sold_without_a_pack_survive_corrections_and_higher_limits() {
    let test = may().await;
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    used(&test, "acme", "540", "2026-05-10T00:00:00Z").await;
    let overage = "select overage_minutes, overage_minutes_written from organizations";
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["60 60"]);
    test.sql("update organizations set overage_minutes = overage_minutes + 30").await;

    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 0, "someone who sells is never overruled");
    let sold = &report["purchases_without_pack"][0];
    assert_eq!((&sold["org"], &sold["quantity"]), (&"acme".into(), &30.into()));
    let mended_by = test.plain(sold["mended_by"].as_str().expect("a command"));
    let grant = "periodd packs grant --org acme --feature minutes_transcribed --quantity 30";
    assert!(mended_by.starts_with(&format!("{grant} --reference sold:")), "{mended_by}");
    assert_eq!(test.rows(overage).await, ["90 60"]);

    // A correction lets what is left of the pack rise, and a higher limit does.
    used(&test, "acme", "-20", "2026-05-12T00:00:00Z").await;
    sync(&test, "2026-05-13T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(test.rows(overage).await, ["110 80"]);
    test.sql(
        "insert into limit_overrides select id, 'minutes_transcribed', 900 from organizations",
    )
    .await;
    sync(&test, "2026-05-14T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(test.rows(overage).await, ["130 100"]);
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["130 100"]);

    // The command that it was told to run, by two people.
    let words: Vec<&str> = mended_by.split_whitespace().skip(1).collect();
    for _ in 0..2 {
        test.periodd(&[&["--at", "2026-06-02T01:00:00Z"], &words[..]].concat()).exits(0);
    }
    let report = sync(&test, "2026-06-03T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(test.rows(overage).await, ["130 130"]);
    assert_eq!(report["purchases_without_pack"].as_array().unwrap().len(), 0);
    assert!(log(&test).await.is_empty());

    // Someone takes away what periodd wrote: that is drift.
    test.sql("update organizations set overage_minutes = 50").await;
    sync(&test, "2026-06-04T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(log(&test).await, ["organizations.overage_minutes 50 130 80"]);
    assert_eq!(test.rows(overage).await, ["130 130"]);
    test.check_invariants().await;
}
