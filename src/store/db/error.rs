//! What can go wrong at the database, in as many kinds as it takes to decide what to do next.

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::billing::clock::Doubt;
use crate::command::Command;

/// An error of the store, by what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or is in no state to; trying again later may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Someone else changed the same rows; read again and decide anew.
    #[error("another session changed the same rows: {0}")]
    Conflict(String),
    /// Somebody else may have been first, or a rule of an application refuses: a unique index, or a
    /// conflict that a trigger or another function raised. The same may get through the next time;
    /// where it never does, it is what [`Self::Refused`] is: see [`Self::insisted_upon`].
    #[error("{message}")]
    MaybeConflict {
        /// The SQLSTATE.
        code: String,
        /// What it said.
        message: String,
    },
    /// Somebody else's transaction holds what is needed, and went on holding it for as long as
    /// this one may wait. The same attempt would wait as long again.
    #[error("locked by another transaction: {0}")]
    Held(String),
    /// The statement was cancelled: by a limit of the server's, or by somebody.
    #[error("the statement was cancelled: {0}")]
    Cancelled(String),
    /// A value in a row, or about to be written, cannot be processed.
    #[error("{0}")]
    Unprocessable(String),
    /// The server refused the statement. As long as it was about several rows, nobody knows
    /// whether one of them is to blame, or something that all of them share: see
    /// [`Self::may_concern_one_row`].
    #[error("{message}")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// What the server said.
        message: String,
        /// A rule about rows refused: a constraint, a trigger, or another function.
        by_rule: bool,
    },
    /// The argument names nothing, or says something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The database's address, or its schema (not migrated, or newer than this program).
    #[error("{0}")]
    Configuration(String),
    /// The schema is older than this program's.
    #[error("{0}: run `{migrate}`", migrate = Command::periodd(["db", "migrate"]))]
    Outdated(String),
    /// A table, column or function that a statement names is not there.
    #[error(
        "{0}; the database is not migrated: run `{migrate}`",
        migrate = Command::periodd(["db", "migrate"])
    )]
    Missing(String),
    /// The database's clock is not believed, and what was asked for cannot be undone.
    #[error("{0}; no period is closed and nothing is expired, sent or deleted until they agree")]
    Clock(Doubt),
    /// Anything else: a defect, or a database that refuses what it should allow.
    #[error("the database refused a statement: {0}")]
    Failed(String),
}

impl StoreError {
    /// Did somebody hold what is needed, and go on holding it?
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// May the same get through if it is read again and tried at once?
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::MaybeConflict { .. })
    }

    /// Is somebody else at the same rows, for a moment or for longer?
    pub const fn is_contention(&self) -> bool {
        self.is_conflict() || self.is_held()
    }

    /// May a single row be to blame? Then the same is tried with fewer rows, until one stands
    /// alone.
    pub const fn may_concern_one_row(&self) -> bool {
        matches!(self, Self::Unprocessable(_) | Self::Refused { .. })
    }

    /// The same, when it was answered again each time that it was retried: what may have been a
    /// conflict is a refusal then.
    pub fn insisted_upon(self) -> Self {
        match self {
            Self::MaybeConflict { code, message } => Self::Refused { code, message, by_rule: true },
            other => other,
        }
    }

    /// The error of a call of one of the database's functions of ours: what these refuse, they
    /// refuse to whoever asked.
    pub fn of_call(error: sqlx::Error) -> Self {
        match Self::from(error) {
            Self::Refused { code, message, .. }
                if code == INVALID_PARAMETER || code.starts_with(OURS) =>
            {
                Self::Invalid(message)
            }
            other => other,
        }
    }
}

/// How often one call has been tried. Where others were at the same rows it is tried again at once,
/// a few times: most conflicts are over with the first repetition.
#[derive(Debug, Default)]
pub struct Attempts(u32);

impl Attempts {
    const MOST: u32 = 5;

    /// Should what failed with this error be tried once more?
    pub fn again(&mut self, error: &StoreError) -> bool {
        self.0 += 1;
        error.is_conflict() && self.0 < Self::MOST
    }
}

/// The SQLSTATE that our functions refuse an argument with …
const INVALID_PARAMETER: &str = "22023";
/// … and the class of those that are theirs alone.
const OURS: &str = "PB";

/// Where the server's procedural languages raise what a function's body raises. A trigger may
/// choose any SQLSTATE, also those by which the server tells of itself.
const RAISED_IN: [&str; 4] = ["pl_exec.c", "plpy_elog.c", "plperl.c", "pltcl.c"];
/// Where `postgres_fdw` and `dblink` say what another server said, or that it is gone.
const SAID_BY_WRAPPERS: [&str; 3] = ["connection.c", "postgres_fdw.c", "dblink.c"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable("no connection was available in time".to_owned())
            }
            // What is wrong with the value, without the column's number in some statement of ours.
            sqlx::Error::ColumnDecode { source, .. }
            | sqlx::Error::Decode(source)
            | sqlx::Error::Encode(source) => {
                Self::Unprocessable(format!("a row contains a value that cannot be read: {source}"))
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Only what the server says of itself, and conflicts, are told by their SQLSTATE. Everything else
/// is [`StoreError::Refused`], with whatever SQLSTATE: applications' tables have rules of their
/// own, and no list of what these may say is ever complete.
fn from_database(error: &dyn DatabaseError) -> StoreError {
    let message = describe(error);
    let code = error.code().unwrap_or_default().into_owned();
    let source = error.try_downcast_ref::<PgDatabaseError>();
    let is_raised = is_raised(error);
    // What the server says of itself, and not of one that a foreign table lies on.
    let is_own = !is_raised && !is_foreign(error);
    // The server found it in the text of our own statement, not in that of some function.
    let in_statement =
        matches!(source.and_then(PgDatabaseError::position), Some(PgErrorPosition::Original(_)));
    let class = code.get(..2).unwrap_or_default();
    match (class, code.as_str()) {
        // Whoever came first has written the same row; or there is a row like it for ever.
        (_, "23505") => StoreError::MaybeConflict { code, message },
        ("40", _) if is_raised => StoreError::MaybeConflict { code, message },
        // Deadlock, serialization failure.
        ("40", _) => StoreError::Conflict(message),
        // A lock that was not to be had in time.
        (_, "55P03") if !is_raised => StoreError::Held(message),
        (_, "57014") if !is_raised => StoreError::Cancelled(message),
        // Damaged storage is nobody's row, whoever says so.
        (_, "XX001" | "XX002") => StoreError::Failed(message),
        ("08" | "53" | "57", _) | (_, "25006") if is_own => StoreError::Unavailable(message),
        (_, "42P01" | "42703" | "42883") if in_statement => StoreError::Missing(message),
        _ => StoreError::Refused {
            by_rule: is_raised
                || matches!(class, "22" | "23")
                || source.is_some_and(|s| s.r#where().is_some() || s.constraint().is_some()),
            code,
            message,
        },
    }
}

/// Did the body of a function raise it, a trigger's say?
fn is_raised(error: &dyn DatabaseError) -> bool {
    let file = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::file);
    file.is_some_and(|file| RAISED_IN.contains(&file))
}

/// Did a foreign data wrapper say it, of another server? That one may be away, full or read-only
/// while this one is well: whoever needs it is refused.
fn is_foreign(error: &dyn DatabaseError) -> bool {
    let file = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::file);
    file.is_some_and(|file| SAID_BY_WRAPPERS.contains(&file))
}

/// The database's message with its detail, where it gives one.
fn describe(error: &dyn DatabaseError) -> String {
    let source = error.try_downcast_ref::<PgDatabaseError>();
    let detail = source.and_then(PgDatabaseError::detail);
    // Which table it waited for, a server says in its context only.
    let context = source.and_then(PgDatabaseError::r#where).and_then(|text| text.lines().next());
    let is_wait = error.code().as_deref() == Some("55P03") && !is_raised(error);
    let context = context.filter(|_| is_wait);
    match detail.or(context) {
        Some(more) => format!("{} ({more})", error.message()),
        None => error.message().to_owned(),
    }
}
