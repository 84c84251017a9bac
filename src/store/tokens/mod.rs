//! Tokens of the HTTP server: made by [`secret`], shown once, and kept as a digest.
//!
//! Never: a token itself in the database.

pub mod secret;
pub mod sessions;

use jiff::SignedDuration;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Zone};
use crate::store::db::error::StoreError;
use crate::store::rollover::snapshot;

/// How long an expired token is still listed.
const LISTED: SignedDuration = SignedDuration::from_hours(30 * 24);

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
    pub expires_at: Option<Instant>,
    /// Start of the UTC day of its last use.
    pub last_used_at: Option<Instant>,
    /// The database's clock.
    pub now: Instant,
}

impl Token {
    /// The start of this day in UTC, unless a use of the token was noted since.
    pub fn unnoted_day(&self) -> Option<Instant> {
        let utc = Zone::utc();
        let today = utc.first_instant(utc.date(self.now)).ok()?;
        self.last_used_at.is_none_or(|noted| noted < today).then_some(today)
    }
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
    /// Start of the UTC day of its last use.
    pub last_used_at: Option<Instant>,
}

/// Adds a token; false for a name that is in use. A name is free again once its token has expired
/// or was revoked. Tokens that expired a month ago are deleted.
pub async fn add(connection: &mut PgConnection, new: &NewToken<'_>) -> Result<bool, StoreError> {
    let now = crate::store::server_now(&mut *connection).await?;
    let listed_since = now.plus(-LISTED).unwrap_or(now);
    sqlx::query!(
        "delete from periodd_tokens where expires_at < $1 and name <> $2",
        listed_since,
        new.name
    )
    .execute(&mut *connection)
    .await?;
    let added = sqlx::query!(
        "insert into periodd_tokens as t (name, digest, scopes, only_org, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (name) do update
             set digest = excluded.digest, scopes = excluded.scopes, only_org = excluded.only_org,
                 expires_at = excluded.expires_at, created_at = excluded.created_at,
                 revoked_at = null, last_used_at = null
             where t.revoked_at is not null or t.expires_at <= excluded.created_at",
        new.name,
        &new.digest[..],
        new.scopes as &[Scope],
        new.org,
        new.expires_at,
        now
    );
    Ok(added.execute(connection).await?.rows_affected() == 1)
}

/// Tokens by name: so many, or all.
pub async fn list(
    connection: &mut PgConnection,
    limit: Option<i64>,
) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query!(
        r#"select name, scopes as "scopes: Vec<Scope>", only_org, created_at, expires_at,
                  revoked_at, last_used_at
           from periodd_tokens order by name limit $1"#,
        limit
    );
    let rows = rows.fetch_all(&mut *connection).await?;
    let orgs: Vec<Uuid> = rows.iter().filter_map(|row| row.only_org).collect();
    let slugs = snapshot::slugs(connection, &orgs).await?;
    // One that has gone is known by its id still.
    let named = |org: Uuid| slugs.get(&org).cloned().unwrap_or_else(|| org.to_string());
    let tokens = rows.into_iter().map(|row| TokenRow {
        name: row.name,
        scopes: row.scopes,
        org: row.only_org.map(named),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
    });
    Ok(tokens.collect())
}

/// Revokes a token; false for a name of none that holds.
pub async fn revoke(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let now = crate::store::server_now(&mut *connection).await?;
    let revoked = sqlx::query!(
        "update periodd_tokens set revoked_at = $2
         where name = $1 and revoked_at is null and (expires_at > $2) is not false",
        name,
        now
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
        r#"select name, scopes as "scopes: Vec<Scope>", only_org as org, expires_at,
                  last_used_at, now() as "now!"
           from periodd_tokens
           where digest = $1 and revoked_at is null and (expires_at > now()) is not false"#,
        &digest[..]
    );
    Ok(token.fetch_optional(connection).await?)
}

/// Notes that a token was used on that day.
pub async fn note_use(
    connection: &mut PgConnection,
    name: &str,
    day: Instant,
) -> Result<(), StoreError> {
    let noted =
        sqlx::query!("update periodd_tokens set last_used_at = $2 where name = $1", name, day);
    noted.execute(connection).await?;
    Ok(())
}

/// Those of these tokens that permit reading now, with the only org that each is for.
pub async fn readers(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<(String, Option<Uuid>)>, StoreError> {
    let rows = sqlx::query!(
        "select name, only_org from periodd_tokens
         where name = any($1) and 'read' = any(scopes) and revoked_at is null
           and (expires_at > now()) is not false",
        names
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.only_org)).collect())
}
