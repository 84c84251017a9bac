//! The daemons of a database: each says every few seconds that it is alive.

use sqlx::PgConnection;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// A daemon, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Host and process id.
    pub replica: String,
    pub version: String,
    pub loaded: Loaded,
    /// Addresses and sockets of its HTTP server.
    pub listening: Vec<String>,
}

/// The configuration that a daemon works by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The file, absolute; `None`: none was read.
    pub file: Option<String>,
    /// SHA-256 of the file as it was read, in hexadecimal.
    pub digest: Option<String>,
}

/// How long a daemon is remembered that has not been seen since.
const REMEMBERED_DAYS: i32 = 30;

/// Records that a daemon is alive. `is_new` is said once, when it starts; what nobody has seen for
/// a month is forgotten then.
pub async fn beat(
    connection: &mut PgConnection,
    beat: &Beat,
    is_new: bool,
) -> Result<(), StoreError> {
    if is_new {
        let forgotten = sqlx::query!(
            "delete from periodd_daemons
             where seen_at < now() - make_interval(days => $1) or replica = $2",
            REMEMBERED_DAYS,
            beat.replica
        );
        forgotten.execute(&mut *connection).await?;
    }
    let seen = sqlx::query!(
        "insert into periodd_daemons as d
             (replica, version, started_at, seen_at, config_file, config_digest, listening)
         values ($1, $2, now(), now(), $3, $4, $5)
         on conflict (replica) do update
             set version = excluded.version, seen_at = excluded.seen_at,
                 config_file = excluded.config_file, config_digest = excluded.config_digest,
                 listening = excluded.listening
             -- What is on its way when a daemon stops does not make it alive again.
             where d.stopped_at is null",
        beat.replica,
        beat.version,
        beat.loaded.file.as_deref(),
        beat.loaded.digest.as_deref(),
        &beat.listening
    );
    seen.execute(connection).await?;
    Ok(())
}

/// Records that a daemon has stopped in good order.
pub async fn stopped(connection: &mut PgConnection, replica: &str) -> Result<(), StoreError> {
    let now = sqlx::query_scalar!(r#"select now() as "now!: Instant""#);
    let now = now.fetch_one(&mut *connection).await?;
    let stopped = sqlx::query!(
        "update periodd_daemons set stopped_at = $2, seen_at = $2 where replica = $1",
        replica,
        now as Instant
    );
    stopped.execute(connection).await?;
    Ok(())
}

/// A daemon, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Daemon {
    /// Host and process id.
    pub replica: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Instant,
    /// Its last heartbeat, by the database's clock.
    pub seen_at: Instant,
    /// When it stopped in good order; null: it has not.
    pub stopped_at: Option<Instant>,
    /// Its configuration file.
    pub config_file: Option<String>,
    /// The file's digest as it was read.
    #[serde(skip)]
    pub config_digest: Option<String>,
    /// Addresses and sockets of its HTTP server; empty: none.
    pub listening: Vec<String>,
}

/// The daemons that were seen last, the newest first: those that run, and of those that have
/// stopped or disappeared the last few.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Daemon>, StoreError> {
    let rows = sqlx::query_as!(
        Daemon,
        "select replica, version, started_at, seen_at, stopped_at, config_file, config_digest,
                listening
         from periodd_daemons order by stopped_at is not null, seen_at desc, replica limit 10"
    );
    Ok(rows.fetch_all(connection).await?)
}
