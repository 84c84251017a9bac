//! Ids that are not UUIDs get one each: version 5, of the id's own text, so that the same id gets
//! the same UUID in every run and on every machine.

use sqlx::PgConnection;
use uuid::Uuid;

use super::run;
use crate::store::db::error::StoreError;

/// The name space of what is mapped here.
const NAMESPACE: Uuid = uuid::uuid!("5d8f3c1e-6b0a-5c47-9a52-0e4c9b7d21f6");
/// How many ids are read and written at once.
const BATCH: usize = 10_000;

/// The UUID of an id: an org's is another than a user's with the same text.
fn uuid_of(kind: &str, former: &str) -> Uuid {
    let parsed = Uuid::try_parse(former).ok().filter(|_| former.len() == 36);
    parsed.unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, format!("{kind}:{former}").as_bytes()))
}

/// Maps every `(kind, former_id)` of a query, inside of a transaction; returns how many.
pub(super) async fn map(
    connection: &mut PgConnection,
    what: &str,
    query: &str,
) -> Result<u64, StoreError> {
    let declare = format!("declare periodd_ids no scroll cursor for {query}");
    run(connection, what, &declare).await?;
    let mut mapped = 0;
    loop {
        let fetch = format!("fetch {BATCH} from periodd_ids");
        let found: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(fetch))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        if found.is_empty() {
            break;
        }
        let ids: Vec<Uuid> = found.iter().map(|(kind, former)| uuid_of(kind, former)).collect();
        let (kinds, formers): (Vec<String>, Vec<String>) = found.into_iter().unzip();
        let insert = "insert into periodd_import_ids (kind, former_id, id)
                      select * from unnest($1::text[], $2::text[], $3::uuid[])";
        let written =
            sqlx::query(insert).bind(kinds).bind(formers).bind(ids).execute(&mut *connection);
        mapped += written.await?.rows_affected();
    }
    run(connection, what, "close periodd_ids").await?;
    // What follows looks every id up.
    run(connection, what, "analyze periodd_import_ids").await?;
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::uuid_of;

    #[test]
    fn an_id_has_one_uuid_and_an_orgs_differs_from_a_users() {
        let org = uuid_of("organizations", "clz1a2b3c0000");
        assert_eq!(org, uuid_of("organizations", "clz1a2b3c0000"));
        assert_ne!(org, uuid_of("users", "clz1a2b3c0000"));
        assert_eq!(org.get_version_num(), 5);
        let already = "00000000-0000-0000-0000-000000000001";
        assert_eq!(uuid_of("organizations", already).to_string(), already);
    }
}
