//! What a database remembers of its migrations: a table with a row for each that was applied.

use sqlx::PgConnection;

use super::api::failed;
use super::error::StoreError;
use super::tables;
use crate::billing::Instant;

/// A migration, applied or not.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// What it brings.
    pub description: String,
    /// Since when it is applied.
    pub applied_at: Option<Instant>,
}

/// Runs the statements of a migration.
pub(super) async fn run(
    connection: &mut PgConnection,
    migration: &str,
    text: String,
) -> Result<(), StoreError> {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(connection).await;
    done.map_err(|error| failed(migration, error)).map(drop)
}

/// Writes down that a migration is applied.
pub(super) async fn record(
    connection: &mut PgConnection,
    migration: &sqlx::migrate::Migration,
) -> Result<Migration, StoreError> {
    let row: (Instant,) = sqlx::query_as(
        "insert into periodd_migrations (version, description, checksum)
         values ($1, $2, $3) returning applied_at",
    )
    .bind(migration.version)
    .bind(migration.description.as_ref())
    .bind(migration.checksum.as_ref())
    .fetch_one(connection)
    .await?;
    Ok(Migration {
        version: migration.version,
        description: migration.description.to_string(),
        applied_at: Some(row.0),
    })
}

/// What the table of migrations is for.
pub(super) const COMMENTS: &str = "
    comment on table periodd_migrations is 'Applied migrations.';
    comment on column periodd_migrations.version is 'Number of the migration.';
    comment on column periodd_migrations.description is 'What the migration added.';
    comment on column periodd_migrations.checksum is 'Checksum of the text.';
    comment on column periodd_migrations.applied_at is 'Time of the migration.';";

/// Makes the table of migrations if it is not there, and keeps other migrators from it until the
/// transaction ends. Readers of it are not disturbed.
pub(super) async fn exclude_others(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), StoreError> {
    if !is_migrated(connection).await? {
        let made = format!(
            "create table periodd_migrations (
                 version bigint primary key,
                 description text not null,
                 checksum bytea not null,
                 applied_at timestamptz not null default now());
             alter table periodd_migrations enable row level security;
             {COMMENTS}"
        );
        let made = sqlx::raw_sql(sqlx::AssertSqlSafe(made));
        return made.execute(connection).await.map(drop).map_err(made_by_another);
    }
    let table = tables::QualifiedName::new(schema, "periodd_migrations");
    let lock = format!("lock table {table} in share row exclusive mode");
    tables::execute(connection, &lock).await.map(drop).map_err(Into::into)
}

/// The table of migrations could not be made: another migrator was first, and this one waits for
/// it as for a lock.
fn made_by_another(error: sqlx::Error) -> StoreError {
    let code =
        error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    // Its name, its type's name, or its row type were written meanwhile.
    let is_taken = ["23505", "42P07", "42710"].contains(&code.as_deref().unwrap_or_default());
    if is_taken {
        StoreError::Held("another process is migrating the schema".to_owned())
    } else {
        error.into()
    }
}

/// A migration as the database remembers it.
#[derive(sqlx::FromRow)]
pub(super) struct Known {
    pub(super) version: i64,
    pub(super) checksum: Vec<u8>,
    pub(super) applied_at: Instant,
}

pub(super) async fn known(connection: &mut PgConnection) -> Result<Vec<Known>, StoreError> {
    let rows = sqlx::query_as(
        "select version, checksum, applied_at from periodd_migrations order by version",
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Was this schema ever migrated?
pub(super) async fn is_migrated(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let row: (bool,) = sqlx::query_as("select to_regclass('periodd_migrations') is not null")
        .fetch_one(connection)
        .await?;
    Ok(row.0)
}

/// The latest migration that was applied; 0 where none was.
pub(super) async fn version(connection: &mut PgConnection) -> Result<i64, StoreError> {
    if !is_migrated(connection).await? {
        return Ok(0);
    }
    let row: (Option<i64>,) =
        sqlx::query_as("select max(version) from periodd_migrations").fetch_one(connection).await?;
    Ok(row.0.unwrap_or_default())
}
