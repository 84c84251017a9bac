//! What was used counts in the period that contains its instant, however it was written.

use crate::story::{add, closed, counters, granted, including, inserted, packs, rollover, used};
use crate::support::TestDatabase;

async fn may() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test
}

#[tokio::test]
async fn plain_inserts_are_counted_in_the_period_that_contains_them() {
    let test = may().await;
    for (name, quantity, at) in [
        ("minutes_transcribed", "1", "2026-04-30T23:59:59.999999Z"), // before the first period
        ("Minutes_Transcribed", "10", "2026-05-01T00:00:00Z"),
        ("MINUTES_TRANSCRIBED", "20.5", "2026-05-31T23:59:59.999999Z"),
        ("minutes_transcribed", "100", "2026-06-01T00:00:00Z"), // the very end of May
        ("minutes_transcribed", "1000", "2026-07-15T00:00:00Z"), // ahead of its time
        ("minutes_transcribed", "5000", "2031-01-01T00:00:00Z"), // beyond every stored end
    ] {
        inserted(&test, "acme", name, quantity, at).await;
    }
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 30.5 500 0 0"]);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-01T00:00:00Z 2026-06-01T00:00:00Z 30.5",
            "2026-06-01T00:00:00Z 2026-07-01T00:00:00Z 100",
            "2026-07-01T00:00:00Z 2026-08-01T00:00:00Z 1000",
        ]
    );
    assert_eq!(test.rows("select used_minutes from organizations").await, ["100"]);
    let left = "select metric_value from usage_metrics where counted_at is null order by 1";
    assert_eq!(test.rows(left).await, ["1", "5000"]);
    test.check_invariants().await;

    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(
        closed(&test, "acme").await[1..],
        ["2026-07-01T00:00:00Z 100 500 0 0", "2026-08-01T00:00:00Z 1000 500 0 500"]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn metrics_are_stamped_with_the_real_time_at_which_they_were_counted() {
    let test = may().await;
    inserted(&test, "acme", "minutes_transcribed", "10", "2026-05-02T00:00:00Z").await;
    used(&test, "acme", "10", "2026-05-02T00:00:00Z").await;
    rollover(&test, "2026-06-02T00:00:00Z", &["--early"]).exits(0);
    let real =
        "select count(*) filter (where counted_at between now() - interval '5 minutes' and now())
                from usage_metrics";
    assert_eq!(test.rows(real).await, ["2"]);
    let closed = "select distinct closed_at from billing_periods order by 1";
    assert_eq!(test.rows(closed).await, ["2026-06-02T00:00:00Z"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_unknown_name_becomes_a_feature_of_which_nothing_is_included() {
    let test = may().await;
    inserted(&test, "acme", "Faxes", "3", "2026-05-02T00:00:00Z").await;
    inserted(&test, "acme", "faxes", "4", "2026-05-03T00:00:00Z").await;
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    let features = "select feature, unit from features where feature = 'faxes'";
    assert_eq!(test.rows(features).await, ["faxes units"]);
    let closed = "select feature, used, included, drawn, uncovered from billing_period_usage";
    assert_eq!(test.rows(closed).await, ["faxes 7 0 0 7"]);
    test.check_invariants().await;
}

/// The usage of a period travels as the text of arrays: a name may hold whatever such a text means
/// something by.
#[tokio::test]
async fn features_of_any_name_are_closed_under_it() {
    let test = may().await;
    let names =
        ["null", "a\"b", r"a\b", r"\", r#"\""#, "{a,b}", "a, b", " ", "'", "größe", "%s\n$1"];
    let mut connection = test.connect().await;
    for name in names {
        sqlx::query(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, $1, 0.000001, '2026-05-02Z' from organizations",
        )
        .bind(name)
        .execute(&mut connection)
        .await
        .expect("a metric");
    }
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    let closed: Vec<(String, bool)> = sqlx::query_as(
        "select feature, used = 0.000001 and included = 0 and drawn = 0 and uncovered = used
         from billing_period_usage",
    )
    .fetch_all(&mut connection)
    .await
    .expect("closed usage");
    let mut names = names.map(|name| (name.to_owned(), true));
    names.sort();
    assert_eq!(closed, names);
    test.check_invariants().await;
}

#[tokio::test]
async fn users_start_the_next_period_with_what_they_used_in_it() {
    let test = may().await;
    test.sql(
        "insert into users (organization_id, email)
         select id, e from organizations, unnest(array['a@b', 'c@d', 'e@f']) e;
         select record_usage(organization_id, 'scrapes', 5, id, '2026-05-10') from users
         where email <> 'e@f';
         select record_usage(organization_id, 'scrapes', 2, id, '2026-06-01') from users
         where email = 'c@d';
         insert into usage_metrics (organization_id, user_id, metric_type, metric_value, created_at)
         select organization_id, id, 'Scrapes', 3, '2026-06-01T12:00:00Z' from users
         where email = 'e@f';
         update users set usage_this_month = 5",
    )
    .await;
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    let users = "select email, usage_this_month from users order by email";
    assert_eq!(test.rows(users).await, ["a@b 0", "c@d 2", "e@f 3"]);
    let counters = "select email, period_start, usage_count from feature_usage f
                    join users u on u.id = f.user_id order by 1, 2";
    assert_eq!(
        test.rows(counters).await,
        [
            "a@b 2026-05-01T00:00:00Z 5",
            "c@d 2026-05-01T00:00:00Z 5",
            "c@d 2026-06-01T00:00:00Z 2",
            "e@f 2026-06-01T00:00:00Z 3",
        ]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn a_repeated_key_counts_once_and_answers_the_same() {
    let test = may().await;
    let record = |quantity: &str| {
        let flags = ["--org", "acme", "--feature", "minutes_transcribed", "--key", "k"];
        let fixed = ["--at", "2026-05-10T00:00:00Z", "--format", "json", "usage", "record"];
        let answer = test.periodd(&[&fixed, &flags[..], &["--quantity", quantity]].concat());
        answer.exits(0).json()["metric"].clone()
    };
    assert_eq!(record("10"), record("10"));
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 10 500 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn usage_beyond_the_last_stored_end_is_kept_and_counted_by_the_next_rollover() {
    let test = may().await;
    used(&test, "acme", "40", "2026-10-10T00:00:00Z").await;
    assert_eq!(test.rows("select counted_at from usage_metrics").await, ["-"]);
    assert!(counters(&test, "acme").await.is_empty());
    rollover(&test, "2026-10-20T00:00:00Z", &[]).exits(0);
    assert_eq!(counters(&test, "acme").await, ["2026-10-01T00:00:00Z 2026-11-01T00:00:00Z 40"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["40"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn usage_of_an_org_without_an_open_period_waits_for_its_opening() {
    let test = including(500).await;
    test.sql("insert into organizations (slug, name, time_zone) values ('acme', 'Acme', 'UTC')")
        .await;
    used(&test, "acme", "40", "2026-06-01T00:00:00Z").await;
    assert_eq!(test.rows("select counted_at from usage_metrics").await, ["-"]);
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(counters(&test, "acme").await, ["2026-06-01T00:00:00Z 2026-07-01T00:00:00Z 40"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn minutes_that_someone_sold_without_a_pack_survive_every_rollover() {
    let test = may().await;
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    rollover(&test, "2026-05-02T00:00:00Z", &["--early"]).exits(0);
    let overage = "select overage_minutes, overage_minutes_written from organizations";
    assert_eq!(test.rows(overage).await, ["100 100"]);

    test.sql("update organizations set overage_minutes = overage_minutes + 30").await;
    used(&test, "acme", "540", "2026-05-10T00:00:00Z").await;
    for month in 6..=9 {
        rollover(&test, &format!("2026-{month:02}-02T00:00:00Z"), &[]).exits(0);
        assert_eq!(test.rows(overage).await, ["90 60"], "month {month}");
    }
    // The pack that mends it lowers it by its quantity.
    granted(&test, "acme", "B", 30, "2026-09-02T00:00:00Z", "").await;
    rollover(&test, "2026-10-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["90 90"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_purchased_column_follows_the_packs() {
    let test = may().await;
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "2026-08-01T00:00:00Z").await;
    used(&test, "acme", "540", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "510", "2026-06-01T00:00:00Z").await;
    let overage = "select overage_minutes from organizations";
    // 60 are left of the pack, 10 of which June has used already.
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["50"]);
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["50"]);
    rollover(&test, "2026-08-02T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(overage).await, ["0"]);
    assert_eq!(packs(&test).await, ["A 0 50 50"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn packs_that_were_inserted_plainly_are_entered_in_the_ledger_and_pay() {
    let test = may().await;
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, reference)
         select id, 'minutes_transcribed', 100, r, '2026-05-01', coalesce(r::text, 'all')
         from organizations, unnest(array[null, 40, 0]) r",
    )
    .await;
    used(&test, "acme", "620", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 620 500 120 0"]);
    let left = test.rows("select sum(remaining) from overage_packs").await;
    assert_eq!(left, ["20"]);
    let entries = test.rows("select min(entries) from overage_packs").await;
    assert_eq!(entries, ["2"]);
    test.check_invariants().await;
}
