//! What can go wrong at the database. Five kinds are enough to decide what to do next.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// An error of the store, by what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer; trying again later may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Someone else changed the same rows; read again and decide anew.
    #[error("someone else changed the same rows: {0}")]
    Conflict(String),
    /// A value in a row, or about to be written, cannot be processed.
    #[error("{0}")]
    Unprocessable(String),
    /// The argument names nothing, or says something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The database's address, or its schema (not migrated, or newer than this program).
    #[error("{0}")]
    Configuration(String),
    /// The schema is older than this program's.
    #[error("{0}")]
    Outdated(String),
    /// Anything else: a defect, or a database that refuses what it should allow.
    #[error("the database refused a statement: {0}")]
    Failed(String),
}

/// What a conflict begins with when somebody else did not let go of what they hold.
const HELD: &str = "held for too long";

impl StoreError {
    /// Is it a conflict with somebody who holds what is needed, and goes on holding it? The same
    /// attempt would wait as long again.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Conflict(why) if why.starts_with(HELD))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable("no connection could be had in time".to_owned())
            }
            // What is wrong with the value, without the column's number in some statement of ours.
            sqlx::Error::ColumnDecode { source, .. }
            | sqlx::Error::Decode(source)
            | sqlx::Error::Encode(source) => {
                Self::Unprocessable(format!("a row holds a value that cannot be read: {source}"))
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    let message = describe(error);
    let code = error.code().unwrap_or_default().into_owned();
    match (code.get(..2).unwrap_or_default(), code.as_str()) {
        // Deadlock, serialization failure; a lock that was not to be had in time.
        ("40", _) => StoreError::Conflict(message),
        (_, "55P03") => StoreError::Conflict(format!("{HELD}: {message}")),
        // Somebody's limit, or somebody's will; the database is there.
        (_, "57014") => StoreError::Failed(message),
        ("P0" | "PB", _) | (_, "22023") => StoreError::Invalid(error.message().to_owned()),
        // Data exceptions: overflow, a date out of range, text that is no number.
        ("22", _) => StoreError::Unprocessable(message),
        ("08" | "53" | "57", _) => StoreError::Unavailable(message),
        (_, "42P01" | "42703" | "42883") => StoreError::Outdated(format!(
            "{message}; the database is not migrated: run `periodd db migrate`"
        )),
        _ => match error.kind() {
            // Whoever came first has written the same row.
            ErrorKind::UniqueViolation => StoreError::Conflict(message),
            ErrorKind::CheckViolation
            | ErrorKind::NotNullViolation
            | ErrorKind::ForeignKeyViolation => StoreError::Unprocessable(message),
            _ => StoreError::Failed(message),
        },
    }
}

/// The database's message with its detail, where it gives one.
fn describe(error: &dyn DatabaseError) -> String {
    let detail = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    match detail {
        Some(detail) => format!("{} ({detail})", error.message()),
        None => error.message().to_owned(),
    }
}
