//! What a connection travels over: one socket to the server, watched.
//!
//! The driver sets no keepalive and waits for an answer for ever. So it speaks to a socket of this
//! process, and a task carries its bytes to the server and back. That task closes both ends when a
//! connection in use has been silent for too long, or when its run is given up: whoever waits for
//! an answer then gets an error, and nothing that speaks to the database is dropped on its way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::select_ok;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How much is carried at once, in bytes.
const CHUNK: usize = 32 * 1024;
/// A server that says nothing for this long is asked whether it is there …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// … so often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … until so many questions had no answer.
const KEEPALIVE_COUNT: u32 = 3;
/// How long what was sent may stay without the other machine's receipt.
const RECEIPT: Duration = Duration::from_mins(1);
/// How long a farewell may take to reach the server.
const FAREWELL: Duration = Duration::from_secs(2);

/// The wire of one connection.
#[derive(Debug)]
pub(in crate::store) struct Wire {
    state: Arc<State>,
    carrying: JoinHandle<()>,
}

/// Closes a wire from elsewhere.
#[derive(Clone, Debug)]
pub(in crate::store) struct Cutter(Arc<State>);

#[derive(Debug)]
struct State {
    opened: Instant,
    /// When something was last heard or said, in milliseconds since the wire was opened.
    last_ms: AtomicU64,
    /// Does somebody use the connection?
    is_used: AtomicBool,
    is_cut: AtomicBool,
    cut: Notify,
}

impl State {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            last_ms: AtomicU64::new(0),
            is_used: AtomicBool::new(true),
            is_cut: AtomicBool::new(false),
            cut: Notify::new(),
        }
    }

    fn touch(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(since, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(last)
    }

    /// Ends when the connection has been in use and silent for `bound`.
    async fn too_silent(&self, bound: Duration) {
        loop {
            let silence = self.silence();
            let is_used = self.is_used.load(Ordering::Acquire);
            if is_used && silence >= bound {
                let silent_secs = silence.as_secs();
                tracing::warn!(
                    silent_secs,
                    "the database does not answer on this connection; closing it"
                );
                return;
            }
            // Whoever takes an idle one counts from then on, and this wakes before the time is up.
            sleep(if is_used { bound.saturating_sub(silence) } else { bound }).await;
        }
    }

    /// Ends when the wire is to be cut.
    async fn cut(&self) {
        loop {
            let cut = self.cut.notified();
            if self.is_cut.load(Ordering::Acquire) {
                return;
            }
            cut.await;
        }
    }
}

impl Cutter {
    /// Closes both ends. The server rolls back what is under way.
    pub(in crate::store) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.cut.notify_one();
    }
}

impl Wire {
    /// Somebody uses the connection from now on, or nobody does.
    pub(in crate::store) fn set_used(&self, is_used: bool) {
        self.state.touch();
        self.state.is_used.store(is_used, Ordering::Release);
    }

    /// What closes it from elsewhere.
    pub(in crate::store) fn cutter(&self) -> Cutter {
        Cutter(Arc::clone(&self.state))
    }

    /// Has either end gone, or is about to?
    pub(in crate::store) fn is_over(&self) -> bool {
        self.carrying.is_finished() || self.state.is_cut.load(Ordering::Acquire)
    }

    /// Waits, with a bound, until what was said last has reached the server.
    pub(in crate::store) async fn ended(mut self) {
        // The connection is gone either way.
        let _ = timeout(FAREWELL, &mut self.carrying).await;
    }
}

/// Where a server listens.
enum Place<'a> {
    Directory(std::path::PathBuf),
    Host(&'a str),
}

fn place(options: &PgConnectOptions) -> Place<'_> {
    let host = options.get_host();
    let directory = options.get_socket().cloned();
    match directory.or_else(|| host.starts_with('/').then(|| host.into())) {
        Some(directory) => Place::Directory(directory),
        None => Place::Host(host),
    }
}

enum Server {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn reach(options: &PgConnectOptions) -> io::Result<Server> {
    let port = options.get_port();
    match place(options) {
        Place::Directory(directory) => {
            let socket = directory.join(format!(".s.PGSQL.{port}"));
            Ok(Server::Unix(UnixStream::connect(socket).await?))
        }
        Place::Host(host) => {
            let stream = TcpStream::connect((host, port)).await?;
            watch_over(&stream)?;
            Ok(Server::Tcp(stream))
        }
    }
}

/// Does anybody listen at one of these? All are asked at once, so that none that is silent keeps
/// the others from being heard.
///
/// # Errors
/// [`io::Error`] when nobody does, also within `patience`.
pub(in crate::store) async fn knock<'a>(
    hosts: impl Iterator<Item = &'a PgConnectOptions>,
    patience: Duration,
) -> io::Result<()> {
    let asked = hosts.map(|options| Box::pin(reach(options)));
    let reached = timeout(patience, select_ok(asked)).await;
    reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(drop)
}

/// Has the kernel notice a machine that vanished.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, u32::try_from(RECEIPT.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

/// Connects over a wire that is closed when it has been in use and silent for `bound`.
///
/// # Errors
/// [`sqlx::Error`] when nobody answers, or the server refuses.
pub(in crate::store) async fn connect(
    options: &PgConnectOptions,
    bound: Duration,
) -> Result<(PgConnection, Wire), sqlx::Error> {
    let server = reach(options).await?;
    let name = format!("periodd-{}", uuid::Uuid::new_v4().simple());
    let listener = listen(&format!("{name}/.s.PGSQL.{}", options.get_port()))?;
    let state = Arc::new(State::new());
    let carrying = {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let Ok(client) = accept(&listener).await else { return };
            drop(listener);
            match server {
                Server::Tcp(server) => {
                    let (from, to) = server.into_split();
                    carry(client, from, to, &state, bound).await;
                }
                Server::Unix(server) => {
                    let (from, to) = server.into_split();
                    carry(client, from, to, &state, bound).await;
                }
            }
        })
    };
    let wire = Wire { state, carrying };
    // The driver verifies the server's certificate by the host, whatever it is reached over.
    match options.clone().socket(format!("\0{name}")).connect().await {
        Ok(connection) => Ok((connection, wire)),
        Err(error) => {
            wire.carrying.abort();
            Err(error)
        }
    }
}

/// A socket without a file.
fn listen(name: &str) -> io::Result<UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The driver of this process; nobody else gets through to the server by it.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let own = i32::try_from(std::process::id()).ok();
    loop {
        let (client, _) = listener.accept().await?;
        if client.peer_cred()?.pid() == own {
            return Ok(client);
        }
    }
}

/// Carries bytes to and fro until one side leaves, or the wire is cut.
async fn carry(
    client: UnixStream,
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    state: &State,
    bound: Duration,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let there = async {
        if pass(&mut from_client, &mut to_server, state).await.is_err() {
            // The server may have said why it left: what comes from there ends the wire.
            std::future::pending::<()>().await;
        }
    };
    let back = pass(&mut from_server, &mut to_client, state);
    tokio::select! {
        () = there => {}
        _ = back => {}
        () = state.too_silent(bound) => {}
        () = state.cut() => {}
    }
}

/// Passes on what comes until its end. An error is one of the side that is written to.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    state: &State,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length) = from.read(&mut chunk).await {
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        state.touch();
        to.write_all(bytes).await?;
        state.touch();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;

    use super::*;

    #[tokio::test]
    async fn the_kernel_notices_when_the_other_machine_has_vanished() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
        let Server::Tcp(stream) = reach(&options).await.unwrap() else { panic!("over TCP") };
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE_IDLE);
        assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), KEEPALIVE_COUNT);
        #[cfg(target_os = "linux")]
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&stream).unwrap()), RECEIPT.as_millis());
    }

    #[tokio::test]
    async fn a_silent_host_keeps_no_other_from_being_heard() {
        // Its queue is full: whoever knocks is not answered.
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        rustix::net::listen(&silent, 0).unwrap();
        let _queued = std::net::TcpStream::connect(silent.local_addr().unwrap()).unwrap();
        let live = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = |listener: &std::net::TcpListener| {
            let port = listener.local_addr().unwrap().port();
            PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port)
        };
        let patience = Duration::from_secs(2);
        let hosts = [host(&silent), host(&silent)];
        let unheard = knock(hosts.iter(), patience).await.unwrap_err();
        assert_eq!(unheard.kind(), io::ErrorKind::TimedOut);
        let hosts = [host(&silent), host(&silent), host(&live)];
        knock(hosts.iter(), patience).await.unwrap();
    }
}
