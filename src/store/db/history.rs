//! What a database remembers of its migrations: a table with a row for each that was applied.

use sqlx::PgConnection;

use super::error::StoreError;
use super::tables;
use crate::billing::Instant;
use crate::command::Command;

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

/// Runs the statements of a migration, one after the other: what spreads tables over machines takes
/// no more than one at a time.
pub(super) async fn run(
    connection: &mut PgConnection,
    migration: &str,
    text: &str,
) -> Result<(), StoreError> {
    for statement in statements(text) {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        done.execute(&mut *connection).await.map_err(|error| failed(migration, error))?;
    }
    Ok(())
}

/// What a migration failed with: a lost connection stays what it is, for it may be tried again.
fn failed(migration: &str, error: sqlx::Error) -> StoreError {
    let is_taken = error.as_database_error().is_some_and(|error| {
        // A table, or an index of one.
        error.code().as_deref() == Some("42P07")
    });
    match StoreError::from(error) {
        unavailable @ StoreError::Unavailable(_) => unavailable,
        held if held.is_held() => held,
        other if is_taken => StoreError::Configuration(format!(
            "{other}: the database already has tables with names that periodd needs; `{}` reports \
             and adopts them",
            Command::periodd(["db", "import"])
        )),
        other => StoreError::Failed(format!("migration {migration}: {other}")),
    }
}

/// The statements of a text, each with the comments before it.
fn statements(text: &str) -> Vec<&str> {
    let (mut statements, mut begin, mut at) = (Vec::new(), 0, 0);
    // A body in standard SQL holds semicolons: from `begin atomic` to its `end`.
    let (mut blocks, mut last, mut has_words) = (0_usize, "", false);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = token(rest, first);
        let word = &rest[..length];
        at += length;
        let is_comment = word.starts_with("--") || word.starts_with("/*");
        if first.is_whitespace() || is_comment {
            continue;
        }
        if word == ";" && blocks == 0 {
            if has_words {
                statements.push(text[begin..at].trim());
            }
            (begin, last, has_words) = (at, "", false);
            continue;
        }
        has_words = true;
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if is("atomic") && last.eq_ignore_ascii_case("begin") || blocks > 0 && is("case") {
            blocks += 1;
        } else if blocks > 0 && is("end") {
            blocks -= 1;
        }
        last = word;
    }
    if has_words {
        statements.push(text[begin..].trim());
    }
    statements
}

/// The length of what a text begins with: a comment, a quoted text, a word or a sign.
fn token(text: &str, first: char) -> usize {
    let until = |end: &str, from: usize| {
        let found = text.get(from..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |at| from + at + end.len())
    };
    let part = |c: char| c == '_' || c.is_alphanumeric();
    match first {
        _ if text.starts_with("--") => until("\n", 0),
        _ if text.starts_with("/*") => until("*/", 2),
        // A doubled quote inside is two texts side by side, which is as well.
        '\'' => until("'", 1),
        '"' => until("\"", 1),
        '$' => match text[1..].find(|c| !part(c)) {
            Some(tag)
                if text[1 + tag..].starts_with('$')
                    && !text[1..].starts_with(|c: char| c.is_ascii_digit()) =>
            {
                until(&text[..tag + 2], tag + 2)
            }
            _ => 1,
        },
        _ if part(first) => text.find(|c| !part(c)).unwrap_or(text.len()),
        _ => first.len_utf8(),
    }
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

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_text_is_cut_between_its_statements_and_nowhere_else() {
        let parts = [
            "-- One; two.\nselect ';', \"a;b\", 'it''s;' /* ; */;",
            "create function f() returns int language plpgsql as $$ begin return 1; end $$;",
            "create function g() returns int language sql as $body$ select $$;$$; $body$;",
            "create function h(p int) returns int language sql
             begin atomic select case when p > 1 then 1 end; select 2; end;",
            "select $1",
        ];
        assert_eq!(statements(&parts.join("\n\n")), parts);
        assert_eq!(statements("-- Nothing.\n;; select 1 ; -- Said.\n"), ["select 1 ;"]);
    }

    #[test]
    fn every_migration_is_cut_into_whole_statements() {
        let begins = [
            "create", "alter", "comment", "insert", "drop", "grant", "revoke", "update", "do",
            "set", "delete", "select", "with", "lock", "truncate",
        ];
        for text in super::super::migrations::migrations() {
            for statement in statements(text) {
                let lines = statement.lines().map(str::trim).filter(|line| !line.is_empty());
                let first = lines.into_iter().find(|line| !line.starts_with("--"));
                let word = first.and_then(|line| line.split([' ', '(']).next()).unwrap_or_default();
                assert!(begins.contains(&word), "{word}: {statement}");
            }
        }
    }
}
