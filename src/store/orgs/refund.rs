//! Refunds of packs: what one depends on, read while nobody else may change it, and its entry in
//! the ledger.

use sqlx::PgConnection;
use uuid::Uuid;

use super::packs;
use crate::billing::derived::PurchasedColumn;
use crate::billing::quota::Pack;
use crate::billing::refund::{Claim, Refund};
use crate::billing::rollover::MINUTES;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::rollover::claim;

/// Which pack is meant.
#[derive(Debug, Clone)]
pub enum Named {
    /// By its id.
    Id(Uuid),
    /// By its buyer's reference.
    Reference(String),
}

/// Reads what a refund depends on, within a transaction: the org's row moves first, so that a
/// rollover planned before is planned again, and the counter is held, so that no increment is
/// allowed on what is about to go back. `None`: there is no such pack.
pub async fn claim(
    connection: &mut PgConnection,
    org: Uuid,
    named: &Named,
    now: Instant,
) -> Result<Option<Claim>, StoreError> {
    let (id, reference) = match named {
        Named::Id(id) => (Some(*id), None),
        Named::Reference(reference) => (None, Some(reference.as_str())),
    };
    let row = sqlx::query!(
        "update organizations set revision = revision + 1 where id = $1
         returning current_period_start, current_period_end,
                   overage_minutes, overage_minutes_written, overage_minutes_granted",
        org
    );
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let pack = sqlx::query!(
        r#"select id, feature, coalesce(remaining, quantity) as "remaining!", purchased_at,
                  nullif(expires_at, 'infinity') as expires_at, entries
           from overage_packs where org_id = $1 and (id = $2 or reference = $3) and entries > 0"#,
        org,
        id,
        reference
    );
    let Some(pack) = pack.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let start = row.current_period_start.filter(|_| row.current_period_end.is_some());
    packs::lock_intent(connection, org, &pack.feature).await?;
    let account = sqlx::query!(
        r#"select a.used + coalesce((select sum(m.metric_value) from usage_metrics m
                                     where m.organization_id = $1 and m.counted_at is null
                                       and m.created_at >= a.period_start
                                       and m.created_at < a.period_end
                                       and periodd_folded(m.metric_type) = $3), 0) as "used!",
                  a.included, a.drawn as "drawn!", a.usable as "usable!"
           from periodd_allowances($1, $2, $3) a"#,
        org,
        now,
        pack.feature
    );
    let account = account.fetch_one(&mut *connection).await?;
    let shown = (pack.feature == MINUTES).then_some(PurchasedColumn {
        held: row.overage_minutes,
        written: row.overage_minutes_written,
        granted: row.overage_minutes_granted,
    });
    Ok(Some(Claim {
        pack: Pack {
            id: pack.id,
            feature: pack.feature.as_str().into(),
            remaining: pack.remaining,
            purchased_at: pack.purchased_at,
            expires_at: pack.expires_at,
            entries: pack.entries,
        },
        included: account.included.into(),
        used: account.used,
        drawn: account.drawn,
        usable: account.usable,
        period_end: start.and(row.current_period_end),
        shown,
    }))
}

/// A refund that was made with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    pub pack: Uuid,
    pub feature: String,
    pub reference: Option<String>,
    pub expires_at: Option<Instant>,
    /// What was asked for; `None`: all that could go back.
    pub asked: Option<Quantity>,
    pub quantity: Quantity,
    pub remaining: Quantity,
    pub seq: i32,
    pub at: Instant,
    pub recorded_at: Instant,
}

impl Keyed {
    /// Was it a refund of this pack, and of as much?
    pub fn is(&self, named: &Named, asked: Option<Quantity>) -> bool {
        let is_pack = match named {
            Named::Id(id) => *id == self.pack,
            Named::Reference(reference) => Some(reference) == self.reference.as_ref(),
        };
        is_pack && asked == self.asked
    }
}

/// The refund that was made with a key. The org's row has to be held, so that nobody is about to
/// make one.
pub async fn keyed(
    connection: &mut PgConnection,
    org: Uuid,
    key: &str,
) -> Result<Option<Keyed>, StoreError> {
    let keyed = sqlx::query_as!(
        Keyed,
        r#"select p.id as pack, p.feature, p.reference,
                  nullif(p.expires_at, 'infinity') as expires_at, k.asked, e.quantity, e.remaining,
                  e.seq, e.at, e.recorded_at
           from periodd_refund_keys k
           join overage_entries e
             on e.org_id = k.org_id and e.pack_id = k.pack_id and e.seq = k.seq
           join overage_packs p on p.org_id = k.org_id and p.id = k.pack_id
           where k.org_id = $1 and k.idempotency_key = $2"#,
        org,
        key
    );
    Ok(keyed.fetch_optional(connection).await?)
}

/// Locks an org's row against everybody who plans something for it.
pub async fn hold(connection: &mut PgConnection, org: Uuid) -> Result<(), StoreError> {
    claim::lock(connection, org).await
}

/// Keeps the key of a refund, within the transaction that writes the refund.
pub async fn keep_key(
    connection: &mut PgConnection,
    org: Uuid,
    refund: &Refund,
    key: &str,
    asked: Option<Quantity>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into periodd_refund_keys (org_id, idempotency_key, pack_id, seq, asked)
         values ($1, $2, $3, $4, $5)",
        org,
        key,
        refund.pack,
        refund.seq,
        asked
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a refund within the transaction that read what it depends on.
///
/// # Errors
/// [`StoreError::Conflict`] when the pack does not stand as it was read.
pub async fn write(
    connection: &mut PgConnection,
    org: Uuid,
    refund: &Refund,
) -> Result<(), StoreError> {
    let moved = sqlx::query!(
        "with moved as (
             update overage_packs set remaining = $4, entries = $5
             where org_id = $1 and id = $2 and entries = $5 - 1
               and coalesce(remaining, quantity) = $3
             returning org_id, id)
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select org_id, id, $5, 'refunded', $6, $7, $4 from moved",
        org,
        refund.pack,
        refund.before,
        refund.remaining,
        refund.seq,
        refund.quantity,
        refund.at
    );
    if moved.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(StoreError::Conflict("the pack does not stand as it was read".to_owned()));
    }
    if let Some((holds, written)) = refund.shown {
        sqlx::query!(
            "update organizations
             set overage_minutes = $2, overage_minutes_written = $3, overage_minutes_granted = 0
             where id = $1",
            org,
            holds,
            written
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
