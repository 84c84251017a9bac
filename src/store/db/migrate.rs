//! Migrations: the schema, brought to what this binary needs.
//!
//! Tables come from `migrations`, each file once. Functions, views and rights come from
//! `migrations/api`, a file each, and are made again whenever their text has changed. A database of
//! before the first release comes by `migrations/earlier`.
//!
//! All that is missing is applied in one transaction: an interruption leaves the database as it
//! was. Two migrators at once: the second waits for the first and then finds nothing to do. What
//! they exclude each other by is the table of migrations itself, which nobody but its owner can
//! lock; a number (an advisory lock) could be held by whoever may connect.

use sqlx::{Connection, PgConnection};

use super::api;
use super::database::Database;
use super::earlier;
use super::error::StoreError;
pub use super::history::Migration;
use super::history::{self, Known, is_migrated, known, version};
use super::lock_wait::{self, LockWait};
use super::migrations::MIGRATIONS;
use super::tables;
use crate::store::{orgs::zones, usage::ranges};

/// Applies what is missing, and returns the migrations that were applied now. Waits for others as
/// long as [`LockWait`] does by default.
///
/// # Errors
/// [`StoreError::Configuration`] when the database is newer than this binary, when a migration
/// that was applied is not the one that this binary knows under its number, or when rows hold what
/// the schema refuses from now on: they are named, and nothing is changed;
/// [`StoreError::Held`] when other sessions did not let go of what is needed.
pub async fn migrate(
    database: &Database,
    months: &[zones::ZoneMonths],
    release: &str,
) -> Result<Vec<Migration>, StoreError> {
    migrate_waiting(database, months, release, LockWait::default()).await
}

/// The same with a wait of the caller's.
pub async fn migrate_waiting(
    database: &Database,
    months: &[zones::ZoneMonths],
    release: &str,
    wait: LockWait,
) -> Result<Vec<Migration>, StoreError> {
    database.make_schema().await?;
    let mut applied = Vec::new();
    for stage in [Stage::Look, Stage::Apply, Stage::Validate] {
        let mut attempts = wait.begin(stage.leaves());
        loop {
            let mut connection = database.connection().await?;
            let mut transaction = connection.begin().await?;
            let pid = lock_wait::bound(&mut transaction).await?;
            let work = stage.carry_out(&mut transaction, months, release);
            match attempts.watch(database, pid, work).await {
                Ok(done) => {
                    transaction.commit().await?;
                    applied.extend(done);
                    break;
                }
                Err(error) => {
                    // A connection that is lost has rolled back, too.
                    let _ = transaction.rollback().await;
                    drop(connection);
                    attempts.again(error).await?;
                }
            }
        }
    }
    Ok(applied)
}

/// A part of migrating, in a transaction of its own.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Before anything is locked: the rows of a large table take a while to be looked at.
    Look,
    Apply,
    /// Afterwards, beside whoever reads and writes.
    Validate,
}

impl Stage {
    /// What is left behind when it cannot be carried out.
    const fn leaves(self) -> &'static str {
        match self {
            Self::Look | Self::Apply => "nothing was changed",
            Self::Validate => "the migrations are applied, but constraints are not validated yet",
        }
    }

    async fn carry_out(
        self,
        connection: &mut PgConnection,
        months: &[zones::ZoneMonths],
        release: &str,
    ) -> Result<Vec<Migration>, StoreError> {
        match self {
            // Tables under our names in a database that was never migrated are not ours.
            Self::Look if !is_migrated(connection).await? => Ok(Vec::new()),
            Self::Look => ranges::refuse_broken(connection).await.map(|()| Vec::new()),
            Self::Apply => apply(connection, months, release).await,
            Self::Validate => ranges::validate(connection).await.map(|()| Vec::new()),
        }
    }
}

/// The same within a transaction that does more.
pub(crate) async fn within(
    connection: &mut PgConnection,
    months: &[zones::ZoneMonths],
    release: &str,
) -> Result<Vec<Migration>, StoreError> {
    let applied = apply(connection, months, release).await?;
    ranges::validate(connection).await?;
    Ok(applied)
}

async fn apply(
    connection: &mut PgConnection,
    months: &[zones::ZoneMonths],
    release: &str,
) -> Result<Vec<Migration>, StoreError> {
    let applied = apply_missing(connection).await?;
    ranges::add_missing(connection).await?;
    api::apply(connection, !applied.is_empty()).await?;
    zones::fill(connection, months, release).await?;
    Ok(applied)
}

async fn apply_missing(connection: &mut PgConnection) -> Result<Vec<Migration>, StoreError> {
    sqlx::raw_sql("set local client_min_messages = warning").execute(&mut *connection).await?;
    // Functions pin the search path of their creation; the caller's own schema has no place in it.
    let schema = tables::current_schema(connection).await?;
    tables::search_only(connection, &schema).await?;
    history::exclude_others(connection, &schema).await?;
    let mut known = known(connection).await?;
    let mut applied = Vec::new();
    if earlier::is_history(&known) {
        applied = earlier::bring_up(connection).await?;
        known = history::known(connection).await?;
    }
    refuse_foreign(&known)?;
    for migration in MIGRATIONS.iter() {
        if known.iter().any(|known| known.version == migration.version) {
            continue;
        }
        let text = migration.sql.as_str();
        history::run(connection, &migration.version.to_string(), text).await?;
        applied.push(history::record(connection, migration).await?);
    }
    Ok(applied)
}

fn refuse_foreign(known: &[Known]) -> Result<(), StoreError> {
    if earlier::is_history(known) {
        return Ok(());
    }
    for known in known {
        let ours = MIGRATIONS.iter().find(|migration| migration.version == known.version);
        match ours {
            None if known.version > latest() => {
                return Err(StoreError::Configuration(format!(
                    "the database is newer than this program: it is at migration {}, this program \
                     at {}; install the newer periodd",
                    known.version,
                    latest()
                )));
            }
            Some(ours) if ours.checksum.as_ref() == known.checksum => {}
            _ => {
                return Err(StoreError::Configuration(format!(
                    "migration {} was applied in a different version; install the periodd that \
                     applied it",
                    known.version
                )));
            }
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

/// Has the database every migration that this binary knows?
pub async fn is_complete(database: &Database) -> Result<bool, StoreError> {
    Ok(status(database).await?.iter().all(|migration| migration.applied_at.is_some()))
}

/// Refuses a database that this binary cannot work with.
///
/// # Errors
/// [`StoreError::Outdated`] when it is not migrated, [`StoreError::Configuration`] when it is
/// newer than this binary, or when row-level security would hide rows from this connection.
pub async fn require_current(database: &Database) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    // One question, because every command begins with it; the long answers are for when it fails.
    let texts = api::checksums();
    let found: Result<(Option<i64>, i64, bool), sqlx::Error> = sqlx::query_as(
        "select (select max(version) from periodd_migrations),
                (select count(*) from periodd_api where checksum = any($1)),
                coalesce((select row_security_active(oid) from pg_class
                          where oid = to_regclass('organizations')), false)",
    )
    .bind(&texts)
    .fetch_one(&mut *connection)
    .await;
    if !matches!(found, Ok((.., false))) {
        require_owner(&mut connection).await?;
    }
    let (version, of_api) = match found {
        Ok((version, of_api, _)) => (version.unwrap_or_default(), of_api),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
            (version(&mut connection).await?, 0)
        }
        Err(error) => return Err(error.into()),
    };
    match version.cmp(&latest()) {
        std::cmp::Ordering::Equal if usize::try_from(of_api) == Ok(texts.len()) => Ok(()),
        std::cmp::Ordering::Equal => Err(StoreError::Outdated(
            "the database's functions are from a different version".to_owned(),
        )),
        std::cmp::Ordering::Greater => {
            let known = known(&mut connection).await?;
            refuse_foreign(&known)
        }
        std::cmp::Ordering::Less => Err(StoreError::Outdated(format!(
            "the database is at migration {version}, this program needs {}",
            latest()
        ))),
    }
}

/// Was it ever migrated? A database that was not may be the wrong one.
pub async fn was_migrated(database: &Database) -> Result<bool, StoreError> {
    Ok(version(&mut *database.connection().await?).await? > 0)
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
            "the role {role} does not own periodd's tables, so row-level security hides rows from \
             it: connect as {owner}, or `grant {owner} to {role}`"
        )));
    }
    Ok(())
}
