//! Transactions that wait for nobody without limit.

use sqlx::{Connection as _, PgConnection};

use super::error::StoreError;

/// How long each statement of a transaction waits for a lock of another session. A wait that is
/// over is a conflict: [`StoreError::is_held`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockTimeout {
    /// 5 s: longer than any session that works holds a row.
    Long,
    /// 500 ms: some row is known to be held for longer, and it remains to be found.
    Short,
}

/// Begins a transaction with a lock timeout: an application that stays idle in a transaction would
/// otherwise keep everybody else's orgs from being processed.
///
/// It does not scan tables: rows are found through keys, and a plan made while a table was still
/// empty must not stay in use when it has a million rows.
pub async fn begin_within(
    connection: &mut PgConnection,
    lock_timeout: LockTimeout,
) -> Result<sqlx::Transaction<'_, sqlx::Postgres>, StoreError> {
    let begin = match lock_timeout {
        LockTimeout::Long => "begin; set local enable_seqscan = off; set local lock_timeout = '5s'",
        LockTimeout::Short => {
            // A connection that dies silently amid it would keep its rows from everybody.
            "begin; set local enable_seqscan = off; set local lock_timeout = '500ms';
             set local idle_in_transaction_session_timeout = '5s'"
        }
    };
    Ok(connection.begin_with(begin).await?)
}
