//! The daemon: what `periodd run` is made of.
//!
//! One loop decides what runs ([`scheduler`]), each run has a task of its own ([`run`]), a second
//! loop prolongs the leases of what runs, and both beat for the watchdog (`pulse`). Nothing that
//! speaks to the database is ever dropped on its way: it runs in a task of its own to its end, and
//! whoever loses patience leaves the task alone.

mod event;
mod home;
pub mod notify;
mod outage;
mod pulse;
pub mod run;
pub mod scheduler;
mod service;
mod setting;
mod signals;
mod status;
mod tick;
pub mod time;
mod upkeep;
pub mod work;

pub use home::cluster_settings;
pub use service::{Leave, Options, run_until_stopped};
pub use setting::scheduled;

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

/// This process, for people who read the ledger: host and process id.
#[must_use]
pub fn replica() -> String {
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), std::process::id())
}
