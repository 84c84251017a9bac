//! Reading: limits and checks say what the SQL functions say.

use serde_json::{Value, json};

use crate::served::{Served, token};

async fn served() -> Served {
    let served = Served::new().await;
    served.customer("acme").await;
    served
        .test
        .sql(
            "insert into tier_limits values ('pro', 'scrapes', 5), ('pro', 'sms_sent', null);
             select grant_overage_pack(id, 'scrapes', 3, 'p') from organizations;
             select record_usage(id, 'scrapes', 6.5) from organizations",
        )
        .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_command_and_of_sql() {
    let served = served().await;
    let over_http = served.get("/api/v1/usage/acme/limits").await.is(200).json();
    let words = ["--format", "json", "usage", "limits", "--org", "acme"];
    let by_command: Value = served.test.periodd(&words).exits(0).json();
    assert_eq!(over_http["limits"], by_command);
    assert_eq!(over_http["org"], "acme");
    assert_eq!(over_http["time_zone"], "UTC");
    let by_sql = served
        .test
        .rows(
            "select a.feature, a.used, a.allowance, a.remaining
             from organizations o, periodd_allowances(o.id, now()) a order by 1",
        )
        .await;
    let told: Vec<String> = over_http["limits"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|limit| {
            let text =
                |key: &str| limit[key].as_null().map_or(limit[key].to_string(), |()| "-".into());
            let feature = limit["feature"].as_str().expect("a name");
            format!("{feature} {} {} {}", text("used"), text("effective_limit"), text("remaining"))
        })
        .collect();
    assert_eq!(told, by_sql);
    // By id, in any case of letters, and one feature alone.
    let org = served.test.rows("select id from organizations").await.concat();
    let one = served.get(&format!("/api/v1/usage/{org}/limits?feature=SCRAPES")).await.is(200);
    assert_eq!(one.json()["limits"].as_array().map(Vec::len), Some(1));
    assert_eq!(one.json()["limits"][0]["used"], 6.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_left_apart_and_what_would_help() {
    let served = served().await;
    served
        .test
        .sql(
            "insert into pack_offers values
                 ('small', 'scrapes', 10, 100, 'USD'), ('large', 'scrapes', 100, 900, 'USD')",
        )
        .await;
    let allowed = served.get("/api/v1/usage/acme/check/scrapes?amount=1.5").await.is(200).json();
    assert_eq!(allowed["allowed"], true);
    assert_eq!(allowed["reason"], Value::Null);
    let refused = served.get("/api/v1/usage/acme/check/Scrapes?amount=2").await.is(200).json();
    let expected = json!({
        "allowed": false, "reason": "packs_used_up", "feature": "scrapes", "amount": 2,
        "used": 6.5, "included": 5, "included_left": 0, "purchased_left": 1.5, "remaining": 1.5,
        "short_by": 0.5, "time_zone": "UTC",
        "offers": [{ "code": "small", "count": 1, "quantity": 10, "price_cents": 100,
                     "currency": "USD" }],
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&refused[key], value, "{key} of {refused}");
    }
    let end = served.test.rows("select current_period_end from organizations").await.concat();
    assert_eq!(refused["resets_at"], end);
    let message = refused["message"].as_str().expect("a sentence");
    assert!(message.starts_with(
        "The included quantity and the purchased packs of acme are used up: 2 scrapes needed, 1.5 \
         left; usage resets "
    ), "{message}");
    let unlimited = served.get("/api/v1/usage/acme/check/sms_sent?amount=1000000").await.json();
    assert_eq!((&unlimited["allowed"], &unlimited["remaining"]), (&json!(true), &Value::Null));
    let never = served.get("/api/v1/usage/acme/check/emails_sent").await.json();
    assert_eq!((&never["allowed"], &never["reason"]), (&json!(false), &json!("not_included")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_for_a_refusal_is_said() {
    let served = served().await;
    let reason = async |org: &str, feature: &str| {
        let path = format!("/api/v1/usage/{org}/check/{feature}?amount=100");
        served.get(&path).await.is(200).json()["reason"].clone()
    };
    served.test.sql("insert into tier_limits values ('pro', 'ai_messages', 5)").await;
    assert_eq!(reason("acme", "ai_messages").await, "included_used_up");
    assert_eq!(reason("acme", "scrapes").await, "packs_used_up");
    assert_eq!(reason("acme", "emails_sent").await, "not_included");
    served
        .test
        .sql(
            "insert into organizations (slug, name, time_zone, current_period_start,
                                        current_period_end, subscription_tier)
             values ('old', 'Old', 'UTC', '2020-01-01', '2020-02-01', 'pro')",
        )
        .await;
    assert_eq!(reason("old", "scrapes").await, "not_calculated");
    served
        .test
        .sql(
            "insert into organizations (slug, name, time_zone, current_period_end,
                                        subscription_tier)
             values ('half', 'Half', 'UTC', '2020-02-01', 'pro')",
        )
        .await;
    assert_eq!(reason("half", "scrapes").await, "no_open_period");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_named_and_what_others_have_is_unknown() {
    let served = served().await;
    served.customer("other").await;
    let unknown = served.get("/api/v1/usage/nobody/limits").await.is(404);
    assert_eq!(unknown.is_problem("unknown_org"), "unknown organization `nobody`");
    let feature = served.get("/api/v1/usage/acme/check/scrape").await.is(404);
    let sentence = feature.is_problem("unknown_feature");
    assert!(sentence.starts_with("unknown feature `scrape`; known features: ai_messages, "));
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let ask = async |path: &str| {
        let request = crate::client::Request::get(path);
        served.with_token(&own, request).await
    };
    ask("/api/v1/usage/acme/limits").await.is(200);
    let of_other = ask("/api/v1/usage/other/limits").await.is(404);
    let of_nobody = ask("/api/v1/usage/nobody/limits").await.is(404);
    let sentence = of_other.is_problem("unknown_org").replace("other", "nobody");
    assert_eq!(sentence, of_nobody.is_problem("unknown_org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_wait_together_are_each_answered() {
    let served = served().await;
    for org in ["bolt", "globex"] {
        served.customer(org).await;
    }
    let asked = (0..200).map(|number| {
        let org = ["acme", "bolt", "globex", "nobody"][number % 4];
        let served = &served;
        async move {
            let answer = served.get(&format!("/api/v1/usage/{org}/check/scrapes?amount=4")).await;
            (org, answer)
        }
    });
    for (org, answer) in futures_util::future::join_all(asked).await {
        match org {
            "nobody" => drop(answer.is(404)),
            org => {
                let answer = answer.is(200).json();
                assert_eq!(answer["allowed"], org != "acme", "{org}: {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_about_an_org_is_what_explain_says_and_the_days_that_are_left() {
    let served = served().await;
    served
        .test
        .sql(
            "update organizations set time_zone = 'Asia/Tokyo', subscription_status = 'active',
                    subscription_ends_at = now() + interval '10 days'",
        )
        .await;
    let shown = served.get("/api/v1/usage/acme").await.is(200).json();
    assert_eq!(shown["subscription"]["tier"], "pro");
    assert_eq!(shown["subscription"]["status"], "active");
    assert_eq!(shown["subscription"]["days_left"], 10);
    let words = ["--format", "json", "explain", "acme"];
    let by_command = served.test.periodd(&words).exits(0).json();
    for key in ["org", "packs", "closed", "users"] {
        assert_eq!(shown[key], by_command[key], "{key}");
    }
    let used = |answer: &Value| answer["features"][0]["used"].clone();
    assert_eq!(used(&shown), used(&by_command));
}
