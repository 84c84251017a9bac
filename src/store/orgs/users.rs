//! The people who use what an org pays for.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Quantity;
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;

/// A user, as commands show it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct UserRow {
    /// The user.
    pub id: Uuid,
    /// The org, by its slug.
    pub org: String,
    /// Where the user is reached.
    pub email: String,
    /// The user's own plan; null: the org's tier.
    pub plan: Option<String>,
    /// The user's own status; null: the org's.
    pub subscription_status: Option<String>,
    /// Derived: scrapes in the open period.
    pub usage_this_month: Readable<Quantity>,
}

/// Users of one org or of all, by org and email; at most `limit`.
pub async fn list(
    connection: &mut PgConnection,
    org: Option<Uuid>,
    limit: Option<i64>,
) -> Result<Vec<UserRow>, StoreError> {
    let users = sqlx::query_as!(
        UserRow,
        r#"select u.id, o.slug as org, u.email, u.plan, u.subscription_status,
                  u.usage_this_month as "usage_this_month: Readable<Quantity>"
           from users u join organizations o on o.id = u.organization_id
           where $1::uuid is null or u.organization_id = $1
           order by o.slug, u.email, u.id limit $2"#,
        org,
        limit
    );
    Ok(users.fetch_all(connection).await?)
}

/// Adds a user to an org; `None` for an id that is taken.
pub async fn add(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    email: &str,
) -> Result<Option<Uuid>, StoreError> {
    let added = sqlx::query_scalar!(
        "insert into users (id, organization_id, email) values ($1, $2, $3)
         on conflict do nothing returning id",
        id,
        org,
        email
    );
    Ok(added.fetch_optional(connection).await?)
}
