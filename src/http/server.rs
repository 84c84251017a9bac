//! The server: its start and its drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::access::Access;
use super::listen::{self, ListenError, Listeners, Open};
use super::metrics::Metrics;
use super::own_door::OwnDoor;
use super::pages::Kept;
use super::pulse::Pulse;
use super::reading;
use super::routes;
use super::seen::Seen;
use super::shared::{Shared, Surroundings};
use super::streams::Streams;
use super::syncs::Syncs;
use super::together::Together;
use super::turns::Turns;
use crate::config::http::{Http, Listen};
use crate::store::tokens::secret::Secret;
use crate::store::{Bounds, StoreError};

/// The longest that a statement for a request may take.
const STATEMENT: Duration = Duration::from_secs(5);
/// What is read of a sample of orgs is shown for so long.
const SAMPLED: Duration = Duration::from_mins(1);
/// A connection is looked at once in so long: each request has a task of its own, and so drops no
/// call on its way.
const FRESH: Duration = Duration::from_secs(1);

/// Turns at the database of a server that reads: a page takes one.
const READERS: u32 = 2;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A port or a socket that cannot be listened on.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The database does not say what time it is.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A session that no header can hold.
    #[error("a session cannot be written as a cookie")]
    Cookie,
    /// The system has no randomness for a link.
    #[error("the system has no randomness for a link: {0}")]
    Random(#[from] getrandom::Error),
}

/// A server that listens, and does not answer yet.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Listeners,
}

impl Server {
    /// How long things may take on the connections of the pool that it is given.
    pub fn bounds() -> Bounds {
        Bounds { fresh: FRESH, ..Bounds::of(STATEMENT) }
    }

    /// Listens where the configuration says.
    ///
    /// # Errors
    /// [`ServerError`] for a port or socket that is taken.
    pub async fn bind(settings: &Http, around: Surroundings) -> Result<Self, ServerError> {
        let listeners = listen::bind(settings).await?;
        let access = Access::new(settings.requests_per_second);
        let shared = shared(settings, around, access, listeners.address);
        Ok(Self { shared, listeners })
    }

    /// Listens on an address, as a server that writes nothing and has the pages alone. The secret
    /// is of the link that logs in, once.
    ///
    /// # Errors
    /// [`ServerError`] for a port that is taken; as every read.
    pub async fn that_reads(
        listen: SocketAddr,
        around: Surroundings,
    ) -> Result<(Self, Secret), ServerError> {
        let settings = settings_to_read(&(around.config)().http, Some(listen));
        let listeners = listen::bind(&settings).await?;
        let link = Secret::random()?;
        let door = OwnDoor::of(link.digest(), around.database.now().await?);
        let access = Access::new(settings.requests_per_second).through(door);
        let shared = shared(&settings, around, access, listeners.address);
        Ok((Self { shared, listeners }, link))
    }

    /// The address of its port, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listeners.address
    }

    /// Begins to answer.
    pub fn start(self) -> Running {
        let Self { shared, listeners } = self;
        let router = routes::router(&shared);
        // Metrics are for a server that has them.
        if shared.access.own().is_none() {
            reading::keep(&shared);
        }
        let (stop, stopped) = watch::channel(false);
        let open = Arc::new(Open::default());
        let accepting = listeners.accept(&shared, &router, &stopped, &open);
        Running { shared, stop, accepting, open }
    }
}

/// Everything that requests share.
pub(super) fn shared(
    settings: &Http,
    around: Surroundings,
    access: Access,
    address: Option<SocketAddr>,
) -> Arc<Shared> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX >> 3);
    let turns = Arc::new(Turns::new(around.database.clone(), settings.connections));
    let metrics = Metrics::new();
    Arc::new(Shared {
        acting: Arc::default(),
        syncs: Syncs::default(),
        seen: Seen::default(),
        overview: Kept::default(),
        pulse: Pulse::default(),
        sampled: Kept::within(SAMPLED),
        access,
        together: Arc::new(Together::new(Arc::clone(&turns))),
        requests: Arc::new(Semaphore::new(count(settings.max_requests))),
        streams: Arc::new(Streams::new(count(settings.max_streams), metrics.streams.clone())),
        metrics,
        turns,
        address,
        draining: watch::Sender::new(false),
        settings: settings.clone(),
        around,
    })
}

/// The settings of a server that reads: of the configured ones, those that bound it.
pub(super) fn settings_to_read(configured: &Http, listen: Option<SocketAddr>) -> Http {
    Http {
        dashboard: true,
        listen: Listen(listen),
        socket: None,
        public_url: None,
        hosts: Vec::new(),
        trusted_proxies: Vec::new(),
        allowed_origins: Vec::new(),
        connections: READERS,
        ..configured.clone()
    }
}

/// A server that answers.
pub struct Running {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
    open: Arc<Open>,
}

impl Running {
    /// The address of its port, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared.address
    }

    /// Its address and its socket, as people write them.
    pub fn listening(&self) -> Vec<String> {
        let address = self.shared.address.map(|address| address.to_string());
        let socket = self.shared.settings.socket.as_ref().map(|path| path.display().to_string());
        address.into_iter().chain(socket).collect()
    }

    /// Is not ready any more, accepts nothing any more, and ends when every request has. Whoever
    /// has no patience drops this: what is at work at the database goes on to its end.
    pub async fn drain(mut self) {
        self.shared.draining.send_replace(true);
        self.stop.send_replace(true);
        for task in self.accepting.drain(..) {
            // It ends at once; a panic there ended it before.
            let _ended = task.await;
        }
        self.open.wait_for_none().await;
        // Of clients that hung up: their work goes on to its end.
        let all = self.shared.settings.max_requests;
        let _all = self.shared.requests.acquire_many(all).await;
        self.shared.around.database.close().await;
    }
}
