//! Increments over HTTP are the SQL functions, word for word.

use serde_json::{Value, json};

use crate::client::{Request, ask};
use crate::served::Served;

async fn served() -> Served {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 5)").await;
    served
}

const PATH: &str = "/api/v1/usage/acme/increment";

#[tokio::test(flavor = "multi_thread")]
async fn an_org_uses_what_it_may_and_a_refusal_says_everything() {
    let served = served().await;
    let used = served.post(PATH, json!({ "feature": "SCRAPES", "amount": "2.5" })).await.is(200);
    let used = used.json();
    assert_eq!((&used["allowed"], &used["new_usage"]), (&json!(true), &json!(2.5)));
    assert_eq!((&used["effective_limit"], &used["plan"]), (&json!(5), &json!("pro")));
    let refused = served.post(PATH, json!({ "feature": "scrapes", "amount": 3 })).await.is(200);
    let refused = refused.json();
    assert_eq!((&refused["allowed"], &refused["new_usage"]), (&json!(false), &json!(2.5)));
    assert_eq!(refused["refusal"]["reason"], "included_used_up");
    assert_eq!(refused["refusal"]["short_by"], 0.5);
    assert_eq!(served.counted("scrapes").await, ["acme 2.5"]);
    let metrics = "select metric_value, user_id, counted_at is not null from usage_metrics";
    assert_eq!(served.test.rows(metrics).await, ["2.5 - true"]);
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_org_is_refused_with_that_reason_and_no_offer() {
    let served = served().await;
    let pause = "update organizations set paused_from = now() - interval '1 hour'";
    served.test.sql(pause).await;
    let refused = served.post(PATH, json!({ "feature": "scrapes" })).await.is(200).json();
    assert_eq!((&refused["allowed"], &refused["new_usage"]), (&json!(false), &json!(0)));
    let refusal = &refused["refusal"];
    assert_eq!((&refusal["reason"], &refusal["remaining"]), (&json!("paused"), &json!(0)));
    assert_eq!(refusal["offers"], json!([]));
    assert!(refusal["message"].as_str().is_some_and(|text| text.starts_with("acme is paused")));
    let resume = "update organizations set paused_until = now() - interval '1 minute'";
    served.test.sql(resume).await;
    let used = served.post(PATH, json!({ "feature": "scrapes" })).await.is(200).json();
    assert_eq!(used["allowed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_never_resets() {
    let served = served().await;
    served.test.sql("update features set kind = 'level' where feature = 'scrapes'").await;
    let path = "/api/v1/usage/acme/check/scrapes";
    let standing = served.get(path).await.is(200).json();
    assert_eq!((&standing["allowed"], &standing["resets_at"]), (&json!(true), &Value::Null));
    let limits = served.get("/api/v1/usage/acme/limits?feature=scrapes").await.is(200).json();
    assert_eq!(limits["limits"][0]["is_level"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_uses_what_the_org_may() {
    let served = served().await;
    let user = served.test.rows("select id from users").await.concat();
    let once = served.post("/api/v1/usage/increment", json!({ "user": user })).await.is(200);
    assert_eq!(once.json()["new_usage"], 1);
    let named = served.post(PATH, json!({ "feature": "scrapes", "user": user })).await.is(200);
    assert_eq!(named.json()["new_usage"], 2);
    let of_user = "select usage_count from feature_usage";
    assert_eq!(served.test.rows(of_user).await, ["2"]);
    let (_, other) = served.customer("other").await;
    let foreign = served.post(PATH, json!({ "feature": "scrapes", "user": other })).await;
    foreign.is(404).is_problem("unknown_user");
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_once_and_for_one_use() {
    let served = served().await;
    let body = json!({ "feature": "scrapes", "amount": 4, "key": "k" });
    for _ in 0..3 {
        let answer = served.post(PATH, body.clone()).await.is(200).json();
        assert_eq!((&answer["allowed"], &answer["new_usage"]), (&json!(true), &json!(4)));
    }
    let other = served.post(PATH, json!({ "feature": "scrapes", "amount": 1, "key": "k" })).await;
    other.is(409).is_problem("key_reused");
    let user = served.test.rows("select id from users").await.concat();
    let body = json!({ "feature": "scrapes", "amount": 4, "key": "k", "user": user });
    served.post(PATH, body).await.is(409).is_problem("key_reused");
    let empty = served.post(PATH, json!({ "feature": "scrapes", "key": "" })).await;
    empty.is(422).is_problem("invalid");
    assert_eq!(served.counted("scrapes").await, ["acme 4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_say_something_else_are_refused() {
    let served = served().await;
    for (body, status, code) in [
        (r#"{"feature":"scrapes","amount":0.1234567}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":1e400}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":"NaN"}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":NaN}"#, 400, "malformed"),
        (r#"{"feature":"scrapes","amount":0}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":-1}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":null}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","amount":1,"amount":2}"#, 422, "invalid"),
        (r#"{"feature":"scrapes","quantity":1}"#, 422, "invalid"),
        (r#"{"amount":1}"#, 422, "invalid"),
        (r#"{"feature":"nothing"}"#, 404, "unknown_feature"),
        (r#"{"feature":"scrapes""#, 400, "malformed"),
        ("", 400, "malformed"),
        (r#"{"feature":"scrapes","user":"me"}"#, 422, "invalid"),
    ] {
        let mut request = Request::post(PATH, &Value::Null);
        request.body = Some(body.to_owned());
        let answer = served.with_token(&served.token, request).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        answer.is_problem(code);
    }
    let form = Request::post(PATH, &json!({ "feature": "scrapes" }));
    let form = form.with("content-type", "application/x-www-form-urlencoded");
    let answer = served.with_token(&served.token, form).await.is(415);
    answer.is_problem("unsupported_media_type");
    assert_eq!(answer.header("accept"), Some("application/json"));
    assert_eq!(served.counted("scrapes").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_exact_both_ways() {
    let served = served().await;
    served.test.sql("update tier_limits set included = null").await;
    let amount = "1234567890123456789012.123456";
    let mut request = Request::post(PATH, &Value::Null);
    request.body = Some(format!("{{\"feature\":\"scrapes\",\"amount\":{amount}}}"));
    let answer = served.with_token(&served.token, request).await.is(200);
    assert!(answer.body.contains(&format!("\"new_usage\":{amount}")), "{}", answer.body);
}

/// Sixteen clients, far more than the limit allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_uses_what_there_is_and_not_one_more() {
    let served = served().await;
    served.test.sql("update tier_limits set included = 100").await;
    let (address, token) = (served.address, served.token.clone());
    let clients = (0..16).map(|_| {
        let token = token.clone();
        tokio::spawn(async move {
            let mut allowed = 0;
            for _ in 0..20 {
                let request = Request::post(PATH, &json!({ "feature": "scrapes" }));
                let request = request.with("authorization", &format!("Bearer {token}"));
                let answer = ask(address, &request).await;
                if answer.status == 503 {
                    continue;
                }
                allowed += usize::from(answer.is(200).json()["allowed"] == true);
            }
            allowed
        })
    });
    let all = futures_util::future::join_all(clients).await;
    let allowed: usize = all.into_iter().map(|client| client.expect("a client")).sum();
    assert_eq!(allowed, 100);
    assert_eq!(served.counted("scrapes").await, ["acme 100"]);
    served.test.check_invariants().await;
}
