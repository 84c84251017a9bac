//! Clients of the API, each with a connection that stays open.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::asks::{self, Ask};
use crate::support::daemon::Daemon;
use crate::support::figure::p99;
use crate::support::rate;

/// Clients at a time.
pub(crate) const CLIENTS: u32 = 32;

/// Calls per second, and the 99th percentile of a call in milliseconds.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p99: f64,
}

/// What is asked, of one of so many orgs.
#[derive(Clone, Copy)]
pub(crate) struct Questions {
    pub(crate) ask: Ask,
    pub(crate) orgs: u64,
}

/// Calls by so many clients that each wait for an answer before they ask again.
pub(crate) async fn call(daemon: &Daemon, clients: u32, seconds: u64, of: Questions) -> Measured {
    measure(daemon, clients, seconds, of, None).await
}

/// Calls that are due at a steady pace, and take from when they were due.
pub(crate) async fn call_at(
    daemon: &Daemon,
    seconds: u64,
    of: Questions,
    per_second: f64,
) -> Measured {
    let every = Duration::from_secs_f64(f64::from(CLIENTS) / per_second);
    measure(daemon, CLIENTS, seconds, of, Some(every)).await
}

async fn measure(
    daemon: &Daemon,
    count: u32,
    seconds: u64,
    of: Questions,
    every: Option<Duration>,
) -> Measured {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut clients = JoinSet::new();
    for client in 0..count {
        let connection = Connection::open(daemon).await;
        let first = began + every.unwrap_or_default() * client / count;
        clients.spawn(use_up(connection, client, of, first, every, until));
    }
    let took: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    let calls = u64::try_from(took.len()).unwrap_or(u64::MAX);
    Measured { per_second: rate(calls, began.elapsed()), p99: p99(took) }
}

async fn use_up(
    mut connection: Connection,
    client: u32,
    of: Questions,
    first: Instant,
    every: Option<Duration>,
    until: Instant,
) -> Vec<Duration> {
    let (mut took, mut number, mut due) = (Vec::new(), u64::from(client), first);
    loop {
        let began = if let Some(every) = every {
            tokio::time::sleep_until(due.into()).await;
            let next = due + every;
            std::mem::replace(&mut due, next)
        } else {
            Instant::now()
        };
        if began >= until {
            return took;
        }
        // A walk over all orgs that looks random.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(client) + 1);
        connection.ask((of.ask)(number >> 20, of.orgs)).await;
        took.push(began.elapsed());
    }
}

/// Names the address, where the load is this program once more.
const LOAD_ADDRESS: &str = "PERIODD_BENCH_LOAD_ADDRESS";
/// The token of that process.
const LOAD_TOKEN: &str = "PERIODD_BENCH_LOAD_TOKEN";
/// How many orgs it asks about.
const LOAD_ORGS: &str = "PERIODD_BENCH_LOAD_ORGS";

/// Keeps the API as busy as its clients can, asking for `limits`, until it is dropped. A process of
/// its own: beside what measures latencies it would be measured as well.
pub(crate) struct Load(Child);

impl Load {
    pub(crate) fn of(daemon: &Daemon, orgs: u64) -> Self {
        let ourselves = std::env::current_exe().expect("this program");
        let load = Command::new(ourselves)
            .arg("--bench")
            .env(LOAD_ADDRESS, daemon.address.to_string())
            .env(LOAD_TOKEN, &daemon.token)
            .env(LOAD_ORGS, orgs.to_string())
            .spawn();
        Self(load.expect("this program runs"))
    }

    /// Stops it; a client that failed has measured nothing.
    pub(crate) fn stop(mut self) {
        let ended = self.0.try_wait().expect("a process of ours");
        assert!(ended.is_none(), "the load ended by itself: {ended:?}");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What that process does. `None`: this one is another.
pub(crate) async fn load() -> Option<()> {
    let address = std::env::var(LOAD_ADDRESS).ok()?.parse().expect("an address");
    let token = std::env::var(LOAD_TOKEN).expect("a token");
    let orgs = std::env::var(LOAD_ORGS).expect("orgs").parse().expect("a number");
    let of = Questions { ask: asks::limits, orgs };
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let connection = Connection::to(address, token.clone()).await;
        let until = Instant::now() + Duration::from_hours(1);
        clients.spawn(use_up(connection, client, of, Instant::now(), None, until));
    }
    clients.join_all().await;
    Some(())
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(daemon: &Daemon) -> Self {
        Self::to(daemon.address, daemon.token.clone()).await
    }

    async fn to(address: SocketAddr, token: String) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, token, buffer: vec![0; 256 * 1024] }
    }

    /// Asks, and reads the answer, which must be a success.
    pub(crate) async fn ask(&mut self, (method, path, body): (&str, String, String)) {
        let (token, length) = (&self.token, body.len());
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(text.as_bytes()).await.expect("sent");
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await.expect("an answer");
            assert!(count > 0, "the server closed");
            filled += count;
            let bytes = &self.buffer[..filled];
            let Some(head) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&bytes[..head]).expect("a head");
            assert!(text.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(bytes));
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
            if filled >= head + 4 + length {
                return;
            }
        }
    }
}
