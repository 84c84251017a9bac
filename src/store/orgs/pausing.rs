//! Pauses of orgs, as their rows have them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::org::pause::Pause;
use crate::store::db::error::StoreError;

/// What the row of an org says of its pause.
#[derive(Debug, Clone)]
pub struct Paused {
    /// The last one, past or present.
    pub pause: Option<Pause>,
    pub reason: Option<String>,
    /// The end of the open period.
    pub open_end: Option<Instant>,
    revision: i64,
}

/// Reads it; `None` for an org that is gone.
pub async fn read(connection: &mut PgConnection, org: Uuid) -> Result<Option<Paused>, StoreError> {
    let row = sqlx::query!(
        "select paused_from, nullif(paused_until, 'infinity') as paused_until, pause_reason,
                current_period_end, revision
         from organizations where id = $1",
        org
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| Paused {
        pause: row.paused_from.map(|from| Pause { from, until: row.paused_until }),
        reason: row.pause_reason,
        open_end: row.current_period_end,
        revision: row.revision,
    }))
}

/// Writes another pause, or none, where the row stands as it was read: a rollover that was planned
/// before is planned again.
///
/// # Errors
/// [`StoreError::Conflict`] when the row has changed since.
pub async fn write(
    connection: &mut PgConnection,
    org: Uuid,
    read: &Paused,
    pause: Option<Pause>,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "update organizations o
         set paused_from = $2, paused_until = $3, pause_reason = $4, revision = o.revision + 1
         where o.id = $1 and o.revision = $5
           and o.current_period_end is not distinct from $6",
        org,
        pause.map(|pause| pause.from),
        pause.and_then(|pause| pause.until),
        reason,
        read.revision,
        read.open_end
    );
    if written.execute(connection).await?.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::Conflict("the org changed meanwhile".to_owned()))
}
