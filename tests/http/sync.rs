//! A forced sync: as the command, and in the words of the seed.

use serde_json::json;

use crate::client::Request;
use crate::served::Served;

async fn drifted() -> Served {
    let served = Served::new().await;
    served.customer("acme").await;
    served
        .test
        .sql(
            "insert into tier_limits values ('pro', 'minutes_transcribed', 600);
         select record_usage(id, 'minutes_transcribed', 40) from organizations;
         update usage_counters set used = 600",
        )
        .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_and_the_run_bears_the_tokens_name() {
    let served = drifted().await;
    let report = served.post("/api/v1/usage/acme/sync", json!(null)).await.is(200).json();
    assert_eq!(report["drift_found"], 1, "{report}");
    assert_eq!(served.counted("minutes_transcribed").await, ["acme 40"]);
    let run = "select job, trigger, outcome, asked_by, replica from periodd_runs";
    assert_eq!(served.test.rows(run).await, ["audit command done all test:1"]);
    served.get("/api/v1/usage/nobody/sync").await.is(405);
    served.post("/api/v1/usage/nobody/sync", json!(null)).await.is(404).is_problem("unknown_org");
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_seed_work_unchanged() {
    let served = drifted().await;
    let org = served.test.rows("select id from organizations").await.concat();
    // As curl -d sends it.
    let posted = Request {
        method: "POST",
        body: Some(format!("{{\"organizationId\":\"{org}\"}}")),
        ..Request::get("/api/usage/v2")
    };
    let posted = posted.with("content-type", "application/x-www-form-urlencoded");
    let answer = served.with_token(&served.token, posted).await.is(200).json();
    assert_eq!(answer["limits"][0]["used"], 40, "{answer}");
    served
        .test
        .sql(
            "update usage_counters set used = 500;
         insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'minutes_transcribed', 2 from organizations",
        )
        .await;
    // Without force, what waits is counted and nothing is repaired.
    let counted = served.get(&format!("/api/usage/v2?organizationId={org}")).await.is(200).json();
    assert_eq!(counted["limits"][0]["used"], 502);
    let forced = format!("/api/usage/v2?organizationId={org}&forceSync=true");
    let forced = served.get(&forced).await.is(200).json();
    assert_eq!(forced["limits"][0]["used"], 42);
    served.get("/api/usage/v2").await.is(422).is_problem("invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_it_runs_gets_the_same_result() {
    let served = drifted().await;
    let sync = || served.post("/api/v1/usage/acme/sync", json!(null));
    let answers = futures_util::future::join_all((0..6).map(|_| sync())).await;
    for answer in answers {
        answer.is(200);
    }
    assert_eq!(served.counted("minutes_transcribed").await, ["acme 40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guard_refuses_changes_nothing() {
    let served = drifted().await;
    served.test.periodd(&["sync", "--full"]).exits(0);
    // All of the metrics are gone: more likely lost than never used.
    served.test.sql("delete from usage_metrics").await;
    let answer = served.post("/api/v1/usage/acme/sync", json!(null)).await;
    assert_eq!(served.counted("minutes_transcribed").await, ["acme 40"], "{answer:?}");
    if answer.status != 200 {
        answer.is(409).is_problem("refused");
    }
}
