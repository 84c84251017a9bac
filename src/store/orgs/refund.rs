//! Refunds of packs, by the function that applications call.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::usage::Key;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// A refund that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub org: Uuid,
    /// The pack's id, or its buyer's reference.
    pub pack: String,
    /// How much; `None`: all that can go back.
    pub quantity: Option<Quantity>,
    /// A repeated key refunds once.
    pub key: Option<Key>,
    /// Business time.
    pub at: Instant,
}

/// What was refunded, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    pub pack: Uuid,
    pub feature: String,
    pub expires_at: Option<Instant>,
    pub quantity: Quantity,
    /// What the pack held afterwards.
    pub remaining: Quantity,
    /// The place in the pack's ledger.
    pub seq: i32,
    pub at: Instant,
    /// When an earlier call with the same key refunded it; `None`: this one did.
    pub before: Option<Instant>,
}

/// Why nothing was refunded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The org has no such pack.
    #[error("{0}")]
    NoSuchPack(String),
    /// An ended period comes first, or none is open yet.
    #[error("{0}")]
    NotClosed(String),
    /// A refund is not possible, or not in that quantity.
    #[error("{0}")]
    Refused(String),
    /// The key was used for another refund.
    #[error("{0}")]
    KeyReused(String),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Refunds a pack within a transaction.
///
/// # Errors
/// [`Error`]; the transaction is of no use then.
pub async fn refund(connection: &mut PgConnection, asked: &Asked) -> Result<Refunded, Error> {
    let refunded = sqlx::query_as!(
        Refunded,
        r#"select pack_id as "pack!", feature as "feature!", expires_at, quantity as "quantity!",
                  remaining as "remaining!", seq as "seq!", refunded_at as "at!",
                  already_refunded_at as before
           from refund_overage_pack($1, $2, $3, $4, $5)"#,
        asked.org,
        asked.pack,
        asked.quantity,
        asked.key.as_ref().map(Key::as_str),
        asked.at
    );
    refunded.fetch_one(connection).await.map_err(error_of)
}

fn error_of(error: sqlx::Error) -> Error {
    match StoreError::from(error) {
        StoreError::Refused { code, message, by_rule } => match code.as_str() {
            "PB001" | "PB003" => Error::NotClosed(message),
            "PB002" => Error::NoSuchPack(message),
            "PB004" => Error::KeyReused(message),
            "PB005" => Error::Refused(message),
            "22023" => StoreError::Invalid(message).into(),
            _ => StoreError::Refused { code, message, by_rule }.into(),
        },
        other => other.into(),
    }
}
