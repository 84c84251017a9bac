//! Refunding packs: read, decide, write, org by org.

use uuid::Uuid;

use crate::billing::refund::{self, Refusal};
use crate::billing::usage::Key;
use crate::billing::when::shown_in_utc;
use crate::billing::{Instant, Quantity};
use crate::store::orgs::refund::{self as store, Named};
use crate::store::{
    Attempts, Database, LockTimeout, StoreError, begin_within, orgs::packs, usage::pending,
};

/// Why nothing was refunded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The org has no such pack.
    #[error("the org has no such pack")]
    NoSuchPack,
    /// A refund is not possible, or not in that quantity.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The key was used for another refund.
    #[error(
        "the key {key} was used before to refund {quantity} of pack {pack}, recorded at {}; use \
         a new key for another refund",
        shown_in_utc(*.at)
    )]
    KeyReused { key: Key, pack: Uuid, at: Instant, quantity: Quantity },
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A refund that was asked for, of one org's pack.
#[derive(Debug, Clone)]
pub struct Request {
    pub org: Uuid,
    pub named: Named,
    /// How much; `None`: all that can go back.
    pub asked: Option<Quantity>,
    /// A repeated key refunds once.
    pub key: Option<Key>,
    /// Business time.
    pub now: Instant,
    pub dry_run: bool,
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

/// Refunds a pack; a repeated key refunds nothing, and returns what it refunded.
///
/// # Errors
/// [`Error`]; then nothing is written.
pub async fn refund(database: &Database, request: &Request) -> Result<Refunded, Error> {
    let mut attempts = Attempts::default();
    loop {
        match once(database, request).await {
            Err(Error::Store(error)) if attempts.again(&error) => {}
            other => return other,
        }
    }
}

async fn once(database: &Database, request: &Request) -> Result<Refunded, Error> {
    let Request { org, named, asked, key, now, dry_run } = request;
    let (org, asked, now) = (*org, *asked, *now);
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    store::hold(&mut transaction, org).await?;
    if let Some(key) = key
        && let Some(keyed) = store::keyed(&mut transaction, org, key.as_str()).await?
    {
        transaction.rollback().await.map_err(StoreError::from)?;
        return repeated(keyed, named, asked, key);
    }
    // A pack that an application inserted plainly gets its ledger first; those of others may be
    // held by somebody, or unreadable.
    packs::enter_in_ledger(&mut transaction, &[org]).await?;
    let claim = store::claim(&mut transaction, org, named, now).await?.ok_or(Error::NoSuchPack)?;
    let refund = refund::refund(&claim, asked, now)?;
    let refunded = Refunded {
        pack: refund.pack,
        feature: claim.pack.feature.to_string(),
        expires_at: claim.pack.expires_at,
        quantity: refund.quantity,
        remaining: refund.remaining,
        seq: refund.seq,
        at: refund.at,
        before: None,
    };
    if *dry_run {
        transaction.rollback().await.map_err(StoreError::from)?;
        return Ok(refunded);
    }
    store::write(&mut transaction, org, &refund).await?;
    if let Some(key) = key {
        store::keep_key(&mut transaction, org, &refund, key.as_str(), asked).await?;
    }
    // Whoever keeps a copy of what is left of the packs is told that it moved.
    pending::mark(&mut transaction, &[(org, &claim.pack.feature)], now).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(refunded)
}

/// The answer to a key that was used before.
fn repeated(
    keyed: store::Keyed,
    named: &Named,
    asked: Option<Quantity>,
    key: &Key,
) -> Result<Refunded, Error> {
    if !keyed.is(named, asked) {
        let (key, pack) = (key.clone(), keyed.pack);
        return Err(Error::KeyReused {
            key,
            pack,
            at: keyed.recorded_at,
            quantity: keyed.quantity,
        });
    }
    Ok(Refunded {
        pack: keyed.pack,
        feature: keyed.feature,
        expires_at: keyed.expires_at,
        quantity: keyed.quantity,
        remaining: keyed.remaining,
        seq: keyed.seq,
        at: keyed.at,
        before: Some(keyed.recorded_at),
    })
}
