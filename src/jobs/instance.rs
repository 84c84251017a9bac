//! What a process of periodd is on this machine, for the daemon and for commands: the server of its
//! database, its name in the ledger, and the machine's clocks as witnesses.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::zones;
use crate::clock;
use crate::cluster::{Cluster, ClusterError, Settings};
use crate::config::{Config, ConfigError};
use crate::store::db::clock::Machine;
use crate::store::runs::daemons::Loaded;
use crate::store::{Database, StoreError, db::migrate};
use crate::tz::TzData;

/// Why the server of the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    Configuration(ConfigError),
    /// The private cluster cannot be started or stopped.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The server of the database.
#[derive(Debug)]
pub struct Server {
    /// How to connect; a secret.
    pub url: String,
    /// The private cluster, where no database is configured.
    pub cluster: Option<Cluster>,
}

impl Server {
    /// The configured server, or that of the private cluster, which is started if it does not run.
    pub async fn open(config: &Config) -> Result<Self, ServerError> {
        if let Some(url) = config.database_url().map_err(ServerError::Configuration)? {
            return Ok(Self { url: url.reveal().to_owned(), cluster: None });
        }
        let settings = cluster_settings(config);
        let cluster = tokio::task::spawn_blocking(move || Cluster::open(&settings)).await??;
        Ok(Self { url: cluster.url(), cluster: Some(cluster) })
    }
}

/// Stops the private cluster unless other processes use it.
pub async fn leave(cluster: Cluster) -> Result<(), ServerError> {
    Ok(tokio::task::spawn_blocking(move || cluster.close()).await??)
}

/// Refuses a schema that is not what this program needs. That of a private cluster is migrated
/// instead: nobody else works on it, so nobody else would. True where it had none before.
///
/// # Errors
/// As [`migrate::require_current`].
pub async fn require_current(
    database: &Database,
    tz: &TzData,
    is_private: bool,
) -> Result<bool, StoreError> {
    match migrate::require_current(database).await {
        Err(StoreError::Outdated(_)) if is_private => {
            let is_first = !migrate::was_migrated(database).await?;
            let now = database.now().await?;
            zones::migrate(database, tz, now).await.map(|_| is_first)
        }
        other => other.map(|()| false),
    }
}

/// Where the private cluster is, and how it is run.
pub fn cluster_settings(config: &Config) -> Settings {
    let mut settings = Settings::new(&config.daemon.state_dir);
    settings.socket_dir = Some(config.daemon.socket_dir.clone());
    settings.bin_dir.clone_from(&config.database.server_binaries);
    settings
}

/// This process, for people who read the ledger: host and process id.
pub fn replica() -> String {
    format!("{}:{}", host(), std::process::id())
}

/// This machine, as the ledger names it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A configuration file as it is now: where it is, and what identifies its contents.
pub fn loaded(file: Option<&Path>) -> Loaded {
    let Some(file) = file else { return Loaded::default() };
    let text = std::fs::read(file).ok();
    let digest = text.map(|text| format!("{:x}", Sha256::digest(&text)));
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Loaded { file: Some(file.display().to_string()), digest }
}

/// The machine that this process runs on, as a witness of time.
pub fn this_machine() -> Machine {
    Machine { boot: clock::boot(), name: clock::machine, clock: clock::now, awake: clock::awake }
}
