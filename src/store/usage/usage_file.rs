//! Usage that others report: names looked up, and keys.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// Which of these pairs are users, by email in lower case and by their org: with the user's id.
pub async fn users(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    emails: &[String],
) -> Result<Vec<(Uuid, String, Uuid)>, StoreError> {
    let rows = sqlx::query!(
        r#"select distinct on (u.organization_id, lower(u.email))
                  u.organization_id as org, lower(u.email) as "email!", u.id
           from unnest($1::uuid[], $2::text[]) as n (org, email)
           join users u on u.organization_id = n.org and lower(u.email) = n.email
           order by u.organization_id, lower(u.email), u.id"#,
        orgs,
        emails
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.org, row.email, row.id)).collect())
}

/// Which of these are users, with their orgs.
pub async fn members(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = sqlx::query!("select organization_id, id from users where id = any($1)", users);
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.organization_id, row.id)).collect())
}

/// Every feature's name, in their order.
pub async fn features(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!("select feature from features order by feature");
    Ok(names.fetch_all(connection).await?)
}

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    pub feature: String,
    pub quantity: Quantity,
    pub user: Option<Uuid>,
    pub recorded_at: Instant,
}

/// Which of these keys have been used, each by its org and with its place in the list; and for
/// what. Also those of metrics that retention has removed.
pub async fn keyed(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    keys: &[&str],
) -> Result<Vec<(usize, Keyed)>, StoreError> {
    let rows = sqlx::query!(
        r#"select u.place as "place!", k.feature as "feature!", k.quantity as "quantity!",
                  k.user_id as "user", k.recorded_at as "recorded_at!"
           from unnest($1::uuid[], $2::text[]) with ordinality as u (org_id, key, place)
           cross join lateral periodd_keyed(u.org_id, u.key) k"#,
        orgs,
        keys as &[&str]
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let place = usize::try_from(row.place - 1).unwrap_or_default();
        let (feature, quantity, user) = (row.feature, row.quantity, row.user);
        (place, Keyed { feature, quantity, user, recorded_at: row.recorded_at })
    });
    Ok(rows.collect())
}

/// How many metrics of these orgs are not counted yet.
pub async fn uncounted(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<u64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from usage_metrics
           where organization_id = any($1) and counted_at is null"#,
        orgs
    );
    Ok(count.fetch_one(connection).await?.unsigned_abs())
}
