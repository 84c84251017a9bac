//! Refunding packs, as applications do it; or what that would do.

use crate::store::orgs::refund as store;
pub use crate::store::orgs::refund::{Asked, Error, Refunded};
use crate::store::{Attempts, Database, LockTimeout, StoreError, begin_within};

/// Refunds a pack; a repeated key refunds nothing, and returns what it refunded. With `dry_run`
/// says what it would refund, and writes nothing.
///
/// # Errors
/// [`Error`]; then nothing is written.
pub async fn refund(database: &Database, asked: &Asked, dry_run: bool) -> Result<Refunded, Error> {
    let mut attempts = Attempts::default();
    loop {
        match once(database, asked, dry_run).await {
            Err(Error::Store(error)) if attempts.again(&error) => {}
            other => return other,
        }
    }
}

async fn once(database: &Database, asked: &Asked, dry_run: bool) -> Result<Refunded, Error> {
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    let refunded = store::refund(&mut transaction, asked).await?;
    if dry_run {
        transaction.rollback().await.map_err(StoreError::from)?;
    } else {
        transaction.commit().await.map_err(StoreError::from)?;
    }
    Ok(refunded)
}
