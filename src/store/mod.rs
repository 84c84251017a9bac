//! The database: the only room with SQL.
//!
//! Statements work on pages of orgs. What they change they change by compare-and-set, gated by
//! the row that really moved, so that anything may be tried again, half-way or by two at once.
//! None of them computes a boundary: boundaries are values from `billing`.
//!
//! Never: a boundary that SQL computes; an unguarded write; a decision across orgs that rests on
//! one snapshot.

pub mod alerts;
pub mod audit;
pub mod db;
pub mod events;
pub mod exports;
pub mod messages;
pub mod notices;
pub mod orgs;
pub mod overview;
pub mod reports;
pub mod rollover;
pub mod runs;
pub mod sample;
pub mod tokens;
pub mod usage;

pub use db::database::{Address, Bounds, Database};
pub use db::error::{Attempts, StoreError};
pub use db::ids::IdPrefix;
pub use db::lease::{Lease, Leash};
pub use db::transaction::{LockTimeout, begin_within};
pub use db::types::Readable;

/// A connection to the database; other rooms pass it on and look no further.
pub type Connection = sqlx::PgConnection;

/// A transaction; dropped without a commit, it leaves nothing behind.
pub type Transaction<'a> = sqlx::Transaction<'a, sqlx::Postgres>;

/// The database's clock at this moment, and not at the beginning of the transaction: to be read
/// after what it is a stamp of.
pub async fn server_now(
    connection: &mut Connection,
) -> Result<crate::billing::Instant, StoreError> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#);
    Ok(now.fetch_one(connection).await?)
}

/// Does the server answer on this connection?
pub async fn answers(connection: &mut Connection) -> bool {
    sqlx::Connection::ping(connection).await.is_ok()
}

/// Does it, and take writes? Then it lacked something for one statement only.
pub async fn serves(connection: &mut Connection) -> bool {
    db::lease::takes_writes(connection).await.unwrap_or(false)
}

/// Does it on a connection of its own? Not where none is to be had.
pub async fn still_serves(database: &Database) -> bool {
    match database.connection().await {
        Ok(mut connection) => serves(&mut connection).await,
        Err(_) => false,
    }
}

/// Begins a transaction.
///
/// # Errors
/// [`StoreError::Unavailable`] when the connection is gone.
pub async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(sqlx::Connection::begin(connection).await?)
}
