//! Databases of before the first release, whose schema ten earlier migrations made. They are
//! brought to ours in place, and their history becomes that of a database that never had those.

use crate::command::Command;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use super::error::StoreError;
use super::history::{self, Known, Migration};
use super::migrations::MIGRATIONS;

/// The numbers of the earlier migrations. Ours begin after them, so that a periodd that knows only
/// those says that the database is newer than itself.
const NUMBERS: std::ops::RangeInclusive<i64> = 1..=10;

/// The SHA-256 of their checksums, one after the other.
const CHECKSUMS: &str = "e05bff013d6feb79aabf4cfce543296d96a62c41ce127ae97615313f2e851f5d";

/// What brings their schema to that of ours up to this one's number.
static BRIDGE: Migrator = sqlx::migrate!("./migrations/earlier");

/// Is this the history of an earlier database?
pub(super) fn is_history(known: &[Known]) -> bool {
    let mut sum = Sha256::new();
    for known in known {
        sum.update(&known.checksum);
    }
    known.iter().map(|known| known.version).eq(NUMBERS)
        && format!("{:x}", sum.finalize()) == CHECKSUMS
}

/// Brings an earlier database to the schema of ours, and returns the migrations that it has now.
///
/// # Errors
/// [`StoreError::Configuration`] where that would take away what only the earlier periodd can do.
pub(super) async fn bring_up(connection: &mut PgConnection) -> Result<Vec<Migration>, StoreError> {
    refuse_open_import(connection).await?;
    let mut brought = Vec::new();
    history::run(connection, "history", history::COMMENTS).await?;
    for bridge in BRIDGE.iter() {
        let name = format!("{} {}", bridge.version, bridge.description);
        history::run(connection, &name, bridge.sql.as_str()).await?;
        sqlx::query("delete from periodd_migrations").execute(&mut *connection).await?;
        for migration in MIGRATIONS.iter().filter(|ours| ours.version <= bridge.version) {
            let comments = comments(migration.sql.as_str());
            history::run(connection, &name, &comments).await?;
            brought.push(history::record(connection, migration).await?);
        }
    }
    Ok(brought)
}

/// The comments of a migration: each stands on a line of its own.
fn comments(text: &str) -> String {
    text.lines().filter(|line| line.starts_with("comment on ")).collect::<Vec<_>>().join("\n")
}

/// Views and keys that an import replaced were kept as statements then, which nothing runs now.
async fn refuse_open_import(connection: &mut PgConnection) -> Result<(), StoreError> {
    let is_open: bool = sqlx::query_scalar(
        "select exists (select from periodd_imports
                        where legacy_dropped_at is null
                          and (views <> '{}' or foreign_keys <> '{}'))",
    )
    .fetch_one(connection)
    .await?;
    if is_open {
        return Err(StoreError::Configuration(format!(
            "an import kept the tables that it replaced, and only the version that ran it can put \
             them back; nothing was changed. Run `{}` (or `--undo`) with that version, then `{}` \
             again",
            Command::periodd(["db", "import", "--drop-legacy"]),
            Command::periodd(["db", "migrate"])
        )));
    }
    Ok(())
}
