//! What begins with what somebody has typed so far.

use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// Candidates that a shell is offered.
const MOST: i64 = 100;

/// Orgs whose slug begins like that, with their names.
pub async fn orgs(database: &Database, typed: &str) -> Result<Vec<(String, String)>, StoreError> {
    let orgs = sqlx::query!(
        "select slug, name from organizations where slug >= $1 order by slug limit $2",
        typed,
        MOST
    );
    let orgs = orgs.fetch_all(&mut *database.connection().await?).await?.into_iter();
    let fit = orgs.filter(|org| org.slug.starts_with(typed));
    Ok(fit.map(|org| (org.slug, org.name)).collect())
}

/// Every feature.
pub async fn features(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut connection = database.connection().await?;
    crate::store::usage::usage_file::features(&mut connection).await
}

/// Every tier.
pub async fn tiers(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut connection = database.connection().await?;
    super::settings::tiers(&mut connection).await
}
