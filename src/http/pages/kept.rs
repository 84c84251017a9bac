//! What is read once for everybody who looks, and kept for a moment: a hundred open pages cost what
//! one costs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant as Tick;

use crate::http::problem::Problem;

/// How long what was read is shown; the page says of when it is.
const GOOD_FOR: Duration = Duration::from_secs(3);

/// What was read last.
pub(in crate::http) struct Kept<T> {
    last: Mutex<Option<(Tick, Arc<T>)>>,
    good_for: Duration,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self::within(GOOD_FOR)
    }
}

impl<T> Kept<T> {
    /// Shown for so long.
    pub(in crate::http) fn within(good_for: Duration) -> Self {
        Self { last: Mutex::new(None), good_for }
    }

    /// What was read last; read again by whoever comes first after a moment, while the others wait.
    ///
    /// # Errors
    /// What the reading says; nothing of it is kept.
    pub(super) async fn get(
        &self,
        read: impl AsyncFnOnce() -> Result<T, Problem>,
    ) -> Result<Arc<T>, Problem> {
        let mut kept = self.last.lock().await;
        if let Some((_, value)) = kept.as_ref().filter(|(at, _)| at.elapsed() < self.good_for) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(read().await?);
        *kept = Some((Tick::now(), Arc::clone(&value)));
        Ok(value)
    }
}
