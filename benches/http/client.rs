//! Clients of the API, each with a connection that stays open.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::asks::Ask;
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

/// Keeps the API as busy as its clients can, until it is dropped.
pub(crate) struct Load(JoinSet<()>);

impl Load {
    pub(crate) async fn of(daemon: &Daemon, of: Questions) -> Self {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let connection = Connection::open(daemon).await;
            let until = Instant::now() + Duration::from_hours(1);
            clients.spawn(async move {
                use_up(connection, client, of, Instant::now(), None, until).await;
            });
        }
        Self(clients)
    }

    /// Stops it; a client that failed has measured nothing.
    pub(crate) async fn stop(mut self) {
        if let Some(ended) = self.0.try_join_next() {
            ended.expect("a client");
        }
        self.0.shutdown().await;
    }
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(daemon: &Daemon) -> Self {
        let stream = TcpStream::connect(daemon.address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, token: daemon.token.clone(), buffer: vec![0; 256 * 1024] }
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
