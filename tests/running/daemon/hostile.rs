//! A daemon under attack: it closes its periods, answers those who ask properly, and says nothing
//! of what it was shown. `PERIODD_TEST_CLIENTS` says how many attack at a time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{PATIENCE, Request, ask};
use crate::daemon::http::address;
use crate::daemon::process::{Daemon, until, wait_until};
use crate::support::{TestDatabase, allow_many_files};

const ORGS: u32 = 6;
/// What no answer, page or line of the log may repeat.
const SECRET: &str = "pd_canary0123456789canary0123456789canary0123456789";
const CANARY: &str = "canary-7f3a";

fn clients() -> usize {
    std::env::var("PERIODD_TEST_CLIENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(240)
}

/// What one attacker sends, by its number.
fn attack(number: usize, token: &str) -> Vec<u8> {
    let post = |token: &str, headers: &str, body: &str| {
        format!(
            "POST /api/v1/usage/acme/increment?{CANARY}=1 HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\nauthorization: Bearer {token}\r\n{headers}\r\n{body}"
        )
    };
    let event = format!("{{\"feature\":\"scrapes\",\"key\":\"{CANARY}\"");
    let text = match number % 12 {
        // Never finished: a head, a body, a chunk.
        0 => "GET /healthz HTTP/1.1\r\nhost: local".to_owned(),
        1 => post(token, "content-length: 900\r\n", &event).replace(&format!("?{CANARY}=1"), ""),
        2 => post(token, "transfer-encoding: chunked\r\n", "ff\r\n{")
            .replace(&format!("?{CANARY}=1"), ""),
        3 => String::new(),
        4 => post(token, "content-length: 104857600\r\n", &" ".repeat(300_000))
            .replace(&format!("?{CANARY}=1"), ""),
        5 => post(token, &format!("x-bomb: {}\r\n", CANARY.repeat(4_000)), ""),
        6 => post(token, &"x-many: y\r\n".repeat(300), ""),
        7 => {
            let deep = "[".repeat(100_000);
            post(token, &format!("content-length: {}\r\n", deep.len()), &deep)
                .replace(&format!("?{CANARY}=1"), "")
        }
        8 => post(SECRET, "content-length: 2\r\n", "{}"),
        9 => {
            post(token, "content-length: 5\r\ntransfer-encoding: chunked, x\r\n", "0\r\n\r\nGET /")
        }
        10 => format!(
            "GET /api/v1/usage/..%2f{CANARY}/limits HTTP/1.1\r\nhost: {CANARY}.example.com\r\n\
             authorization: Bearer {token}\r\nreferer: {CANARY}\r\ncookie: {CANARY}\r\n\
             connection: close\r\n\r\n"
        ),
        _ => {
            let mut bytes =
                b"GET /\xff\xfe HTTP/1.1\r\nhost: \xff\r\n\r\n\0\0\x16\x03\x01".to_vec();
            bytes.extend(SECRET.as_bytes());
            return bytes;
        }
    };
    text.into_bytes()
}

/// Attacks again and again, and keeps what it was answered.
async fn attacker(
    address: SocketAddr,
    what: Vec<u8>,
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<String>>>,
) {
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(&what).await;
        let mut answer = Vec::new();
        // Where the listener's queue was full, the server may know nothing of a client that says
        // nothing, and never closes.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        done.fetch_add(1, Ordering::Relaxed);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let mut told = told.lock().expect("a list");
        if !answer.is_empty() && told.len() < 2_000 {
            told.push(answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_attack_periods_are_closed_and_nothing_secret_is_repeated() {
    allow_many_files();
    let test = TestDatabase::new().await;
    test.configure(
        "[http]\nenabled = true\nlisten = \"127.0.0.1:0\"\nmax_clients = 64\n\
         header_timeout = \"1s\"\nbody_timeout = \"1s\"\n[log]\nformat = \"json\"\n\
         [schedule.rollover]\ncron = \"* * * * * *\"\njitter = \"0s\"\n",
    );
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--tier", "pro"];
    test.periodd(&add).exits(0);
    let words = ["tokens", "add", "all", "--scope", "read", "--scope", "record"];
    let token = test.periodd(&words).exits(0).stdout.trim().to_owned();
    let daemon = Daemon::start(&test);
    let address = address(&daemon).await;
    wait_until("it has started", || daemon.said("\"started\"") > 0).await;
    let limits = Request::get("/api/v1/usage/acme/limits");
    let limits = limits.with("authorization", &format!("Bearer {token}"));
    ask(address, &limits).await.is(200);
    let is_over = Arc::new(AtomicBool::new(false));
    let (done, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut attackers = JoinSet::new();
    for number in 0..clients() {
        let what = attack(number, &token);
        let (is_over, done, told) = (Arc::clone(&is_over), Arc::clone(&done), Arc::clone(&told));
        attackers.spawn(attacker(address, what, is_over, done, told));
    }
    wait_until("they attack", || done.load(Ordering::Relaxed) > 100).await;
    // Periods that end while it goes on, one after the other.
    test.sql(&format!(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         select 'due-' || i, 'Due', 'UTC', now() - interval '1 month',
                now() + interval '1 second' * i
         from generate_series(1, {ORGS}) i"
    ))
    .await;
    until(&test, "select count(*) from billing_periods", &ORGS.to_string()).await;
    // Whoever asks properly has an answer, when it is their turn.
    ask(address, &Request::get("/healthz")).await.is(200);
    ask(address, &limits).await.is(200);
    let page = ask(address, &Request::get("/metrics")).await.is(200).body;
    assert!(!attackers.is_empty() && attackers.try_join_next().is_none(), "they still attack");
    is_over.store(true, Ordering::Relaxed);
    attackers.join_all().await;
    ask(address, &limits).await.is(200);
    assert_eq!(test.rows("select count(*) from usage_metrics").await, ["0"]);
    let log = daemon.log();
    assert!(daemon.stop().await.success());
    let told: Vec<String> = told.lock().expect("a list").clone();
    assert!(told.iter().any(|answer| answer.starts_with("HTTP/1.1 4")), "a refusal is told");
    let failed = told.iter().find(|answer| answer.starts_with("HTTP/1.1 500"));
    assert_eq!(failed, None, "and nothing fails");
    for secret in [&token, SECRET, "canary0123456789"] {
        assert!(!log.contains(secret) && !page.contains(secret), "{secret}");
        let repeated = told.iter().find(|answer| answer.contains(secret));
        assert_eq!(repeated, None, "{secret}");
    }
    assert!(!log.contains(CANARY) && !page.contains(CANARY), "{log}");
    assert!(!log.contains("panicked") && !log.contains("internal error"), "{log}");
    test.check_invariants().await;
}
