//! Packs as they were sold. What became of one is in its ledger.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Stretch;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// A pack as it was sold.
#[derive(Debug, Clone)]
pub struct PackRow {
    pub position: i64,
    pub org_id: Uuid,
    pub org: String,
    pub pack_id: Uuid,
    pub reference: Option<String>,
    pub feature: String,
    pub quantity: Quantity,
    /// Price of the whole pack in hundredths of the currency.
    pub price_cents: Option<i64>,
    pub currency: Option<String>,
    pub purchased_at: Instant,
    pub expires_at: Option<Instant>,
    /// The org that it came from, and that bought it; `None`: this one.
    pub moved_from: Option<Uuid>,
}

/// The next page of a stretch.
pub async fn page(
    connection: &mut PgConnection,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<PackRow>, StoreError> {
    let rows = sqlx::query_as!(
        PackRow,
        r#"select p.export_position as position, p.org_id, o.slug as org, p.id as pack_id,
                  p.reference, p.feature, p.quantity, p.price_cents, p.currency, p.purchased_at,
                  nullif(p.expires_at, 'infinity') as expires_at,
                  m.from_org as "moved_from?"
           from (select * from overage_packs
                 where export_position > $1 and export_position <= $2
                 order by export_position limit $3) p
           cross join lateral (select slug from organizations where id = p.org_id offset 0) o
           left join lateral (
               select from_org from periodd_moved_packs
               where org_id = p.org_id and pack_id = p.id
               order by recorded_at limit 1) m on true
           order by p.export_position"#,
        stretch.after,
        stretch.up_to,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
