//! Every code of a problem is provoked somewhere, and described.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sqlx::Connection;

use crate::client::Request;
use crate::served::Served;
use crate::support::url_of;

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_a_page_and_the_description_names_it() {
    let served = Served::new().await;
    let document = served.bare(Request::get("/api/openapi.json")).await.is(200).json();
    let codes = codes(&document);
    assert!(codes.len() > 15, "{codes:?}");
    for code in &codes {
        let page = served.bare(Request::get(&format!("/problems/{code}"))).await.is(200);
        assert!(page.body.contains(&format!("<code>{code}</code>")), "{code}");
        assert!(page.header("content-security-policy").is_some_and(|p| p.contains("'none'")));
    }
    served.bare(Request::get("/problems/none")).await.is(404).is_problem("not_found");
    let overview = served.bare(Request::get("/api")).await.is(200);
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(overview.body.contains(path), "{path}");
    }
}

fn codes(document: &Value) -> Vec<String> {
    let schema = &document["components"]["schemas"]["Code"];
    let variants = schema["oneOf"].as_array().expect("a closed set").iter();
    variants.map(|code| code["const"].as_str().expect("a name").to_owned()).collect()
}

/// The tests of this folder are searched: a code that none of them asks for is never seen to work.
#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_provoked_by_a_test() {
    let served = Served::new().await;
    let document = served.bare(Request::get("/api/openapi.json")).await.json();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let files = std::fs::read_dir(folder).expect("the folder");
    let files = files.map(|file| file.expect("a file").path()).filter(|path| path.is_file());
    let texts = files.map(|file| std::fs::read_to_string(file).expect("text"));
    let all = texts.collect::<String>();
    let told: BTreeSet<&str> = all.split('"').collect();
    // One needs a defect; the other is the moment in which a connection that is kept alive has just
    // sent something while the drain begins.
    let beyond = ["internal", "draining"];
    for code in codes(&document) {
        assert!(told.contains(code.as_str()) || beyond.contains(&code.as_str()), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_the_one_that_is_kept() {
    let served = Served::new().await;
    let document = served.bare(Request::get("/api/openapi.json")).await.is(200).json();
    let text = format!("{document:#}\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let kept = std::fs::read_to_string(&file).expect("docs/openapi.json");
    assert!(
        kept == text,
        "docs/openapi.json is not what the server says; UPDATE_SCHEMA=1 writes it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_and_health_does_not_ask_it() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.bare(Request::get("/readyz")).await.is(200);
    let mut server = sqlx::PgConnection::connect(&url_of("postgres")).await.expect("a server");
    let gone = format!("alter database {} allow_connections false", served.test.name);
    let cut = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
        served.test.name
    );
    for statement in [&gone, &cut] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&mut server)
            .await
            .expect("done");
    }
    let answer = served.get("/api/v1/usage/acme/limits").await.is(503);
    answer.is_problem("unavailable");
    assert!(answer.header("retry-after").is_some());
    served.bare(Request::get("/healthz")).await.is(200);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let ready = served.bare(Request::get("/readyz")).await.is(503).json();
    assert_eq!(ready["reasons"], serde_json::json!(["database"]));
    let back = format!("alter database {} allow_connections true", served.test.name);
    sqlx::raw_sql(sqlx::AssertSqlSafe(back)).execute(&mut server).await.expect("done");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    served.bare(Request::get("/readyz")).await.is(200);
    served.get("/api/v1/usage/acme/limits").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_an_org_that_stop_a_use_are_told_apart() {
    let served = Served::new().await;
    served
        .test
        .sql(
            "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end, subscription_tier)
         values ('old', 'Old', 'UTC', '2020-01-01', '2020-02-01', 'pro');
         insert into organizations (slug, name, time_zone, current_period_end, subscription_tier)
         values ('half', 'Half', 'UTC', '2020-02-01', 'pro')",
        )
        .await;
    let body = serde_json::json!({ "feature": "scrapes" });
    let old = served.post("/api/v1/usage/old/increment", body.clone()).await.is(503);
    old.is_problem("not_calculated");
    let half = served.post("/api/v1/usage/half/increment", body).await.is(409);
    half.is_problem("no_open_period");
}
