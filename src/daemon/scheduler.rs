//! What is due, and who does it: one step at a time.
//!
//! A step reads how every schedule stands, decides (`schedule::rule`), writes what was decided by
//! compare-and-set and starts what this process has won. It keeps nothing that the database does
//! not know but the runs that are under way here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::run::{Assignment, Runner, Work};
use crate::billing::Instant;
use crate::clock::Clock;
use crate::jobs::stop::Stop;
use crate::schedule::{
    self, Decision, Policy, Running, Settlement, Skip, Standing, Timetable, decide, decide_boundary,
};
use crate::store::schedules::{self, Beginning, Held, Lane, Row, Skipped, Trigger};
use crate::store::{Connection, Database, StoreError, claim};

/// A job with its timetable.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The job.
    pub job: String,
    /// When; `None`: it is switched off.
    pub timetable: Option<Timetable>,
    /// What becomes of missed occurrences, and how long each may be delayed.
    pub policy: Policy,
    /// When a run is asked to end.
    pub timeout: Duration,
    /// Is it started by the ends of periods, too?
    pub at_boundaries: bool,
}

/// What a scheduler is made of.
#[derive(Clone)]
pub struct Setting {
    /// The jobs.
    pub jobs: Vec<Scheduled>,
    /// Does the work.
    pub work: Work,
    /// How long nobody else may take a run over.
    pub lease: Duration,
}

/// Decides what runs, and runs it.
pub struct Scheduler<C> {
    clock: C,
    database: Database,
    replica: String,
    setting: Setting,
    runner: Runner,
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
}

impl<C: Clock<Error = StoreError>> Scheduler<C> {
    /// A scheduler whose `ended` is told of every run that ends.
    pub fn new(
        clock: C,
        database: Database,
        replica: String,
        setting: Setting,
        ended: Arc<Notify>,
    ) -> Self {
        let runner = Runner::new(database.clone(), ended);
        Self { clock, database, replica, setting, runner }
    }

    /// What is under way.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Other jobs, or other schedules for them; runs under way go on as they began.
    ///
    /// # Errors
    /// As every write; then nothing has changed.
    pub async fn adopt(&mut self, setting: Setting) -> Result<(), StoreError> {
        let now = self.clock.now().await?;
        let lanes = setting.jobs.iter().flat_map(|job| {
            let line = job.timetable.as_ref().map(ToString::to_string);
            let boundary = Lane { job: &job.job, trigger: Trigger::Boundary };
            let at_boundaries = line.as_ref().map(|_| "boundaries".to_owned());
            let boundary = job.at_boundaries.then_some((boundary, at_boundaries));
            let schedule = Lane { job: &job.job, trigger: Trigger::Schedule };
            [Some((schedule, line)), boundary].into_iter().flatten()
        });
        let lanes: Vec<_> = lanes.collect();
        let mut connection = self.database.connection().await?;
        schedules::adopt(&mut connection, &lanes, schedules::draw_seed(), now).await?;
        drop(lanes);
        self.setting = setting;
        Ok(())
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; what was decided before stands.
    pub async fn step(&mut self) -> Result<Next, StoreError> {
        let now = self.clock.now().await?;
        let mut connection = self.database.connection().await?;
        let mut rows = Rows::read(&mut connection).await?;
        let mut next = Next::default();
        let mut earliest: Option<Instant> = None;
        let mut jobs = self.setting.jobs.clone();
        jobs.retain(|job| job.timetable.is_some());
        // Each process begins elsewhere, so that several do not race for every single job.
        let begin = fastrand::usize(..jobs.len().max(1));
        jobs.rotate_left(begin);
        for job in &jobs {
            for trigger in [Trigger::Boundary, Trigger::Schedule] {
                let lane = Lane { job: &job.job, trigger };
                let Some(row) = rows.of(lane) else { continue };
                let standing = self.standing(&rows, lane, row);
                let decision = match (trigger, &job.timetable) {
                    (Trigger::Boundary, _) if !job.at_boundaries => continue,
                    (Trigger::Boundary, _) => {
                        next.boundary = claim::next_due(&mut connection, row.settled).await?;
                        decide_boundary(&standing, next.boundary, now)
                    }
                    (Trigger::Schedule, Some(timetable)) => {
                        decide(timetable, job.policy, &standing, now)
                    }
                    (Trigger::Schedule, None) => continue,
                };
                match decision {
                    Decision::Wait(until) => {
                        // A run of another process may be abandoned before that.
                        let elsewhere = !self.runner.runs().holds(lane);
                        let lease = row.lease_left().filter(|_| elsewhere);
                        let lease = lease.and_then(|left| now.plus(left).ok());
                        earliest = earliest.into_iter().chain(until).chain(lease).min();
                        continue;
                    }
                    Decision::Settle(settlement) => {
                        let Some(row) = rows.of_mut(lane) else { continue };
                        if !self.settle(&mut connection, job, lane, row, &settlement, now).await? {
                            // Another process is at this job: what there is to do is known anew.
                            next.again = true;
                            break;
                        }
                    }
                    Decision::TakeOver(occurrence) => {
                        self.take_over(&mut connection, job, lane, row, occurrence).await?;
                    }
                }
                // The next one is asked for in another step.
                next.again = true;
            }
        }
        next.wait = earliest.map(|at| at.since(now).try_into().unwrap_or(Duration::ZERO));
        Ok(next)
    }

    /// How a schedule stands for the rule.
    fn standing(&self, rows: &Rows, lane: Lane<'_>, row: &Row) -> Standing {
        let running = |row: &Row, lane| {
            // What runs here is not abandoned, however long the database was away.
            let abandoned = row.is_abandoned() && !self.runner.runs().holds(lane);
            row.running.map(|occurrence| Running { occurrence, abandoned })
        };
        let own = running(row, lane);
        // A sweep has nothing to do beside a rollover that a boundary started.
        let boundary = Lane { trigger: Trigger::Boundary, ..lane };
        let at_boundary = rows.of(boundary).and_then(|row| running(row, boundary));
        Standing {
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
        job: &Scheduled,
        lane: Lane<'_>,
        row: &mut Row,
        settlement: &Settlement,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let due = |occurrence| match lane.trigger {
            Trigger::Schedule => schedule::due_at(occurrence, job.policy.jitter, row.seed),
            Trigger::Boundary => occurrence,
        };
        let lateness = settlement.run.map_or(0, |occurrence| {
            i64::try_from(now.since(due(occurrence)).as_millis()).unwrap_or(i64::MAX)
        });
        if let Some(skip) = &settlement.skip {
            let (token, skipped) = (row.token, skipped(skip));
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
        self.start(job, lane, held, occurrence, lateness);
        Ok(true)
    }

    async fn take_over(
        &mut self,
        connection: &mut Connection,
        job: &Scheduled,
        lane: Lane<'_>,
        row: &Row,
        occurrence: Instant,
    ) -> Result<(), StoreError> {
        let lease = self.setting.lease.as_secs_f64();
        let taken = schedules::take_over(connection, lane, row.token, &self.replica, lease).await?;
        if let Some(held) = taken {
            let from = row.replica.as_deref().unwrap_or_default();
            tracing::warn!(job = lane.job, run = held.run, from, "taken over");
            self.start(job, lane, held, occurrence, 0);
        } else if schedules::free(connection, lane, row.token + 1).await? {
            let job = lane.job;
            tracing::warn!(job, %occurrence, "abandoned, and not in the ledger; the next one runs");
        }
        Ok(())
    }

    fn start(
        &mut self,
        job: &Scheduled,
        lane: Lane<'_>,
        held: Held,
        occurrence: Instant,
        lateness_ms: i64,
    ) {
        let assignment = Assignment {
            job: job.job.clone(),
            trigger: lane.trigger,
            occurrence,
            lateness_ms,
            timeout: job.timeout,
            held,
            stop: Stop::default(),
        };
        self.runner.start(assignment, &self.setting.work);
    }
}

/// Every schedule as it stands, by job and trigger.
struct Rows(HashMap<(String, String), Row>);

impl Rows {
    async fn read(connection: &mut Connection) -> Result<Self, StoreError> {
        let rows = schedules::all(connection).await?.into_iter();
        Ok(Self(rows.map(|row| ((row.job.clone(), row.trigger.clone()), row)).collect()))
    }

    fn of(&self, lane: Lane<'_>) -> Option<&Row> {
        self.0.get(&(lane.job.to_owned(), lane.trigger.name().to_owned()))
    }

    fn of_mut(&mut self, lane: Lane<'_>) -> Option<&mut Row> {
        self.0.get_mut(&(lane.job.to_owned(), lane.trigger.name().to_owned()))
    }
}

fn skipped(skip: &Skip) -> Skipped {
    Skipped {
        first: skip.first,
        last: skip.last,
        count: i64::try_from(skip.count).unwrap_or(i64::MAX),
        reason: skip.reason.name(),
        because: skip.because.clone(),
    }
}
