//! Turns at the database: as many as it has connections for this room.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::{Code, Problem};
use crate::store::{Database, Lease};

/// A client waits no longer than this for a turn.
const WITHIN: Duration = Duration::from_secs(1);

/// The turns.
pub(super) struct Turns {
    database: Database,
    most: usize,
    free: Semaphore,
}

/// A turn, with its connection.
pub(super) struct Turn<'a> {
    connection: Lease,
    _turn: SemaphorePermit<'a>,
}

impl Turns {
    pub(super) fn new(database: Database, connections: u32) -> Self {
        let free = usize::try_from(connections).unwrap_or(1);
        Self { database, most: free, free: Semaphore::new(free) }
    }

    /// How many are taken.
    pub(super) fn in_use(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    /// Waits for a turn, not for long.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when others keep all of them; [`Code::Unavailable`].
    pub(super) async fn take(&self) -> Result<Turn<'_>, Problem> {
        let turn = self.pass().await?;
        Ok(Turn { connection: self.database.connection().await?, _turn: turn })
    }

    /// The same for a job that takes its connections by itself.
    pub(super) async fn pass(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let busy = || Problem::new(Code::Overloaded, "all connections to the database are in use");
        // Nothing of the database is in here, so it may be dropped.
        let turn = timeout(WITHIN, self.free.acquire()).await;
        turn.map_err(|_| busy())?.map_err(|_| busy())
    }
}

impl Deref for Turn<'_> {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.connection
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Lease {
        &mut self.connection
    }
}
