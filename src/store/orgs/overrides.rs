//! What single orgs are granted instead of what their tiers include.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Quantity;
use crate::billing::quota::Included;
use crate::store::db::error::StoreError;

/// The override of an org for a feature; `None`: the tier's limit applies. The org's revision rises
/// and its row stays locked until the transaction ends: a rollover that was planned by the old
/// limit is planned again, and what is read here is what [`write()`] replaces.
pub async fn lock(
    connection: &mut PgConnection,
    org: Uuid,
    feature: &str,
) -> Result<Option<Included>, StoreError> {
    sqlx::query!("update organizations set revision = revision + 1 where id = $1", org)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query!(
        r#"select included as "included: Quantity" from limit_overrides
           where org_id = $1 and feature = $2"#,
        org,
        feature
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| Included::from(row.included)))
}

/// Writes the override of an org that is locked, or removes it.
pub async fn write(
    connection: &mut PgConnection,
    org: Uuid,
    feature: &str,
    included: Option<Included>,
) -> Result<(), StoreError> {
    match included {
        None => {
            sqlx::query!(
                "delete from limit_overrides where org_id = $1 and feature = $2",
                org,
                feature
            )
            .execute(connection)
            .await?
        }
        Some(included) => {
            sqlx::query!(
                "insert into limit_overrides (org_id, feature, included) values ($1, $2, $3)
                 on conflict (org_id, feature) do update set included = excluded.included",
                org,
                feature,
                included.column()
            )
            .execute(connection)
            .await?
        }
    };
    Ok(())
}
