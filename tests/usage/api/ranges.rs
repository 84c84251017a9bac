//! What the functions take: quantities that a counter can hold, instants that a period can have.

use crate::api::{customer, refusal};
use crate::support::TestDatabase;

/// The largest quantity.
const MOST: &str = "9999999999999999999999.999999";

#[tokio::test]
async fn a_counter_that_would_leave_its_range_refuses_the_use_and_moves_nothing() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', null),
                                        ('pro', 'sms_sent', 9000000000000000000000)",
    )
    .await;
    let acme = customer(&test, "acme").await;
    let (org, user) = (acme.org, acme.user);
    // A limit that is beyond the range altogether.
    test.sql(&format!(
        "select grant_overage_pack('{org}', 'sms_sent', 9000000000000000000000, 'r');
         select record_usage('{org}', 'emails_sent', -{MOST}, '{user}')"
    ))
    .await;
    let mut connection = test.connect().await;
    for feature in ["scrapes", "sms_sent"] {
        let most = format!("select increment_feature_usage('{user}', '{feature}', {MOST})");
        test.sql(&most).await;
        let before = test.contents().await;
        for (amount, key) in [("1000", "null"), ("0.000001", "null"), ("1", "'key'")] {
            let call =
                format!("select increment_feature_usage('{user}', '{feature}', {amount}, {key})");
            let (code, sentence) = refusal(&mut connection, &call).await;
            assert_eq!(code, "22003", "{call}: {sentence}");
            assert!(sentence.contains("would have used 1e22"), "{sentence}");
        }
        let record = format!("select record_usage('{org}', '{feature}', 1)");
        assert_eq!(refusal(&mut connection, &record).await.0, "22003");
        assert_eq!(test.contents().await, before);
    }
    let scrape = format!("select increment_usage_if_allowed('{user}')");
    assert_eq!(refusal(&mut connection, &scrape).await.0, "22003");
    let less = format!("select record_usage('{org}', 'emails_sent', -0.000001)");
    assert_eq!(refusal(&mut connection, &less).await.0, "22003");
    // A correction makes room again.
    test.sql(&format!("select record_usage('{org}', 'scrapes', -1, '{user}')")).await;
    test.sql(&format!("select increment_usage_if_allowed('{user}')")).await;
    // Nobody is set aside for it, and other features go on.
    for command in [&["sync", "--full"][..], &["--yes", "rollover", "--early"], &["alerts", "run"]]
    {
        test.periodd(command).exits(0);
    }
    assert_eq!(test.rows("select count(parked_at) from organizations").await, ["0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_users_own_counter_keeps_its_range_too() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', null)").await;
    let acme = customer(&test, "acme").await;
    let (org, user) = (acme.org, acme.user);
    // The org's counter is near nothing: somebody else's corrections weigh the user's uses up.
    test.sql(&format!(
        "select increment_feature_usage('{user}', 'scrapes', {MOST});
         select record_usage('{org}', 'scrapes', -{MOST})"
    ))
    .await;
    let before = test.contents().await;
    let mut connection = test.connect().await;
    for call in [
        format!("increment_feature_usage('{user}', 'scrapes', 5)"),
        format!("increment_usage_if_allowed('{user}')"),
        format!("record_usage('{org}', 'scrapes', 5, '{user}')"),
    ] {
        let (code, sentence) = refusal(&mut connection, &format!("select {call}")).await;
        assert_eq!(code, "22003", "{call}: {sentence}");
        assert!(sentence.contains(&user.to_string()), "{sentence}");
    }
    assert_eq!(test.contents().await, before);
}

#[tokio::test]
async fn packs_do_not_add_up_to_more_than_a_quantity() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let org = acme.org;
    test.sql(&format!(
        "select grant_overage_pack('{org}', 'minutes_transcribed', 9e21, 'first');
         insert into overage_packs (org_id, feature, quantity) values ('{org}', 'sms_sent', 9e21)"
    ))
    .await;
    let before = test.contents().await;
    let mut connection = test.connect().await;
    for feature in ["minutes_transcribed", "sms_sent"] {
        let call = format!("select grant_overage_pack('{org}', '{feature}', 1e21, 'second')");
        let (code, sentence) = refusal(&mut connection, &call).await;
        assert_eq!(code, "22003", "{sentence}");
        assert!(sentence.contains("would hold 1e22 or more"), "{sentence}");
    }
    assert_eq!(test.contents().await, before);
    // A repeated reference is no second pack, and another feature has packs of its own.
    test.sql(&format!(
        "select grant_overage_pack('{org}', 'minutes_transcribed', 9e21, 'first');
         select grant_overage_pack('{org}', 'scrapes', 9e21, 'other')"
    ))
    .await;
    test.periodd(&["sync", "--full"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn instants_lie_between_the_years_1_and_9999() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let org = acme.org;
    let before = test.contents().await;
    let mut connection = test.connect().await;
    for instant in [
        "'infinity'",
        "'-infinity'",
        // Milliseconds that were taken for seconds.
        "to_timestamp(1764415200000)",
        "'10000-01-01 00:00:00+00'",
        "'0001-12-31 23:59:59.999999+00 BC'",
        "'4713-01-01 00:00:00+00 BC'",
    ] {
        for call in [
            format!("record_usage('{org}', 'scrapes', 1, null, {instant})"),
            format!("grant_overage_pack('{org}', 'scrapes', 1, 'r', null, {instant})"),
            format!("grant_overage_pack('{org}', 'scrapes', 1, 'r', {instant}, '0001-01-01Z')"),
        ] {
            if call.contains("'infinity', '0001") {
                continue;
            }
            let (code, sentence) = refusal(&mut connection, &format!("select {call}")).await;
            assert_eq!(code, "22023", "{call}: {sentence}");
            assert!(sentence.contains("between the years 1 and 9999"), "{sentence}");
        }
    }
    assert_eq!(test.contents().await, before);
    // The first and the last that there are; where null means never, infinity does.
    test.sql(&format!(
        "select record_usage('{org}', 'scrapes', 1, null, '0001-01-01 00:00:00+00');
         select record_usage('{org}', 'scrapes', 1, null, '9999-12-31 23:59:59.999999+00');
         select grant_overage_pack('{org}', 'scrapes', 1, 'a', '9999-12-31 23:59:59+00');
         select grant_overage_pack('{org}', 'scrapes', 1, 'b', 'infinity')"
    ))
    .await;
    let expiries = "select reference, expires_at from overage_packs order by 1";
    assert_eq!(test.rows(expiries).await, ["a 9999-12-31T23:59:59Z", "b -"]);
    // What lies beyond the stored ends waits until it is due.
    let counted = "select count(counted_at) as counted, count(*) from usage_metrics";
    assert_eq!(test.rows(counted).await, ["1 2"]);
}

#[tokio::test]
async fn a_percentage_ends_where_quantities_end() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 0.000001), ('pro', 'sms_sent', 2)")
        .await;
    let acme = customer(&test, "acme").await;
    test.sql(&format!(
        "select record_usage('{0}', 'scrapes', 1e20, '{1}');
         select record_usage('{0}', 'sms_sent', 1, '{1}')",
        acme.org, acme.user
    ))
    .await;
    let limits =
        test.periodd(&["usage", "limits", "--org", "acme", "--format", "json"]).exits(0).stdout;
    assert!(limits.contains("9999999999999999999999.99"), "{limits}");
    for command in [&["explain", "acme"][..], &["orgs", "show", "acme"], &["alerts", "run"]] {
        test.periodd(command).exits(0);
    }
    let percents = "select periodd_percent(u, a) as p from (values (1::numeric, 2::numeric),
                        (1e22, 0.000001), (-1e22, 0.000001), (5, null), (1, 0), (0, 0)) v (u, a)";
    assert_eq!(
        test.rows(percents).await,
        ["50.00", "9999999999999999999999.99", "-9999999999999999999999.99", "-", "100", "0"]
    );
}
