//! Idempotency keys: a retry is answered as the first call was, whatever goes on beside it.

use crate::api::{Customer, customer, refusal};
use crate::support::TestDatabase;

/// What a retry answers that arrives while the first call is under way, and what the org has used
/// afterwards. `meanwhile` happens in the first call's transaction.
async fn retried(
    test: &TestDatabase,
    acme: Customer,
    amount: u32,
    meanwhile: &str,
    end: &str,
) -> (String, String) {
    let call = format!(
        "select concat_ws(' ', allowed, new_usage)
         from increment_feature_usage('{}', 'scrapes', {amount}, 'key')",
        acme.user
    );
    let mut theirs = test.connect().await;
    let first = format!("begin; {meanwhile}; {call}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(first)).execute(&mut theirs).await.expect("the first call");
    let mut ours = test.connect().await;
    let asking = sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(&mut ours);
    let ending = async {
        test.until_somebody_waits().await;
        let end = sqlx::AssertSqlSafe(end.to_owned());
        sqlx::raw_sql(end).execute(&mut theirs).await.expect("its end");
    };
    let (answer, ()): (Result<String, sqlx::Error>, ()) = tokio::join!(asking, ending);
    let used = test.rows("select used from usage_counters where feature = 'scrapes'").await;
    (answer.expect("an answer"), used[0].clone())
}

async fn with_scrapes(test: &TestDatabase, slug: &str, included: u32, used: u32) -> Customer {
    let acme = customer(test, slug).await;
    test.sql(&format!(
        "insert into limit_overrides values ('{}', 'scrapes', {included})",
        acme.org
    ))
    .await;
    if used > 0 {
        test.sql(&format!("select increment_feature_usage('{}', 'scrapes', {used})", acme.user))
            .await;
    }
    acme
}

#[tokio::test]
async fn a_retry_that_overlaps_the_call_that_took_what_was_left_is_allowed() {
    for (included, used, amount) in [(10, 9, 1), (10, 0, 10), (10, 4, 6), (10, 4, 3)] {
        let test = TestDatabase::new().await;
        let acme = with_scrapes(&test, "acme", included, used).await;
        let (answer, counted) = retried(&test, acme, amount, "select 1", "commit").await;
        let after = used + amount;
        assert_eq!((answer, counted), (format!("t {after}"), after.to_string()));
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_retry_takes_the_place_of_a_first_call_that_was_rolled_back() {
    let test = TestDatabase::new().await;
    let acme = with_scrapes(&test, "acme", 10, 9).await;
    let (answer, counted) = retried(&test, acme, 1, "select 1", "rollback").await;
    assert_eq!((answer.as_str(), counted.as_str()), ("t 10", "10"));
    test.check_invariants().await;
}

#[tokio::test]
async fn a_retry_waits_for_the_first_call_although_there_is_no_room_by_now() {
    let test = TestDatabase::new().await;
    let acme = with_scrapes(&test, "acme", 10, 9).await;
    // The limit fell after the first call, which is still under way.
    let mut theirs = test.connect().await;
    let call = format!(
        "select concat_ws(' ', allowed, new_usage)
         from increment_feature_usage('{}', 'scrapes', 1, 'key')",
        acme.user
    );
    let first = format!("begin; {call}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(first)).execute(&mut theirs).await.expect("the first call");
    test.sql("update limit_overrides set included = 3").await;
    let mut ours = test.connect().await;
    let asking = sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(&mut ours);
    let ending = async {
        test.until_somebody_waits().await;
        sqlx::raw_sql("commit").execute(&mut theirs).await.unwrap();
    };
    let (answer, ()): (Result<String, sqlx::Error>, ()) = tokio::join!(asking, ending);
    assert_eq!(answer.expect("an answer"), "t 10");
    // Another key is refused, and remembers nothing. What was used within ten stays included.
    let other = format!(
        "select allowed, new_usage, effective_limit
         from increment_feature_usage('{}', 'scrapes', 1, 'other')",
        acme.user
    );
    assert_eq!(test.rows(&other).await, ["false 10 10"]);
}

#[tokio::test]
async fn keys_that_are_periodds_own_are_refused() {
    let test = TestDatabase::new().await;
    let acme = with_scrapes(&test, "acme", 10, 0).await;
    let mut connection = test.connect().await;
    let before = test.contents().await;
    for call in [
        format!("increment_feature_usage('{}', 'scrapes', 1, 'periodd:late')", acme.user),
        format!("record_usage('{}', 'scrapes', 1, null, now(), 'periodd:')", acme.org),
    ] {
        let (code, sentence) = refusal(&mut connection, &format!("select {call}")).await;
        assert_eq!(code, "22023", "{call}");
        assert!(sentence.contains("reserved"), "{sentence}");
    }
    assert_eq!(test.contents().await, before);
    // What only looks like one is anybody's.
    test.sql(&format!("select record_usage('{}', 'scrapes', 1, null, now(), 'periodd')", acme.org))
        .await;
}

/// What a call of a function is refused with; it moves nothing.
async fn refused(test: &TestDatabase, call: &str) -> (String, String) {
    let before = test.contents().await;
    let mut connection = test.connect().await;
    let refused = refusal(&mut connection, &format!("select {call}")).await;
    assert_eq!(test.contents().await, before, "{call}");
    refused
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_moves_nothing_and_says_so() {
    let test = TestDatabase::new().await;
    let acme = with_scrapes(&test, "acme", 100, 0).await;
    let Customer { org, user } = acme;
    let other = uuid::Uuid::new_v4();
    test.sql(&format!(
        "insert into users (id, organization_id, email) values ('{other}', '{org}', 'o@x.example');
         insert into limit_overrides values ('{org}', 'sms_sent', 100);
         select increment_feature_usage('{user}', 'scrapes', 2, 'a');
         select record_usage('{org}', 'scrapes', 3, null, now(), 'b')"
    ))
    .await;
    for call in [
        format!("increment_feature_usage('{user}', 'sms_sent', 2, 'a')"),
        format!("increment_feature_usage('{user}', 'scrapes', 50, 'a')"),
        format!("increment_feature_usage('{user}', 'scrapes', 500, 'a')"),
        format!("increment_feature_usage('{other}', 'scrapes', 2, 'a')"),
        format!("increment_feature_usage('{user}', 'scrapes', 3, 'b')"),
        format!("record_usage('{org}', 'scrapes', 2, null, now(), 'a')"),
        format!("record_usage('{org}', 'scrapes', 2, '{other}', now(), 'a')"),
        format!("record_usage('{org}', 'sms_sent', 3, null, now(), 'b')"),
        format!("record_usage('{org}', 'scrapes', -3, null, now(), 'b')"),
        format!("record_usage('{org}', 'scrapes', 3, '{user}', now(), 'b')"),
    ] {
        let (code, sentence) = refused(&test, &call).await;
        assert_eq!(code, "PB004", "{call}: {sentence}");
        assert!(sentence.contains("was used before for"), "{sentence}");
    }
    let (_, of_another) =
        refused(&test, &format!("increment_feature_usage('{other}', 'scrapes', 2, 'a')")).await;
    assert!(of_another.contains("another user") && !of_another.contains("scrapes"), "{of_another}");
    // The same again is none of that, in whatever case of letters and notation.
    let again = format!(
        "select allowed, new_usage from increment_feature_usage('{user}', 'SCRAPES', 2.00, 'a')"
    );
    assert_eq!(test.rows(&again).await, ["true 5"]);
    let first = "select id from usage_metrics where idempotency_key = 'b'";
    let again =
        format!("select record_usage('{org}', 'Scrapes', 3.0, p_idempotency_key => 'b') as id");
    assert_eq!(test.rows(&again).await, test.rows(first).await);
    // Another org's keys are its own.
    let bolt = with_scrapes(&test, "bolt", 10, 0).await;
    test.sql(&format!("select increment_feature_usage('{}', 'scrapes', 7, 'a')", bolt.user)).await;
    test.check_invariants().await;
}

#[tokio::test]
async fn a_reference_that_granted_another_pack_says_so() {
    let test = TestDatabase::new().await;
    let org = with_scrapes(&test, "acme", 10, 0).await.org;
    test.sql(&format!("select grant_overage_pack('{org}', 'scrapes', 5, 'r')")).await;
    for what in ["'scrapes', 6", "'sms_sent', 5"] {
        let call = format!("grant_overage_pack('{org}', {what}, 'r')");
        assert_eq!(refused(&test, &call).await.0, "PB004", "{call}");
    }
    let call = format!("grant_overage_pack('{org}', 'scrapes', 5, '')");
    assert_eq!(refused(&test, &call).await.0, "22023");
}

#[tokio::test]
async fn what_is_empty_or_too_long_is_no_key() {
    let test = TestDatabase::new().await;
    let Customer { org, user } = with_scrapes(&test, "acme", 10, 0).await;
    for key in ["''", "repeat('k', 1025)"] {
        for call in [
            format!("increment_feature_usage('{user}', 'scrapes', 1, {key})"),
            format!("record_usage('{org}', 'scrapes', 1, null, now(), {key})"),
        ] {
            let (code, sentence) = refused(&test, &call).await;
            assert_eq!(code, "22023", "{call}: {sentence}");
        }
    }
    let mut connection = test.connect().await;
    let insert = format!(
        "insert into usage_metrics (organization_id, metric_type, metric_value, idempotency_key)
         values ('{org}', 'scrapes', 1, '')"
    );
    assert_eq!(refusal(&mut connection, &insert).await.0, "23514");
}

#[tokio::test]
async fn a_client_names_the_columns_of_the_key_and_no_condition() {
    let test = TestDatabase::new().await;
    let org = with_scrapes(&test, "acme", 10, 0).await.org;
    let insert = format!(
        "insert into usage_metrics (organization_id, metric_type, metric_value, idempotency_key)
         values ('{org}', 'scrapes', 1, 'k'), ('{org}', 'scrapes', 1, null),
                ('{org}', 'scrapes', 1, null)
         on conflict (organization_id, idempotency_key) do nothing"
    );
    test.sql(&insert).await;
    test.sql(&insert).await;
    assert_eq!(test.rows("select count(*) from usage_metrics").await, ["5"]);
}

#[tokio::test]
async fn a_call_with_the_key_of_another_that_is_under_way_waits_and_says_so() {
    let test = TestDatabase::new().await;
    let acme = with_scrapes(&test, "acme", 10, 4).await;
    let Customer { org, user } = acme;
    for (first, second) in [
        (
            format!("select increment_feature_usage('{user}', 'scrapes', 6, 'i')"),
            format!("select increment_feature_usage('{user}', 'scrapes', 2, 'i')"),
        ),
        (
            format!("select record_usage('{org}', 'scrapes', 1, null, now(), 'r')"),
            format!("select record_usage('{org}', 'scrapes', 2, null, now(), 'r')"),
        ),
    ] {
        let mut theirs = test.connect().await;
        let begin = sqlx::AssertSqlSafe(format!("begin; {first}"));
        sqlx::raw_sql(begin).execute(&mut theirs).await.expect("the first call");
        let mut ours = test.connect().await;
        let asking = refusal(&mut ours, &second);
        let ending = async {
            test.until_somebody_waits().await;
            sqlx::raw_sql("commit").execute(&mut theirs).await.unwrap();
        };
        let ((code, sentence), ()) = tokio::join!(asking, ending);
        assert_eq!(code, "PB004", "{sentence}");
    }
    test.check_invariants().await;
}

#[tokio::test]
async fn an_increment_knows_the_key_of_a_metric_that_retention_has_removed() {
    let test = TestDatabase::new().await;
    let Customer { org, user } = with_scrapes(&test, "acme", 10, 10).await;
    test.sql(&format!(
        "insert into periodd_usage_keys
             (org_id, idempotency_key, metric_id, user_id, feature, quantity, used_at, recorded_at)
         values ('{org}', 'k', gen_random_uuid(), '{user}', 'scrapes', 3, '2024-05-01Z',
                 '2024-05-01Z')"
    ))
    .await;
    let before = test.contents().await;
    let call =
        |amount: &str| format!("increment_feature_usage('{user}', 'scrapes', {amount}, 'k')");
    let again = format!("select allowed, new_usage from {}", call("3"));
    assert_eq!(test.rows(&again).await, ["true 10"]);
    assert_eq!(test.contents().await, before);
    assert_eq!(refused(&test, &call("4")).await.0, "PB004");
}
