//! The roles of a database: made, and made again where they were lost.

use crate::store::db::role_names::{Grant, Roles};
use crate::store::db::roles;
use crate::store::reports::doctor;
use crate::store::{Database, StoreError};

/// What was made again.
pub struct Remade {
    /// The roles as they are remembered.
    pub roles: Roles,
    /// Members that do not exist on this server.
    pub absent: Vec<Grant>,
}

/// Makes the roles and their rights again that this database was given, where any of it is lost:
/// a copy of a database comes to another server without them. `None` where nothing is.
///
/// # Errors
/// As [`roles::create`].
pub async fn remake(database: &Database) -> Result<Option<Remade>, StoreError> {
    let rights = doctor::rights(&mut *database.connection().await?).await?;
    if !rights.are_lost() {
        return Ok(None);
    }
    let roles = roles::create(database, None, &[]).await?;
    let absent = rights.members.into_iter().filter(|member| !member.exists);
    Ok(Some(Remade { roles, absent: absent.map(|member| member.grant).collect() }))
}
