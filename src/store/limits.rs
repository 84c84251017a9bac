//! What an org may use, as the SQL functions see it: they alone know what unclosed periods will
//! still draw.

use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use crate::billing::{Instant, Quantity};

/// One feature of an org in the period that contains an instant.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Limit {
    /// The feature.
    pub feature: String,
    /// What the org used.
    pub used: Quantity,
    /// What is included; `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs have left for this period.
    pub purchased_remaining: Quantity,
    /// The allowance; `None` is unlimited.
    pub effective_limit: Option<Quantity>,
    /// What may still be used; `None` is unlimited.
    pub remaining: Option<Quantity>,
    /// How much of the allowance is used, in percent; `None` where it is unlimited.
    pub percent: Option<Quantity>,
    /// Start of the period.
    pub period_start: Option<Instant>,
    /// End of the period.
    pub period_end: Option<Instant>,
}

/// The limits of an org per feature that it was granted, bought or used; with `only`, of that
/// feature, granted or not.
///
/// # Errors
/// As every read.
pub async fn of(
    database: &Database,
    org: Uuid,
    only: Option<&str>,
    at: Instant,
) -> Result<Vec<Limit>, StoreError> {
    let limits = sqlx::query_as!(
        Limit,
        r#"select n.feature as "feature!", a.used as "used!", a.included,
                  least(a.usable, greatest(0, l.allowance - a.used)) as "purchased_remaining!",
                  l.allowance as effective_limit,
                  greatest(0, l.allowance - a.used) as remaining,
                  periodd_percent(a.used, l.allowance) as percent,
                  a.period_start, a.period_end
           from (select lower($2) as feature where $2::text is not null
                 union
                 select t.feature from tier_limits t
                 join organizations o on o.subscription_tier = t.tier
                 where o.id = $1 and $2 is null
                 union
                 select v.feature from limit_overrides v where v.org_id = $1 and $2 is null
                 union
                 select k.feature from overage_packs k
                 where k.org_id = $1 and $2 is null and (k.remaining <> 0 or k.entries = 0)
                 union
                 select c.feature from usage_counters c
                 where c.org_id = $1 and $2 is null
                   and c.period_start <= $3 and c.period_end > $3) n
           cross join lateral periodd_allowance($1, n.feature, $3) a
           cross join lateral (select a.included + a.drawn + a.usable as allowance) l
           order by n.feature"#,
        org,
        only,
        at
    );
    Ok(limits.fetch_all(&mut *database.connection().await?).await?)
}

/// Is there a feature of this name?
///
/// # Errors
/// [`StoreError::Invalid`] when there is none, with those that there are.
pub async fn require_feature(database: &Database, feature: &str) -> Result<(), StoreError> {
    let known = sqlx::query_scalar!("select feature from features order by feature");
    let known = known.fetch_all(&mut *database.connection().await?).await?;
    if known.contains(&feature.to_lowercase()) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "there is no feature `{feature}`; there are {}",
        known.join(", ")
    )))
}
