//! The database: the only room with SQL.
//!
//! Statements work on pages of orgs. What they change they change by compare-and-set, gated by
//! the row that really moved, so that anything may be tried again, half-way or by two at once.
//! None of them computes a boundary: boundaries are values from `billing`.

pub mod adjust;
pub mod adoption;
pub mod alerts;
pub mod apply;
pub mod audit;
pub mod claim;
pub mod cluster;
pub mod complete;
pub mod contacts;
pub mod counting;
pub mod database;
pub mod derived;
pub mod doctor;
pub mod drift;
pub mod error;
pub mod explain;
pub mod history;
mod lease;
pub mod letters;
pub mod limits;
pub mod migrate;
mod numbers;
pub mod orgs;
pub mod outbox;
pub mod packs;
pub mod pending;
pub mod plan_limits;
pub mod refund;
pub mod retention;
pub mod roles;
pub mod runs;
pub mod sample;
pub mod schedules;
pub mod settings;
pub mod snapshot;
pub mod status;
mod suggest;
pub mod tables;
pub mod tiers;
mod types;
pub mod usage;
pub mod usage_file;
pub mod verify;
pub mod zones;

pub use database::Database;
pub use error::StoreError;
pub use lease::Lease;

/// A connection to the database; other rooms pass it on and look no further.
pub type Connection = sqlx::PgConnection;

/// A transaction; dropped without a commit, it leaves nothing behind.
pub type Transaction<'a> = sqlx::Transaction<'a, sqlx::Postgres>;

/// Begins a transaction.
///
/// # Errors
/// [`StoreError::Unavailable`] when the connection is gone.
pub async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Ok(sqlx::Connection::begin(connection).await?)
}
