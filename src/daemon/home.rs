//! Where the daemon lives: its database, and the private cluster where there is no other.

use std::sync::Arc;

use super::Error;
use crate::config::Config;
use crate::jobs;
use crate::store::cluster::{Cluster, ClusterError, Settings};
use crate::store::{Database, StoreError, migrate};
use crate::tzdata::TzData;

/// Where the private cluster is, and how it is run.
#[must_use]
pub fn cluster_settings(config: &Config) -> Settings {
    let mut settings = Settings::new(&config.daemon.state_dir);
    settings.socket_dir = Some(config.daemon.socket_dir.clone());
    settings.bin_dir.clone_from(&config.database.server_binaries);
    settings
}

/// Connections for schedules and leases, beside those of jobs: jobs that use all of theirs must not
/// keep the leases of what they do from being prolonged.
const LEDGER_CONNECTIONS: u32 = 2;

/// The database, and what keeps it running.
#[derive(Debug)]
pub(super) struct Home {
    /// For jobs.
    pub(super) database: Database,
    /// For schedules and leases.
    pub(super) ledger: Database,
    cluster: Option<Arc<Cluster>>,
}

impl Home {
    /// Starts the private cluster where no database is configured, connects, and makes sure that
    /// the schema is what this program needs.
    pub(super) async fn open(config: &Config, tz: &TzData) -> Result<Self, Error> {
        let configured = config.database_url().map_err(Error::Configuration)?;
        let (cluster, url) = if let Some(url) = &configured {
            (None, url.reveal().to_owned())
        } else {
            let settings = cluster_settings(config);
            let cluster = blocking(move || Cluster::open(&settings)).await??;
            let url = cluster.url();
            (Some(Arc::new(cluster)), url)
        };
        let database = Database::connect_to_stay(&url, config.database.max_connections).await?;
        match migrate::require_current(&database).await {
            // Nobody else works on the private cluster, so nobody else would migrate it.
            Err(StoreError::Outdated(_)) if cluster.is_some() => {
                let now = database.now().await?;
                jobs::zones::migrate(&database, tz, now).await?;
            }
            other => other?,
        }
        let ledger = Database::connect_to_stay(&url, LEDGER_CONNECTIONS).await?;
        Ok(Self { database, ledger, cluster })
    }

    /// Starts the private cluster's server again if it is gone. True if it had to.
    pub(super) async fn revive(&self) -> Result<bool, Error> {
        let Some(cluster) = &self.cluster else { return Ok(false) };
        let cluster = Arc::clone(cluster);
        Ok(blocking(move || cluster.revive()).await??)
    }

    /// Leaves in good order.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.database.close().await;
        self.ledger.close().await;
        // Whoever still revives it holds it, too, and leaves it when done.
        match self.cluster.and_then(Arc::into_inner) {
            Some(cluster) => Ok(blocking(move || cluster.close()).await??),
            None => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Failed(format!("a task broke off: {error}")))
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
