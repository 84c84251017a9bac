//! What an org may use, as the SQL functions see it: they alone know what unclosed periods will
//! still draw.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::catalogue::UnknownFeature;
use crate::billing::{Instant, Quantity};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::transaction::{LockTimeout, begin_within};
use crate::store::usage::usage_file;

/// Why one more unit would be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// No period is open yet: increments fail with PB001.
    NoPeriod,
    /// The stored ends do not reach that far: increments fail with PB003.
    BeyondEnds,
    /// The org is paused.
    Paused,
    /// Neither the tier nor an override grants any, and packs do not reach.
    NotGranted,
    /// All of the allowance is used.
    UsedUp,
}

/// One feature of an org in the period that contains an instant.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Limit {
    pub feature: String,
    /// Does it not reset, as storage or seats?
    pub is_level: bool,
    pub used: Quantity,
    /// `None` is unlimited.
    pub included: Option<Quantity>,
    /// Does the tier or an override grant it?
    pub is_granted: bool,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    /// What the packs hold that are usable, without what ended periods will still draw.
    pub usable: Quantity,
    /// What periods that have ended, but are not closed yet, will still draw from usable packs.
    pub owed: Quantity,
    /// What packs have left for this period.
    pub purchased_remaining: Quantity,
    /// The allowance; `None` is unlimited.
    pub effective_limit: Option<Quantity>,
    /// What may still be used; `None` is unlimited.
    pub remaining: Option<Quantity>,
    /// How much of the allowance is used, in percent; `None` where it is unlimited.
    pub percent: Option<Quantity>,
    /// Why one more unit would be refused; `None`: it would be allowed.
    pub why_not: Option<WhyNot>,
    pub period_start: Option<Instant>,
    pub period_end: Option<Instant>,
}

impl Limit {
    /// Is more used than may be?
    pub fn is_exceeded(&self) -> bool {
        self.effective_limit.is_some_and(|limit| self.used > limit)
    }
}

/// The limits of an org per feature that it was granted, bought or used; with `only`, of that
/// feature, granted or not.
pub async fn of(
    connection: &mut PgConnection,
    org: Uuid,
    only: Option<&str>,
    at: Instant,
) -> Result<Vec<Limit>, StoreError> {
    let limits = sqlx::query_as!(
        Limit,
        r#"select a.feature as "feature!",
                  exists (select from features f where f.feature = a.feature and f.kind = 'level')
                      as "is_level!",
                  a.used as "used!", a.included,
                  a.is_granted as "is_granted!", a.drawn as "drawn!", a.usable as "usable!",
                  a.owed as "owed!", a.purchased_remaining as "purchased_remaining!",
                  a.allowance as effective_limit, a.remaining, a.percent,
                  a.why_not as "why_not: WhyNot", a.period_start, a.period_end
           from periodd_allowances($1, $3, periodd_folded($2)) a
           order by a.feature"#,
        org,
        only,
        at
    );
    Ok(limits.fetch_all(connection).await?)
}

/// What a tier includes of a feature, for one org.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Granted {
    /// The feature.
    pub feature: String,
    /// How much of it per period; null: unlimited.
    pub included: Option<Quantity>,
}

/// What a tier would include for an org, whose overrides grant instead of any tier.
pub async fn granted(
    connection: &mut PgConnection,
    org: Uuid,
    tier: &str,
) -> Result<Vec<Granted>, StoreError> {
    let granted = sqlx::query_as!(
        Granted,
        r#"select n.feature as "feature!", i.included
           from (select t.feature from tier_limits t where t.tier = $2
                 union select l.feature from limit_overrides l where l.org_id = $1) n
           cross join lateral periodd_included($1, n.feature, $2) i
           where i.is_granted
           order by n.feature"#,
        org,
        tier
    );
    Ok(granted.fetch_all(connection).await?)
}

/// The tier of ended subscriptions, as the functions know it; `None` before the first rollover.
pub async fn ended_tier(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let tier = sqlx::query_scalar!("select periodd_ended_tier()");
    Ok(tier.fetch_one(connection).await?)
}

/// Tells the functions which tier an org falls back to when its subscription has ended. Where
/// somebody holds that row nobody waits for it for long: the next run tells them.
pub async fn tell_ended_tier(database: &Database, tier: &str) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Short).await?;
    let told = sqlx::query!(
        "insert into periodd_facts as f (name, value)
         select 'ended_tier', $1
         where not exists (
             select 1 from periodd_facts k where k.name = 'ended_tier' and k.value = $1)
         on conflict (name) do update set value = excluded.value",
        tier
    );
    match told.execute(&mut *transaction).await.map_err(StoreError::from) {
        Ok(_) => Ok(transaction.commit().await?),
        Err(error) if error.is_contention() => Ok(transaction.rollback().await?),
        Err(other) => Err(other),
    }
}

/// Is there a feature of this name?
///
/// # Errors
/// [`StoreError::Invalid`] when there is none, with those that there are.
pub async fn require_feature(database: &Database, feature: &str) -> Result<(), StoreError> {
    let known = usage_file::features(&mut *database.connection().await?).await?;
    if known.contains(&feature.to_lowercase()) {
        return Ok(());
    }
    Err(StoreError::Invalid(UnknownFeature::new(feature, &known).to_string()))
}
