//! Sessions of the dashboard: what a browser shows instead of a token, for a while.
//!
//! A session acts for a token, and permits what that one does; once the token is revoked or has
//! expired, the session is nobody's. One that was begun by a clock that was ahead is refused once
//! the clock is right: it would last until that time.

use jiff::SignedDuration;
use sqlx::PgConnection;

use super::Token;
use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// How long a session lasts.
pub const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// How long a link may be used.
pub const LINK_LASTS: SignedDuration = SignedDuration::from_secs(60);

/// What is kept of a secret: its SHA-256.
pub type Digest = [u8; 32];

/// Begins a session for a token, by the digests of both. Those that have expired are deleted.
/// Returns when it expires.
pub async fn begin(
    connection: &mut PgConnection,
    digest: &Digest,
    token: &Digest,
) -> Result<Instant, StoreError> {
    add(connection, digest, token, LASTS, false).await
}

/// Adds a link that begins a session for a token, once.
pub async fn add_link(
    connection: &mut PgConnection,
    digest: &Digest,
    token: &Digest,
) -> Result<Instant, StoreError> {
    add(connection, digest, token, LINK_LASTS, true).await
}

async fn add(
    connection: &mut PgConnection,
    digest: &Digest,
    token: &Digest,
    lasts: SignedDuration,
    is_link: bool,
) -> Result<Instant, StoreError> {
    let now = crate::store::server_now(&mut *connection).await?;
    sqlx::query!("delete from periodd_sessions where expires_at <= $1", now)
        .execute(&mut *connection)
        .await?;
    let expires_at = now.plus(lasts).unwrap_or(now);
    let added = sqlx::query!(
        "insert into periodd_sessions (digest, token_digest, is_link, created_at, expires_at)
         values ($1, $2, $3, $4, $5)",
        &digest[..],
        &token[..],
        is_link,
        now,
        expires_at
    );
    added.execute(connection).await?;
    Ok(expires_at)
}

/// Uses a link up, and returns the digest of its token; `None` for one that was used, has expired
/// or never was.
pub async fn use_link(
    connection: &mut PgConnection,
    digest: &Digest,
) -> Result<Option<Digest>, StoreError> {
    let now = crate::store::server_now(&mut *connection).await?;
    let used = sqlx::query_scalar!(
        "delete from periodd_sessions
         where digest = $1 and is_link and expires_at > $2
           and created_at < $2 + interval '1 minute'
         returning token_digest",
        &digest[..],
        now
    );
    let token = used.fetch_optional(connection).await?;
    Ok(token.and_then(|token| token.try_into().ok()))
}

/// The token that a session acts for, unless one of both has ended.
pub async fn find(
    connection: &mut PgConnection,
    digest: &Digest,
) -> Result<Option<Token>, StoreError> {
    let session = sqlx::query!(
        r#"select token_digest, expires_at as "expires_at: Instant"
           from periodd_sessions
           where digest = $1 and not is_link and expires_at > now()
             and created_at < now() + interval '1 minute'"#,
        &digest[..]
    );
    let Some(session) = session.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let Ok(token) = session.token_digest.try_into() else { return Ok(None) };
    let token = super::find(connection, &token).await?;
    Ok(token.map(|token| {
        let ends = token.expires_at.map_or(session.expires_at, |at| at.min(session.expires_at));
        Token { expires_at: Some(ends), ..token }
    }))
}

/// Ends a session.
pub async fn end(connection: &mut PgConnection, digest: &Digest) -> Result<(), StoreError> {
    let ended = sqlx::query!("delete from periodd_sessions where digest = $1", &digest[..]);
    ended.execute(connection).await?;
    Ok(())
}
