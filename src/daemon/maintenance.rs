//! What the daemon sees to beside its jobs: the zones' months in the database, newer rules for time
//! zones on the machine, and the log of the private cluster's server.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::ServerLog;
use crate::jobs;
use crate::store::{Database, StoreError};
use crate::tz::TzData;

/// Between two looks. A distribution updates its tz database some times a year.
const EVERY: Duration = Duration::from_hours(6);
/// Between two attempts when the database is away.
const RETRY: Duration = Duration::from_mins(1);

/// Between two looks at the log of the private cluster's server.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// The newest tz database, for everybody who needs it.
#[derive(Clone, Debug)]
pub(super) struct TzHandle(Arc<RwLock<TzData>>);

impl TzHandle {
    pub(super) fn new(tz: TzData) -> Self {
        Self(Arc::new(RwLock::new(tz)))
    }

    pub(super) fn get(&self) -> TzData {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for a newer copy. True when there is one.
    fn look(&self) -> bool {
        let (before, found) = (self.get(), TzData::newest());
        if found.release() <= before.release() {
            return false;
        }
        let (from, to) = (before.release(), found.release());
        tracing::info!(
            from,
            to,
            "newer time zone rules; the next rollover checks every period end"
        );
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
        true
    }
}

/// Sees to it for good; `newer` is called when there are newer rules.
pub(super) async fn keep(database: Database, tz: TzHandle, newer: impl Fn() + Send) {
    loop {
        if tz.look() {
            newer();
        }
        // In a task of its own: this loop is dropped when the daemon stops.
        let filled = tokio::spawn(fill(database.clone(), tz.get())).await;
        let is_filled = match filled {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the months of time zones could not be extended");
                false
            }
            Err(error) => {
                tracing::error!(%error, "extending the months of time zones failed");
                false
            }
        };
        sleep(if is_filled { EVERY } else { RETRY }).await;
    }
}

/// Keeps the log of the private cluster's server within its bound for good.
pub(super) async fn bound(log: ServerLog) {
    loop {
        sleep(LOG_EVERY).await;
        if log.is_long() {
            let log = log.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || log.bound()).await {
                tracing::error!(%error, "rotating the server's log failed");
            }
        }
    }
}

async fn fill(database: Database, tz: TzData) -> Result<(), StoreError> {
    let now = database.believed_now().await?;
    jobs::zones::refill(&database, &tz, now).await
}
