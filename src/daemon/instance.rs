//! Where the daemon lives: its database, and the private cluster where there is no other.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::notify::Notifier;
use super::signals::ControlRequests;
use crate::cluster::{Cluster, ServerLog};
use crate::config::Config;
use crate::http;
use crate::jobs::instance::{Server, ServerError, leave, require_current, this_machine};
use crate::store::{Address, Bounds, Database, StoreError, db::migrate};
use crate::tz::TzData;

/// Connections for schedules and leases, beside those of jobs: jobs that use all of theirs must not
/// keep the leases of what they do from being prolonged.
const LEDGER_CONNECTIONS: u32 = 2;
/// How long they may be silent: all they say is short, and answered at once.
const LEDGER_SILENCE: Duration = Duration::from_secs(30);

/// Connections of a forced sync.
const SYNC_CONNECTIONS: u32 = 3;

/// Between two looks whether the schema was migrated.
const SCHEMA_LOOK: Duration = Duration::from_secs(2);
/// How long the service manager is asked to be patient, each time.
const SCHEMA_PATIENCE: Duration = Duration::from_mins(2);

/// The database, and what keeps it running.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) database: Database,
    pub(super) ledger: Database,
    /// For the HTTP server, so that no load there keeps jobs from a connection.
    pub(super) http: Option<Database>,
    cluster: Option<Arc<Cluster>>,
    /// As at the start: where the URL is read from.
    config: Config,
}

impl Instance {
    /// Starts the private cluster where no database is configured, connects, and makes sure that
    /// the schema is current: an older one is waited for. `None` when it was told to stop
    /// meanwhile.
    pub(super) async fn open(
        config: &Config,
        tz: &TzData,
        notifier: &Notifier,
        asked: &ControlRequests,
    ) -> Result<Option<Self>, Error> {
        let Server { url, cluster } = Server::open(config).await?;
        let bounds = Bounds::of(config.database.statement_timeout.0);
        let most = config.database.max_connections;
        let address = Address { url: &url, schema: config.database.schema.as_deref() };
        let database = Database::connect_to_stay_within(address, most, bounds).await?;
        let database = database.watched_by(this_machine());
        match require_current(&database, tz, cluster.is_some()).await {
            // After an upgrade. One that never was migrated may be the wrong database.
            Err(older @ StoreError::Outdated(_)) if migrate::was_migrated(&database).await? => {
                if !wait_for_schema(&database, &older.to_string(), notifier, asked).await? {
                    return Ok(None);
                }
            }
            other => {
                other?;
            }
        }
        let bounds = Bounds { silence: Some(LEDGER_SILENCE), ..bounds };
        let ledger = Database::connect_to_stay_within(address, LEDGER_CONNECTIONS, bounds).await?;
        let ledger = ledger.with_clock_of(&database);
        let http = if config.http.enabled {
            // What a forced sync takes is beside the turns of requests.
            let most = config.http.connections + SYNC_CONNECTIONS;
            let http =
                Database::connect_to_stay_within(address, most, http::Server::bounds()).await?;
            Some(http.with_clock_of(&database))
        } else {
            None
        };
        for database in [&database, &ledger].into_iter().chain(&http) {
            let config = config.clone();
            database.read_again(move || {
                let url = config.database_url().ok().flatten()?;
                Some(url.reveal().to_owned())
            });
        }
        let cluster = cluster.map(Arc::new);
        Ok(Some(Self { database, ledger, http, cluster, config: config.clone() }))
    }

    /// Reads the database's URL again: its password may be another by now.
    pub(super) fn read_url_again(&self) {
        let url = match self.config.database_url() {
            Ok(Some(url)) => url,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the database URL could not be reloaded");
                return;
            }
        };
        for database in [&self.database, &self.ledger].into_iter().chain(&self.http) {
            match database.point_to(url.reveal()) {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(
                        "[database] names a different database; it takes effect at the next start"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the database URL is unchanged");
                    return;
                }
            }
        }
    }

    /// The log of the private cluster's server, if there is one.
    pub(super) fn server_log(&self) -> Option<ServerLog> {
        self.cluster.as_ref().map(|cluster| cluster.server_log())
    }

    /// Starts the private cluster's server again if it is gone. True if it had to.
    pub(super) async fn revive(&self) -> Result<bool, Error> {
        let Some(cluster) = &self.cluster else { return Ok(false) };
        let cluster = Arc::clone(cluster);
        Ok(tokio::task::spawn_blocking(move || cluster.revive())
            .await
            .map_err(ServerError::from)?
            .map_err(ServerError::from)?)
    }

    /// Leaves in good order.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.database.close().await;
        self.ledger.close().await;
        // Whoever still revives it holds it, too, and leaves it when done.
        match self.cluster.and_then(Arc::into_inner) {
            Some(cluster) => Ok(leave(cluster).await?),
            None => Ok(()),
        }
    }
}

/// Waits until the schema is this program's. False when told to stop meanwhile.
async fn wait_for_schema(
    database: &Database,
    why: &str,
    notifier: &Notifier,
    asked: &ControlRequests,
) -> Result<bool, Error> {
    tracing::warn!(why, "waiting for `db migrate`; no jobs run until then");
    loop {
        let status = format!("waiting for `db migrate`: {why}");
        notifier.waiting(&status, SCHEMA_PATIENCE);
        tokio::select! {
            biased;
            () = asked.stopped() => return Ok(false),
            () = tokio::time::sleep(SCHEMA_LOOK) => {}
        }
        let database = database.clone();
        // In a task of its own: nothing that speaks to the database is dropped on its way.
        let looked = tokio::spawn(async move { migrate::require_current(&database).await });
        let looked = tokio::select! {
            biased;
            () = asked.stopped() => return Ok(false),
            looked = looked => looked,
        };
        match looked.map_err(|error| Error::Failed(format!("a task failed: {error}")))? {
            Ok(()) => {
                tracing::info!("the schema is current; continuing");
                return Ok(true);
            }
            Err(StoreError::Outdated(_)) => {}
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::debug!(%error, "the schema could not be checked");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Configuration(error) => Self::Configuration(error),
            error @ ServerError::Cluster(_) => Self::Unavailable(error.to_string()),
            error @ ServerError::Task(_) => Self::Failed(error.to_string()),
        }
    }
}
