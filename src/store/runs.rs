//! The ledger of runs: what commands write into it, and what is read from it.
//!
//! What schedules write is in [`super::schedules`], because a run and the schedule that it belongs
//! to move together.

use sqlx::PgConnection;

use super::error::StoreError;
use super::schedules::Ended;
use crate::billing::Instant;

/// A row of the ledger.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// The job.
    pub job: String,
    /// `schedule`, `boundary` or `command`.
    pub trigger: String,
    /// When it was due; `None` for a command.
    pub occurrence: Option<Instant>,
    /// For skips in a row: the last of them.
    pub last_occurrence: Option<Instant>,
    /// How many occurrences the row stands for.
    pub occurrences: i64,
    /// `running`, `done`, `failed` or `skipped`.
    pub outcome: String,
    /// Why it was skipped: `paused`, `overlapped` or `too late`.
    pub reason: Option<String>,
    /// Which process ran or skipped it.
    pub replica: String,
    /// How often it was begun.
    pub attempts: i32,
    /// When it began first.
    pub started_at: Option<Instant>,
    /// When it ended, or was skipped.
    pub finished_at: Option<Instant>,
    /// Milliseconds from when it was due to when it began.
    pub lateness_ms: Option<i64>,
    /// What it did.
    #[serde(serialize_with = "as_json")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub counts: Option<String>,
    /// Why it failed, or more about why it was skipped.
    pub error: Option<String>,
}

/// Counts are kept as text here, and are JSON for whoever reads them.
#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn as_json<S: serde::Serializer>(counts: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    let value: Option<serde_json::Value> = counts
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(serde::ser::Error::custom)?;
    serde::Serialize::serialize(&value, to)
}

/// Which rows are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this job.
    pub job: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// Only this one.
    pub id: Option<i64>,
}

/// The newest rows, newest first.
///
/// # Errors
/// As every read.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Run,
        "select id, job, trigger, occurrence, last_occurrence, occurrences, outcome, reason,
                replica, attempts, started_at, finished_at, lateness_ms, counts::text, error
         from periodd_runs
         where ($1::text is null or job = $1) and ($2::text is null or outcome = $2)
           and ($3::bigint is null or id = $3)
         order by id desc limit $4",
        filter.job,
        filter.outcome,
        filter.id,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Enters a command that begins, and returns its number. It takes no lease and waits for none.
///
/// # Errors
/// As every write.
pub async fn begin_command(
    connection: &mut PgConnection,
    job: &str,
    replica: &str,
) -> Result<i64, StoreError> {
    let id = sqlx::query_scalar!(
        "insert into periodd_runs (job, trigger, outcome, replica, started_at)
         values ($1, 'command', 'running', $2, now()) returning id",
        job,
        replica
    );
    Ok(id.fetch_one(connection).await?)
}

/// Enters how a command ended.
///
/// # Errors
/// As every write.
pub async fn finish_command(
    connection: &mut PgConnection,
    id: i64,
    ended: &Ended,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with clock as (select now() as now)
         update periodd_runs r
         set outcome = $2, finished_at = clock.now, counts = $3::text::jsonb, error = $4
         from clock
         where r.id = $1 and r.trigger = 'command' and r.outcome = 'running'",
        id,
        if ended.error.is_some() { "failed" } else { "done" },
        ended.counts,
        ended.error
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a page of rows that ended before an instant, the oldest first, and says how many they
/// were; with fewer than `limit` nothing that old is left. A command that never told its end, for
/// it was killed, goes when it is that old; what schedules still run stays.
///
/// # Errors
/// As every write.
pub async fn delete_before(
    connection: &mut PgConnection,
    before: Instant,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from periodd_runs
         where id in (select id from periodd_runs
                      where finished_at < $1
                         or trigger = 'command' and finished_at is null and started_at < $1
                      order by id limit $2)",
        before,
        limit
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}
