//! The daemon's clock: what is due is judged by the database's, and waiting is the machine's.

use std::time::Duration;

use crate::billing::Instant;
use crate::billing::clock::Judged;
use crate::clock::Clock;
use crate::store::{Database, StoreError};

/// The database's clock. Two machines that disagree about the time still agree about what is due.
#[derive(Clone, Debug)]
pub struct DatabaseClock(pub Database);

impl Clock for DatabaseClock {
    type Error = StoreError;

    async fn now(&self) -> Result<Instant, StoreError> {
        self.0.now().await
    }

    async fn judged(&self) -> Result<Judged, StoreError> {
        self.0.judged().await
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
