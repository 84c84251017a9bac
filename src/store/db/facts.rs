//! Facts about this database that are kept by name, as text.

use sqlx::PgConnection;

use super::error::StoreError;

/// What is kept under a name; `None`: nothing.
pub(in crate::store) async fn read(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let fact = sqlx::query_scalar!("select value from periodd_facts where name = $1", name);
    Ok(fact.fetch_optional(connection).await?)
}

/// Keeps a value under a name, instead of what was kept there.
pub(in crate::store) async fn keep(
    connection: &mut PgConnection,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    let kept = sqlx::query!(
        "insert into periodd_facts (name, value) values ($1, $2)
         on conflict (name) do update set value = excluded.value",
        name,
        value
    );
    kept.execute(connection).await?;
    Ok(())
}
