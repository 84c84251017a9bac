//! The stream as a WebSocket, with a real client: what it says, who may open it, and how it ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response as Handshake;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::{Request, parse};
use crate::served::{Served, token};

/// Nothing here takes that long, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(2);
const PATH: &str = "/api/v1/usage/acme/stream";

type Opened = Result<(WebSocketStream<TcpStream>, Handshake), Error>;

/// Opens a WebSocket with these headers.
async fn open(served: &Served, path: &str, headers: &[(&'static str, String)]) -> Opened {
    let connection = TcpStream::connect(served.address).await.expect("it listens");
    let mut request = format!("ws://{}{path}", served.address).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    timeout(PATIENCE, client_async(request, connection)).await.expect("an answer")
}

/// The headers of a browser's: the token is one of the subprotocols.
fn protocols(token: &str) -> (&'static str, String) {
    ("sec-websocket-protocol", format!("periodd.v1, bearer.{token}"))
}

async fn opened(served: &Served) -> WebSocketStream<TcpStream> {
    open(served, PATH, &[protocols(&served.token)]).await.expect("it opens").0
}

/// The status and the code of the problem of a handshake that is refused.
async fn refused(served: &Served, headers: &[(&'static str, String)]) -> (u16, String) {
    match open(served, PATH, headers).await {
        Err(Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            let document: Value = serde_json::from_slice(&body).expect("JSON");
            (answer.status().as_u16(), document["code"].as_str().expect("a code").to_owned())
        }
        other => panic!("it is not refused: {other:?}"),
    }
}

/// The next frame that is not a ping; `None` after the last. Pings come all the time: the wait has
/// its end as a whole.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Message> {
    let frame = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    };
    timeout(PATIENCE, frame).await.expect("something comes")
}

/// The next message.
async fn said(socket: &mut WebSocketStream<TcpStream>) -> Value {
    match next(socket).await {
        Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("no message, but {other:?}"),
    }
}

/// Reads on to the close, and returns the last message before it and the close's code.
async fn to_the_end(mut socket: WebSocketStream<TcpStream>) -> (Option<Value>, Option<CloseCode>) {
    let mut last = None;
    loop {
        match next(&mut socket).await {
            Some(Message::Text(text)) => last = serde_json::from_str(&text).ok(),
            Some(Message::Close(frame)) => return (last, frame.map(|frame| frame.code)),
            Some(_) => {}
            None => return (last, None),
        }
    }
}

async fn served_with(settings: &str) -> Served {
    let served = Served::with(settings).await;
    served.customer("acme").await;
    let limits = "insert into tier_limits values ('pro', 'scrapes', 100), ('pro', 'sms_sent', 10)";
    served.test.sql(limits).await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_a_frame_and_the_answer_does_not_name_the_token() {
    let served = served_with("").await;
    let (mut socket, handshake) =
        open(&served, PATH, &[protocols(&served.token)]).await.expect("it opens");
    assert_eq!(handshake.status(), 101);
    assert_eq!(handshake.headers()["sec-websocket-protocol"], "periodd.v1");
    for (name, value) in handshake.headers() {
        let value = value.to_str().expect("text");
        assert!(!value.contains(&served.token), "{name}: {value}");
    }
    let (first, second) = (said(&mut socket).await, said(&mut socket).await);
    assert_eq!((&first["type"], &second["type"]), (&json!("standing"), &json!("standing")));
    assert!(first.get("id").is_none() && second["id"].is_string(), "{first} {second}");
    let limits = served.get("/api/v1/usage/acme/limits").await.is(200).json();
    assert_eq!((&first["limit"], &second["limit"]), (&limits["limits"][0], &limits["limits"][1]));
    let used = json!({ "feature": "scrapes", "amount": 3 });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    assert_eq!(said(&mut socket).await["limit"]["used"], 3);
    let page = served.bare(Request::get("/metrics")).await.is(200).body;
    assert!(page.contains("periodd_http_streams 1\n"), "{page}");
    assert!(page.contains("periodd_http_stream_messages_total 3\n"), "{page}");
    // Closed by the client, its place is free.
    socket.close(None).await.expect("closed");
    assert_eq!(to_the_end(socket).await, (None, None));
    let mut attempts = 0;
    while served.bare(Request::get("/metrics")).await.body.contains("periodd_http_streams 1\n") {
        attempts += 1;
        assert!(attempts < 600, "the place is never free");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_header_does_as_well_and_no_other_path_takes_it_from_a_subprotocol() {
    let served = served_with("").await;
    let header = ("authorization", format!("Bearer {}", served.token));
    let (mut socket, handshake) = open(&served, PATH, &[header]).await.expect("it opens");
    assert!(!handshake.headers().contains_key("sec-websocket-protocol"));
    let id = loop {
        let message = said(&mut socket).await;
        if let Some(id) = message["id"].as_str() {
            break id.to_owned();
        }
    };
    // What the client has is not repeated.
    let known = [protocols(&served.token), ("last-event-id", id)];
    let (mut socket, _) = open(&served, PATH, &known).await.expect("it opens");
    let used = json!({ "feature": "sms_sent" });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    assert_eq!(said(&mut socket).await["limit"]["feature"], "sms_sent");
    let (name, value) = protocols(&served.token);
    let limits = Request::get("/api/v1/usage/acme/limits").with(name, &value);
    let limits = limits.with("connection", "upgrade, close").with("upgrade", "websocket");
    served.bare(limits).await.is(401);
    // Without an upgrade it is an ordinary request.
    served.bare(Request::get(PATH).with(name, &value)).await.is(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_this_host_and_of_allowed_origins_open_one() {
    let served = served_with("allowed_origins = [\"https://app.example.com\"]").await;
    let from = |origin: &str| [protocols(&served.token), ("origin", origin.to_owned())];
    for origin in ["https://app.example.com", &format!("http://{}", served.address)] {
        let (mut socket, _) = open(&served, PATH, &from(origin)).await.expect("it opens");
        assert_eq!(said(&mut socket).await["type"], "standing", "{origin}");
    }
    for origin in [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.com",
        "https://app.example.com:8443",
        "http://localhost",
        "null",
    ] {
        assert_eq!(
            refused(&served, &from(origin)).await,
            (403, "forbidden".to_owned()),
            "{origin}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_needs_a_token_that_may_read_that_org() {
    let served = served_with("").await;
    served.customer("bolt").await;
    let records = token(&served.test, "records", &["record"], &[]);
    let bolt = token(&served.test, "bolt", &["read"], &["--org", "bolt"]);
    let unseen = token(&served.test, "unseen", &["read"], &[]);
    let two = format!("periodd.v1, bearer.{0}, bearer.{0}", served.token);
    let protocol = "sec-websocket-protocol";
    for (headers, status, code) in [
        (vec![], 401, "unauthorized"),
        (vec![(protocol, "periodd.v1".to_owned())], 401, "unauthorized"),
        (vec![protocols("pd_wrong")], 401, "unauthorized"),
        (vec![(protocol, two)], 401, "unauthorized"),
        (vec![protocols(&records)], 403, "forbidden"),
        (vec![protocols(&bolt)], 404, "unknown_org"),
        (
            vec![protocols(&served.token), ("sec-websocket-version", "8".to_owned())],
            400,
            "malformed",
        ),
    ] {
        assert_eq!(refused(&served, &headers).await, (status, code.to_owned()), "{headers:?}");
    }
    // Wrong ones count as guesses; none at all does not.
    for _ in 0..20 {
        refused(&served, &[protocols("pd_wrong")]).await;
    }
    let late = refused(&served, &[protocols(&unseen)]).await;
    assert_eq!(late, (429, "rate_limited".to_owned()));
    // Whoever came from there with a good one goes on.
    assert!(open(&served, PATH, &[protocols(&served.token)]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_it() {
    let served = served_with("").await;
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let (socket, _) = open(&served, PATH, &[protocols(&own)]).await.expect("it opens");
    served.test.periodd(&["tokens", "revoke", "own"]).exits(0);
    let (last, code) = to_the_end(socket).await;
    let last = last.expect("a message");
    assert_eq!((&last["type"], &last["reason"]), (&json!("bye"), &json!("token")));
    assert_eq!(code, Some(CloseCode::Policy));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_have_nothing_to_say() {
    let served = served_with("").await;
    let mut socket = opened(&served).await;
    // A little is ignored, pings are answered.
    socket.send(Message::text("x".repeat(1_000))).await.expect("sent");
    socket.send(Message::Ping(b"p".as_slice().into())).await.expect("sent");
    loop {
        if let Some(Message::Pong(echo)) = next(&mut socket).await {
            assert_eq!(&echo[..], b"p");
            break;
        }
    }
    socket.send(Message::text("x".repeat(1_025))).await.expect("sent");
    let (_, code) = to_the_end(socket).await;
    assert_eq!(code, Some(CloseCode::Policy));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_when_the_server_drains_also_those_that_nobody_closes() {
    let served = served_with("").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = opened(&served).await;
        said(&mut socket).await;
        sockets.push(socket);
    }
    // Nobody reads meanwhile: the drain ends all the same.
    timeout(PATIENCE, served.drain()).await.expect("sockets do not keep it");
    for socket in sockets {
        let (last, code) = to_the_end(socket).await;
        let last = last.expect("a message");
        assert_eq!((&last["type"], &last["reason"]), (&json!("bye"), &json!("stopping")));
        assert_eq!(code, Some(CloseCode::Away));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_takes_the_place_of_a_connection_for_as_long_as_it_is_open() {
    let served = served_with("max_clients = 1").await;
    let mut socket = opened(&served).await;
    said(&mut socket).await;
    let waits = timeout(Duration::from_secs(1), served.bare(Request::get("/healthz"))).await;
    assert!(waits.is_err(), "the one place is taken: {waits:?}");
    socket.close(None).await.expect("closed");
    served.bare(Request::get("/healthz")).await.is(200);
}

/// A client of its own making that has opened a WebSocket and goes its own way.
async fn raw(served: &Served, buffer: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(buffer).expect("a buffer");
    let mut client = socket.connect(served.address).await.expect("it listens");
    let (name, value) = protocols(&served.token);
    let request = Request::get(PATH)
        .with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .with(name, &value);
    client.write_all(request.text().as_bytes()).await.expect("sent");
    client
}

/// Waits until a client was let go and its stream is closed; `moves` is done each second.
async fn until_let_go(served: &Served, moves: &str) {
    let let_go = "periodd_http_slow_readers_total 1\n";
    for _ in 0..120 {
        let page = served.bare(Request::get("/metrics")).await.is(200).body;
        if page.contains(let_go) && page.contains("periodd_http_streams 0\n") {
            return;
        }
        served.test.sql(moves).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("it is never let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_a_socket_is_let_go() {
    let served = served_with("").await;
    served.many_features().await;
    let _client = raw(&served, 4_096).await;
    until_let_go(&served, "update limit_overrides set included = included + 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_is_let_go() {
    let served = served_with("").await;
    let mut client = raw(&served, 65_536).await;
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        // Cut off, and not closed in good order.
        let _ = client.read_to_end(&mut all).await;
        all
    });
    until_let_go(&served, "select").await;
    let all = timeout(PATIENCE, reading).await.expect("it is cut off").expect("it was read");
    let end = all.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(parse(&all[..end]).status, 101);
    let pings = all[end..].windows(2).filter(|frame| *frame == [0x89, 0]).count();
    assert!(pings >= 3, "it was asked {pings} times");
}
