//! The pulse of all orgs together: whether anything ran since, for pages that show them all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Who listens to the pulse.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Option<watch::Sender<u64>>>);

impl Pulse {
    /// What tells those who listen; `None` while nobody does.
    pub(super) fn sender(&self) -> MutexGuard<'_, Option<watch::Sender<u64>>> {
        // Whole after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
