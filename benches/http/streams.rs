//! Ten thousand clients that listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::Connection;
use super::{CONNECTIONS, DATABASE, seed};
use crate::support::daemon::{Daemon, Jobs, Setup};
use crate::support::figure::median;
use crate::support::{Bench, Goal, Outcome, Series};

/// Orgs that are listened to.
const ORGS: u64 = 1_000;
/// Clients that listen and are sent nothing, what they cost, and how soon a use is seen.
pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let (clients, listened) = (size.of(10_000), size.of(ORGS));
    seed(bench).await;
    let lines = "max_clients = 20000\nmax_streams = 20000\n";
    let setup = Setup { http: Some(CONNECTIONS), lines, jobs: Jobs::Only(&[]) };
    let daemon = Daemon::start(server, DATABASE, &setup).await;
    tokio::time::sleep(Duration::from_secs(size.seconds)).await;
    let before = daemon.memory_mib();
    let (listening, opening) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(64)));
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let place = Arc::clone(&opening).acquire_owned().await.expect("a place");
        let mut stream = open(&daemon, number % listened + 1).await;
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
    tokio::time::sleep(Duration::from_secs(2 * size.seconds)).await;
    let percent = 100.0 * daemon.share(Duration::from_secs(3 * size.seconds)).await;
    let memory = daemon.memory_mib();
    let (by_sql, by_api) = (seen(bench, &daemon, false).await, seen(bench, &daemon, true).await);
    tasks.shutdown().await;
    tokio::time::sleep(Duration::from_secs(6 * size.seconds)).await;
    let after = daemon.memory_mib();
    drop(daemon);
    server.discard(DATABASE).await;
    let mut series = Series::default();
    for (name, value) in [
        ("memory", memory),
        ("percent", percent),
        ("by SQL", by_sql),
        ("by API", by_api),
        ("before", before),
        ("left behind", after),
    ] {
        series.add(name, value);
    }
    let streams = format!("{clients} idle streams on {listened} orgs");
    let figure = |what: &str, unit: &str, name: &str, goal: Goal| {
        series.figure(&format!("{what}, {streams}"), unit, name, goal)
    };
    let (memory, left) = (format!("memory, {streams}"), "memory a minute after they left");
    let before = ("before them", "before");
    Outcome::Measured(vec![
        series.figure(&streams, "% of a core", "percent", Goal::AtMost(5.0)),
        series.against(before, &memory, "MiB", "memory", Goal::Known),
        figure("memory in all", "MiB", "memory", Goal::AtMost(240.0)),
        figure(left, "MiB", "left behind", Goal::AtMost(60.0)),
        figure("a use by SQL is seen", "ms", "by SQL", Goal::AtMost(2_000.0)),
        figure("a use through the process is seen", "ms", "by API", Goal::AtMost(2_000.0)),
    ])
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
async fn seen(bench: &Bench, daemon: &Daemon, is_ours: bool) -> f64 {
    let Bench { server, size } = bench;
    let mut took = Vec::new();
    let mut connection = server.connect(DATABASE).await;
    let mut api = Connection::open(daemon).await;
    for turn in 0..size.times(11, 3) {
        let org = if is_ours { 50 } else { 100 } + turn;
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
    median(&took)
}
