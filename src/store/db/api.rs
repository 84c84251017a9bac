//! Functions, views and rights: texts that are run again whenever they have changed.

use sqlx::PgConnection;

use super::error::StoreError;
use super::migrations::API;
use super::role_names::{Audience, USUAL_PREFIX, remembered};
use crate::command::Command;

/// The checksums of all texts.
pub(super) fn checksums() -> Vec<Vec<u8>> {
    API.iter().map(|part| part.checksum.to_vec()).collect()
}

/// The text that says who may do what: it comes last, and goes over every table that is there.
const RIGHTS: &str = "rights";

/// Makes the functions, views and rights again whose text is another than the database's. Rights
/// are made again, too, where tables were made, or functions.
pub(super) async fn apply(
    connection: &mut PgConnection,
    has_migrated: bool,
) -> Result<(), StoreError> {
    let mut is_new = has_migrated;
    for part in API.iter() {
        let known: Option<(i32,)> =
            sqlx::query_as("select 1 from periodd_api where name = $1 and checksum = $2")
                .bind(part.description.as_ref())
                .bind(part.checksum.as_ref())
                .fetch_optional(&mut *connection)
                .await?;
        if known.is_some() && !(is_new && part.description == RIGHTS) {
            continue;
        }
        is_new = true;
        run_api(connection, part).await?;
        sqlx::query(
            "insert into periodd_api (name, checksum) values ($1, $2)
             on conflict (name) do update
                 set checksum = excluded.checksum, applied_at = excluded.applied_at
                 where periodd_api.checksum <> excluded.checksum",
        )
        .bind(part.description.as_ref())
        .bind(part.checksum.as_ref())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Runs a text of the functions, views and rights, with the names that the roles have here.
async fn run_api(
    connection: &mut PgConnection,
    part: &sqlx::migrate::Migration,
) -> Result<(), StoreError> {
    let mut text = part.sql.as_str().to_owned();
    let roles = remembered(connection).await?.unwrap_or_default();
    for audience in Audience::ALL {
        text = text.replace(&audience.role(USUAL_PREFIX), &roles.name(audience));
    }
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(connection).await;
    done.map_err(|error| failed(&part.description, error)).map(drop)
}

/// Makes the functions again that name a role: the roles have other names now.
pub(super) async fn name_roles(connection: &mut PgConnection) -> Result<(), StoreError> {
    let names = |text: &str| {
        Audience::ALL.iter().any(|audience| text.contains(&audience.role(USUAL_PREFIX)))
    };
    for part in API.iter().filter(|part| names(part.sql.as_str())) {
        run_api(connection, part).await?;
    }
    Ok(())
}

/// What a migration failed with: a lost connection stays what it is, for it may be tried again.
pub(super) fn failed(migration: &str, error: sqlx::Error) -> StoreError {
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
