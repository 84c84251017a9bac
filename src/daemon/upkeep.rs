//! What the daemon sees to beside its jobs: the zones' months in the database, and newer rules for
//! time zones on the machine.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;

use crate::jobs;
use crate::store::{Database, StoreError};
use crate::tzdata::TzData;

/// Between two looks. A distribution updates its tz database some times a year.
const EVERY: Duration = Duration::from_hours(6);
/// Between two attempts when the database is away.
const RETRY: Duration = Duration::from_mins(1);

/// The newest tz database, for everybody who needs it.
#[derive(Clone, Debug)]
pub(super) struct Rules(Arc<RwLock<TzData>>);

impl Rules {
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
        tracing::info!(from, to, "newer time zone rules; the next rollover looks at every end");
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
        true
    }
}

/// Sees to it for good; `newer` is called when there are newer rules.
pub(super) async fn keep(database: Database, rules: Rules, newer: impl Fn() + Send) {
    loop {
        if rules.look() {
            newer();
        }
        // In a task of its own: this loop is dropped when the daemon stops.
        let filled = tokio::spawn(fill(database.clone(), rules.get())).await;
        let is_filled = match filled {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the zones' months could not be filled");
                false
            }
            Err(error) => {
                tracing::error!(%error, "filling the zones' months broke off");
                false
            }
        };
        sleep(if is_filled { EVERY } else { RETRY }).await;
    }
}

async fn fill(database: Database, tz: TzData) -> Result<(), StoreError> {
    let now = database.now().await?;
    jobs::zones::refill(&database, &tz, now).await
}
