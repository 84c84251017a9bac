//! Importing usage: names looked up and metrics written by the thousand.
//!
//! Metrics go straight into `usage_metrics`, bound as arrays. COPY is a fifth faster into an empty
//! table, but it knows no `on conflict`: it would need a table of its own to land in first, and
//! the rows would be written twice.

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::usage::NewUsage;

/// Which of these names are orgs, by slug or id: the name with the org's id.
///
/// # Errors
/// As every read.
pub async fn orgs(
    connection: &mut PgConnection,
    named: &[String],
) -> Result<Vec<(String, Uuid)>, StoreError> {
    let ids: Vec<Uuid> = named.iter().filter_map(|name| Uuid::try_parse(name).ok()).collect();
    let rows = sqlx::query!(
        "select id, slug from organizations where slug = any($1) or id = any($2)",
        named,
        &ids
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(connection).await? {
        for name in named.iter().filter(|name| Uuid::try_parse(name).is_ok_and(|id| id == row.id)) {
            found.push((name.clone(), row.id));
        }
        found.push((row.slug, row.id));
    }
    Ok(found)
}

/// Which of these pairs are users, by email in lower case and by their org: with the user's id.
///
/// # Errors
/// As every read.
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

/// Every feature's name.
///
/// # Errors
/// As every read.
pub async fn features(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!("select feature from features");
    Ok(names.fetch_all(connection).await?)
}

/// Inserts metrics, to be counted by whoever counts next, and returns how many were new: a
/// repeated key is inserted once.
///
/// # Errors
/// As every write; [`StoreError::Unprocessable`] for an org that has gone.
pub async fn write(connection: &mut PgConnection, usage: &[NewUsage]) -> Result<u64, StoreError> {
    super::usage::insert(connection, usage).await
}
