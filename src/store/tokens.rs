//! Tokens of the HTTP server. Only their digests are kept.
//!
//! Never: a token itself.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// Days that an expired token is still listed.
const LISTED_DAYS: i32 = 30;

/// What a token permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Reading limits, usage and history, and streams of them.
    Read,
    /// Recording usage.
    Record,
    /// Counting and auditing an org at once.
    Sync,
    /// Making tokens for customers.
    Admin,
    /// Reading the metrics of the server.
    Metrics,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Record, Self::Sync, Self::Admin, Self::Metrics];

    /// Its name in commands and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Record => "record",
            Self::Sync => "sync",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }
}

/// A token to be added.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    pub name: &'a str,
    /// SHA-256 of it.
    pub digest: [u8; 32],
    pub scopes: &'a [Scope],
    /// The only org that it is for.
    pub org: Option<Uuid>,
    pub expires_at: Option<Instant>,
}

/// A token, as whoever shows it is known.
#[derive(Debug, Clone)]
pub struct Token {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The only org that it is for.
    pub org: Option<Uuid>,
    /// Was a use noted today?
    pub is_noted: bool,
    /// Seconds until it expires.
    pub expires_in: Option<f64>,
}

/// A token, as it is listed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct TokenRow {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The slug of the only org that it is for; null: all.
    pub org: Option<String>,
    pub created_at: Instant,
    pub expires_at: Option<Instant>,
    pub revoked_at: Option<Instant>,
    /// The day of its last use (UTC).
    pub last_used_on: Option<crate::billing::LocalDate>,
}

/// Adds a token; false for a name that is in use. A name is free again once its token has expired
/// or was revoked. Tokens that expired a month ago are deleted.
pub async fn add(connection: &mut PgConnection, new: &NewToken<'_>) -> Result<bool, StoreError> {
    let added = sqlx::query!(
        "with old as (
             delete from periodd_tokens
             where expires_at < now() - make_interval(days => $6) and name <> $1)
         insert into periodd_tokens as t (name, digest, scopes, org_id, expires_at)
         values ($1, $2, $3, $4, $5)
         on conflict (name) do update
             set digest = excluded.digest, scopes = excluded.scopes, org_id = excluded.org_id,
                 expires_at = excluded.expires_at, created_at = now(), revoked_at = null,
                 last_used_on = null
             where t.revoked_at is not null or t.expires_at <= now()",
        new.name,
        &new.digest[..],
        new.scopes as &[Scope],
        new.org,
        new.expires_at,
        LISTED_DAYS
    );
    Ok(added.execute(connection).await?.rows_affected() == 1)
}

/// Every token, by name.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<TokenRow>, StoreError> {
    let tokens = sqlx::query_as!(
        TokenRow,
        r#"select t.name, t.scopes as "scopes: Vec<Scope>", o.slug as "org?", t.created_at,
                  t.expires_at, t.revoked_at, t.last_used_on
           from periodd_tokens t left join organizations o on o.id = t.org_id
           order by t.name"#
    );
    Ok(tokens.fetch_all(connection).await?)
}

/// Revokes a token; false for a name of none that holds.
pub async fn revoke(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let revoked = sqlx::query!(
        "update periodd_tokens set revoked_at = now()
         where name = $1 and revoked_at is null and (expires_at > now()) is not false",
        name
    );
    Ok(revoked.execute(connection).await?.rows_affected() == 1)
}

/// The token of a digest, unless it has expired or was revoked.
pub async fn find(
    connection: &mut PgConnection,
    digest: &[u8; 32],
) -> Result<Option<Token>, StoreError> {
    let token = sqlx::query_as!(
        Token,
        r#"select name, scopes as "scopes: Vec<Scope>", org_id as org,
                  coalesce(last_used_on = (now() at time zone 'UTC')::date, false) as "is_noted!",
                  extract(epoch from expires_at - now())::float8 as expires_in
           from periodd_tokens
           where digest = $1 and revoked_at is null and (expires_at > now()) is not false"#,
        &digest[..]
    );
    Ok(token.fetch_optional(connection).await?)
}

/// Notes that a token was used today.
pub async fn note_use(connection: &mut PgConnection, name: &str) -> Result<(), StoreError> {
    let noted = sqlx::query!(
        "update periodd_tokens set last_used_on = (now() at time zone 'UTC')::date
         where name = $1",
        name
    );
    noted.execute(connection).await?;
    Ok(())
}

/// Those of these tokens that permit reading now, with the only org that each is for.
pub async fn readers(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<(String, Option<Uuid>)>, StoreError> {
    let rows = sqlx::query!(
        "select name, org_id from periodd_tokens
         where name = any($1) and 'read' = any(scopes) and revoked_at is null
           and (expires_at > now()) is not false",
        names
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.org_id)).collect())
}
