//! What strangers try: slow ones, large ones, malformed ones; and what the log says of it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{Request, parse, send};
use crate::served::{Served, token};

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

/// Two machines that read a request in two ways let a second one pass that only one of them has
/// seen. Each of these carries one: it is never answered, and the connection ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_inside_another_is_never_answered() {
    let served = Served::new().await;
    served.customer("acme").await;
    let used = r#"{"feature":"scrapes","key":"k"}"#;
    let inner = "GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let length = used.len();
    let chunk = format!("{length:x}\r\n{used}\r\n0\r\n\r\n");
    let with_inner = length + inner.len();
    for (headers, body, is_read) in [
        // By its chunks, as the standard says; the length is not believed.
        (format!("content-length: {with_inner}\r\ntransfer-encoding: chunked\r\n"), &chunk, true),
        (format!("transfer-encoding: chunked\r\ncontent-length: {with_inner}\r\n"), &chunk, true),
        (format!("content-length: {length}\r\ncontent-length: {with_inner}\r\n"), &chunk, false),
        (format!("content-length: {length}, {with_inner}\r\n"), &chunk, false),
        (format!("content-length: +{length}\r\n"), &chunk, false),
        (format!("content-length: 0x{length:x}\r\n"), &chunk, false),
        (format!("content-length : {length}\r\n"), &chunk, false),
        (format!("x: y\r\n content-length: {length}\r\ncontent-length: -1\r\n"), &chunk, false),
        ("transfer-encoding: identity\r\n".to_owned(), &chunk, false),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), &chunk, false),
        ("transfer-encoding: xchunked\r\n".to_owned(), &chunk, false),
        ("transfer-encoding : chunked\r\n".to_owned(), &chunk, false),
        ("transfer-encoding:\u{b}chunked\r\n".to_owned(), &chunk, false),
        // The end of a chunk's line is both characters.
        ("transfer-encoding: chunked\r\n".to_owned(), &chunk.replace("\r\n", "\n"), false),
        ("transfer-encoding: chunked\r\n".to_owned(), &chunk.replacen('\r', " x\ny\r", 1), false),
    ] {
        let token = &served.token;
        let text = format!(
            "POST /api/v1/usage/acme/increment HTTP/1.1\r\nhost: localhost\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             {headers}\r\n{body}{inner}"
        );
        let answer =
            String::from_utf8_lossy(&send(served.address, text.as_bytes()).await).into_owned();
        assert!(!answer.contains("\"openapi\""), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), is_read, "{headers:?}: {answer}");
        assert!(is_read || answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
    }
    // HTTP/1.0 knows no chunks. A line may end in a line feed alone, and means the same.
    let old = format!(
        "POST /api/v1/usage/acme/increment HTTP/1.0\r\nhost: localhost\r\n\
         transfer-encoding: chunked\r\n\r\n{chunk}{inner}"
    );
    let bare =
        "GET /healthz HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: 5\n\nGET /";
    for (text, status) in [(old.as_str(), "400"), (bare, "200")] {
        let answer =
            String::from_utf8_lossy(&send(served.address, text.as_bytes()).await).into_owned();
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{text:?}: {answer}");
        assert_eq!(answer.get(9..12), Some(status), "{text:?}: {answer}");
    }
    assert_eq!(served.test.rows("select count(*) from usage_metrics").await, ["0"]);
}

/// Sends a body of 100 MiB as far as it is taken: the answer's first bytes, if they came.
async fn flood(served: &Served, headers: &str, is_chunked: bool) -> (usize, Vec<u8>) {
    let stream = TcpStream::connect(served.address).await.expect("a connection");
    let (mut reads, mut writes) = stream.into_split();
    let head = format!(
        "POST /api/v1/usage/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{headers}\r\n",
        served.token
    );
    let sending = tokio::spawn(async move {
        let piece = vec![b' '; 64 * 1024];
        let mut sent = 0;
        if writes.write_all(head.as_bytes()).await.is_err() {
            return sent;
        }
        while sent < FLOOD {
            let framed = async {
                if is_chunked {
                    writes.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                }
                writes.write_all(&piece).await?;
                if is_chunked { writes.write_all(b"\r\n").await } else { Ok(()) }
            };
            if framed.await.is_err() {
                return sent;
            }
            sent += piece.len();
        }
        sent
    });
    let mut answer = Vec::new();
    // What was not read yet is lost where the server closes amid a body.
    let _ = reads.read_to_end(&mut answer).await;
    (sending.await.expect("a client"), answer)
}

const FLOOD: usize = 100 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_are_refused_before_they_are_read() {
    let served = Served::new().await;
    for (headers, is_chunked) in [
        (format!("content-length: {FLOOD}\r\n"), false),
        ("transfer-encoding: chunked\r\n".to_owned(), true),
    ] {
        let (sent, answer) = flood(&served, &headers, is_chunked).await;
        assert!(sent < FLOOD, "all of it was taken");
        if !answer.is_empty() {
            assert_eq!(answer.get(9..12), Some(&b"413"[..]), "{headers}");
        }
    }
    // Who asks before sending is told at once.
    let asks = format!(
        "POST /api/v1/usage/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {FLOOD}\r\n\r\n",
        served.token
    );
    parse(&send(served.address, asks.as_bytes()).await).is(413).is_problem("too_large");
    served.bare(Request::get("/healthz")).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_deep_and_text_that_is_none_are_refused() {
    let served = Served::new().await;
    served.customer("acme").await;
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let paths = [
        "/api/v1/usage/acme/increment",
        "/api/v1/usage/increment",
        "/api/v1/usage/acme/events",
        "/api/v1/usage/events?partial=true",
        "/api/v1/usage/acme/tokens",
    ];
    let bodies = [
        deep("[", "]"),
        deep("[", ""),
        deep("{\"a\":", ""),
        format!("{{\"feature\":{}}}", deep("[", "]")),
        format!("[{{\"org\":\"acme\",\"key\":{}}}]", deep("[", "]")),
        format!("{{\"feature\":\"scrapes\",\"amount\":1e{}}}", "9".repeat(100_000)),
    ];
    for path in paths {
        for body in &bodies {
            let request = Request { body: Some(body.clone()), ..Request::post(path, &json!(null)) };
            let answer = served.with_token(&served.token, request).await;
            let is_partial = path.contains("partial") && answer.status == 200;
            assert!(is_partial || matches!(answer.status, 400 | 422), "{path}: {answer:?}");
            assert!(!is_partial || answer.json()["recorded"] == 0, "{answer:?}");
        }
        let mut text = Request::post(path, &json!(null))
            .with("authorization", &format!("Bearer {}", served.token))
            .with("content-length", "13")
            .text()
            .replace("content-length: 4\r\n", "")
            .into_bytes();
        text.truncate(text.len() - 4);
        text.extend(b"{\"feature\":\"\xff");
        let answer = parse(&send(served.address, &text).await);
        assert!(matches!(answer.status, 400 | 422), "{path}: {answer:?}");
    }
    for name in ["authorization: Bearer ", "host: ", "x-request-id: ", "accept: ", "origin: "] {
        let mut text = b"GET /healthz HTTP/1.1\r\nconnection: close\r\n".to_vec();
        if !name.starts_with("host") {
            text.extend(b"host: localhost\r\n");
        }
        text.extend(name.as_bytes());
        text.extend(b"\xff\xfe\r\n\r\n");
        let status = parse(&send(served.address, &text).await).status;
        assert_eq!(status, if name.starts_with("host") { 421 } else { 200 }, "{name}");
    }
    served.get("/api/v1/usage/acme/limits?feature=%ff").await.is(404).is_problem("unknown_feature");
    served.get("/api/v1/usage/acme/limits?feature=%00").await.is(422).is_problem("invalid");
    assert_eq!(served.test.rows("select count(*) from usage_metrics").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_token_of_another_org_no_path_knows_the_org() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.customer("bolt").await;
    let scopes = ["read", "record", "sync", "admin", "metrics"];
    let bolt = token(&served.test, "bolt", &scopes, &["--org", "bolt"]);
    let document = served.bare(Request::get("/api/openapi.json")).await.is(200).json();
    let bodies = [
        ("/api/v1/usage/{org}/increment", json!({ "feature": "scrapes" })),
        ("/api/v1/usage/{org}/events", json!({ "feature": "scrapes", "quantity": 1, "key": "k" })),
        ("/api/v1/usage/{org}/sync", json!(null)),
        ("/api/v1/usage/{org}/tokens", json!({})),
    ];
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, described) in methods.as_object().expect("methods") {
            if !path.contains("{org}") {
                continue;
            }
            let parameters = described["parameters"].as_array().into_iter().flatten();
            let needed = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
            let needed = needed.map(|one| {
                let (name, example) = (one["name"].as_str(), one["example"].as_str());
                format!("{}={}", name.expect("a name"), example.expect("an example"))
            });
            let query = needed.collect::<Vec<_>>().join("&");
            let answer = async |org: &str| {
                let at = path.replace("{org}", org).replace("{feature}", "scrapes");
                let at = format!("{at}?{query}");
                let body = bodies.iter().find(|(known, _)| known == path).map(|(_, body)| body);
                let request = match method.as_str() {
                    "get" => Request::get(&at),
                    "post" => Request::post(&at, body.unwrap_or_else(|| panic!("{path}"))),
                    other => panic!("{other} {path}"),
                };
                let answer = served.with_token(&bolt, request).await;
                assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
                answer.is_problem("unknown_org").replace(org, "ORG")
            };
            assert_eq!(answer("acme").await, answer("none").await, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked >= 7, "{asked}");
    assert_eq!(served.test.rows("select count(*) from usage_metrics").await, ["0"]);
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
