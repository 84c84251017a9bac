//! Migrations: the schema, brought to what this binary needs.
//!
//! All that is missing is applied in one transaction: an interruption leaves the database as it
//! was. Two migrators at once: the second waits for the first and then finds nothing to do.

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::database::Database;
use super::error::StoreError;
use super::zones;
use crate::billing::Instant;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Taken by a migrator for its transaction: "periodd" as a number.
const LOCK: i64 = 0x0070_6572_696f_6464;

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

/// Applies what is missing, and returns the migrations that were applied now.
///
/// # Errors
/// [`StoreError::Configuration`] when the database is newer than this binary, or when a migration
/// that was applied is not the one that this binary knows under its number.
pub async fn migrate(
    database: &Database,
    months: &[zones::ZoneMonths],
    release: &str,
) -> Result<Vec<Migration>, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    let applied = within(&mut transaction, months, release).await?;
    transaction.commit().await?;
    Ok(applied)
}

/// The same within a transaction that does more.
///
/// # Errors
/// As [`migrate`].
pub(super) async fn within(
    connection: &mut PgConnection,
    months: &[zones::ZoneMonths],
    release: &str,
) -> Result<Vec<Migration>, StoreError> {
    let applied = apply_missing(connection).await?;
    zones::fill(connection, months, release).await?;
    Ok(applied)
}

async fn apply_missing(connection: &mut PgConnection) -> Result<Vec<Migration>, StoreError> {
    sqlx::raw_sql("set local client_min_messages = warning").execute(&mut *connection).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    // Functions pin the search path of their creation; the caller's own schema has no place in it.
    sqlx::raw_sql(
        "do $$ begin
             perform set_config('search_path', current_schema() || ', pg_temp', true);
         end $$;
         create table if not exists periodd_migrations (
             version bigint primary key,
             description text not null,
             checksum bytea not null,
             applied_at timestamptz not null default now());
         comment on table periodd_migrations is 'Migrations that were applied to this database.';
         comment on column periodd_migrations.version is 'The migration''s number.';
         comment on column periodd_migrations.description is 'What it brought.';
         comment on column periodd_migrations.checksum is 'Of its text: a change is noticed.';
         comment on column periodd_migrations.applied_at is 'When it was applied.';",
    )
    .execute(&mut *connection)
    .await?;
    let known = known(connection).await?;
    refuse_foreign(&known)?;
    let mut applied = Vec::new();
    for migration in MIGRATIONS.iter() {
        if known.iter().any(|known| known.version == migration.version) {
            continue;
        }
        let done = sqlx::raw_sql(migration.sql.clone()).execute(&mut *connection).await;
        done.map_err(|error| failed(migration.version, error))?;
        let row: (Instant,) = sqlx::query_as(
            "insert into periodd_migrations (version, description, checksum)
             values ($1, $2, $3) returning applied_at",
        )
        .bind(migration.version)
        .bind(migration.description.as_ref())
        .bind(migration.checksum.as_ref())
        .fetch_one(&mut *connection)
        .await?;
        applied.push(Migration {
            version: migration.version,
            description: migration.description.to_string(),
            applied_at: Some(row.0),
        });
    }
    Ok(applied)
}

/// What a migration failed with: a lost connection stays what it is, for it may be tried again.
fn failed(migration: i64, error: sqlx::Error) -> StoreError {
    let is_taken = error.as_database_error().is_some_and(|error| {
        // A table, or an index of one.
        error.code().as_deref() == Some("42P07")
    });
    match StoreError::from(error) {
        unavailable @ StoreError::Unavailable(_) => unavailable,
        other if is_taken => StoreError::Configuration(format!(
            "{other}: the database has tables of its own under names that periodd needs; \
             `periodd db import` says what is there and adopts it"
        )),
        other => StoreError::Failed(format!("migration {migration}: {other}")),
    }
}

/// A migration as the database remembers it.
#[derive(sqlx::FromRow)]
struct Known {
    version: i64,
    checksum: Vec<u8>,
    applied_at: Instant,
}

async fn known(connection: &mut PgConnection) -> Result<Vec<Known>, StoreError> {
    let rows = sqlx::query_as(
        "select version, checksum, applied_at from periodd_migrations order by version",
    );
    Ok(rows.fetch_all(connection).await?)
}

fn refuse_foreign(known: &[Known]) -> Result<(), StoreError> {
    for known in known {
        let ours = MIGRATIONS.iter().find(|migration| migration.version == known.version);
        match ours {
            None => {
                return Err(StoreError::Configuration(format!(
                    "the database is newer than this program: it has migration {}, this program \
                     ends at {}; install the newer periodd",
                    known.version,
                    latest()
                )));
            }
            Some(ours) if ours.checksum.as_ref() != known.checksum => {
                return Err(StoreError::Configuration(format!(
                    "migration {} was applied with another text than this program's; install the \
                     periodd that applied it",
                    known.version
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Lists every migration that this binary knows, with when it was applied.
///
/// # Errors
/// As every read; [`StoreError::Configuration`] when the database is newer than this binary.
pub async fn status(database: &Database) -> Result<Vec<Migration>, StoreError> {
    let mut connection = database.connection().await?;
    let known =
        if is_migrated(&mut connection).await? { known(&mut connection).await? } else { vec![] };
    refuse_foreign(&known)?;
    let applied_at = |version| known.iter().find(|k| k.version == version).map(|k| k.applied_at);
    let migration = |m: &sqlx::migrate::Migration| Migration {
        version: m.version,
        description: m.description.to_string(),
        applied_at: applied_at(m.version),
    };
    Ok(MIGRATIONS.iter().map(migration).collect())
}

/// Refuses a database that this binary cannot work with.
///
/// # Errors
/// [`StoreError::Outdated`] when it is not migrated, [`StoreError::Configuration`] when it is
/// newer than this binary, or when row-level security would hide rows from this connection.
pub async fn require_current(database: &Database) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    // One question, because every command begins with it; the long answers are for when it fails.
    let found: Result<(Option<i64>, bool), sqlx::Error> = sqlx::query_as(
        "select (select max(version) from periodd_migrations),
                coalesce((select row_security_active(oid) from pg_class
                          where oid = to_regclass('organizations')), false)",
    )
    .fetch_one(&mut *connection)
    .await;
    if !matches!(found, Ok((_, false))) {
        require_owner(&mut connection).await?;
    }
    let version = match found {
        Ok((version, _)) => version.unwrap_or_default(),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => 0,
        Err(error) => return Err(error.into()),
    };
    match version.cmp(&latest()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            let known = known(&mut connection).await?;
            refuse_foreign(&known)
        }
        std::cmp::Ordering::Less => Err(StoreError::Outdated(format!(
            "the database is at migration {version}, this program needs {}: \
             run `periodd db migrate`",
            latest()
        ))),
    }
}

/// Refuses a role that would see some of the rows, or none.
async fn require_owner(connection: &mut PgConnection) -> Result<(), StoreError> {
    let found: Option<(bool, String, String)> = sqlx::query_as(
        "select row_security_active(oid), current_user::text, pg_get_userbyid(relowner)::text
         from pg_class where oid = to_regclass('organizations')",
    )
    .fetch_optional(connection)
    .await?;
    if let Some((true, role, owner)) = found {
        return Err(StoreError::Configuration(format!(
            "the role {role} does not own periodd's tables, so that row-level security hides rows \
             from it: connect as {owner}, or `grant {owner} to {role}`"
        )));
    }
    Ok(())
}

async fn is_migrated(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let row: (bool,) = sqlx::query_as("select to_regclass('periodd_migrations') is not null")
        .fetch_one(connection)
        .await?;
    Ok(row.0)
}
