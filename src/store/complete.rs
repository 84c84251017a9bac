//! What begins with what somebody has typed so far.

use super::database::Database;
use super::error::StoreError;

/// Candidates that a shell is offered.
const MOST: i64 = 100;

/// Orgs whose slug begins like that, with their names.
///
/// # Errors
/// As every read.
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
///
/// # Errors
/// As every read.
pub async fn features(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut connection = database.connection().await?;
    super::usage_file::features(&mut connection).await
}

/// Every tier.
///
/// # Errors
/// As every read.
pub async fn tiers(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut connection = database.connection().await?;
    super::settings::tiers(&mut connection).await
}
