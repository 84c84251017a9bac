//! The newest closed periods of many orgs, as forecasts are compared with them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Period, Quantity};
use crate::store::db::error::StoreError;

/// What was used of a feature in a closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedUsage {
    pub org: Uuid,
    pub feature: String,
    pub period: Period,
    /// The org's zone at the close; `None`: unknown.
    pub time_zone: Option<String>,
    /// With what came late.
    pub used: Quantity,
    /// `None` is unlimited.
    pub included: Option<Quantity>,
}

/// The usage of the newest `most` closed periods of each org, by org, feature and start.
pub async fn newest(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    most: u32,
) -> Result<Vec<ClosedUsage>, StoreError> {
    let rows = sqlx::query!(
        r#"select b.org_id, u.feature as "feature!", b.period_start, b.period_end, b.time_zone,
                  u.used + coalesce(l.used, 0) as "used!", u.included as "included?"
           from unnest($1::uuid[]) as asked (org_id)
           cross join lateral (
               select * from billing_periods c where c.org_id = asked.org_id
               order by c.period_start desc limit $2) as b
           cross join lateral unnest(b.features, b.used_each, b.included_each)
               as u (feature, used, included)
           left join lateral (
               select sum(a.used) as used from billing_adjustments a
               where a.org_id = b.org_id and a.period_start = b.period_start
                 and a.feature = u.feature) as l on true
           where abs(u.used + coalesce(l.used, 0)) < 1e22
           order by b.org_id, u.feature, b.period_start"#,
        orgs,
        i64::from(most)
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| ClosedUsage {
        org: row.org_id,
        feature: row.feature,
        period: Period { start: row.period_start, end: row.period_end },
        time_zone: row.time_zone,
        used: row.used,
        included: row.included,
    });
    Ok(rows.collect())
}

/// The next orgs by their ids.
pub async fn orgs_after(
    connection: &mut PgConnection,
    after: Uuid,
    most: u32,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select id from organizations where id > $1 order by id limit $2",
        after,
        i64::from(most)
    );
    Ok(orgs.fetch_all(connection).await?)
}
