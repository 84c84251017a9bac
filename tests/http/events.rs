//! Events: usage by the batch, each once.

use serde_json::{Value, json};

use crate::client::{Request, ask};
use crate::served::{Served, token};

const PATH: &str = "/api/v1/usage/events";

async fn served() -> Served {
    let served = Served::new().await;
    served.customer("acme").await;
    served.customer("bolt").await;
    served
}

fn event(org: &str, quantity: Value, key: &str) -> Value {
    let mut event = json!({ "org": org, "feature": "sms_sent", "key": key });
    event["quantity"] = quantity;
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_recorded_and_counted_at_once() {
    let served = served().await;
    let batch = json!([
        event("acme", json!(2.5), "a"),
        event("bolt", json!("1"), "a"),
        event("acme", json!(4), "b"),
        event("acme", json!(2.5), "a")
    ]);
    let answer = served.post(PATH, batch.clone()).await.is(200).json();
    assert_eq!((&answer["recorded"], &answer["duplicates"]), (&json!(3), &json!(1)));
    assert_eq!((&answer["refused"], &answer["counted"]), (&json!(0), &json!(3)));
    assert_eq!(served.counted("sms_sent").await, ["acme 6.5", "bolt 1"]);
    let again = served.post(PATH, batch).await.is(200).json();
    assert_eq!((&again["recorded"], &again["duplicates"]), (&json!(0), &json!(4)));
    assert_eq!(served.counted("sms_sent").await, ["acme 6.5", "bolt 1"]);
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_and_the_path_of_an_org_are_enough() {
    let served = served().await;
    let one = json!({ "feature": "SMS_SENT", "quantity": 3, "key": "k" });
    served.post("/api/v1/usage/acme/events", one).await.is(200);
    let other = event("bolt", json!(1), "k");
    let answer = served.post("/api/v1/usage/acme/events", other).await.is(422);
    answer.is_problem("invalid");
    assert_eq!(served.counted("sms_sent").await, ["acme 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_whole_or_nothing_and_every_bad_event_is_named() {
    let served = served().await;
    served.post(PATH, event("acme", json!(1), "used")).await.is(200);
    let mut late = event("acme", json!(1), "future");
    late["used_at"] = json!("2999-01-01T00:00:00Z");
    let mut foreign = event("acme", json!(1), "foreign");
    foreign["user"] = json!("00000000-0000-0000-0000-000000000001");
    let mut misspelt = event("acme", json!(1), "misspelt");
    misspelt["amount"] = json!(1);
    let mut unmetered = event("acme", json!(1), "unmetered");
    unmetered["feature"] = json!("faxes");
    let batch = json!([
        event("acme", json!(1), "good"),
        event("nobody", json!(1), "a"),
        event("acme", json!(-1), "negative"),
        event("acme", json!(2), "used"),
        late,
        foreign,
        misspelt,
        unmetered,
        event("acme", json!(1), ""),
        event("acme", json!(0.123_456_7), "digits"),
    ]);
    let answer = served.post(PATH, batch.clone()).await.is(422);
    answer.is_problem("invalid");
    let errors = answer.json()["errors"].clone();
    let told: Vec<String> = errors
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| format!("{} {}", error["pointer"].as_str().expect("a pointer"), error["code"]))
        .collect();
    // What cannot be read at all is told first; nothing is asked of the database then.
    assert_eq!(told, ["/6 \"invalid\"", "/9 \"invalid\""]);
    assert_eq!(served.counted("sms_sent").await, ["acme 1"]);

    let partly = served.post(&format!("{PATH}?partial=true"), batch).await.is(200).json();
    assert_eq!((&partly["recorded"], &partly["refused"]), (&json!(1), &json!(9)));
    let codes: Vec<&str> = partly["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["code"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(
        codes,
        [
            "-",
            "unknown_org",
            "invalid",
            "key_reused",
            "invalid",
            "unknown_user",
            "invalid",
            "unknown_feature",
            "invalid",
            "invalid"
        ]
    );
    assert_eq!(served.counted("sms_sent").await, ["acme 2"]);
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_the_database_knows_are_all_named_at_once() {
    let served = served().await;
    let batch = json!([
        event("nobody", json!(1), "a"),
        event("acme", json!(1), "b"),
        event("acme", json!(2), "b")
    ]);
    let errors = served.post(PATH, batch).await.is(422).json()["errors"].clone();
    let told: Vec<(&str, &str)> = errors
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| (e["pointer"].as_str().expect("text"), e["code"].as_str().expect("text")))
        .collect();
    assert_eq!(told, [("/0/org", "unknown_org"), ("/2/key", "key_reused")]);
    assert_eq!(served.counted("sms_sent").await, Vec::<String>::new());
}

/// Whoever is told of a duplicate believes that it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_reused_twice_in_a_batch_is_refused_twice() {
    let served = served().await;
    served.post(PATH, event("acme", json!(1), "used")).await.is(200);
    let batch = json!([
        event("acme", json!(2), "used"),
        event("acme", json!(2), "used"),
        event("acme", json!(1), "used"),
        event("acme", json!(3), "new"),
        event("acme", json!(4), "new"),
        event("acme", json!(3), "new")
    ]);
    let answer = served.post(&format!("{PATH}?partial=true"), batch).await.is(200).json();
    let told: Vec<&str> = answer["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["status"].as_str().expect("a status"))
        .collect();
    assert_eq!(told, ["refused", "refused", "duplicate", "recorded", "refused", "duplicate"]);
    assert_eq!(served.counted("sms_sent").await, ["acme 4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_says_that_it_is_one_and_late_usage_is_marked() {
    let served = served().await;
    served.test.sql(
        "update organizations set current_period_start = current_period_start - interval '2 months',
                current_period_end = current_period_start where slug = 'acme'"
    ).await;
    served.test.periodd(&["rollover"]).exits(0);
    served.post(PATH, event("acme", json!(5), "a")).await.is(200);
    let mut correction = event("acme", json!(-2), "b");
    served.post(PATH, correction.clone()).await.is(422);
    correction["correction"] = json!(true);
    served.post(PATH, correction).await.is(200);
    let start = served.test.rows(
        "select current_period_start - interval '1 hour' from organizations where slug = 'acme'"
    ).await.concat();
    let mut late = event("acme", json!(7), "c");
    late["used_at"] = json!(start);
    let answer = served.post(PATH, late).await.is(200).json();
    assert_eq!(answer["events"][0], json!({ "status": "recorded", "late": true }));
    let open = "select c.used from usage_counters c join organizations o
                on o.id = c.org_id and c.period_start = o.current_period_start
                where o.slug = 'acme' and c.feature = 'sms_sent'";
    assert_eq!(served.test.rows(open).await, ["3"]);
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_are_understood() {
    let served = served().await;
    let cloud = |id: &str, value: Value| {
        json!({
            "specversion": "1.0", "id": id, "source": "app", "type": "sms_sent", "subject": "acme",
            "time": "2026-01-01T00:00:00Z", "data": { "value": value }, "extension": 1,
        })
    };
    let send = async |body: Value, media_type: &str| {
        let request = Request::post(PATH, &body).with("content-type", media_type);
        served.with_token(&served.token, request).await
    };
    let now = |mut event: Value| {
        event.as_object_mut().expect("an object").remove("time");
        event
    };
    send(now(cloud("1", json!(2))), "application/cloudevents+json; charset=utf-8").await.is(200);
    let batch = json!([now(cloud("1", json!(2))), now(cloud("2", json!(3)))]);
    let answer = send(batch, "application/cloudevents-batch+json").await.is(200).json();
    assert_eq!((&answer["recorded"], &answer["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(served.counted("sms_sent").await, ["acme 5"]);
    let one = now(cloud("4", json!(1)));
    send(one, "application/cloudevents-batch+json").await.is(422).is_problem("invalid");
    send(cloud("3", json!(1)), "text/plain").await.is(415).is_problem("unsupported_media_type");
    let keys = "select idempotency_key from usage_metrics order by 1";
    assert_eq!(served.test.rows(keys).await, ["app/1", "app/2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_org_records_for_no_other() {
    let served = served().await;
    let own = token(&served.test, "own", &["record"], &["--org", "acme"]);
    let batch = json!([event("acme", json!(1), "a"), event("bolt", json!(1), "b")]);
    let request = |path: &str, body: &Value| Request::post(path, body);
    let answer = served.with_token(&own, request(PATH, &batch)).await.is(422);
    assert_eq!(answer.json()["errors"][0]["code"], "unknown_org");
    let of_other = json!({ "feature": "sms_sent", "quantity": 1, "key": "c" });
    let path = "/api/v1/usage/bolt/events";
    served.with_token(&own, request(path, &of_other)).await.is(404).is_problem("unknown_org");
    served.with_token(&own, request("/api/v1/usage/acme/events", &of_other)).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_events_are_refused_as_such() {
    let served = served().await;
    let batch: Vec<Value> = (0..1001).map(|n| event("acme", json!(1), &format!("k{n}"))).collect();
    served.post(PATH, json!(batch)).await.is(413).is_problem("too_large");
    served.post(PATH, json!([])).await.is(422).is_problem("invalid");
    served.post(PATH, json!(batch[..1000])).await.is(200);
    assert_eq!(served.counted("sms_sent").await, ["acme 1000"]);
}

/// The same batches from several clients at once, in other orders: each event counts once, and
/// nobody waits in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_sent_at_once_count_once() {
    let served = served().await;
    let batches: Vec<Vec<Value>> = (0..12)
        .map(|batch| {
            (0..40)
                .map(|number| {
                    let org = if (batch + number) % 2 == 0 { "acme" } else { "bolt" };
                    event(org, json!(1), &format!("{batch}-{number}"))
                })
                .collect()
        })
        .collect();
    let (address, token) = (served.address, served.token.clone());
    let mut clients = tokio::task::JoinSet::new();
    for round in 0..3 {
        for batch in &batches {
            let mut batch = batch.clone();
            if round % 2 == 1 {
                batch.reverse();
            }
            let token = token.clone();
            clients.spawn(async move {
                loop {
                    let request = Request::post(PATH, &json!(batch));
                    let request = request.with("authorization", &format!("Bearer {token}"));
                    let answer = ask(address, &request).await;
                    // Too much at once is tried again, as the answer says.
                    if answer.status != 503 {
                        return answer;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            });
        }
    }
    let mut recorded = 0;
    while let Some(answer) = clients.join_next().await {
        let answer = answer.expect("a client").is(200).json();
        recorded += answer["recorded"].as_u64().expect("a number");
    }
    assert_eq!(recorded, 480);
    served.test.periodd(&["sync"]).exits(0);
    assert_eq!(served.counted("sms_sent").await, ["acme 240", "bolt 240"]);
    served.test.check_invariants().await;
}
