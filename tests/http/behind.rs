//! The server with others in between: PgBouncer before its database, nginx before itself.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::{Request, Response, parse};
use crate::listener::{Listener, PATIENCE};
use crate::nginx::Nginx;
use crate::pgbouncer::Pooler;
use crate::served::Served;
use crate::support::TestDatabase;

const STREAM: &str = "/api/v1/usage/acme/stream";
const INCREMENT: &str = "/api/v1/usage/acme/increment";

async fn limits(served: &Served) {
    served.customer("acme").await;
    let limits = "insert into tier_limits values ('pro', 'scrapes', 100), ('pro', 'sms_sent', 10)";
    served.test.sql(limits).await;
}

async fn record(served: &Served, quantity: &str) {
    let record = format!("select record_usage(id, 'sms_sent', {quantity}) from organizations");
    served.test.sql(&record).await;
}

/// In transaction mode, where a session is whoever's has the connection next.
#[tokio::test(flavor = "multi_thread")]
async fn through_pgbouncer_everything_is_the_same() {
    let test = TestDatabase::new().await;
    let pooler = Pooler::started(2, &[]);
    let url = pooler.url(&test.name, "postgres");
    let served = Served::by(test, &url, "127.0.0.1:0", "").await;
    limits(&served).await;
    let mut listener = Listener::open(&served, Request::get(STREAM)).await;
    listener.until_used("sms_sent", "0").await;
    record(&served, "2.5").await;
    listener.until_used("sms_sent", "2.5").await;
    let body = json!({ "feature": "scrapes", "key": "k" });
    let increments = (0..24).map(|_| served.post(INCREMENT, body.clone()));
    for answer in futures_util::future::join_all(increments).await {
        assert_eq!(answer.is(200).json()["new_usage"], 1);
    }
    listener.until_used("scrapes", "1").await;
    let events: Vec<_> = (0..200)
        .map(|n| {
            let key = n.to_string();
            json!({ "org": "acme", "feature": "sms_sent", "quantity": 1, "key": key })
        })
        .collect();
    for _ in 0..2 {
        served.post("/api/v1/usage/events", json!(events)).await.is(200);
    }
    listener.until_used("sms_sent", "202.5").await;
    served.get("/api/v1/usage/acme/check/sms_sent").await.is(200);
    served.bare(Request::get("/readyz")).await.is(200);
    let test = served.drain().await;
    assert_eq!(listener.until("bye").await.data["reason"], "stopping");
    test.check_invariants().await;
    drop(pooler);
}

async fn ask(nginx: &Nginx, request: &Request) -> Response {
    let mut stream = nginx.connect().await;
    stream.write_all(request.text().as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("it answers").expect("an answer");
    parse(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn through_nginx_a_stream_comes_message_by_message() {
    let served = Served::new().await;
    limits(&served).await;
    let nginx = Nginx::started(served.address);
    let authorization = format!("Bearer {}", served.token);
    let request = Request::get(STREAM).with("authorization", &authorization);
    let mut listener = Listener::on(nginx.connect().await, &request).await;
    assert!(listener.head.contains("server: nginx"), "{}", listener.head);
    listener.until_used("sms_sent", "0").await;
    // nginx buffers what it is not asked to pass on: each of these would wait for the next.
    record(&served, "2").await;
    listener.until_used("sms_sent", "2").await;
    let used = Request::post(INCREMENT, &json!({ "feature": "scrapes" }));
    ask(&nginx, &used.with("authorization", &authorization)).await.is(200);
    listener.until_used("scrapes", "1").await;
    // A client that hangs up there has hung up here.
    drop(listener);
    let is_open = "periodd_http_streams 1\n";
    let mut attempts = 0;
    while served.bare(Request::get("/metrics")).await.body.contains(is_open) {
        attempts += 1;
        assert!(attempts < 600, "nginx keeps it");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut listener = Listener::on(nginx.connect().await, &request).await;
    listener.until_used("sms_sent", "2").await;
    let drained = tokio::spawn(served.drain());
    assert_eq!(listener.until("bye").await.data["reason"], "stopping");
    assert_eq!(listener.next().await, None, "in good order");
    timeout(PATIENCE, drained).await.expect("nginx does not keep it").expect("it drained");
}
