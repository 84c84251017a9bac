//! Ten thousand clients that listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::Connection;
use super::daemon::{Daemon, Setup};
use super::support::{Server, median, setting};
use super::{CONNECTIONS, DATABASE, Row, row};

/// Orgs that are listened to.
const ORGS: u64 = 1_000;
/// MiB of the whole daemon, and hundredths of a core.
const MOST_MIB: f64 = 240.0;
const MOST_PERCENT: f64 = 5.0;
/// Within which a use through SQL is seen, in milliseconds.
const SEEN_WITHIN: f64 = 2_000.0;
/// MiB above what it had before, a minute after all have left.
const LEFT_BEHIND: f64 = 30.0;

/// Clients that listen and are sent nothing, what they cost, and how soon a use is seen.
pub(crate) async fn streams(server: &Server) -> bool {
    let clients = setting("PERIODD_BENCH_STREAMS", 10_000);
    let lines = "max_clients = 20000\nmax_streams = 20000\n";
    let setup = Setup { http: Some(CONNECTIONS), lines, jobs: &[] };
    let daemon = Daemon::start(server, DATABASE, &setup).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = daemon.memory_mib();
    let (listening, opening) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(64)));
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let place = Arc::clone(&opening).acquire_owned().await.expect("a place");
        let mut stream = open(&daemon, number % ORGS + 1).await;
        let listening = Arc::clone(&listening);
        tasks.spawn(async move {
            let mut bytes = [0; 512];
            let first = stream.read(&mut bytes).await.unwrap_or(0);
            let is_good = bytes[..first].starts_with(b"HTTP/1.1 200");
            assert!(is_good, "{}", String::from_utf8_lossy(&bytes[..first]));
            listening.fetch_add(1, Ordering::Relaxed);
            drop(place);
            while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        });
    }
    let began = Instant::now();
    while listening.load(Ordering::Relaxed) < tasks.len() {
        assert!(began.elapsed() < Duration::from_mins(1), "not all of them listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let percent = 100.0 * daemon.share(Duration::from_secs(30)).await;
    let memory = daemon.memory_mib();
    let (by_sql, by_api) = (seen(server, &daemon, false).await, seen(server, &daemon, true).await);
    tasks.shutdown().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let after = daemon.memory_mib();
    eprintln!(
        "{clients} streams: {memory:.0} MiB and {percent:.1} % of a core, before {before:.0} MiB, \
         a minute after {after:.0} MiB; a use is seen after {by_sql:.0} ms, after {by_api:.0} ms \
         when it came this way"
    );
    let is_met = memory <= MOST_MIB
        && percent <= MOST_PERCENT
        && by_sql <= SEEN_WITHIN
        && after - before <= LEFT_BEHIND;
    row(&Row {
        what: &format!("{clients} idle streams on {ORGS} orgs"),
        ours: format!(
            "{memory:.0} MiB, {percent:.1} % of a core; a use is seen after {by_sql:.0} ms, after \
             {by_api:.0} ms through this process"
        ),
        base: format!("before them {before:.0} MiB, a minute after them {after:.0} MiB"),
        ratio: None,
        goal: "≤ 240 MiB, ≤ 5 %, ≤ 2 s",
        is_met,
    })
}

async fn open(daemon: &Daemon, org: u64) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address).await.expect("a connection");
    let request = format!(
        "GET /api/v1/usage/org-{org}/stream HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {}\r\n\r\n",
        daemon.token
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Milliseconds until a listener is sent a use, the middle of several; through SQL or the API.
async fn seen(server: &Server, daemon: &Daemon, is_ours: bool) -> f64 {
    let mut took = Vec::new();
    let mut connection = server.connect(DATABASE).await;
    let mut api = Connection::open(daemon).await;
    for turn in 0..11 {
        let org = if is_ours { 500 } else { 600 } + turn;
        let mut stream = open(daemon, org).await;
        // Everything that is sent at first has come when nothing comes any more.
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) =
            tokio::time::timeout(Duration::from_secs(1), stream.read(&mut bytes)).await
        {
            assert!(count.expect("a stream") > 0, "it ended");
        }
        let began = Instant::now();
        if is_ours {
            let path = format!("/api/v1/usage/org-{org}/increment");
            api.ask(("POST", path, "{\"feature\":\"scrapes\"}".to_owned())).await;
        } else {
            let used = "select increment_org_usage(id, 'scrapes')
                        from organizations where slug = $1";
            let used = sqlx::query(used).bind(format!("org-{org}"));
            used.execute(&mut connection).await.expect("a use");
        }
        loop {
            let count = stream.read(&mut bytes).await.expect("a stream");
            assert!(count > 0, "it ended");
            if String::from_utf8_lossy(&bytes[..count]).contains("standing") {
                break;
            }
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    median(took)
}
