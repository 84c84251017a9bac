//! What the pictures of an org's period need beside its explanation: the steps of its packs, and
//! the thresholds of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// Entries of each pack that are read at most: the newest.
const STEPS: i64 = 40;
/// Settings of single features that are read at most.
const SETTINGS: i64 = 500;

/// An entry in the ledger of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub pack: Uuid,
    /// granted, drawn (negative: given back), expired or refunded.
    pub kind: String,
    pub quantity: Quantity,
    /// What the pack held afterwards.
    pub remaining: Quantity,
    /// When, in business time.
    pub at: Instant,
}

/// The last entries of each of these packs, oldest first.
pub async fn steps(
    connection: &mut PgConnection,
    org: Uuid,
    packs: &[Uuid],
) -> Result<Vec<Step>, StoreError> {
    let steps = sqlx::query_as!(
        Step,
        r#"select p.id as "pack!", e.kind, e.quantity, e.remaining, e.at
           from unnest($2::uuid[]) as p (id)
           cross join lateral (
               select l.kind, l.quantity, l.remaining, l.at, l.seq from overage_entries l
               where l.org_id = $1 and l.pack_id = p.id
               order by l.seq desc limit $3) as e
           order by p.id, e.seq"#,
        org,
        packs,
        STEPS
    );
    Ok(steps.fetch_all(connection).await?)
}

/// What an org has set of alerts instead of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSetting {
    /// The feature, or `*` for all without a row of their own.
    pub feature: String,
    /// In percent; `None`: as configured.
    pub thresholds: Option<Vec<i16>>,
    /// `allowance` or `included`; `None`: as configured.
    pub basis: Option<String>,
}

/// The alert settings of an org's own.
pub async fn alert_settings(
    connection: &mut PgConnection,
    org: Uuid,
) -> Result<Vec<AlertSetting>, StoreError> {
    let settings = sqlx::query_as!(
        AlertSetting,
        "select feature, thresholds, basis from org_alert_settings
         where org_id = $1 order by feature limit $2",
        org,
        SETTINGS
    );
    Ok(settings.fetch_all(connection).await?)
}
