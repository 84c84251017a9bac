//! Refunds of packs: what one depends on, read while nobody else may change it, and its entry in
//! the ledger.

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::packs;
use crate::billing::derived::PurchasedColumn;
use crate::billing::quota::Included;
use crate::billing::quota::Pack;
use crate::billing::refund::{Claim, Refund};
use crate::billing::rollover::MINUTES;

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
///
/// # Errors
/// As every read.
pub async fn claim(
    connection: &mut PgConnection,
    org: Uuid,
    named: &Named,
    now: crate::billing::Instant,
) -> Result<Option<Claim>, StoreError> {
    let (id, reference) = match named {
        Named::Id(id) => (Some(*id), None),
        Named::Reference(reference) => (None, Some(reference.as_str())),
    };
    let row = sqlx::query!(
        "update organizations set revision = revision + 1 where id = $1
         returning subscription_tier as tier, current_period_start, current_period_end,
                   overage_minutes, overage_minutes_written, overage_minutes_granted",
        org
    );
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let pack = sqlx::query!(
        r#"select id, feature, coalesce(remaining, quantity) as "remaining!", purchased_at,
                  expires_at, entries
           from overage_packs where org_id = $1 and (id = $2 or reference = $3) and entries > 0"#,
        org,
        id,
        reference
    );
    let Some(pack) = pack.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let start = row.current_period_start.filter(|_| row.current_period_end.is_some());
    packs::announce_taking(connection, org, &pack.feature).await?;
    let account = sqlx::query!(
        r#"select coalesce((select c.used from usage_counters c
                            where c.org_id = $1 and c.period_start = $2 and c.feature = $3), 0)
                  + coalesce((select sum(m.metric_value) from usage_metrics m
                              where m.organization_id = $1 and m.counted_at is null
                                and m.created_at >= $2 and m.created_at < $4
                                and lower(m.metric_type) = $3), 0) as "used!",
                  coalesce((select sum(e.quantity) from overage_entries e
                            join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
                            where e.org_id = $1 and e.period_start = $2 and e.kind = 'drawn'
                              and p.feature = $3), 0) as "drawn!",
                  coalesce((select sum(coalesce(p.remaining, p.quantity)) from overage_packs p
                            where p.org_id = $1 and p.feature = $3 and p.purchased_at <= $5
                              and (p.expires_at is null or p.expires_at > $5)), 0) as "usable!",
                  exists (select from limit_overrides l where l.org_id = $1 and l.feature = $3)
                      as "overridden!",
                  (select l.included from limit_overrides l
                   where l.org_id = $1 and l.feature = $3) as own,
                  exists (select from tier_limits t where t.tier = $6 and t.feature = $3)
                      as "listed!",
                  (select t.included from tier_limits t
                   where t.tier = $6 and t.feature = $3) as by_tier"#,
        org,
        start,
        pack.feature,
        row.current_period_end,
        now,
        row.tier
    );
    let account = account.fetch_one(&mut *connection).await?;
    let included = match (account.overridden, account.listed) {
        (true, _) => account.own.into(),
        (false, true) => account.by_tier.into(),
        (false, false) => Included::NONE,
    };
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
        included,
        used: account.used,
        drawn: account.drawn,
        usable: account.usable,
        period_end: start.and(row.current_period_end),
        shown,
    }))
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
