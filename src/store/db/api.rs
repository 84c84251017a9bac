//! Functions, views and rights: texts that are run again whenever they have changed.

use sqlx::PgConnection;

use super::error::StoreError;
use super::history;
use super::migrations::API;
use super::role_names::{Audience, USUAL_PREFIX, remembered};

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
    history::run(connection, &part.description, &text).await
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
