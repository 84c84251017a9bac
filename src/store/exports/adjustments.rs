//! Adjustments as they are exported.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Stretch;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// An adjustment, with the price that it kept when it was written.
#[derive(Debug, Clone)]
pub struct AdjustmentRow {
    pub position: i64,
    pub org_id: Uuid,
    pub org: String,
    pub period_start: Instant,
    pub feature: String,
    /// Its number among those of the period and the feature.
    pub seq: i32,
    pub kind: String,
    pub used: Quantity,
    pub drawn: Quantity,
    pub uncovered: Quantity,
    /// Hundredths of the currency for an uncovered unit.
    pub price: Option<Quantity>,
    pub currency: Option<String>,
    pub reason: Option<String>,
    pub decided_at: Instant,
}

/// The next page of a stretch.
pub async fn page(
    connection: &mut PgConnection,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<AdjustmentRow>, StoreError> {
    let rows = sqlx::query_as!(
        AdjustmentRow,
        r#"select a.export_position as position, a.org_id, o.slug as org, a.period_start, a.feature,
                  a.seq, a.kind, a.used, a.drawn, a.uncovered,
                  b.uncovered_price_cents as "price: Quantity",
                  b.currency as "currency?", a.reason, a.decided_at
           from (select * from billing_adjustments
                 where export_position > $1 and export_position <= $2
                 order by export_position limit $3) a
           cross join lateral (
               select * from periodd_adjusted_price(
                                 a.org_id, a.period_start, a.feature, a.seq) offset 0) b
           cross join lateral (select slug from organizations where id = a.org_id offset 0) o
           order by a.export_position"#,
        stretch.after,
        stretch.up_to,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
