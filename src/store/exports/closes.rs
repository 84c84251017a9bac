//! Closed periods as they are exported.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Stretch;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// A closed period; what concerns its features stands in lists beside each other.
#[derive(Debug, Clone)]
pub struct CloseRow {
    pub position: i64,
    pub org_id: Uuid,
    pub org: String,
    pub period_start: Instant,
    pub period_end: Instant,
    pub time_zone: Option<String>,
    pub tier: String,
    pub closed_at: Instant,
    pub features: Vec<String>,
    pub used: Vec<Quantity>,
    /// `None` is unlimited.
    pub included: Vec<Option<Quantity>>,
    pub drawn: Vec<Quantity>,
    pub uncovered: Vec<Quantity>,
    /// Hundredths of the currency for an uncovered unit; `None`: nothing was priced at the close.
    pub prices: Option<Vec<Option<Quantity>>>,
    pub currency: Option<String>,
}

/// The next page of a stretch.
pub async fn page(
    connection: &mut PgConnection,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<CloseRow>, StoreError> {
    let rows = sqlx::query_as!(
        CloseRow,
        r#"select b.export_position as position, b.org_id, o.slug as org, b.period_start,
                  b.period_end, b.time_zone, b.tier, b.closed_at, b.features,
                  b.used_each as "used: Vec<Quantity>",
                  b.included_each as "included: Vec<Option<Quantity>>",
                  b.drawn_each as "drawn: Vec<Quantity>",
                  b.uncovered_each as "uncovered: Vec<Quantity>",
                  b.uncovered_prices as "prices: Vec<Option<Quantity>>", b.currency
           from (select * from billing_periods
                 where export_position > $1 and export_position <= $2
                 order by export_position limit $3) b
           cross join lateral (select slug from organizations where id = b.org_id offset 0) o
           order by b.export_position"#,
        stretch.after,
        stretch.up_to,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
