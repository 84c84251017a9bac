//! Refunding packs: read, decide, write, org by org.

use uuid::Uuid;

use crate::billing::refund::{self, Refund, Refusal};
use crate::billing::{Instant, Quantity};
use crate::store::refund::{Named, claim, write};
use crate::store::{Database, StoreError, packs, pending};

/// How often a refund is tried again when others change the same rows.
const ATTEMPTS: u32 = 5;

/// Why nothing was refunded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The org has no such pack.
    #[error("the org has no such pack; `periodd packs list --org ORG` shows those that it has")]
    NoSuchPack,
    /// A refund is not possible, or not in that quantity.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Refunds `asked` of one org's pack, or all that can go back.
///
/// # Errors
/// [`Error`]; then nothing is written.
pub async fn refund(
    database: &Database,
    org: Uuid,
    named: &Named,
    asked: Option<Quantity>,
    now: Instant,
) -> Result<Refund, Error> {
    for attempt in 1.. {
        match once(database, org, named, asked, now).await {
            Err(Error::Store(StoreError::Conflict(_))) if attempt < ATTEMPTS => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict("others change this pack without a pause".to_owned()).into())
}

async fn once(
    database: &Database,
    org: Uuid,
    named: &Named,
    asked: Option<Quantity>,
    now: Instant,
) -> Result<Refund, Error> {
    let mut connection = database.connection().await?;
    // A pack that an application inserted by itself gets its ledger first.
    packs::adopt_unseen(&mut connection).await?;
    let mut transaction = crate::store::begin(&mut connection).await?;
    let claim = claim(&mut transaction, org, named, now).await?.ok_or(Error::NoSuchPack)?;
    let refund = refund::refund(&claim, asked, now)?;
    write(&mut transaction, org, &refund).await?;
    // Whoever keeps a copy of what is left of the packs is told that it moved.
    pending::mark(&mut transaction, &[(org, &claim.pack.feature)], now).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(refund)
}
