//! What strangers try: slow ones, large ones, malformed ones; and what the log says of it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{Request, parse, send};
use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_and_a_slow_body_do_not_occupy_the_server() {
    let settings = "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nmax_clients = 2";
    let served = Served::with(settings).await;
    served.customer("acme").await;
    // Both places are taken by clients that never finish.
    let mut head = TcpStream::connect(served.address).await.expect("a connection");
    head.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.expect("sent");
    let post = Request::post("/api/v1/usage/acme/increment", &json!({ "feature": "scrapes" }));
    let post = post.with("authorization", &format!("Bearer {}", served.token)).text();
    let mut body = TcpStream::connect(served.address).await.expect("a connection");
    body.write_all(&post.as_bytes()[..post.len() - 3]).await.expect("sent");
    let began = Instant::now();
    let waiting = served.bare(Request::get("/healthz"));
    let (of_body, of_head, answer) = tokio::join!(
        async {
            let mut answer = Vec::new();
            body.read_to_end(&mut answer).await.expect("an answer");
            answer
        },
        async {
            let mut answer = Vec::new();
            let _ = head.read_to_end(&mut answer).await;
            answer
        },
        waiting
    );
    parse(&of_body).is(408).is_problem("too_slow");
    assert_eq!(of_head, b"");
    answer.is(200);
    assert!(began.elapsed() < Duration::from_secs(30), "a bound holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_with_the_bound() {
    let served = Served::with("body_bytes = 2000").await;
    served.customer("acme").await;
    let long = json!({ "feature": "x".repeat(3000) });
    let answer = served.post("/api/v1/usage/acme/increment", long).await.is(413);
    answer.is_problem("too_large");
    let target = format!("/api/v1/usage/acme/limits?feature={}", "x".repeat(9000));
    served.get(&target).await.is(414).is_problem("target_too_long");
    let bomb = Request::get("/healthz").with("x-bomb", &"b".repeat(20_000));
    assert_eq!(send(served.address, bomb.text().as_bytes()).await.get(9..12), Some(&b"431"[..]));
    let mut many = Request::get("/healthz");
    many.headers = (0..150).map(|n| (format!("x-{n}"), "y".to_owned())).collect();
    assert_eq!(send(served.address, many.text().as_bytes()).await.get(9..12), Some(&b"431"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_mean_two_things_are_refused() {
    let served = Served::new().await;
    served.customer("acme").await;
    let smuggled = [
        "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\nGET /api HTTP/1.1\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\
         content-length: 5\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n host: other\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ];
    for text in smuggled {
        let answer = send(served.address, text.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let answers = text.matches("HTTP/1.1 2").count();
        assert_eq!(answers, 0, "{text}");
    }
    for path in [
        "/api/v1/usage/..%2f..%2fetc/limits",
        "/api/v1/usage/../../etc/limits",
        "/api//v1/usage/acme/limits",
    ] {
        let answer = served.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    for path in ["/api/v1/usage/%ff/limits", "/api/v1/usage/acme%00/limits"] {
        served.get(path).await.is(400).is_problem("malformed");
    }
    let nul = json!({ "feature": "scr\0apes" });
    served.post("/api/v1/usage/acme/increment", nul).await.is(422).is_problem("invalid");
    served.get("/nothing").await.is(404).is_problem("not_found");
    let deleted = served
        .with_token(
            &served.token,
            Request { method: "DELETE", ..Request::get("/api/v1/usage/acme/limits") },
        )
        .await
        .is(405);
    deleted.is_problem("method_not_allowed");
    assert!(deleted.header("allow").is_some_and(|methods| methods.contains("GET")), "{deleted:?}");
    let unknown = served.get("/api/v1/usage/acme/limits?featur=x").await.is(422);
    assert!(unknown.is_problem("invalid").contains("takes feature"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_names_of_its_own_lead_here() {
    let served = Served::with("hosts = [\"api.example.com\"]").await;
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:9", 200),
        ("api.example.com", 200),
        ("api.example.com:443", 200),
        ("evil.example.com", 421),
        ("10.0.0.1", 421),
        ("", 421),
        ("localhost.evil.com", 421),
    ] {
        let answer = served.bare(Request::get("/healthz").with("host", host)).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        if status == 421 {
            answer.is_problem("wrong_host");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_may_be_at_work_are_told_so_at_once() {
    let served = Served::with("max_requests = 1").await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 9)").await;
    let increment = "/api/v1/usage/acme/increment";
    served.post(increment, json!({ "feature": "scrapes" })).await.is(200);
    let mut holder = served.test.connect().await;
    sqlx::raw_sql("begin; update usage_counters set used = used")
        .execute(&mut holder)
        .await
        .expect("held");
    let (answer, refused) =
        tokio::join!(served.post(increment, json!({ "feature": "scrapes" })), async {
            served.test.until_somebody_waits().await;
            let refused = served.bare(Request::get("/healthz")).await;
            sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
            refused
        });
    refused.is(503).is_problem("overloaded");
    answer.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_held_ends_in_an_answer() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 9)").await;
    let increment = "/api/v1/usage/acme/increment";
    served.post(increment, json!({ "feature": "scrapes" })).await.is(200);
    let mut holder = served.test.connect().await;
    sqlx::raw_sql("begin; update usage_counters set used = used")
        .execute(&mut holder)
        .await
        .expect("held");
    let held = served.post(increment, json!({ "feature": "scrapes", "key": "k" })).await.is(503);
    held.is_problem("overloaded");
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    let again = served.post(increment, json!({ "feature": "scrapes", "key": "k" })).await.is(200);
    assert_eq!(again.json()["new_usage"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_for_its_group_and_a_dead_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("http.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let served = Served::with(&format!("socket = \"{}\"", path.display())).await;
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    stream.write_all(Request::get("/healthz").text().as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    parse(&answer).is(200);
    drop(served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_echoed_and_a_strange_one_is_not() {
    let served = Served::new().await;
    let given = served.bare(Request::get("/healthz").with("x-request-id", "abc-1")).await;
    assert_eq!(given.header("x-request-id"), Some("abc-1"));
    let strange = served.bare(Request::get("/healthz").with("x-request-id", "a b<c>")).await;
    assert_ne!(strange.header("x-request-id"), Some("a b<c>"));
    assert_eq!(strange.header("x-request-id").map(str::len), Some(36));
}
