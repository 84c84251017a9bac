//! One bad org is parked with its reason and never spoils its page.

use crate::story::{add, closed, dump, including, inserted, packs, rollover, used};
use crate::support::TestDatabase;

const AT: &str = "2026-06-02T12:00:00Z";

/// Twenty good orgs whose May has ended.
async fn good_orgs() -> TestDatabase {
    let test = including(500).await;
    test.sql(
        "insert into organizations
             (slug, name, time_zone, subscription_tier, current_period_start, current_period_end)
         select 'good-' || i, 'Good', 'UTC', 'pro', '2026-05-01', '2026-06-01'
         from generate_series(1, 20) i",
    )
    .await;
    test
}

async fn bad(test: &TestDatabase, slug: &str, more: &str, values: &str) {
    test.sql(&format!(
        "insert into organizations (slug, name, time_zone, subscription_tier {more})
         values ('{slug}', 'Bad', {values})"
    ))
    .await;
}

const PERIOD: &str = ", current_period_start, current_period_end";

#[tokio::test]
async fn bad_orgs_are_parked_with_their_reasons_and_everyone_else_is_rolled_over() {
    let test = good_orgs().await;
    test.configure("[rollover]\nbatch_size = 100\nmax_periods_per_pass = 12\n");
    let may = "'2026-05-01', '2026-06-01'";
    bad(&test, "phobos", PERIOD, &format!("'Mars/Phobos', 'pro', {may}")).await;
    bad(&test, "inverted", PERIOD, "'UTC', 'pro', '2026-06-01', '2026-05-01'").await;
    bad(&test, "unopened", "", "'Asia/Tokyo', 'pro'").await;
    bad(
        &test,
        "weekday",
        &format!("{PERIOD}, cycle, anchor_day"),
        &format!("'UTC', 'pro', {may}, 'weekly', 15"),
    )
    .await;
    bad(&test, "huge", PERIOD, &format!("'UTC', 'pro', {may}")).await;
    bad(&test, "sum", PERIOD, &format!("'UTC', 'pro', {may}")).await;
    bad(&test, "negative", PERIOD, &format!("'UTC', 'pro', {may}")).await;
    bad(&test, "negative-plain", PERIOD, &format!("'UTC', 'pro', {may}")).await;
    bad(
        &test,
        "days",
        &format!("{PERIOD}, cycle"),
        "'UTC', 'pro', '2009-03-01', '2009-03-02', 'daily'",
    )
    .await;
    test.sql(
        "-- As an earlier schema took it.
         alter table usage_counters drop constraint usage_counters_used_range;
         insert into usage_counters (org_id, feature, period_start, period_end, used)
         select id, 'minutes_transcribed', '2026-05-01', '2026-06-01', 1e30
         from organizations where slug = 'huge';
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 9e21, '2026-05-10'
         from organizations, generate_series(1, 3) where slug = 'sum';
         select grant_overage_pack(id, 'minutes_transcribed', 10, 'neg', null, '2026-05-02')
         from organizations where slug = 'negative';
         update overage_packs set remaining = -1;
         insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, reference)
         select id, 'minutes_transcribed', 10, -5, '2026-05-02', 'plain'
         from organizations where slug = 'negative-plain'",
    )
    .await;

    let report = rollover(&test, AT, &[]).exits(4).json();
    let parked: Vec<&str> =
        report["parked"].as_array().unwrap().iter().map(|p| p["slug"].as_str().unwrap()).collect();
    let reasons = test
        .rows(
            "select slug, parked_reason from organizations where parked_at is not null order by 1",
        )
        .await;
    assert_eq!(parked.len(), reasons.len(), "{report}");
    for (slug, word) in [
        ("phobos", "Mars/Phobos"),
        ("inverted", "does not end after it starts"),
        ("weekday", "weekday 15"),
        ("huge", "10^22"),
        ("sum", "10^22"),
        ("negative", "has a negative quantity"),
        ("negative-plain", "has a negative quantity"),
    ] {
        let reason = reasons.iter().find(|row| row.starts_with(&format!("{slug} ")));
        assert!(reason.is_some_and(|row| row.contains(word)), "{slug}: {reason:?} of {reasons:#?}");
        assert!(parked.contains(&slug), "{slug}: {parked:?}");
    }
    assert_eq!(reasons.len(), 7, "{reasons:#?}");

    // 20 good ones, the one that was opened, and the one that was caught up with.
    assert_eq!((&report["orgs"], &report["opened"]), (&22.into(), &1.into()));
    let days = "select count(*) from billing_periods join organizations o on o.id = org_id
                where slug = 'days'";
    assert_eq!(test.rows(days).await, ["6302"]);
    let open = "select count(*) from organizations
                where parked_at is null and current_period_end > '2026-06-02T12:00:00Z'";
    assert_eq!(test.rows(open).await, ["22"]);
    let opened = "select current_period_start from organizations where slug = 'unopened'";
    assert_eq!(test.rows(opened).await, ["2026-05-31T15:00:00Z"]);

    let before = dump(&test).await;
    let again = rollover(&test, AT, &[]).exits(0).json();
    assert_eq!((&again["orgs"], &again["parked"]), (&0.into(), &serde_json::json!([])));
    let named = rollover(&test, AT, &["--org", "phobos", "--org", "huge"]).exits(0);
    assert!(named.stderr.contains("phobos is parked"), "{}", named.stderr);
    assert!(named.stderr.contains("huge is parked"), "{}", named.stderr);
    assert_eq!(dump(&test).await, before);

    // Mended and unparked, they go on as if nothing had been.
    test.sql(
        "update organizations set time_zone = 'UTC' where slug = 'phobos';
         update organizations set current_period_start = '2026-05-01',
                current_period_end = '2026-06-01' where slug = 'inverted';
         update organizations set anchor_day = 1 where slug = 'weekday';
         delete from usage_counters where used > 1e29;
         delete from usage_metrics where metric_value > 1e20;
         update overage_packs set remaining = 10;
         update organizations set parked_at = null, parked_reason = null",
    )
    .await;
    assert_eq!(rollover(&test, AT, &[]).exits(0).json()["orgs"], 7);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_pass_closes_at_most_so_many_periods_of_an_org() {
    let test = including(500).await;
    test.configure("[rollover]\nmax_periods_per_pass = 12\n");
    add(&test, "acme", "2026-01-01T00:00:00Z", &["--zone", "UTC", "--cycle", "daily"]);
    let report = rollover(&test, "2026-01-31T00:00:00Z", &[]).exits(0).json();
    assert_eq!((&report["orgs"], &report["periods_closed"]), (&1.into(), &30.into()));
    // Whatever one transaction closes shares the time at which it was recorded.
    let passes = "select count(*) from billing_periods group by recorded_at order by recorded_at";
    assert_eq!(test.rows(passes).await, ["12", "12", "6"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_period_with_one_end_missing_is_opened() {
    let test = good_orgs().await;
    bad(&test, "no-start", ", current_period_end", "'UTC', 'pro', '2026-06-01'").await;
    bad(&test, "no-start-ahead", ", current_period_end", "'UTC', 'pro', '2026-07-01'").await;
    bad(&test, "no-end", ", current_period_start", "'UTC', 'pro', '2026-05-01'").await;
    let report = rollover(&test, AT, &[]).exits(0).json();
    assert_eq!((&report["orgs"], &report["opened"]), (&23.into(), &3.into()));
    let open = "select distinct current_period_start, current_period_end from organizations";
    assert_eq!(test.rows(open).await, ["2026-06-01T00:00:00Z 2026-07-01T00:00:00Z"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn nothing_is_closed_drawn_or_counted_for_the_past_of_an_org_that_is_opened() {
    let test = including(500).await;
    bad(&test, "acme", "", "'UTC', 'pro'").await;
    inserted(&test, "acme", "minutes_transcribed", "900", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "40", "2026-06-01T00:00:00Z").await;
    test.sql(
        "select grant_overage_pack(id, 'minutes_transcribed', 50, 'pack', null, '2026-04-01')
              from organizations",
    )
    .await;
    rollover(&test, AT, &[]).exits(0);
    assert!(closed(&test, "acme").await.is_empty());
    assert_eq!(packs(&test).await, ["pack 50 0 0"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["40"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_org_whose_open_period_does_not_touch_the_last_closed_one_is_parked() {
    let test = including(500).await;
    add(&test, "acme", "2026-04-01T00:00:00Z", &["--zone", "UTC"]);
    rollover(&test, "2026-05-02T00:00:00Z", &[]).exits(0);
    test.sql("update organizations set current_period_start = '2026-05-03'").await;
    let report = rollover(&test, AT, &[]).exits(4).json();
    let reason = report["parked"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the last closed one ended at 2026-05-01 00:00 UTC"), "{reason}");

    test.sql("update organizations set current_period_start = '2026-05-01', parked_at = null")
        .await;
    rollover(&test, AT, &[]).exits(0);
    assert_eq!(closed(&test, "acme").await.len(), 2);
    test.check_invariants().await;

    // Moved back to where a closed one begins, whether another one ends there or not.
    for start in ["2026-05-01", "2026-04-01"] {
        test.sql(&format!(
            "update organizations set current_period_start = '{start}', parked_at = null,
                                      current_period_end = '2026-06-01'"
        ))
        .await;
        let report = rollover(&test, AT, &[]).exits(4).json();
        let reason = report["parked"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("the last closed one ended at 2026-06-01 00:00 UTC"), "{reason}");
    }
}

/// Rules of an application's own that refuse every change of one org's row.
const REFUSING: [&str; 2] = [
    "alter table organizations add constraint frozen check (slug <> 'good-3') not valid",
    "create function refuse() returns trigger language plpgsql as $$
     begin
         if old.slug = 'good-3' then raise exception 'good-3 is frozen'; end if;
         return new;
     end $$;
     create trigger refuse before update on organizations for each row
     execute function refuse()",
];

#[tokio::test]
async fn an_org_that_cannot_even_be_parked_is_skipped_with_what_the_database_said() {
    for rule in REFUSING {
        for batch in [1, 100] {
            let test = good_orgs().await;
            test.configure(&format!("[rollover]\nbatch_size = {batch}\n"));
            test.sql(
                "insert into usage_metrics
                     (organization_id, metric_type, metric_value, created_at)
                 select id, 'minutes_transcribed', 5, '2026-05-10Z' from organizations",
            )
            .await;
            test.sql(rule).await;
            let sync = ["--at", "2026-05-20T00:00:00Z", "--format", "json", "sync"];
            let sync = test.periodd(&sync).exits(4).json();
            assert_eq!(sync["skipped"].as_array().map(Vec::len), Some(1), "{sync}");
            let copied = "select count(*) from organizations where used_minutes = 5";
            assert_eq!(test.rows(copied).await, ["19"], "{sync}");
            let report = rollover(&test, AT, &[]).exits(4).json();
            assert_eq!(test.rows("select count(*) from billing_periods").await, ["19"]);
            let skipped = &report["skipped"];
            assert_eq!(skipped[0]["slug"], "good-3", "{report}");
            let why = skipped[0]["reason"].as_str().expect("a reason");
            assert!(why.contains("could not be parked") && why.contains("frozen"), "{why}");
            let parked = "select count(*) from organizations where parked_at is not null";
            assert_eq!(test.rows(parked).await, ["0"]);
            let counts =
                test.rows("select counts ->> 'skipped' as skipped from periodd_runs").await;
            assert_eq!(counts, ["1", "1"]);
        }
    }
}
