//! One increment: what it answers, what moves, what is refused.

use crate::api::{customer, refusal};
use crate::support::TestDatabase;

#[tokio::test]
async fn an_increment_moves_everything_together_and_answers_in_columns() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 5)").await;
    let once = format!("select * from increment_usage_if_allowed('{}'::uuid)", acme.user);
    assert_eq!(test.rows(&once).await, ["true 1 5 pro -"]);
    test.sql("update users set plan = 'FREE', subscription_status = 'none'").await;
    assert_eq!(test.rows(&once).await, ["true 2 5 FREE none"]);
    let more = format!(
        "select allowed, new_usage, effective_limit
         from increment_feature_usage('{}', 'SCRAPES', 2.5)",
        acme.user
    );
    assert_eq!(test.rows(&more).await, ["true 4.5 5"]);
    assert_eq!(test.rows(&more).await, ["false 4.5 5"], "all or nothing");
    assert_eq!(test.rows(&once).await, ["false 4.5 5 FREE none"]);
    let moved = "select (select sum(metric_value) from usage_metrics
                         where counted_at is not null) as metrics,
                        (select used from usage_counters),
                        (select usage_count from feature_usage),
                        (select usage_this_month from users),
                        (select string_agg(sync_status, ' ') from usage_counters) as status";
    assert_eq!(test.rows(moved).await, ["4.5 4.5 4.5 4.5 pending"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_repeated_key_answers_allowed_and_moves_nothing() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'ai_messages', 3)").await;
    let call = |amount: u32, key: &str| {
        let user = acme.user;
        format!(
            "select allowed, new_usage
             from increment_feature_usage('{user}', 'AI_MESSAGES', {amount}, '{key}')"
        )
    };
    assert_eq!(test.rows(&call(3, "a")).await, ["true 3"]);
    assert_eq!(test.rows(&call(3, "a")).await, ["true 3"]);
    assert_eq!(test.rows(&call(1, "b")).await, ["false 3"]);
    // A refusal is not remembered: there is room now.
    test.sql("update tier_limits set included = 4").await;
    assert_eq!(test.rows(&call(1, "b")).await, ["true 4"]);
    assert_eq!(test.rows("select count(*) from usage_metrics").await, ["2"]);
}

#[tokio::test]
async fn packs_and_overrides_make_the_limit() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let ask = format!(
        "select allowed, new_usage, effective_limit from increment_feature_usage('{}', 'sms_sent')",
        acme.user
    );
    assert_eq!(test.rows(&ask).await, ["false 0 0"], "what nobody grants is not included");
    let pack = |quantity: u32, reference: &str, rest: &str| {
        format!(
            "select grant_overage_pack('{}', 'sms_sent', {quantity}, '{reference}'{rest})",
            acme.org
        )
    };
    test.sql(&pack(1, "first", "")).await;
    test.sql(&pack(9, "later", ", p_purchased_at => now() + interval '1 day'")).await;
    assert_eq!(test.rows(&ask).await, ["true 1 1"]);
    assert_eq!(test.rows(&ask).await, ["false 1 1"]);
    // A pack that an application inserted by itself holds what it was sold with.
    test.sql(&format!(
        "insert into overage_packs (org_id, feature, quantity) values ('{}', 'sms_sent', 2)",
        acme.org
    ))
    .await;
    assert_eq!(test.rows(&ask).await, ["true 2 3"]);
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 10)").await;
    assert_eq!(test.rows(&ask).await, ["true 3 13"]);
    test.sql(&format!("insert into limit_overrides values ('{}', 'sms_sent', null)", acme.org))
        .await;
    assert_eq!(test.rows(&ask).await, ["true 4 -"], "null is unlimited");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_sqlstate_and_moves_nothing() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', null)").await;
    let before = test.contents().await;
    let mut connection = test.connect().await;
    let nobody = uuid::Uuid::new_v4();
    let user = acme.user;
    for (arguments, code) in [
        (format!("'{user}', 'scrapes', 0"), "22023"),
        (format!("'{user}', 'scrapes', -1"), "22023"),
        (format!("'{user}', 'scrapes', 0.0000001"), "22023"),
        (format!("'{user}', 'scrapes', 'NaN'"), "22023"),
        (format!("'{user}', 'scrapes', 'Infinity'"), "22023"),
        (format!("'{user}', 'scrapes', 1e30"), "22023"),
        (format!("'{user}', 'scrapes', null"), "22023"),
        (format!("'{user}', 'steps'"), "PB002"),
        (format!("'{user}', null"), "PB002"),
        (format!("'{nobody}', 'scrapes'"), "PB002"),
        ("null, 'scrapes'".to_owned(), "PB002"),
    ] {
        let call = format!("select * from increment_feature_usage({arguments})");
        assert_eq!(refusal(&mut connection, &call).await.0, code, "{call}");
    }
    assert_eq!(test.contents().await, before);
}

#[tokio::test]
async fn an_org_without_a_period_and_one_left_alone_for_too_long_say_so() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let mut connection = test.connect().await;
    let call = format!("select * from increment_usage_if_allowed('{}')", acme.user);
    let (before, after) = ("now() - interval '1 day'", "now() + interval '1 day'");
    for (start, end) in [(before, "null"), ("null", after), ("null", "null")] {
        // A period from the 1st would be opened.
        test.sql(&format!(
            "update organizations set current_period_start = {start}, current_period_end = {end},
                                      anchor_day = 15"
        ))
        .await;
        test.periodd(&["usage", "limits", "--org", "acme"]).exits(0);
        let (code, sentence) = refusal(&mut connection, &call).await;
        assert_eq!(code, "PB001", "{sentence}");
        assert!(sentence.contains("no open period yet"), "{sentence}");
    }
    test.sql(
        "update organizations set current_period_start = '2024-01-01Z',
             current_period_end = '2024-02-01Z',
             next_period_ends = array['2024-03-01Z'::timestamptz]",
    )
    .await;
    let (code, sentence) = refusal(&mut connection, &call).await;
    assert_eq!(code, "PB003");
    assert!(sentence.contains("the org's period ended at 2024-02-01"), "{sentence}");
    // Unconditional recording keeps the metric, to be counted later.
    let record = format!("select record_usage('{}', 'scrapes', 1)", acme.org);
    test.sql(&record).await;
    assert_eq!(test.rows("select counted_at from usage_metrics").await, ["-"]);
    assert_eq!(test.rows("select count(*) from usage_counters").await, ["0"]);
}

#[tokio::test]
async fn a_call_whose_transaction_began_before_the_period_counts_in_the_period() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let mut connection = test.connect().await;
    sqlx::raw_sql("begin; select now()").execute(&mut connection).await.unwrap();
    test.periodd(&["--yes", "rollover", "--org", "acme", "--early"]).exits(0);
    let call = format!("select * from increment_usage_if_allowed('{}'); commit", acme.user);
    sqlx::raw_sql(sqlx::AssertSqlSafe(call)).execute(&mut connection).await.unwrap();
    let open = "select c.used, m.created_at = o.current_period_start
                from organizations o
                join usage_counters c on c.period_start = o.current_period_start
                join usage_metrics m on true";
    assert_eq!(test.rows(open).await, ["1 true"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_an_expired_pack_has_paid_counts_at_every_instant_of_its_period() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql(&format!(
        "update organizations set current_period_start = '2024-05-01Z',
             current_period_end = '2024-06-01Z', current_period_end_date = '2024-06-01',
             next_period_ends = null;
         insert into tier_limits values ('pro', 'scrapes', 100);
         select grant_overage_pack('{0}', 'scrapes', 50, 'short', '2024-05-15Z', '2024-05-02Z'),
                grant_overage_pack('{0}', 'scrapes', 7, 'lasting', null, '2024-05-20Z'),
                record_usage('{0}', 'scrapes', 120, null, '2024-05-10Z')",
        acme.org
    ))
    .await;
    test.periodd(&["--at", "2024-05-18T00:00:00Z", "--yes", "rollover", "--org", "acme"]).exits(0);
    for (at, stands) in
        [("2024-05-12Z", "100 20 0"), ("2024-05-18Z", "100 20 0"), ("2024-05-21Z", "100 20 7")]
    {
        let call = format!(
            "select included, drawn, usable from periodd_allowances('{}', '{at}', 'scrapes')",
            acme.org
        );
        assert_eq!(test.rows(&call).await, [stands], "{at}");
    }
}
