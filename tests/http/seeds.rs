//! The `curl` lines of the guides that periodd was made after, run by a real `curl` as they are
//! written there: only host, port and the words that stand for something are filled in.

use std::process::Command;

use serde_json::{Value, json};

use crate::served::{Served, token};

/// "Force sync their usage", from a guide for a broken tracker. It says nothing of a token.
const FORCE_SYNC: &str = r#"curl -X POST /api/usage/v2 -d '{"organizationId":"..."}'"#;
/// "Force sync available via `?forceSync=true` parameter", in the same guide.
const FORCED: &str = "curl /api/usage/v2?organizationId=...&forceSync=true";
/// "Test API endpoints", from a guide for a usage API.
const LIMITS: &str = r#"curl -X GET http://localhost:3000/api/v1/usage/{orgId}/limits \
  -H "Authorization: Bearer {token}""#;
/// "Check specific feature", in the same guide.
const CHECK: &str = r#"curl -X GET http://localhost:3000/api/v1/usage/{orgId}/check/AI_MESSAGES \
  -H "Authorization: Bearer {token}""#;

/// Runs a line in a shell. A token that it does not name is in curl's own settings.
fn run(served: &Served, line: &str, filled: &[(&str, &str)]) -> Value {
    let home = tempfile::TempDir::new().expect("a directory");
    if !line.contains("Authorization") {
        let settings = format!("header = \"Authorization: Bearer {}\"\n", served.token);
        std::fs::write(home.path().join(".curlrc"), settings).expect("written");
    }
    let host = format!("http://{}", served.address);
    let line = line.replace("http://localhost:3000", &host);
    let line = line.replace(" /api", &format!(" {host}/api"));
    let line = filled.iter().fold(line, |line, (word, value)| line.replace(word, value));
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("CURL_HOME", home.path()).env("HOME", home.path());
    let ran = command.output().expect("a shell");
    let (answer, said) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{line}: {said}");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{line}: {error}: {answer}{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_sync_in_the_words_of_the_guide_counts_and_repairs() {
    let served = Served::new().await;
    let (org, _) = served.customer("acme").await;
    let org = org.to_string();
    let drift = "update usage_counters set used = 600";
    served
        .test
        .sql(&format!(
            "insert into tier_limits values ('pro', 'minutes_transcribed', 600);
             select record_usage(id, 'minutes_transcribed', 40) from organizations; {drift}"
        ))
        .await;
    let answer = run(&served, FORCE_SYNC, &[("...", &org)]);
    assert_eq!(answer["limits"][0]["used"], 40, "{answer}");
    served.test.sql(drift).await;
    // A shell would take the sign between two parameters for its own.
    let answer = run(&served, &FORCED.replace('&', "\\&"), &[("...", &org)]);
    assert_eq!((&answer["org"], &answer["limits"][0]["used"]), (&json!("acme"), &json!(40)));
    let runs = served.test.rows("select count(*) from periodd_runs where asked_by = 'all'").await;
    assert_eq!(runs, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_checks_are_asked_in_the_words_of_the_guide() {
    let served = Served::new().await;
    let (org, _) = served.customer("acme").await;
    served
        .test
        .sql(
            "insert into tier_limits values ('pro', 'ai_messages', 5);
             select record_usage(id, 'ai_messages', 5) from organizations",
        )
        .await;
    let reads = token(&served.test, "reads", &["read"], &[]);
    let filled = [("{orgId}", org.to_string()), ("{token}", reads)];
    let filled = filled.each_ref().map(|(word, value)| (*word, value.as_str()));
    let limits = run(&served, LIMITS, &filled);
    let same = served.get("/api/v1/usage/acme/limits").await.is(200).json();
    assert_eq!((&limits["org"], &limits["limits"]), (&json!("acme"), &same["limits"]));
    let check = run(&served, CHECK, &filled);
    assert_eq!((&check["allowed"], &check["feature"]), (&json!(false), &json!("ai_messages")));
    assert_eq!(check["reason"], "included_used_up");
}
