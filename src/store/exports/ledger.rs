//! Entries of the ledger as they are exported.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Stretch;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// An entry with the pack that it is about.
#[derive(Debug, Clone)]
pub struct EntryRow {
    pub position: i64,
    pub org_id: Uuid,
    pub org: String,
    pub pack_id: Uuid,
    pub reference: Option<String>,
    pub feature: String,
    /// Its number in the ledger of the pack.
    pub seq: i32,
    pub kind: String,
    pub quantity: Quantity,
    /// What was left afterwards.
    pub remaining: Quantity,
    pub at: Instant,
    /// The period of a draw.
    pub period_start: Option<Instant>,
}

/// The next page of a stretch.
pub async fn page(
    connection: &mut PgConnection,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<EntryRow>, StoreError> {
    let rows = sqlx::query_as!(
        EntryRow,
        "select e.export_position as position, e.org_id, o.slug as org, e.pack_id, p.reference,
                p.feature, e.seq, e.kind, e.quantity, e.remaining, e.at, e.period_start
         from (select * from overage_entries
               where export_position > $1 and export_position <= $2
               order by export_position limit $3) e
         cross join lateral (select reference, feature from overage_packs
                             where org_id = e.org_id and id = e.pack_id offset 0) p
         cross join lateral (select slug from organizations where id = e.org_id offset 0) o
         order by e.export_position",
        stretch.after,
        stretch.up_to,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
