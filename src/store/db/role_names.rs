//! What the roles are called that this database gives rights to, and whom they were given to.

use sqlx::PgConnection;

use super::error::StoreError;

/// For whom a role speaks.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// `periodd_app`: a trusted server, which may name any user.
    App,
    /// `periodd_member`: connections that carry an end user.
    Member,
}

impl Audience {
    /// Both.
    pub const ALL: [Self; 2] = [Self::App, Self::Member];

    /// The role's name, with the prefix that tells databases of one server apart.
    pub fn role(self, prefix: &str) -> String {
        match self {
            Self::App => format!("{prefix}_app"),
            Self::Member => format!("{prefix}_member"),
        }
    }
}

/// The prefix of the roles' names where nobody chose another.
pub const USUAL_PREFIX: &str = "periodd";

/// Is it a prefix that needs no quotes in any statement, and leaves room for the rest of a name?
pub fn is_plain_prefix(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 50
        && text.chars().all(is_plain)
        && !text.starts_with("pg_")
}

/// A role that exists, to become a member of one of the two.
#[derive(
    Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Grant {
    /// Which of the two.
    pub audience: Audience,
    /// The role that exists.
    pub role: String,
}

/// What is kept of the roles that this database was given: they are the server's, and a copy of
/// the database elsewhere knows by this what it lacks.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Roles {
    /// Before `_app` and `_member` in their names.
    pub prefix: String,
    /// Whom they were given to.
    pub members: Vec<Grant>,
}

impl Default for Roles {
    fn default() -> Self {
        Self { prefix: USUAL_PREFIX.to_owned(), members: Vec::new() }
    }
}

impl Roles {
    /// The role's name.
    pub fn name(&self, audience: Audience) -> String {
        audience.role(&self.prefix)
    }
}

/// The name of the fact that keeps [`Roles`].
const FACT: &str = "roles";

/// The roles that this database was given; `None` where it never was given any.
///
/// # Errors
/// As every read; [`StoreError::Unprocessable`] where the fact is not one.
pub async fn remembered(connection: &mut PgConnection) -> Result<Option<Roles>, StoreError> {
    let fact: Option<(String,)> = sqlx::query_as("select value from periodd_facts where name = $1")
        .bind(FACT)
        .fetch_optional(connection)
        .await?;
    let Some((text,)) = fact else { return Ok(None) };
    let unreadable =
        |why: String| StoreError::Unprocessable(format!("the fact `{FACT}` cannot be read: {why}"));
    let roles: Roles =
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    if is_plain_prefix(&roles.prefix) {
        Ok(Some(roles))
    } else {
        Err(unreadable(format!("`{}` is not a prefix of role names", roles.prefix)))
    }
}

pub(super) async fn remember(
    connection: &mut PgConnection,
    roles: &Roles,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(roles)
        .map_err(|error| StoreError::Failed(format!("save the roles: {error}")))?;
    let written = sqlx::query(
        "insert into periodd_facts as f (name, value) values ($1, $2)
         on conflict (name) do update set value = excluded.value where f.value <> excluded.value",
    );
    written.bind(FACT).bind(text).execute(connection).await?;
    Ok(())
}
