//! The ledger of runs: what commands write into it, and what is read from it.
//!
//! What schedules write is in [`schedules`], because a run and the schedule that it belongs
//! to move together.
//!
//! Never: a run that is ended by a process that has lost it.

pub mod daemons;
pub mod schedules;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use schedules::Ended;

/// What set a run off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A cron line.
    Schedule,
    /// The end of a period.
    Boundary,
    /// Somebody's command.
    Command,
}

impl Origin {
    /// As the ledger has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Boundary => "boundary",
            Self::Command => "command",
        }
    }

    /// As people read it, after "started by".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Schedule => "its schedule",
            Self::Boundary => "the end of a period",
            Self::Command => "a command",
        }
    }
}

/// What became of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has begun, and has not ended.
    Running,
    /// It has done its work.
    Done,
    /// It has failed, or was given up.
    Failed,
    /// It never began.
    Skipped,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Failed, Self::Skipped];

    /// As the ledger has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A row of the ledger.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// The job.
    pub job: String,
    /// What set it off.
    pub trigger: Origin,
    /// When it was due; `None` for a command.
    pub occurrence: Option<Instant>,
    /// For skips in a row: the last of them.
    pub last_occurrence: Option<Instant>,
    /// How many occurrences the row stands for.
    pub occurrences: i64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was skipped: `paused`, `overlapped`, `too late` or `clock`.
    pub reason: Option<String>,
    /// Which process ran or skipped it.
    pub replica: String,
    /// Name of the token with which it was requested over HTTP.
    pub asked_by: Option<String>,
    /// Its only org; null: it was about several, or all.
    pub org_id: Option<Uuid>,
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

impl Run {
    /// When it began; when it was due, or was skipped, where it never began.
    pub fn began(&self) -> Option<Instant> {
        self.started_at.or(self.occurrence).or(self.finished_at)
    }

    /// How long it took, in milliseconds.
    pub fn took_ms(&self) -> Option<i64> {
        let took = self.finished_at?.since(self.started_at?);
        i64::try_from(took.as_millis()).ok()
    }

    /// What became of it, with the reason of a skip.
    pub fn outcome_in_words(&self) -> String {
        match &self.reason {
            Some(reason) if self.occurrences > 1 => {
                format!("skipped: {reason} ({} occurrences)", self.occurrences)
            }
            Some(reason) => format!("skipped: {reason}"),
            None => self.outcome.name().to_owned(),
        }
    }
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
    pub job: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    pub id: Option<i64>,
    /// About this org alone.
    pub org: Option<Uuid>,
    /// That began, or were skipped, at this instant or later.
    pub since: Option<Instant>,
    /// With a lower number.
    pub before: Option<i64>,
}

/// The newest rows, newest first.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Run,
        r#"select id, job, trigger as "trigger: Origin", occurrence, last_occurrence, occurrences,
                  outcome as "outcome: Outcome", reason, replica, asked_by, org_id, attempts,
                  started_at, finished_at, lateness_ms, counts::text, error
           from periodd_runs
           where ($1::text is null or job = $1) and ($2::text is null or outcome = $2)
             and ($3::bigint is null or id = $3)
             and ($4::timestamptz is null or coalesce(started_at, finished_at) >= $4)
             and ($5::bigint is null or id < $5) and ($6::uuid is null or org_id = $6)
           order by id desc limit $7"#,
        filter.job,
        filter.outcome.map(Outcome::name),
        filter.id,
        filter.since,
        filter.before,
        filter.org,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The runs that ended, or were skipped, at `since` or later, in real time; the newest first,
/// `limit` at most.
pub async fn ended_since(
    connection: &mut PgConnection,
    since: Instant,
    limit: i64,
) -> Result<Vec<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Run,
        r#"select id, job, trigger as "trigger: Origin", occurrence, last_occurrence, occurrences,
                  outcome as "outcome: Outcome", reason, replica, asked_by, org_id, attempts,
                  started_at, finished_at, lateness_ms, counts::text, error
           from periodd_runs where finished_at >= $1
           order by finished_at desc, id desc limit $2"#,
        since,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// What tells whether anything has run since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The newest run.
    id: Option<i64>,
    /// When one ended last.
    finished_at: Option<Instant>,
    /// How often schedules were moved, paused or resumed.
    moves: Option<i64>,
}

/// The newest of the ledger and of the schedules.
pub async fn newest(connection: &mut PgConnection) -> Result<Newest, StoreError> {
    let newest = sqlx::query_as!(
        Newest,
        "select (select max(id) from periodd_runs) as id,
                (select max(finished_at) from periodd_runs) as finished_at,
                (select sum(token)::bigint from periodd_schedules) as moves"
    );
    Ok(newest.fetch_one(connection).await?)
}

/// The runs of a job that the ends of periods set off, due at `since` or later; the newest first.
pub async fn at_boundaries(
    connection: &mut PgConnection,
    job: &str,
    since: Instant,
    limit: i64,
) -> Result<Vec<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Run,
        r#"select id, job, trigger as "trigger: Origin", occurrence, last_occurrence, occurrences,
                  outcome as "outcome: Outcome", reason, replica, asked_by, org_id, attempts,
                  started_at, finished_at, lateness_ms, counts::text, error
           from periodd_runs
           where job = $1 and trigger = 'boundary' and occurrence is not null and occurrence >= $2
           order by occurrence desc limit $3"#,
        job,
        since,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// What the runs of a job that ended at `since` or later have counted under these names, added up.
pub async fn counted(
    connection: &mut PgConnection,
    job: &str,
    names: &[&str],
    since: Instant,
) -> Result<Vec<u64>, StoreError> {
    let sums = sqlx::query_scalar!(
        r#"select coalesce(sum(case when jsonb_typeof(r.counts -> n.name) = 'number'
                                    then least((r.counts ->> n.name)::numeric, 1e12) end),
                           0)::bigint as "sum!"
           from unnest($2::text[]) with ordinality as n (name, place)
           left join (select counts from periodd_runs
                      where finished_at >= $3 and job = $1 and counts is not null) as r on true
           group by n.place order by n.place"#,
        job,
        names as &[&str],
        since
    );
    let sums = sums.fetch_all(connection).await?;
    Ok(sums.into_iter().map(|sum| u64::try_from(sum).unwrap_or_default()).collect())
}

/// Who asks for a run, and about what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// Name of the token with which it is requested over HTTP.
    pub by: Option<&'a str>,
    /// The only org that it is about.
    pub org: Option<Uuid>,
}

/// Enters a command that begins, and returns its number. It takes no lease and waits for none.
pub async fn begin_command(
    connection: &mut PgConnection,
    job: &str,
    replica: &str,
    asked: Asked<'_>,
) -> Result<i64, StoreError> {
    let id = sqlx::query_scalar!(
        "insert into periodd_runs (job, trigger, outcome, replica, asked_by, org_id, started_at)
         values ($1, 'command', 'running', $2, $3, $4, now()) returning id",
        job,
        replica,
        asked.by,
        asked.org
    );
    Ok(id.fetch_one(connection).await?)
}

/// Enters how a command ended.
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
