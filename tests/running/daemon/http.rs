//! The HTTP server as a part of the daemon: before READY, beside the jobs, and at its end.

use std::net::SocketAddr;

use serde_json::json;

use crate::client::{Request, ask};
use crate::daemon::process::{Daemon, wait_until};
use crate::support::TestDatabase;

const SETTINGS: &str =
    "[http]\nenabled = true\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";

async fn daemon() -> (TestDatabase, Daemon, SocketAddr, String) {
    let test = TestDatabase::new().await;
    test.configure(SETTINGS);
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--tier", "pro"];
    test.periodd(&add).exits(0);
    test.sql("insert into tier_limits values ('pro', 'scrapes', null)").await;
    let words = ["tokens", "add", "all", "--scope", "read", "--scope", "record"];
    let token = test.periodd(&words).exits(0).stdout.trim().to_owned();
    let daemon = Daemon::start(&test);
    let address = address(&daemon).await;
    (test, daemon, address, token)
}

/// Where it says that it listens.
pub(crate) async fn address(daemon: &Daemon) -> SocketAddr {
    wait_until("the daemon listens", || daemon.said("serving HTTP") > 0).await;
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("serving HTTP")).expect("it says where");
    let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let text = [&event["address"], &event["fields"]["address"]];
    let text = text.into_iter().find_map(|value| value.as_str()).expect("an address");
    text.parse().expect("an address")
}

fn increment(token: &str, key: &str) -> Request {
    let body = json!({ "feature": "scrapes", "key": key });
    let request = Request::post("/api/v1/usage/acme/increment", &body);
    request.with("authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn it_serves_beside_the_jobs_and_says_nothing_that_it_should_not() {
    let (test, daemon, address, token) = daemon().await;
    ask(address, &Request::get("/healthz")).await.is(200);
    wait_until("it has started", || daemon.said("\"started\"") > 0).await;
    ask(address, &Request::get("/readyz")).await.is(200);
    // The port that was free is in `status`.
    test.until("select cardinality(listening) from periodd_daemons", "1").await;
    let status = test.periodd(&["status"]).exits(0).stdout;
    assert!(status.contains(&address.to_string()), "{address} in {status}");
    ask(address, &increment(&token, "canary-key")).await.is(200);
    ask(address, &Request::get("/api/v1/usage/acme/limits?feature=canary-query")).await.is(401);
    let status = daemon.stop().await;
    assert!(status.success(), "{status}");
    test.check_invariants().await;
}

#[tokio::test]
async fn nothing_that_is_secret_is_in_the_log() {
    let (test, daemon, address, token) = daemon().await;
    ask(address, &increment(&token, "canary-key")).await.is(200);
    let wrong = increment("pd_canary-token", "canary-key");
    ask(address, &wrong).await.is(401);
    // A failure, which the log tells of.
    let mut server =
        <sqlx::PgConnection as sqlx::Connection>::connect(&crate::support::url_of("postgres"))
            .await
            .expect("a server");
    let gone = format!(
        "alter database {0} allow_connections false; select pg_terminate_backend(pid)
         from pg_stat_activity where datname = '{0}'",
        test.name
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(gone)).execute(&mut server).await.expect("done");
    let query = "/api/v1/usage/canary-org/limits?feature=canary-query";
    let request = Request::get(query).with("authorization", &format!("Bearer {token}"));
    let failed = ask(address, &request).await.is(503);
    let id = failed.header("x-request-id").expect("an id").to_owned();
    wait_until("the failure is in the log", || daemon.said(&id) > 0).await;
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(&id)).expect("its line");
    assert!(line.contains("/api/v1/usage/{org}/limits"), "{line}");
    for canary in ["canary", &token, "127.0.0.1:5"] {
        let said = log.lines().find(|line| line.contains(canary) && line.contains("request_id"));
        assert_eq!(said, None, "{canary}");
    }
    assert!(!log.contains(&token));
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_with_one_sentence() {
    let (test, _daemon, address, _) = daemon().await;
    let text = std::fs::read_to_string(test.config()).expect("a file");
    let taken = text.replace("127.0.0.1:0", &address.to_string());
    std::fs::write(test.config(), taken).expect("written");
    let mut second = Daemon::start(&test);
    let status = second.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = second.log();
    let sentence = format!("[http] listen: {address} cannot be listened on: ");
    assert!(log.contains(&sentence), "{log}");
    assert_eq!(second.said("\"started\""), 0, "before READY");
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_counts_once_when_it_is_sent_again() {
    let (test, mut daemon, address, token) = daemon().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let token = token.clone();
        clients.spawn(async move {
            for number in 0..1000 {
                let request = increment(&token, &format!("{client}-{number}"));
                if !has_answer(address, &request).await {
                    return (client, number);
                }
            }
            (client, 1000)
        });
    }
    test.until("select count(*) > 50 from usage_metrics", "true").await;
    daemon.kill();
    // In the order in which they ended, whoever they are.
    let ends = clients.join_all().await;
    let again = Daemon::start(&test);
    let address = self::address(&again).await;
    // Each sends again what it does not know the end of, and what it was told of.
    for (client, end) in &ends {
        for number in 0..=*end {
            let request = increment(&token, &format!("{client}-{number}"));
            assert_eq!(ask(address, &request).await.is(200).json()["allowed"], true);
        }
    }
    let sent: usize = ends.iter().map(|(_, end)| end + 1).sum();
    assert_eq!(test.rows("select used from usage_counters").await, [sent.to_string()]);
    assert_eq!(test.rows("select count(*) from usage_metrics").await, [sent.to_string()]);
    assert!(again.stop().await.success());
    test.check_invariants().await;
}

/// Sends a request to a server that may go away meanwhile.
async fn has_answer(address: SocketAddr, request: &Request) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return false };
    if stream.write_all(request.text().as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    read.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}
