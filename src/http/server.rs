//! The server: its start and its drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::access::Access;
use super::listen::{self, Listeners, Open};
use super::metrics::Metrics;
use super::pages::Kept;
use super::reading;
use super::routes;
use super::seen::Seen;
use super::shared::{Shared, Surroundings};
use super::streams::Streams;
use super::syncs::Syncs;
use super::together::Together;
use super::turns::Turns;
use crate::config::http::Http;
use crate::store::Bounds;

/// The longest that a statement for a request may take.
const STATEMENT: Duration = Duration::from_secs(5);
/// What is read of a sample of orgs is shown for so long.
const SAMPLED: Duration = Duration::from_mins(1);
/// A connection is looked at once in so long: each request has a task of its own, and so drops no
/// call on its way.
const FRESH: Duration = Duration::from_secs(1);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A port or a socket that cannot be listened on.
    #[error("{0}")]
    Listen(String),
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
    /// [`ServerError::Listen`] for a port or socket that is taken.
    pub async fn bind(settings: &Http, around: Surroundings) -> Result<Self, ServerError> {
        let listeners = listen::bind(settings).await.map_err(ServerError::Listen)?;
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX >> 3);
        let turns = Arc::new(Turns::new(around.database.clone(), settings.connections));
        let metrics = Metrics::new();
        let shared = Shared {
            syncs: Syncs::default(),
            seen: Seen::default(),
            overview: Kept::default(),
            sampled: Kept::within(SAMPLED),
            access: Access::new(settings.requests_per_second),
            together: Arc::new(Together::new(Arc::clone(&turns), settings.connections)),
            requests: Arc::new(Semaphore::new(count(settings.max_requests))),
            streams: Arc::new(Streams::new(count(settings.max_streams), metrics.streams.clone())),
            metrics,
            turns,
            address: listeners.address,
            draining: watch::Sender::new(false),
            settings: settings.clone(),
            around,
        };
        Ok(Self { shared: Arc::new(shared), listeners })
    }

    /// The address of its port, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listeners.address
    }

    /// Begins to answer.
    pub fn start(self) -> Running {
        let Self { shared, listeners } = self;
        let router = routes::router(&shared);
        reading::keep(&shared);
        let (stop, stopped) = watch::channel(false);
        let open = Arc::new(Open::default());
        let accepting = listeners.accept(&shared, &router, &stopped, &open);
        Running { shared, stop, accepting, open }
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
