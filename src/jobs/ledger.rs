//! Runs that somebody asks for, by a command or over HTTP, as the ledger has them: they take no
//! lease and wait for nobody.

use super::by_hand::Entered;
use super::counts::RunCounts;
use crate::store::runs::Asked;
use crate::store::runs::schedules::Ended;
use crate::store::{Database, StoreError, runs};

/// A run that has begun, and has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Entry(i64);

impl Entry {
    /// Enters a run that begins in this process.
    pub async fn begin(
        database: &Database,
        of: impl Into<Entered>,
        replica: &str,
        asked: Asked<'_>,
    ) -> Result<Self, StoreError> {
        let of = of.into().name();
        let mut connection = database.connection().await?;
        runs::begin_command(&mut connection, of, replica, asked).await.map(Self)
    }

    /// Its number.
    pub const fn id(self) -> i64 {
        self.0
    }

    /// Enters how it ended: what it did, and why it failed if it did; its counts may say that, too.
    pub async fn end(
        self,
        database: &Database,
        counts: Option<&RunCounts>,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.close(database, &ended(counts, error)).await
    }

    /// Enters how it ended.
    pub async fn close(self, database: &Database, ended: &Ended) -> Result<(), StoreError> {
        runs::finish_command(&mut *database.connection().await?, self.0, ended).await
    }
}

/// How a run ended: what it did, and why it failed if it did; its counts may say that, too.
pub fn ended(counts: Option<&RunCounts>, error: Option<&str>) -> Ended {
    let error = error.or(counts.and_then(RunCounts::failure)).map(str::to_owned);
    Ended { counts: counts.map(RunCounts::json), error }
}
