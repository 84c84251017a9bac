//! What every request works with.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, watch};

use super::access::Access;
use super::metrics::Metrics;
use super::pages::{Kept, Overview, Sampled};
use super::problem::Problem;
use super::pulse::Pulse;
use super::seen::Seen;
use super::streams::Streams;
use super::syncs::Syncs;
use super::together::Together;
use super::turns::Turns;
use crate::billing::Instant;
use crate::config::Config;
use crate::config::http::Http;
use crate::store::{Database, server_now};
use crate::tz::TzData;

/// What the server is given by the process that it is a part of.
pub struct Surroundings {
    /// A pool of its own.
    pub database: Database,
    /// The configuration in force.
    pub config: Box<dyn Fn() -> Arc<Config> + Send + Sync>,
    /// The newest tz database.
    pub tz: Box<dyn Fn() -> TzData + Send + Sync>,
    /// Do the loops of the process still turn?
    pub is_alive: Box<dyn Fn() -> bool + Send + Sync>,
    /// Why the process is not ready to work; empty: it is.
    pub not_ready: Box<dyn Fn() -> Vec<&'static str> + Send + Sync>,
    /// This process, as the ledger of runs names it.
    pub replica: String,
    /// Business time, where it is not the database's clock.
    pub at: Option<Instant>,
}

/// What every request works with.
pub(super) struct Shared {
    pub(super) around: Surroundings,
    /// As at the start: a reload does not move a server.
    pub(super) settings: Http,
    pub(super) access: Access,
    pub(super) together: Arc<Together>,
    /// Held while an action of the dashboard is at work: one at a time.
    pub(super) acting: Arc<Mutex<()>>,
    /// Syncs that were forced.
    pub(super) syncs: Syncs,
    /// What readiness has seen of the database.
    pub(super) seen: Seen,
    /// Requests that are at work.
    pub(super) requests: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    /// Streams that are open, and who feeds them.
    pub(super) streams: Arc<Streams>,
    /// What pages show of all orgs.
    pub(super) overview: Kept<Overview>,
    /// Whether anything ran since, for pages of all orgs.
    pub(super) pulse: Pulse,
    /// What a page shows of a sample of orgs.
    pub(super) sampled: Kept<Sampled>,
    /// Turns at the database.
    pub(super) turns: Arc<Turns>,
    /// Where it listens.
    pub(super) address: Option<SocketAddr>,
    /// Set when the drain begins: streams end then, and it is not ready any more.
    pub(super) draining: watch::Sender<bool>,
}

impl Shared {
    /// Business time: the database's clock, unless another time was asked for.
    ///
    /// # Errors
    /// [`Code::Overloaded`](super::problem::Code), [`Code::Unavailable`](super::problem::Code).
    pub(super) async fn now(&self) -> Result<Instant, Problem> {
        match self.around.at {
            Some(at) => Ok(at),
            None => Ok(server_now(&mut *self.turns.take().await?).await?),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}
