//! Packs: granting them, listing them, and entering those that applications inserted by
//! themselves in the ledger.

use sqlx::PgConnection;
use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use crate::billing::{Instant, Quantity};

/// A pack to be granted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who bought it.
    pub org: Uuid,
    /// What it pays for.
    pub feature: String,
    /// How much of it.
    pub quantity: Quantity,
    /// The buyer's reference; the same one grants once.
    pub reference: Option<String>,
    /// From when it is usable.
    pub purchased_at: Instant,
    /// Until when.
    pub expires_at: Option<Instant>,
}

/// Grants a pack and returns its id; a repeated reference returns the pack that it granted.
///
/// # Errors
/// [`StoreError::Invalid`] for an org or feature that does not exist, a quantity that is not
/// above zero, or a reference that granted something else.
pub async fn grant(database: &Database, grant: &Grant) -> Result<Uuid, StoreError> {
    let pack = sqlx::query_scalar!(
        r#"select grant_overage_pack($1, $2, $3, $4, $5, $6) as "id!""#,
        grant.org,
        grant.feature,
        grant.quantity,
        grant.reference,
        grant.expires_at,
        grant.purchased_at
    );
    Ok(pack.fetch_one(&mut *database.connection().await?).await?)
}

/// A pack with what became of it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct PackRow {
    /// The pack.
    pub id: Uuid,
    /// Who bought it.
    pub org: String,
    /// What it pays for.
    pub feature: String,
    /// How much was bought.
    pub quantity: Quantity,
    /// What is left.
    pub remaining: Quantity,
    /// What was drawn.
    pub drawn: Quantity,
    /// What expired.
    pub expired: Quantity,
    /// What was refunded.
    pub refunded: Quantity,
    /// From when it is usable.
    pub purchased_at: Instant,
    /// Until when.
    pub expires_at: Option<Instant>,
    /// The buyer's reference.
    pub reference: Option<String>,
}

/// The packs of one org, or of all, in the order in which they are drawn.
///
/// # Errors
/// As every read.
pub async fn list(database: &Database, org: Option<Uuid>) -> Result<Vec<PackRow>, StoreError> {
    let packs = sqlx::query_as!(
        PackRow,
        r#"select p.id, o.slug as org, p.feature, p.quantity,
                  coalesce(p.remaining, p.quantity) as "remaining!",
                  coalesce(sum(e.quantity) filter (where e.kind = 'drawn'), 0) as "drawn!",
                  coalesce(sum(e.quantity) filter (where e.kind = 'expired'), 0) as "expired!",
                  coalesce(sum(e.quantity) filter (where e.kind = 'refunded'), 0) as "refunded!",
                  p.purchased_at, p.expires_at, p.reference
           from overage_packs p
           join organizations o on o.id = p.org_id
           left join overage_entries e on e.org_id = p.org_id and e.pack_id = p.id
           where $1::uuid is null or p.org_id = $1
           group by p.org_id, p.id, o.slug
           order by o.slug, p.feature, p.expires_at nulls last, p.purchased_at, p.id"#,
        org
    );
    Ok(packs.fetch_all(&mut *database.connection().await?).await?)
}

/// Enters packs that applications inserted by themselves in the ledger: granted in full, and
/// drawn by as much as the row says is gone.
///
/// # Errors
/// As every write.
pub async fn adopt_unseen(connection: &mut PgConnection) -> Result<u64, StoreError> {
    let adopted = sqlx::query!(
        r#"with unseen as (
               select p.org_id, p.id, p.feature, p.quantity, p.purchased_at,
                      coalesce(p.remaining, p.quantity) as remaining
               from overage_packs p where p.entries = 0
               order by p.org_id, p.id limit 10000),
           adopted as (
               update overage_packs p
               set remaining = u.remaining,
                   entries = case when u.remaining = u.quantity then 1 else 2 end
               from unseen u
               where p.org_id = u.org_id and p.id = u.id and p.entries = 0 and u.remaining >= 0
               returning u.*),
           orgs as (
               update organizations o
               set revision = o.revision + 1,
                   overage_minutes_granted = o.overage_minutes_granted + a.minutes
               from (select org_id, coalesce(sum(quantity) filter (
                                where feature = 'minutes_transcribed'), 0) as minutes
                     from adopted group by 1) a
               where o.id = a.org_id
               returning o.id, o.current_period_start, o.current_period_end),
           -- Whoever keeps a copy of what is left of the packs is told that it moved. Sorted, so
           -- that the orgs' rows are locked before any counter is: everybody's order.
           told as (
               insert into usage_counters as c
                   (org_id, feature, period_start, period_end)
               select o.id, a.feature, o.current_period_start, o.current_period_end
               from (select distinct org_id, feature from adopted) a
               join orgs o on o.id = a.org_id
               where o.current_period_start < o.current_period_end
               order by o.id, a.feature
               on conflict (org_id, period_start, feature) do update set sync_status = 'pending')
           insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
           select org_id, id, 1, 'granted', quantity, purchased_at, quantity from adopted
           union all
           select org_id, id, 2, 'drawn', quantity - remaining, purchased_at, remaining
           from adopted where remaining <> quantity"#
    );
    Ok(adopted.execute(connection).await?.rows_affected())
}

/// Says in the counters of one org and feature that its packs are about to sink by anything but a
/// rollover: an increment whose limit was read before decides anew, and one that is under way is
/// waited for. The org's revision has to have been raised in the same transaction.
///
/// # Errors
/// As every write.
pub async fn announce_taking(
    connection: &mut PgConnection,
    org: Uuid,
    feature: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with open as (
             insert into usage_counters as c (org_id, feature, period_start, period_end, revision)
             select o.id, $2, o.current_period_start, o.current_period_end, o.revision
             from organizations o
             where o.id = $1 and o.current_period_start < o.current_period_end
             on conflict (org_id, period_start, feature) do update set revision = excluded.revision)
         update usage_counters c set revision = o.revision
         from organizations o
         where o.id = $1 and c.org_id = o.id and c.feature = $2
           and c.period_start > o.current_period_start",
        org,
        feature
    )
    .execute(connection)
    .await?;
    Ok(())
}
