//! The HTTP API beside the same SQL called by pgbench over as many connections: `make bench`.
//!
//! The daemon is a process of its own, with its jobs switched off; its clients are here, each with
//! a connection that stays open. Both sides take turns on the same database.
//! `PERIODD_BENCH_SECONDS` and `PERIODD_BENCH_TURNS` make it smaller.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../support/mod.rs"]
mod support;

use support::{Server, setting};

const DATABASE: &str = "bench_http";
const ORGS: u64 = 100_000;
/// Connections to the database, for both sides.
const CONNECTIONS: &str = "8";
/// Clients of the API at a time.
const CLIENTS: u64 = 32;
/// Of pgbench's calls per second, that the API must reach.
const ENOUGH: f64 = 0.7;
/// Of the events per second of one statement, that batches must reach.
const ENOUGH_EVENTS: f64 = 0.5;
const BATCH: u64 = 1_000;

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Calls per second of a script.
fn pgbench(server: &Server, script: &str, seconds: u64) -> f64 {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), script).expect("the script is written");
    let binaries = std::env::var("PERIODD_TEST_BINARIES").expect("run this as `make bench`");
    let mut pgbench = PathBuf::from(binaries).join("pgbench");
    if !pgbench.exists() {
        pgbench = "pgbench".into();
    }
    let run = Command::new(pgbench)
        .args(["-n", "-M", "prepared", "-c", CONNECTIONS, "-j", "2", "-h", &server.socket])
        .args(["-U", "postgres", "-T", &seconds.to_string(), "-f"])
        .arg(file.path())
        .arg(DATABASE)
        .output()
        .expect("pgbench runs: it comes with PostgreSQL's server programs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let figure = line.and_then(|line| line.split(' ').next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("pgbench says no calls per second: {said}"))
}

/// A daemon that serves, until it is dropped.
struct Daemon {
    child: Child,
    address: SocketAddr,
    token: String,
    _directory: tempfile::TempDir,
}

impl Daemon {
    async fn start(server: &Server) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("periodd.toml");
        let mut text = format!(
            "[database]\nurl = \"{}\"\n[daemon]\nstate_dir = \"{}\"\n[http]\nenabled = true\n\
             listen = \"127.0.0.1:17790\"\nconnections = {CONNECTIONS}\n\
             requests_per_second = 1000000\n[log]\nlevel = \"warn\"\n",
            server.url(DATABASE),
            directory.path().display()
        );
        for job in ["rollover", "sync", "audit", "alerts", "deliver", "retention"] {
            let _ = write!(text, "[schedule.{job}]\nenabled = false\n");
        }
        std::fs::write(&config, text).expect("written");
        let periodd = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
            command.arg("--config").arg(&config);
            command
        };
        let scopes = ["--scope", "read", "--scope", "record"];
        let added = periodd().args(["tokens", "add", "bench"]).args(scopes).output();
        let added = added.expect("the binary runs");
        let token = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        let child = periodd().arg("run").stdout(Stdio::null()).spawn().expect("it starts");
        let address: SocketAddr = "127.0.0.1:17790".parse().expect("an address");
        let began = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "the daemon does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { child, address, token, _directory: directory }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client asks: method, path and body.
type Ask = fn(u64) -> (&'static str, String, String);

/// Calls per second, and the 99th percentile of a call in milliseconds.
struct Measured {
    per_second: f64,
    p99: f64,
}

/// Calls by clients that each wait for an answer before they ask again.
async fn call(
    daemon: &Daemon,
    seconds: u64,
    request: impl Fn(u64) -> (&'static str, String, String) + Clone + Send + 'static,
) -> Measured {
    let until = Instant::now() + Duration::from_secs(seconds);
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (address, token, request) = (daemon.address, daemon.token.clone(), request.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let (mut took, mut buffer, mut number) = (Vec::new(), vec![0; 256 * 1024], client);
            while Instant::now() < until {
                // A walk over all orgs that looks random.
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(client + 1);
                let (method, path, body) = request(number >> 20);
                let length = body.len();
                let text = format!(
                    "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\
                     \r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let began = Instant::now();
                stream.write_all(text.as_bytes()).await.expect("sent");
                read(&mut stream, &mut buffer).await;
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    let elapsed = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100].as_secs_f64() * 1000.0;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    Measured { per_second: took.len() as f64 / elapsed, p99 }
}

/// Reads one answer, which must be a success.
async fn read(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(count > 0, "the server closed");
        filled += count;
        let Some(head) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
        if filled >= head + 4 + length {
            return;
        }
    }
}

fn check(number: u64) -> (&'static str, String, String) {
    let org = number % ORGS + 1;
    ("GET", format!("/api/v1/usage/org-{org}/check/scrapes"), String::new())
}

fn limits(number: u64) -> (&'static str, String, String) {
    let org = number % ORGS + 1;
    ("GET", format!("/api/v1/usage/org-{org}/limits?feature=scrapes"), String::new())
}

fn increment(number: u64) -> (&'static str, String, String) {
    let org = number % ORGS + 1;
    ("POST", format!("/api/v1/usage/org-{org}/increment"), "{\"feature\":\"scrapes\"}".to_owned())
}

fn events(number: u64) -> (&'static str, String, String) {
    let events: Vec<String> = (0..BATCH)
        .map(|event| {
            let org = number.wrapping_add(event * 7919) % ORGS + 1;
            format!(
                "{{\"org\":\"org-{org}\",\"feature\":\"sms_sent\",\"quantity\":1,\
                 \"key\":\"{number}-{event}\"}}"
            )
        })
        .collect();
    ("POST", "/api/v1/usage/events".to_owned(), format!("[{}]", events.join(",")))
}

/// The same rows by one statement, and one count: events per second.
async fn plain_events(server: &Server, seconds: u64) -> f64 {
    let (began, mut events) = (Instant::now(), 0);
    let until = began + Duration::from_secs(seconds);
    let mut connection = server.connect(DATABASE).await;
    let statement = format!(
        "with new as (
             insert into usage_metrics (organization_id, metric_type, metric_value, counted_at,
                                        idempotency_key)
             select o.id, 'sms_sent', 1, now(), gen_random_uuid()
             from generate_series(1, {BATCH}) n
             join organizations o on o.slug = 'org-' || (1 + floor(random() * {ORGS}))::int
             returning organization_id, metric_value)
         insert into usage_counters as c (org_id, feature, period_start, period_end, used)
         select o.id, 'sms_sent', o.current_period_start, o.current_period_end, s.used
         from (select organization_id, sum(metric_value) as used from new group by 1) s
         join organizations o on o.id = s.organization_id
         order by o.id
         on conflict (org_id, period_start, feature) do update set used = c.used + excluded.used"
    );
    while Instant::now() < until {
        let statement = sqlx::AssertSqlSafe(statement.clone());
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("inserted");
        events += BATCH;
    }
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = events as f64 / began.elapsed().as_secs_f64();
    per_second
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let (seconds, turns) = (setting("PERIODD_BENCH_SECONDS", 5), setting("PERIODD_BENCH_TURNS", 5));
    let server = Server::new();
    eprintln!("seeding {ORGS} orgs");
    let seed = include_str!("../support/users.sql").replace(":users", &ORGS.to_string());
    server.seed(DATABASE, &seed).await;
    let daemon = Daemon::start(&server).await;
    let mut slow = false;
    println!("| over HTTP, {CLIENTS} clients | baseline/s | calls/s | ratio | p99 |");
    println!("|---|---:|---:|---:|---:|");
    let works: [(&str, &str, Ask); 3] = [
        ("check", include_str!("check.sql"), check),
        ("limits", include_str!("check.sql"), limits),
        ("increment", include_str!("increment.sql"), increment),
    ];
    for (what, script, request) in works {
        let (mut ratios, mut bases, mut calls, mut p99s) = (vec![], vec![], vec![], vec![]);
        for _ in 0..turns {
            let base = pgbench(&server, script, seconds);
            let measured = call(&daemon, seconds, request).await;
            eprintln!("{what}: {:.0} calls/s against {base:.0}", measured.per_second);
            ratios.push(measured.per_second / base);
            bases.push(base);
            calls.push(measured.per_second);
            p99s.push(measured.p99);
        }
        let ratio = median(ratios);
        println!(
            "| {what} | {:.0} | {:.0} | {ratio:.2} | {:.1} ms |",
            median(bases),
            median(calls),
            median(p99s)
        );
        slow |= ratio < ENOUGH;
    }
    let (mut ratios, mut bases, mut calls) = (vec![], vec![], vec![]);
    for _ in 0..turns {
        let base = plain_events(&server, seconds).await;
        let measured = call(&daemon, seconds, events).await;
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let events = measured.per_second * BATCH as f64;
        eprintln!("events: {events:.0}/s against {base:.0}");
        ratios.push(events / base);
        bases.push(base);
        calls.push(events);
    }
    let ratio = median(ratios);
    println!("| events by {BATCH} | {:.0} | {:.0} | {ratio:.2} | |", median(bases), median(calls));
    slow |= ratio < ENOUGH_EVENTS;
    drop(daemon);
    if slow {
        eprintln!("the API must reach {ENOUGH} of pgbench's calls, events {ENOUGH_EVENTS}");
        std::process::exit(1);
    }
}
