//! Waiting for locks that other sessions hold: in short attempts with pauses between them, never
//! for ever, and in the end with the name of who holds what.
//!
//! Whoever waits for an exclusive lock has everybody else wait behind it, readers too. So each
//! attempt waits for a moment only, gives everything back, and lets the others through.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgConnection;

use super::database::Database;
use super::error::StoreError;
use super::lock_holders::{self, Holder, who_and_remedy};

/// How long one attempt waits for one lock.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long the others have between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked who holds the lock.
const ASK: Duration = Duration::from_millis(500);

/// How long a change of the schema waits for locks of other sessions, all attempts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockWait {
    total: Duration,
}

impl Default for LockWait {
    /// Long enough for what ends by itself, and short enough to be awaited.
    fn default() -> Self {
        Self { total: Duration::from_secs(45) }
    }
}

impl LockWait {
    /// A wait of about that long; two attempts are made in any case.
    pub const fn of(total: Duration) -> Self {
        Self { total }
    }

    /// `leaves` says what there is when all attempts have failed: `nothing was changed`.
    pub(crate) fn begin(self, leaves: &'static str) -> Attempts {
        let left = self.total.as_secs() / (ATTEMPT + PAUSE).as_secs();
        let left = left.saturating_sub(1).max(1);
        Attempts { wait: self, leaves, left, is_first: true, holders: Mutex::default() }
    }
}

/// The attempts that are left, and who was in the way of the last one.
pub(crate) struct Attempts {
    wait: LockWait,
    leaves: &'static str,
    left: u64,
    is_first: bool,
    holders: Mutex<Vec<Holder>>,
}

impl Attempts {
    /// Does one attempt's work in a transaction that [`bound`] has begun with. From the second
    /// attempt on, another connection asks who holds what it waits for.
    pub(crate) async fn watch<T>(
        &self,
        database: &Database,
        pid: i32,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Whoever is not kept waiting needs no second connection.
        if self.is_first {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            never = self.ask(database, pid) => match never {},
        }
    }

    /// Asks again and again who holds what this session waits for, and never ends.
    async fn ask(&self, database: &Database, pid: i32) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(ASK).await;
            // Who cannot be asked about is not named; the work itself goes on.
            if let Ok(found) = holders(database, pid).await
                && !found.is_empty()
            {
                *self.holders.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
        }
    }

    /// After an attempt that failed, and whose transaction is rolled back: `Ok` when there is
    /// to be another one.
    ///
    /// # Errors
    /// The attempt's own where waiting does not help; [`StoreError::Held`] when it was waited
    /// long enough.
    pub(crate) async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !error.is_held() {
            return Err(error);
        }
        if self.left == 0 {
            return Err(StoreError::Held(self.sentence()));
        }
        self.left -= 1;
        self.is_first = false;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    fn sentence(&self) -> String {
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wait.total.as_secs().max(ATTEMPT.as_secs());
        let end = format!("{} after waiting for {waited} s", self.leaves);
        match who_and_remedy(&holders) {
            None => format!("blocked by locks of other sessions; {end}; try again later"),
            Some((who, remedy)) => format!("{who}; {end}; {remedy}, and run the command again"),
        }
    }
}

/// Bounds how long each statement of this transaction waits for a lock. Returns the session's
/// number.
pub(crate) async fn bound(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let pid = sqlx::query!(
        r#"select pg_backend_pid() as "pid!",
                  set_config('lock_timeout', $1, true) as timeout"#,
        format!("{}ms", ATTEMPT.as_millis())
    );
    Ok(pid.fetch_one(connection).await?.pid)
}

/// Who holds what the session waits for.
async fn holders(database: &Database, pid: i32) -> Result<Vec<Holder>, StoreError> {
    lock_holders::of(&mut *database.connection().await?, pid).await
}
