//! Tokens: who may come in, and how often.

use std::time::Duration;

use crate::client::Request;
use crate::served::{Served, token};

const PATH: &str = "/api/v1/usage/acme/limits";

#[tokio::test(flavor = "multi_thread")]
async fn none_a_wrong_an_expired_and_a_revoked_token_get_the_same_answer() {
    let served = Served::new().await;
    served.customer("acme").await;
    let expired = token(&served.test, "expired", &["read"], &["--expires", "1s"]);
    let revoked = token(&served.test, "revoked", &["read"], &[]);
    let good = token(&served.test, "good", &["read"], &[]);
    served.with_token(&good, Request::get(PATH)).await.is(200);
    served.with_token(&revoked, Request::get(PATH)).await.is(200);
    served.test.periodd(&["tokens", "revoke", "revoked"]).exits(0);
    // What is known of a token is believed for at most five seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let none = served.bare(Request::get(PATH)).await.is(401);
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    let sentence = none.is_problem("unauthorized");
    // Another last digit, whatever it was.
    let (rest, last) = good.split_at(good.len() - 1);
    let misspelt = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    for wrong in [&expired, &revoked, &misspelt, "pd_", "Basic", &good[3..]] {
        let answer = served.with_token(wrong, Request::get(PATH)).await.is(401);
        assert_eq!(answer.is_problem("unauthorized"), sentence, "{wrong}");
    }
    let basic = Request::get(PATH).with("authorization", "Basic YTpi");
    served.bare(basic).await.is(401);
    // Never in an address.
    let in_query = format!("{PATH}?token={good}");
    served.bare(Request::get(&in_query)).await.is(401);
    let twice = Request::get(PATH).with("authorization", &format!("Bearer {good}"));
    let twice =
        Request { headers: [twice.headers.clone(), twice.headers].concat(), ..Request::get(PATH) };
    served.bare(twice).await.is(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_missing_is_named() {
    let served = Served::new().await;
    served.customer("acme").await;
    let reads = token(&served.test, "reads", &["read"], &[]);
    let body = serde_json::json!({ "feature": "scrapes" });
    let request = Request::post("/api/v1/usage/acme/increment", &body);
    let answer = served.with_token(&reads, request).await.is(403);
    assert_eq!(answer.is_problem("forbidden"), "the token reads lacks the scope record");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_and_requests_have_a_rate() {
    let served = Served::with("requests_per_second = 5").await;
    served.customer("acme").await;
    let mut refused = None;
    for _ in 0..40 {
        let answer = served.get(PATH).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.is(200);
    }
    let refused = refused.expect("a rate");
    refused.is_problem("rate_limited");
    assert!(refused.header("retry-after").is_some());
    for _ in 0..20 {
        served.with_token("pd_wrong", Request::get(PATH)).await.is(401);
    }
    let refused = served.with_token("pd_wrong", Request::get(PATH)).await.is(429);
    refused.is_problem("rate_limited");
}

/// Behind a proxy that is not trusted everybody has its address.
#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_shuts_out_nobody_who_had_a_good_token() {
    let served = Served::new().await;
    served.customer("acme").await;
    let other = token(&served.test, "other", &["read"], &[]);
    served.get(PATH).await.is(200);
    for _ in 0..20 {
        served.with_token("pd_wrong", Request::get(PATH)).await.is(401);
    }
    served.with_token("pd_wrong", Request::get(PATH)).await.is(429).is_problem("rate_limited");
    served.get(PATH).await.is(200);
    // One that was never shown before may be a guess.
    served.with_token(&other, Request::get(PATH)).await.is(429).is_problem("rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_listed_without_itself() {
    let served = Served::new().await;
    served.customer("acme").await;
    let secret = token(&served.test, "own", &["read"], &["--org", "acme", "--expires", "90d"]);
    served.with_token(&secret, Request::get(PATH)).await.is(200);
    served
        .test
        .until("select last_used_at is not null from periodd_tokens where name = 'own'", "true")
        .await;
    let listed = served.test.periodd(&["--format", "json", "tokens", "list"]).exits(0);
    let rows = listed.json();
    let own = rows.as_array().expect("a list").iter().find(|row| row["name"] == "own").expect("it");
    assert_eq!((&own["org"], &own["scopes"]), (&"acme".into(), &serde_json::json!(["read"])));
    assert!(!listed.stdout.contains(&secret[3..40]), "{}", listed.stdout);
    let kept = served.test.rows("select encode(digest, 'hex') from periodd_tokens").await.concat();
    assert!(!kept.contains(&secret[3..40]));
    let again = served.test.periodd(&["tokens", "add", "own", "--scope", "read"]);
    assert_eq!(again.code, 2, "{again:?}");
    served.test.periodd(&["tokens", "revoke", "own"]).exits(0);
    served.test.periodd(&["tokens", "revoke", "own"]).exits(2);
    token(&served.test, "own", &["read"], &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_token_reads_one_org_for_a_while() {
    let served = Served::with("allowed_origins = [\"https://app.example.com\"]").await;
    served.customer("acme").await;
    served.customer("bolt").await;
    let path = "/api/v1/usage/acme/tokens";
    let made = served.post(path, serde_json::json!({ "expires_in": 60 })).await.is(200).json();
    let own = made["token"].as_str().expect("a token").to_owned();
    let page = Request::get(PATH).with("origin", "https://app.example.com");
    let answer = served.with_token(&own, page.clone()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    let foreign = Request::get(PATH).with("origin", "https://evil.example.com");
    let answer = served.with_token(&own, foreign).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let asks = Request { method: "OPTIONS", ..page };
    let asks = asks.with("access-control-request-method", "GET");
    let asked = served.bare(asks).await.is(204);
    assert!(asked.header("access-control-allow-headers").is_some_and(|h| h.contains("authoriz")));
    served.with_token(&own, Request::get("/api/v1/usage/bolt/limits")).await.is(404);
    let writes =
        Request::post("/api/v1/usage/acme/increment", &serde_json::json!({ "feature": "scrapes" }));
    served.with_token(&own, writes).await.is(403);
    for seconds in [0, 86_401] {
        let answer = served.post(path, serde_json::json!({ "expires_in": seconds })).await.is(422);
        assert_eq!(answer.json()["errors"][0]["pointer"], "/expires_in");
    }
}
