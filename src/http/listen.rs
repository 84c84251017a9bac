//! Listening, accepting, and the connections: each with a bound on what a slow client can hold.
//!
//! axum's own `serve` starts no timer and bounds no connections, so the loop is ours.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceExt;

use super::shared::Shared;
use crate::config::http::Http;

/// Between two attempts to accept when the process has no descriptor to spare.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Clients that wait for a place. The usual 128 are fewer than places: of those beyond, the system
/// drops the first packets, and who tries least often comes last.
const QUEUE: u32 = 4_096;
/// Who may use the socket: its owner, and the group.
const SOCKET_MODE: u32 = 0o660;
/// Between two looks whether a client takes too long for its headers.
const LOOK: Duration = Duration::from_secs(1);
/// The same while a request is at work.
const LOOK_AT_WORK: Duration = Duration::from_secs(10);

/// A client that reads nothing for so long is let go: what waits for it would be kept for ever.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Where a request came from; `None`: the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

/// What is listened on.
pub(super) struct Listeners {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
    pub(super) address: Option<SocketAddr>,
}

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A port that is taken, or not this user's to take.
    #[error("[http] listen: {address} cannot be listened on: {error}; choose another port")]
    Port { address: SocketAddr, error: io::Error },
    /// The same of a socket.
    #[error("[http] socket: {} cannot be listened on: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    /// A listener that does not say where it listens.
    #[error("[http] listen: {0}")]
    Address(io::Error),
}

/// Listens.
///
/// # Errors
/// [`ListenError`] for a port or socket that is taken.
pub(super) async fn bind(settings: &Http) -> Result<Listeners, ListenError> {
    let tcp = match settings.listen.0 {
        None => None,
        Some(address) => {
            Some(bind_port(address).map_err(|error| ListenError::Port { address, error })?)
        }
    };
    let address = tcp.as_ref().map(TcpListener::local_addr).transpose();
    let address = address.map_err(ListenError::Address)?;
    let unix = match &settings.socket {
        None => None,
        Some(path) => Some(
            bind_socket(path)
                .await
                .map_err(|error| ListenError::Socket { path: path.clone(), error })?,
        ),
    };
    Ok(Listeners { tcp, unix, address })
}

/// Listens on a port.
fn bind_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Listens on a socket. That of a process that is gone is replaced; nothing else is.
async fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("a file that is not a socket is there"));
        }
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => return Err(io::Error::other("another process listens there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            Err(error) => return Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

impl Listeners {
    /// Accepts until told to stop.
    pub(super) fn accept(
        self,
        shared: &Arc<Shared>,
        router: &Router,
        stopped: &watch::Receiver<bool>,
        open: &Arc<Open>,
    ) -> Vec<JoinHandle<()>> {
        let most = usize::try_from(shared.settings.max_clients).unwrap_or(usize::MAX >> 3);
        let acceptor = Acceptor {
            settings: shared.settings.clone(),
            slow_readers: shared.metrics.slow_readers.clone(),
            router: router.clone(),
            stopped: stopped.clone(),
            open: Arc::clone(open),
            clients: Arc::new(Semaphore::new(most)),
        };
        let mut tasks = Vec::new();
        if let Some(listener) = self.tcp {
            let acceptor = acceptor.clone();
            tasks.push(tokio::spawn(acceptor.run(listener)));
        }
        if let Some(listener) = self.unix {
            tasks.push(tokio::spawn(acceptor.run(listener)));
        }
        tasks
    }
}

/// What can be listened on.
trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next client.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = self.accept().await?;
        // Answers are small and whole: nothing is gained by holding them back.
        stream.set_nodelay(true)?;
        Ok((stream, Peer(Some(peer))))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.accept().await?.0, Peer(None)))
    }
}

#[derive(Clone)]
struct Acceptor {
    settings: Http,
    slow_readers: Counter,
    router: Router,
    stopped: watch::Receiver<bool>,
    open: Arc<Open>,
    clients: Arc<Semaphore>,
}

impl Acceptor {
    async fn run(mut self, listener: impl Listener) {
        let mut stopped = self.stopped.clone();
        loop {
            let next = async {
                // Who comes when all places are taken waits in the listener's queue.
                let place = Arc::clone(&self.clients).acquire_owned().await.ok()?;
                Some((place, listener.next().await))
            };
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                accepted = next => accepted,
            };
            match accepted {
                None => return,
                Some((place, Ok((stream, peer)))) => self.serve(stream, peer, place),
                // A client that went away, or no descriptor left: others may do better.
                Some((_, Err(error))) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn serve<S>(&mut self, stream: S, peer: Peer, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let head = Arc::new(Head::default());
        let stream = TokioIo::new(Watched { stream, head: Arc::clone(&head) });
        let (router, at_work) = (self.router.clone(), Arc::clone(&head));
        let kept = Kept { _place: Arc::new((self.open.enter(), place)) };
        let of_upgrades = kept.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let (router, at_work) = (router.clone(), Arc::clone(&at_work));
            at_work.is_read();
            request.extensions_mut().insert(peer);
            if request.headers().contains_key(header::UPGRADE) {
                request.extensions_mut().insert(of_upgrades.clone());
            }
            async move {
                let answer = router.oneshot(request.map(Body::new)).await;
                at_work.may_come();
                answer
            }
        });
        let settings = &self.settings;
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // hyper's timer runs while a connection is idle, too; a begun head has its own bound.
            .header_read_timeout(settings.keep_alive.0.max(settings.header_timeout.0))
            .max_buf_size(count(settings.header_bytes))
            .max_headers(count(settings.headers))
            .serve_connection(stream, service)
            .with_upgrades();
        let mut stopped = self.stopped.clone();
        let header_timeout = settings.header_timeout.0;
        let slow_readers = self.slow_readers.clone();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let mut is_stopping = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection ended early");
                        }
                        break;
                    }
                    _ = stopped.wait_for(|stopped| *stopped), if !is_stopping => {
                        is_stopping = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    overdue = head.is_overdue(header_timeout) => {
                        if overdue == Overdue::Reader {
                            slow_readers.inc();
                        }
                        break;
                    }
                }
            }
            drop(kept);
        });
    }
}

/// The connections that are open.
#[derive(Default)]
pub(super) struct Open {
    count: AtomicUsize,
    changed: Notify,
}

impl Open {
    /// One more, until the guard is dropped.
    fn enter(self: &Arc<Self>) -> Entered {
        self.count.fetch_add(1, Ordering::Relaxed);
        Entered(Arc::clone(self))
    }

    /// Ends when none is open.
    pub(super) async fn wait_for_none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// A connection's place among those that are open, kept until everybody has dropped it: what
/// became of the connection may outlive its requests.
#[derive(Clone)]
pub(super) struct Kept {
    _place: Arc<(Entered, OwnedSemaphorePermit)>,
}

/// An open connection.
struct Entered(Arc<Open>);

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

/// What a client takes too long for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Overdue {
    /// Its head.
    Head,
    /// Reading.
    Reader,
}

/// How far the head of the next request is: it has its own bound, counted from its first byte. And
/// for how long nothing could be written.
#[derive(Default)]
struct Head {
    /// Milliseconds since `START` at which the first byte came; 0: none has, or it is read.
    began: AtomicU64,
    /// A request is at work: what is read belongs to its body, or waits behind it.
    at_work: AtomicBool,
    /// Milliseconds since `START` from which on nothing could be written; 0: something could.
    stalled: AtomicU64,
}

impl Head {
    fn now() -> u64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn bytes_came(&self) {
        if !self.at_work.load(Ordering::Relaxed) {
            // The first byte alone counts.
            let _ =
                self.began.compare_exchange(0, Self::now(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn is_read(&self) {
        self.at_work.store(true, Ordering::Relaxed);
        self.began.store(0, Ordering::Relaxed);
    }

    fn may_come(&self) {
        self.at_work.store(false, Ordering::Relaxed);
    }

    fn wrote(&self, could: bool) {
        if could {
            self.stalled.store(0, Ordering::Relaxed);
        } else {
            // The first time alone counts.
            let now = Self::now();
            let _ = self.stalled.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Ends when a head that has begun is not whole after so long, or nothing was read.
    async fn is_overdue(&self, bound: Duration) -> Overdue {
        let is_over = |since: &AtomicU64, bound: Duration| {
            let since = since.load(Ordering::Relaxed);
            let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
            since > 0 && Self::now().saturating_sub(since) >= bound
        };
        loop {
            // Amid a long answer no head begins.
            let is_at_work = self.at_work.load(Ordering::Relaxed);
            tokio::time::sleep(if is_at_work { LOOK_AT_WORK } else { LOOK }).await;
            if is_over(&self.began, bound) {
                return Overdue::Head;
            }
            if is_over(&self.stalled, WRITE_WITHIN) {
                return Overdue::Reader;
            }
        }
    }
}

/// A stream that notes when bytes come, and when they cannot go.
struct Watched<S> {
    stream: S,
    head: Arc<Head>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.head.bytes_came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.head.wrote(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.head.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
