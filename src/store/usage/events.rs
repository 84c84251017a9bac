//! Events: the names in a batch, looked up in one statement each.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// An org that an event names.
#[derive(Debug, Clone)]
pub struct Org {
    pub id: Uuid,
    /// Start of its open period; `None`: it has none yet.
    pub open_since: Option<Instant>,
}

/// The database's clock, and which of these names are orgs, by slug or id: each name with its org.
pub async fn orgs(
    connection: &mut PgConnection,
    named: &[&str],
) -> Result<(Instant, Vec<(String, Org)>), StoreError> {
    let ids: Vec<Option<Uuid>> = named.iter().map(|name| Uuid::try_parse(name).ok()).collect();
    let rows = sqlx::query!(
        r#"select q.named as "named!", o.id, o.current_period_start as open_since
           from unnest($1::text[], $2::uuid[]) as q (named, id)
           cross join lateral (
               select coalesce((select s.id from organizations s where s.slug = q.named),
                               (select i.id from organizations i where i.id = q.id)) as id) n
           join organizations o on o.id = n.id"#,
        named as &[&str],
        &ids as &[Option<Uuid>]
    );
    let orgs = rows.fetch_all(&mut *connection).await?.into_iter();
    let orgs = orgs.map(|row| (row.named, Org { id: row.id, open_since: row.open_since }));
    let orgs = orgs.collect();
    Ok((crate::store::server_now(connection).await?, orgs))
}

/// Which of these are users, with their orgs.
pub async fn users(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = sqlx::query!("select organization_id, id from users where id = any($1)", users);
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.organization_id, row.id)).collect())
}
