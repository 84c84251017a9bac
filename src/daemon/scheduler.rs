//! What is due, and who does it: one step at a time.
//!
//! A step reads how every schedule stands, decides (`schedule::rule`), writes what was decided by
//! compare-and-set and starts what this process has won. It keeps nothing that the database does
//! not know but the runs that are under way here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::run::{Assignment, Runner, Work};
use crate::billing::Instant;
use crate::billing::clock::{Doubt, Judged, Witness};
use crate::clock::Clock;
use crate::jobs::stop::Stop;
use crate::schedule::{
    self, Decision, Running, ScheduleState, Scheduled, Settlement, Skip, decide, decide_boundary,
    decide_in_doubt,
};
use crate::store::runs::schedules::{self, Beginning, Held, Row, ScheduleKey, Skipped, Trigger};
use crate::store::{Connection, Database, Leash, StoreError, rollover::claim};

/// While the database's clock is not believed, it is looked at so often.
const DOUBT_LOOK: Duration = Duration::from_secs(2);
/// A lease that lasts longer than this, and than those that are given here, was given by a clock
/// that ran ahead.
const LONGEST_LEASE: Duration = Duration::from_mins(10);

/// A schedule whose row somebody holds is looked at so often: each look waits for a moment, in
/// which the others wait, too.
const HELD_LOOK: Duration = Duration::from_secs(5);

/// A job with its timetable, and what it does.
#[derive(Clone)]
pub struct Task {
    pub scheduled: Scheduled,
    pub work: Work,
}

/// What a scheduler is made of.
#[derive(Clone)]
pub struct SchedulerSetup {
    pub tasks: Vec<Task>,
    /// How long nobody else may take a run over.
    pub lease: Duration,
}

/// Decides what runs, and runs it.
pub struct Scheduler<C> {
    clock: C,
    database: Database,
    replica: String,
    setting: SchedulerSetup,
    runner: Runner,
    /// What speaks against the database's clock, where that is not believed.
    doubted_by: Option<Witness>,
    held: HeldRows,
    /// Schedules whose rows were held when they were to be adopted.
    not_adopted: HashSet<(String, Trigger)>,
}

/// What a step leaves to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Next {
    /// How long nothing falls due; `None`: nothing ever does.
    pub wait: Option<Duration>,
    /// The end of a period that comes next.
    pub boundary: Option<Instant>,
    /// Another process was faster somewhere: look again at once.
    pub again: bool,
    /// The database's clock is not believed, so nothing was begun.
    pub doubt: Option<Doubt>,
}

impl<C: Clock<Error = StoreError>> Scheduler<C> {
    /// A scheduler whose `ended` is told of every run that ends.
    pub fn new(
        clock: C,
        database: Database,
        replica: String,
        setting: SchedulerSetup,
        ended: Arc<Notify>,
    ) -> Self {
        let runner = Runner::new(database.clone(), ended);
        Self {
            clock,
            database,
            replica,
            setting,
            runner,
            doubted_by: None,
            held: HeldRows::default(),
            not_adopted: HashSet::new(),
        }
    }

    /// What is under way.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Other jobs, or other schedules for them; runs under way go on as they began. A schedule
    /// whose row somebody holds is adopted when that is over, and does not run before.
    ///
    /// # Errors
    /// As every write; then nothing has changed.
    pub async fn adopt(&mut self, setting: SchedulerSetup) -> Result<(), StoreError> {
        let now = self.clock.judged().await?.expected();
        let mut connection = self.database.connection().await?;
        let all: Vec<_> = lanes(&setting.tasks).collect();
        let adopted = schedules::adopt(&mut connection, &all, schedules::draw_seed(), now).await;
        drop(all);
        self.not_adopted.clear();
        match adopted {
            Err(StoreError::Held(_)) => {
                let all = lanes(&setting.tasks);
                self.not_adopted =
                    all.map(|(lane, _)| (lane.job.to_owned(), lane.trigger)).collect();
            }
            adopted => adopted?,
        }
        self.setting = setting;
        self.adopt_held(&mut connection, now).await
    }

    /// Adopts, one by one, the schedules that could not be adopted because a row was held.
    async fn adopt_held(
        &mut self,
        connection: &mut Connection,
        now: Instant,
    ) -> Result<(), StoreError> {
        for (lane, line) in lanes(&self.setting.tasks) {
            let key = (lane.job.to_owned(), lane.trigger);
            if !self.not_adopted.contains(&key) || self.held.rests(lane) {
                continue;
            }
            let adopting = [(lane, line)];
            let adopted =
                schedules::adopt(connection, &adopting, schedules::draw_seed(), now).await;
            let is_held = matches!(adopted, Err(StoreError::Held(_)));
            self.held.note(lane, adopted.map(|()| LaneDone::Nothing))?;
            if !is_held {
                self.not_adopted.remove(&key);
            }
        }
        Ok(())
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; what was decided before stands.
    pub async fn step(&mut self) -> Result<Next, StoreError> {
        let judged = self.clock.judged().await?;
        self.tell_of_doubt(&judged);
        let now = match judged {
            Judged::Believed(now) => now,
            // What is due stays due until that is known.
            Judged::Doubted(doubt) if doubt.witness == Witness::Unheard => {
                return Ok(Next { wait: Some(DOUBT_LOOK), doubt: Some(doubt), ..Next::default() });
            }
            Judged::Doubted(doubt) => return self.step_in_doubt(doubt).await,
        };
        let mut connection = self.database.connection().await?;
        self.adopt_held(&mut connection, now).await?;
        let mut rows = Rows::read(&mut connection).await?;
        self.adopt_missing(&mut connection, &mut rows, now).await?;
        let mut next = Next::default();
        let mut earliest: Option<Instant> = None;
        let mut tasks = self.setting.tasks.clone();
        tasks.retain(|task| task.scheduled.timetable.is_some());
        // Each process begins elsewhere, so that several do not race for every single job.
        let begin = fastrand::usize(..tasks.len().max(1));
        tasks.rotate_left(begin);
        for task in &tasks {
            let job = &task.scheduled;
            for trigger in [Trigger::Boundary, Trigger::Schedule] {
                let lane = ScheduleKey { job: &job.job, trigger };
                let key = (job.job.clone(), trigger);
                if self.held.rests(lane) || self.not_adopted.contains(&key) {
                    continue;
                }
                let done = self.lane(&mut connection, task, lane, &mut rows, &mut next, now).await;
                match self.held.note(lane, done)? {
                    LaneDone::Nothing => {}
                    LaneDone::Waits(until) => {
                        earliest = earliest.into_iter().chain(until).min();
                    }
                    // The next one is asked for in another step.
                    LaneDone::Moved => next.again = true,
                    // What there is to do for this job is known anew.
                    LaneDone::Overtaken => {
                        next.again = true;
                        break;
                    }
                }
            }
        }
        let wait = earliest.map(|at| at.since(now).try_into().unwrap_or(Duration::ZERO));
        next.wait = wait.into_iter().chain(self.held.rest_ends_in()).min();
        Ok(next)
    }

    /// Does what is due of one schedule.
    async fn lane(
        &mut self,
        connection: &mut Connection,
        task: &Task,
        lane: ScheduleKey<'_>,
        rows: &mut Rows,
        next: &mut Next,
        now: Instant,
    ) -> Result<LaneDone, StoreError> {
        let job = &task.scheduled;
        let Some(row) = rows.of(lane) else { return Ok(LaneDone::Nothing) };
        self.shorten_lease(connection, lane, row).await?;
        let state = self.state(rows, lane, row);
        let decision = match (lane.trigger, &job.timetable) {
            (Trigger::Boundary, _) if !job.at_boundaries => return Ok(LaneDone::Nothing),
            (Trigger::Boundary, _) => {
                next.boundary = claim::next_due(connection, row.settled).await?;
                decide_boundary(&state, next.boundary, now)
            }
            (Trigger::Schedule, Some(timetable)) => decide(timetable, job.policy, &state, now),
            (Trigger::Schedule, None) => return Ok(LaneDone::Nothing),
        };
        match decision {
            Decision::Wait(until) => {
                // A run of another process may be abandoned before that.
                let elsewhere = !self.runner.runs().holds(lane);
                let lease = row.lease_left().filter(|_| elsewhere);
                let lease = lease.and_then(|left| now.plus(left).ok());
                Ok(LaneDone::Waits(until.into_iter().chain(lease).min()))
            }
            Decision::Settle(settlement) => {
                let Some(row) = rows.of_mut(lane) else { return Ok(LaneDone::Nothing) };
                let is_ours = self.settle(connection, task, lane, row, &settlement, now).await?;
                Ok(if is_ours { LaneDone::Moved } else { LaneDone::Overtaken })
            }
            Decision::TakeOver(occurrence) => {
                self.take_over(connection, task, lane, row, occurrence).await?;
                Ok(LaneDone::Moved)
            }
            Decision::SetBack => {
                self.set_back(connection, lane, row, now).await?;
                Ok(LaneDone::Overtaken)
            }
        }
    }

    /// What is due while the database's clock is not believed: nothing is begun, and what is left
    /// out says why.
    async fn step_in_doubt(&mut self, doubt: Doubt) -> Result<Next, StoreError> {
        let mut connection = self.database.connection().await?;
        let mut rows = Rows::read(&mut connection).await?;
        for task in self.setting.tasks.clone() {
            let job = &task.scheduled;
            let Some(timetable) = &job.timetable else { continue };
            let lane = ScheduleKey { job: &job.job, trigger: Trigger::Schedule };
            if self.held.rests(lane) {
                continue;
            }
            let Some(row) = rows.of(lane) else { continue };
            let state = self.state(&rows, lane, row);
            let decision = decide_in_doubt(timetable, job.policy, &state, &doubt);
            if let Decision::Settle(settlement) = decision
                && let Some(row) = rows.of_mut(lane)
            {
                // Where another process was first, it has left out the same.
                let settled =
                    self.settle(&mut connection, &task, lane, row, &settlement, doubt.expected);
                let settled = settled.await.map(|_| LaneDone::Nothing);
                self.held.note(lane, settled)?;
            }
        }
        Ok(Next { wait: Some(DOUBT_LOOK), doubt: Some(doubt), ..Next::default() })
    }

    /// Says once that the clock is not believed, and once that it is again.
    fn tell_of_doubt(&mut self, judged: &Judged) {
        let witness = judged.doubt().map(|doubt| doubt.witness);
        match (judged, self.doubted_by) {
            (Judged::Doubted(_), before) if before == witness => {}
            (Judged::Doubted(doubt), None) if doubt.witness == Witness::Unheard => {
                tracing::warn!(database = %doubt.database, "the clock is not trusted yet: {doubt}");
            }
            (Judged::Doubted(doubt), None | Some(Witness::Unheard)) => {
                tracing::error!(
                    database = %doubt.database, machine = %doubt.machine,
                    expected = %doubt.expected,
                    "the clock is not trusted: {doubt}; no job starts until the clocks agree"
                );
            }
            (Judged::Believed(now), Some(_)) => {
                tracing::info!(%now, "the clock is trusted again; catching up");
            }
            _ => {}
        }
        self.doubted_by = witness;
    }

    /// Shortens a lease that no clock that is right would have given.
    async fn shorten_lease(
        &self,
        connection: &mut Connection,
        lane: ScheduleKey<'_>,
        row: &Row,
    ) -> Result<(), StoreError> {
        let lease = self.setting.lease;
        let longest = lease.max(LONGEST_LEASE).try_into().unwrap_or(jiff::SignedDuration::MAX);
        if row.lease_left().is_none_or(|left| left <= longest) {
            return Ok(());
        }
        let (job, until) = (lane.job, row.lease_until.map(|until| until.to_string()));
        tracing::warn!(job, until, "shortened a lease that was set while a clock ran ahead");
        schedules::shorten_lease(connection, lane, row.token, lease.as_secs_f64()).await
    }

    /// Sets a schedule back that is settled until a time that has not come.
    async fn set_back(
        &self,
        connection: &mut Connection,
        lane: ScheduleKey<'_>,
        row: &Row,
        now: Instant,
    ) -> Result<(), StoreError> {
        let because = format!(
            "settled until {}: a clock had run ahead; treated as settled until now",
            row.settled
        );
        let (token, replica) = (row.token, self.replica.as_str());
        let moved = schedules::set_back(connection, lane, token, now, replica, &because).await?;
        if moved.is_some() {
            let (job, trigger, settled) = (lane.job, lane.trigger.name(), row.settled);
            tracing::warn!(
                job, trigger, %settled,
                "settled in the future: a clock had run ahead; reset to now"
            );
        }
        Ok(())
    }

    /// Makes the rows again that are gone under a running daemon: somebody emptied the table, or
    /// restored it from elsewhere. Nothing before now is made up for.
    async fn adopt_missing(
        &self,
        connection: &mut Connection,
        rows: &mut Rows,
        now: Instant,
    ) -> Result<(), StoreError> {
        let missing = lanes(&self.setting.tasks).filter(|(lane, _)| rows.of(*lane).is_none());
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        schedules::adopt(connection, &missing, schedules::draw_seed(), now).await?;
        let names =
            missing.iter().map(|(lane, _)| format!("{} ({})", lane.job, lane.trigger.name()));
        let jobs = names.collect::<Vec<_>>().join(", ");
        tracing::warn!(jobs, "schedules were missing from the database; recreated from now on");
        *rows = Rows::read(connection).await?;
        Ok(())
    }

    /// How a schedule stands for the rule.
    fn state(&self, rows: &Rows, lane: ScheduleKey<'_>, row: &Row) -> ScheduleState {
        let running = |row: &Row, lane| {
            // What runs here is not abandoned, however long the database was away.
            let abandoned = row.is_abandoned() && !self.runner.runs().holds(lane);
            row.running.map(|occurrence| Running { occurrence, abandoned })
        };
        let own = running(row, lane);
        // A sweep has nothing to do beside a rollover that a boundary started.
        let boundary = ScheduleKey { trigger: Trigger::Boundary, ..lane };
        let at_boundary = rows.of(boundary).and_then(|row| running(row, boundary));
        ScheduleState {
            settled: row.settled,
            paused: row.pause_reason.clone(),
            running: own.or(at_boundary.filter(|running| !running.abandoned)),
            seed: row.seed,
        }
    }

    /// Writes a settlement, and starts its run. False when another process was first.
    async fn settle(
        &mut self,
        connection: &mut Connection,
        task: &Task,
        lane: ScheduleKey<'_>,
        row: &mut Row,
        settlement: &Settlement,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let jitter = task.scheduled.policy.jitter;
        let due = |occurrence| match lane.trigger {
            Trigger::Schedule => schedule::due_at(occurrence, jitter, row.seed),
            Trigger::Boundary => occurrence,
        };
        let lateness = settlement.run.map_or(0, |occurrence| {
            i64::try_from(now.since(due(occurrence)).as_millis()).unwrap_or(i64::MAX)
        });
        if let Some(skip) = &settlement.skip {
            let (token, skipped) = (row.token, skipped(skip, now));
            let moved = schedules::leave_out(connection, lane, token, &skipped, &self.replica);
            let Some(token) = moved.await? else { return Ok(false) };
            row.token = token;
            let (job, reason, count) = (lane.job, skip.reason.name(), skip.count);
            let because = skip.because.as_deref().unwrap_or_default();
            tracing::info!(
                job, trigger = lane.trigger.name(), outcome = "skipped", reason, count,
                first = %skip.first, last = %skip.last, because, "skipped"
            );
        }
        let Some(occurrence) = settlement.run else { return Ok(true) };
        let beginning = Beginning {
            occurrence,
            upto: settlement.upto,
            started_at: now,
            lateness_ms: lateness,
            replica: &self.replica,
            lease_secs: self.setting.lease.as_secs_f64(),
        };
        let held = schedules::begin(connection, lane, row.token, beginning).await?;
        let Some(held) = held else { return Ok(false) };
        row.running = Some(occurrence);
        row.lease_until = row.read_at.plus(self.setting.lease.try_into().unwrap_or_default()).ok();
        self.start(task, lane, held, occurrence, lateness);
        Ok(true)
    }

    async fn take_over(
        &mut self,
        connection: &mut Connection,
        task: &Task,
        lane: ScheduleKey<'_>,
        row: &Row,
        occurrence: Instant,
    ) -> Result<(), StoreError> {
        let lease = self.setting.lease.as_secs_f64();
        let taken = schedules::take_over(connection, lane, row.token, &self.replica, lease).await?;
        if let Some(held) = taken {
            let from = row.replica.as_deref().unwrap_or_default();
            tracing::warn!(job = lane.job, run = held.run, from, "taken over");
            self.start(task, lane, held, occurrence, 0);
        } else if schedules::free(connection, lane, row.token + 1).await? {
            let job = lane.job;
            tracing::warn!(job, %occurrence, "abandoned and missing from the ledger; the next \
                                              occurrence runs");
        }
        Ok(())
    }

    fn start(
        &mut self,
        task: &Task,
        lane: ScheduleKey<'_>,
        held: Held,
        occurrence: Instant,
        lateness_ms: i64,
    ) {
        let assignment = Assignment {
            job: task.scheduled.job.clone(),
            trigger: lane.trigger,
            occurrence,
            lateness_ms,
            timeout: task.scheduled.timeout,
            held,
            stop: Stop::default(),
            leash: Leash::default(),
        };
        self.runner.start(assignment, &task.work);
    }
}

/// What came of looking at one schedule.
#[derive(Debug)]
enum LaneDone {
    /// There is nothing to do for it, or its row is held.
    Nothing,
    /// There is nothing to do until then.
    Waits(Option<Instant>),
    /// Something was done.
    Moved,
    /// Another process was first, or its row was set back.
    Overtaken,
}

/// Schedules whose rows somebody else holds, and until when each is not looked at again.
#[derive(Debug, Default)]
struct HeldRows(HashMap<(String, Trigger), tokio::time::Instant>);

impl HeldRows {
    /// Is this one not to be looked at yet?
    fn rests(&self, lane: ScheduleKey<'_>) -> bool {
        let until = self.0.get(&(lane.job.to_owned(), lane.trigger));
        until.is_some_and(|until| *until > tokio::time::Instant::now())
    }

    /// How long the first of them still rests.
    fn rest_ends_in(&self) -> Option<Duration> {
        let now = tokio::time::Instant::now();
        self.0.values().map(|until| until.saturating_duration_since(now)).min()
    }

    /// Notes how it went with one schedule. One whose row is held rests, and keeps no other from
    /// being looked at; it is said once.
    ///
    /// # Errors
    /// What is about more than one row.
    fn note(
        &mut self,
        lane: ScheduleKey<'_>,
        done: Result<LaneDone, StoreError>,
    ) -> Result<LaneDone, StoreError> {
        let (job, trigger) = (lane.job, lane.trigger.name());
        let key = (job.to_owned(), lane.trigger);
        match done {
            Err(StoreError::Held(why)) => {
                let until = tokio::time::Instant::now() + HELD_LOOK;
                if self.0.insert(key, until).is_none() {
                    tracing::warn!(
                        job,
                        trigger,
                        why,
                        "the row in periodd_schedules is locked by another transaction; this job \
                         waits, the others continue"
                    );
                }
                Ok(LaneDone::Nothing)
            }
            Ok(done) => {
                if self.0.remove(&key).is_some() {
                    tracing::info!(job, trigger, "the row in periodd_schedules is free again");
                }
                Ok(done)
            }
            Err(other) => Err(other),
        }
    }
}

/// The rows that jobs have, each with its line; `None` for one that is switched off.
fn lanes(tasks: &[Task]) -> impl Iterator<Item = (ScheduleKey<'_>, Option<String>)> {
    tasks.iter().map(|task| &task.scheduled).flat_map(|job| {
        let line = job.timetable.as_ref().map(ToString::to_string);
        let boundary = ScheduleKey { job: &job.job, trigger: Trigger::Boundary };
        let at_boundaries = line.as_ref().map(|_| "boundaries".to_owned());
        let boundary = job.at_boundaries.then_some((boundary, at_boundaries));
        let schedule = ScheduleKey { job: &job.job, trigger: Trigger::Schedule };
        [Some((schedule, line)), boundary].into_iter().flatten()
    })
}

/// Every schedule as it stands, by job and trigger.
struct Rows(HashMap<(String, Trigger), Row>);

impl Rows {
    async fn read(connection: &mut Connection) -> Result<Self, StoreError> {
        let rows = schedules::all(connection).await?.into_iter();
        Ok(Self(rows.map(|row| ((row.job.clone(), row.trigger), row)).collect()))
    }

    fn of(&self, lane: ScheduleKey<'_>) -> Option<&Row> {
        self.0.get(&(lane.job.to_owned(), lane.trigger))
    }

    fn of_mut(&mut self, lane: ScheduleKey<'_>) -> Option<&mut Row> {
        self.0.get_mut(&(lane.job.to_owned(), lane.trigger))
    }
}

fn skipped(skip: &Skip, decided_at: Instant) -> Skipped {
    Skipped {
        first: skip.first,
        last: skip.last,
        count: i64::try_from(skip.count).unwrap_or(i64::MAX),
        reason: skip.reason.name(),
        because: skip.because.clone(),
        decided_at,
    }
}
