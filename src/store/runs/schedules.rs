//! How far each schedule has come, and who runs it now: one row per job and trigger, moved by
//! compare-and-set.
//!
//! Whoever moves the row from the token that it read has the occurrence, and nobody else. A run is
//! held under a lease in the database's own time. When that runs out, another process may take the
//! run over, under a newer token; the older one is then refused whatever it says ("fencing").

use jiff::SignedDuration;
use sqlx::PgConnection;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::db::transaction::{LockTimeout, begin_within};

/// What starts a run by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Trigger {
    /// A cron line.
    Schedule,
    /// The end of a period.
    Boundary,
}

impl Trigger {
    pub const ALL: [Self; 2] = [Self::Schedule, Self::Boundary];

    /// As the tables have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Boundary => "boundary",
        }
    }
}

/// Which row: a job, and what starts it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ScheduleKey<'a> {
    pub job: &'a str,
    pub trigger: Trigger,
}

/// A row as it stands.
#[derive(Debug, Clone)]
pub struct Row {
    pub job: String,
    pub trigger: Trigger,
    /// The cron line and zone in force; `None` while it is switched off.
    pub line: Option<String>,
    /// What tells this database's jitter from that of others.
    pub seed: i64,
    /// Every occurrence up to here is in the ledger.
    pub settled: Instant,
    /// Since when it is paused.
    pub paused_at: Option<Instant>,
    pub pause_reason: Option<String>,
    /// The occurrence that is running.
    pub running: Option<Instant>,
    pub replica: Option<String>,
    /// Until when nobody else may take it over.
    pub lease_until: Option<Instant>,
    /// When the row was read, by the database's clock: what the lease is compared with.
    pub read_at: Instant,
    /// What to move the row from.
    pub token: i64,
}

impl Row {
    /// Has the runner's lease run out?
    pub fn is_abandoned(&self) -> bool {
        self.lease_until.is_some_and(|until| until <= self.read_at)
    }

    /// How long the runner's lease still lasts; `None` without one that does.
    pub fn lease_left(&self) -> Option<SignedDuration> {
        let left = self.lease_until?.since(self.read_at);
        left.is_positive().then_some(left)
    }
}

/// Does one write in a transaction that waits a moment only for a row that somebody holds: what is
/// held is one schedule's, and the others go on.
///
/// # Errors
/// [`StoreError::Held`] where the row was not to be had; then nothing is written.
async fn briefly<T>(
    connection: &mut PgConnection,
    write: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut transaction = begin_within(connection, LockTimeout::Short).await?;
    match write(&mut transaction).await {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// Makes rows for schedules that are new, and lets those whose line changed begin anew: nothing
/// before `now` is theirs. `lanes` have the line in force, or `None` where it is switched off. A
/// row that stands as it should is not touched, whoever holds it.
///
/// # Errors
/// [`StoreError::Held`] where somebody holds a row that is to change; then none has changed.
pub async fn adopt(
    connection: &mut PgConnection,
    lanes: &[(ScheduleKey<'_>, Option<String>)],
    seed: i64,
    now: Instant,
) -> Result<(), StoreError> {
    let jobs: Vec<String> = lanes.iter().map(|(lane, _)| lane.job.to_owned()).collect();
    let triggers: Vec<String> =
        lanes.iter().map(|(lane, _)| lane.trigger.name().to_owned()).collect();
    let lines: Vec<Option<String>> = lanes.iter().map(|(_, line)| line.clone()).collect();
    let adopting = sqlx::query!(
        "insert into periodd_schedules as s (job, trigger, line, seed, settled)
         select u.job, u.trigger, u.line, $4, $5
         from unnest($1::text[], $2::text[], $3::text[]) as u (job, trigger, line)
         where not exists (select from periodd_schedules k
                           where k.job = u.job and k.trigger = u.trigger
                             and k.line is not distinct from u.line)
         order by u.job, u.trigger
         on conflict (job, trigger) do update
             set line = excluded.line, settled = greatest(s.settled, excluded.settled),
                 token = s.token + 1
             where s.line is distinct from excluded.line",
        &jobs,
        &triggers,
        &lines as &[Option<String>],
        seed,
        now
    );
    briefly(connection, async |connection| {
        adopting.execute(connection).await?;
        Ok(())
    })
    .await
}

/// Every schedule as it stands.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select job, trigger as "trigger: Trigger", line, seed, settled, paused_at, pause_reason,
                  running, replica,
                  lease_until, now() as "read_at!", token
           from periodd_schedules order by job, trigger desc"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Occurrences that are left out, as the ledger has them.
#[derive(Debug, Clone)]
pub struct Skipped {
    pub first: Instant,
    pub last: Instant,
    pub count: i64,
    /// `paused`, `overlapped`, `too late` or `clock`.
    pub reason: &'static str,
    pub because: Option<String>,
    pub decided_at: Instant,
}

/// Leaves occurrences out, if the row still stands as it was read. Returns the token that it has
/// now; `None` when another process was first.
pub async fn leave_out(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    skipped: &Skipped,
    replica: &str,
) -> Result<Option<i64>, StoreError> {
    let moved = sqlx::query_scalar!(
        "with moved as (
             update periodd_schedules s set settled = $5, token = s.token + 1
             where s.job = $1 and s.trigger = $2 and s.token = $3
             returning s.token),
         skipped as (
             insert into periodd_runs
                 (job, trigger, occurrence, last_occurrence, occurrences, outcome, reason,
                  replica, finished_at, error)
             select $1, $2, $4::timestamptz, nullif($5, $4::timestamptz), $6, 'skipped', $7, $8,
                    $10, $9
             from moved
             on conflict (job, trigger, occurrence) where occurrence is not null do nothing)
         select token from moved",
        lane.job,
        lane.trigger.name(),
        token,
        skipped.first,
        skipped.last,
        skipped.count,
        skipped.reason,
        replica,
        skipped.because,
        skipped.decided_at
    );
    briefly(connection, async |connection| Ok(moved.fetch_optional(connection).await?)).await
}

/// Sets a schedule back whose `settled` has not come yet: everything up to `now` stays settled, and
/// the ledger says so. Returns the token that the row has then; `None` when another process was
/// first.
pub async fn set_back(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    now: Instant,
    replica: &str,
    because: &str,
) -> Result<Option<i64>, StoreError> {
    let moved = sqlx::query_scalar!(
        "with moved as (
             update periodd_schedules s set settled = $4, token = s.token + 1
             where s.job = $1 and s.trigger = $2 and s.token = $3 and s.settled > $4
             returning s.token),
         said as (
             insert into periodd_runs
                 (job, trigger, occurrence, outcome, reason, replica, finished_at, error)
             select $1, $2, $4, 'skipped', 'clock', $5, now(), $6 from moved
             on conflict (job, trigger, occurrence) where occurrence is not null do nothing)
         select token from moved",
        lane.job,
        lane.trigger.name(),
        token,
        now,
        replica,
        because
    );
    briefly(connection, async |connection| Ok(moved.fetch_optional(connection).await?)).await
}

/// Shortens a lease that lasts longer than any is given, as a clock that ran ahead leaves it: a
/// process that is there prolongs it as ever, and of one that is gone it runs out.
pub async fn shorten_lease(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    lease_secs: f64,
) -> Result<(), StoreError> {
    let shortened = sqlx::query!(
        "with clock as (select now() + make_interval(secs => $4) as lease_until)
         update periodd_schedules s set lease_until = clock.lease_until
         from clock
         where s.job = $1 and s.trigger = $2 and s.token = $3
           and s.lease_until > clock.lease_until",
        lane.job,
        lane.trigger.name(),
        token,
        lease_secs
    );
    briefly(connection, async |connection| {
        shortened.execute(connection).await?;
        Ok(())
    })
    .await
}

/// A run to be begun.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    pub occurrence: Instant,
    /// Every occurrence up to here is settled with it.
    pub upto: Instant,
    pub started_at: Instant,
    /// Milliseconds from when it was due to now.
    pub lateness_ms: i64,
    pub replica: &'a str,
    /// How long nobody else may take it over, in seconds.
    pub lease_secs: f64,
}

/// A run that this process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Its number in the ledger.
    pub run: i64,
    pub token: i64,
    /// How often it has been begun, this time included.
    pub attempts: i32,
}

/// Begins a run, if the row still stands as it was read and nothing of it is running. `None` when
/// another process was first.
pub async fn begin(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    beginning: Beginning<'_>,
) -> Result<Option<Held>, StoreError> {
    let held = sqlx::query_as!(
        Held,
        r#"with clock as (select now() + make_interval(secs => $9) as lease_until),
           moved as (
               update periodd_schedules s
               set settled = $5, token = s.token + 1, running = $4, run_token = s.token + 1,
                   replica = $8, lease_until = clock.lease_until
               from clock
               where s.job = $1 and s.trigger = $2 and s.token = $3 and s.running is null
               returning s.token)
           insert into periodd_runs
               (job, trigger, occurrence, outcome, replica, token, started_at, lateness_ms)
           select $1, $2, $4, 'running', $8, moved.token, $6, $7 from moved
           on conflict (job, trigger, occurrence) where occurrence is not null do update
               set outcome = 'running', reason = null, last_occurrence = null, occurrences = 1,
                   replica = excluded.replica, token = excluded.token,
                   attempts = periodd_runs.attempts + 1, started_at = excluded.started_at,
                   finished_at = null, lateness_ms = excluded.lateness_ms, counts = null,
                   error = null
           returning id as run, token as "token!", attempts"#,
        lane.job,
        lane.trigger.name(),
        token,
        beginning.occurrence,
        beginning.upto,
        beginning.started_at,
        beginning.lateness_ms,
        beginning.replica,
        beginning.lease_secs
    );
    briefly(connection, async |connection| Ok(held.fetch_optional(connection).await?)).await
}

/// Takes over a run whose lease has run out, if the row still stands as it was read.
pub async fn take_over(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    replica: &str,
    lease_secs: f64,
) -> Result<Option<Held>, StoreError> {
    let held = sqlx::query_as!(
        Held,
        r#"with clock as (
               select now() as now, now() + make_interval(secs => $5) as lease_until),
           moved as (
               update periodd_schedules s
               set token = s.token + 1, run_token = s.token + 1, replica = $4,
                   lease_until = clock.lease_until
               from clock
               where s.job = $1 and s.trigger = $2 and s.token = $3
                 and s.running is not null and s.lease_until <= clock.now
               returning s.token, s.running)
           update periodd_runs r
           set token = moved.token, replica = $4, attempts = r.attempts + 1
           from moved
           where r.job = $1 and r.trigger = $2 and r.occurrence = moved.running
             and r.outcome = 'running'
           returning r.id as run, moved.token as "token!", r.attempts"#,
        lane.job,
        lane.trigger.name(),
        token,
        replica,
        lease_secs
    );
    briefly(connection, async |connection| Ok(held.fetch_optional(connection).await?)).await
}

/// Frees a schedule whose run was taken over under `token` but has no row in the ledger any more:
/// nobody could ever end it. False when it has one.
pub async fn free(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
) -> Result<bool, StoreError> {
    let freed = sqlx::query!(
        "update periodd_schedules s
         set running = null, run_token = null, replica = null, lease_until = null
         where s.job = $1 and s.trigger = $2 and s.run_token = $3
           and not exists (select from periodd_runs r
                           where r.job = s.job and r.trigger = s.trigger
                             and r.occurrence = s.running and r.outcome = 'running')",
        lane.job,
        lane.trigger.name(),
        token
    );
    briefly(
        connection,
        async |connection| Ok(freed.execute(connection).await?.rows_affected() == 1),
    )
    .await
}

/// Prolongs a lease; false when somebody has taken the run over.
pub async fn renew(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    token: i64,
    lease_secs: f64,
) -> Result<bool, StoreError> {
    let renewed = sqlx::query!(
        "with clock as (select now() + make_interval(secs => $4) as lease_until)
         update periodd_schedules s set lease_until = clock.lease_until
         from clock
         where s.job = $1 and s.trigger = $2 and s.run_token = $3",
        lane.job,
        lane.trigger.name(),
        token,
        lease_secs
    );
    briefly(connection, async |connection| {
        Ok(renewed.execute(connection).await?.rows_affected() == 1)
    })
    .await
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What it did: a JSON object.
    pub counts: Option<String>,
    /// Why it failed; `None`: it is done.
    pub error: Option<String>,
}

/// Ends a run, and lets the next one begin. False when somebody else had taken it over: then its
/// end is for them to tell.
pub async fn finish(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    held: Held,
    ended: &Ended,
) -> Result<bool, StoreError> {
    let finished = sqlx::query_scalar!(
        r#"with clock as (select now() as now),
           freed as (
               update periodd_schedules s
               set running = null, run_token = null, replica = null, lease_until = null
               where s.job = $1 and s.trigger = $2 and s.run_token = $7
               returning s.job),
           ended as (
               update periodd_runs r
               set outcome = $4, finished_at = clock.now, counts = $5::text::jsonb, error = $6
               from clock, freed
               where r.id = $3 and r.token = $7 and r.outcome = 'running'
               returning r.id)
           select exists (select 1 from ended) as "ended!""#,
        lane.job,
        lane.trigger.name(),
        held.run,
        if ended.error.is_some() { "failed" } else { "done" },
        ended.counts,
        ended.error,
        held.token
    );
    let finished =
        briefly(connection, async |connection| Ok(finished.fetch_one(connection).await?)).await?;
    if finished {
        return Ok(true);
    }
    // The answer to an earlier attempt may have been lost.
    let mine = sqlx::query_scalar!(
        r#"select exists (select 1 from periodd_runs
                          where id = $1 and token = $2 and outcome <> 'running') as "mine!""#,
        held.run,
        held.token
    );
    Ok(mine.fetch_one(connection).await?)
}

/// Gives a run back that this process will not end: whoever comes next may take it over at once,
/// whatever their clock says.
pub async fn give_back(
    connection: &mut PgConnection,
    lane: ScheduleKey<'_>,
    held: Held,
) -> Result<(), StoreError> {
    let given_back = sqlx::query!(
        "update periodd_schedules s set lease_until = timestamptz 'epoch'
         where s.job = $1 and s.trigger = $2 and s.run_token = $3",
        lane.job,
        lane.trigger.name(),
        held.token
    );
    briefly(connection, async |connection| {
        given_back.execute(connection).await?;
        Ok(())
    })
    .await
}

/// What tells a new schedule's jitter from that of other databases, drawn by whoever makes it.
pub fn draw_seed() -> i64 {
    fastrand::i64(..)
}

/// Pauses a job, or changes the reason; a job that no daemon has seen yet is paused from its first
/// moment on.
pub async fn pause(
    connection: &mut PgConnection,
    job: &str,
    triggers: &[Trigger],
    reason: &str,
    seed: i64,
    now: Instant,
) -> Result<(), StoreError> {
    let triggers: Vec<String> = triggers.iter().map(|trigger| trigger.name().to_owned()).collect();
    sqlx::query!(
        "insert into periodd_schedules as s
             (job, trigger, seed, settled, paused_at, pause_reason)
         select $1, u.trigger, $5, $3, $3, $4 from unnest($2::text[]) as u (trigger)
         on conflict (job, trigger) do update
             set paused_at = coalesce(s.paused_at, excluded.paused_at),
                 pause_reason = excluded.pause_reason, token = s.token + 1",
        job,
        &triggers,
        now,
        reason,
        seed
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets a paused job go on; false when it was not paused.
pub async fn resume(connection: &mut PgConnection, job: &str) -> Result<bool, StoreError> {
    let resumed = sqlx::query!(
        "update periodd_schedules s
         set paused_at = null, pause_reason = null, token = s.token + 1
         where s.job = $1 and s.paused_at is not null",
        job
    );
    Ok(resumed.execute(connection).await?.rows_affected() > 0)
}
