//! The daemon: what `periodd run` is made of.
//!
//! One loop decides what runs ([`scheduler`]), each run has a task of its own ([`run`]), a second
//! loop prolongs the leases of what runs, and both beat for the watchdog (`heartbeat`). Nothing
//! that speaks to the database is ever dropped on its way: it runs in a task of its own to its end,
//! and whoever loses patience leaves the task alone.
//!
//! Never: READY before database, schema and schedules are; an occurrence that runs twice or
//! vanishes; a drain without an end.

mod database_health;
mod heartbeat;
mod http;
mod instance;
mod maintenance;
pub mod notify;
mod repeats;
pub mod run;
pub mod scheduler;
mod scheduler_setup;
mod service;
mod signals;
mod status;
mod tick;
pub mod time;
pub mod work;

pub use service::{Options, run_until_stopped};
pub use signals::Shutdown;

use crate::config::ConfigError;
use crate::store::StoreError;
use notify::NotifyError;

/// Why the daemon cannot start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error("{0}")]
    Configuration(ConfigError),
    /// The private cluster.
    #[error("{0}")]
    Unavailable(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service manager.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// Something of the system's.
    #[error("{0}")]
    Failed(String),
}
