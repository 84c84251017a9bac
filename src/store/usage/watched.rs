//! What moves of orgs that somebody watches: asked every second, so by primary keys alone.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// What an org's limits depend on and moves often. Where two of them are equal, so are the limits,
/// but for what time, packs that expire and a tier's own limits change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub org: Uuid,
    /// Raised by grants, refunds and rollovers.
    pub revision: i64,
    pub tier: String,
    pub period_start: Option<Instant>,
    /// Of the counters from the open period on, by period and feature.
    pub used: Vec<Quantity>,
    /// Of the org's overrides, by feature.
    pub overrides: Vec<Option<Quantity>>,
}

/// The marks of these orgs; none of one that is gone.
pub async fn marks(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<Vec<Mark>, StoreError> {
    let rows = sqlx::query_as!(
        Mark,
        r#"select o.id as org, o.revision, o.subscription_tier as tier,
                  o.current_period_start as period_start,
                  array(select c.used from usage_counters c
                        where c.org_id = o.id and c.period_start >= o.current_period_start
                        order by c.period_start, c.feature) as "used!: Vec<Quantity>",
                  array(select l.included from limit_overrides l where l.org_id = o.id
                        order by l.feature) as "overrides!: Vec<Option<Quantity>>"
           from unnest($1::uuid[]) as w (id)
           join organizations o on o.id = w.id and o.removed_at is null"#,
        orgs
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A threshold that an org's usage has crossed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Crossing {
    #[serde(skip)]
    pub org: Uuid,
    pub feature: String,
    pub threshold: i16,
    /// A higher allowance begins a new generation.
    #[serde(skip)]
    pub generation: i32,
    /// What had been used when it was decided.
    pub used: Quantity,
    pub period_start: Instant,
    pub period_end: Instant,
    pub decided_at: Instant,
}

/// The crossings in the open periods of these orgs; of several that one pass decided, the highest.
pub async fn crossings(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<Vec<Crossing>, StoreError> {
    let rows = sqlx::query_as!(
        Crossing,
        "select a.org_id as org, a.feature, a.threshold, a.generation, a.used, a.period_start,
                a.period_end, a.decided_at
         from unnest($1::uuid[]) as w (id)
         join organizations o on o.id = w.id
         join periodd_alerts a on a.org_id = o.id and a.period_start = o.current_period_start
         where a.state <> 'covered'
         order by a.org_id, a.feature, a.generation, a.threshold",
        orgs
    );
    Ok(rows.fetch_all(connection).await?)
}
