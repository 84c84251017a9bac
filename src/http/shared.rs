//! What every request works with.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::access::Access;
use super::metrics::Metrics;
use super::pages::{Kept, Overview, Sampled};
use super::seen::Seen;
use super::streams::Streams;
use super::syncs::Syncs;
use super::together::Together;
use super::turns::Turns;
use crate::config::Config;
use crate::config::http::Http;
use crate::store::Database;
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
}

/// What every request works with.
pub(super) struct Shared {
    pub(super) around: Surroundings,
    /// As at the start: a reload does not move a server.
    pub(super) settings: Http,
    pub(super) access: Access,
    pub(super) together: Arc<Together>,
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
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}
