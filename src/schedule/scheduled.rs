//! What the configuration says about when a job runs.

use std::time::Duration;

use super::{Policy, Timetable};
use crate::config::{Config, sections::Missed};
use crate::jobs::catalogue::Job;
use crate::jobs::status::Expected;
use crate::store::runs::schedules::{Row, Trigger};
use crate::tz::{TzData, UnknownZone};

/// A job with its timetable.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its name in the ledger.
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

impl Scheduled {
    /// A job's timetable and policy.
    ///
    /// # Errors
    /// [`UnknownZone`] for a zone that the tz database does not have any more.
    pub fn of(job: Job, config: &Config, tz: &TzData) -> Result<Self, UnknownZone> {
        let schedule = job.schedule(config);
        let zone = tz.zone(schedule.time_zone.as_str())?;
        let timetable = schedule.enabled.then(|| Timetable::new(&schedule.cron, zone));
        let makes_up = schedule.catch_up == Missed::Once;
        Ok(Self {
            job: job.name().to_owned(),
            timetable,
            policy: Policy { makes_up, jitter: schedule.jitter.0 },
            timeout: schedule.timeout.0,
            at_boundaries: job == Job::Rollover,
        })
    }
}

/// When each job's schedule should have run next, by what its row says was settled last.
pub fn expected(config: &Config, tz: &TzData, rows: &[Row]) -> Vec<Expected> {
    Job::ALL.into_iter().map(|job| expected_of(job, config, tz, rows)).collect()
}

fn expected_of(job: Job, config: &Config, tz: &TzData, rows: &[Row]) -> Expected {
    let of_job = |row: &&Row| row.job == job.name() && row.trigger == Trigger::Schedule;
    let row = rows.iter().find(of_job);
    let scheduled = Scheduled::of(job, config, tz);
    let timetable = scheduled.ok().and_then(|job| job.timetable);
    let next = row.and_then(|row| timetable.as_ref()?.next_after(row.settled));
    // One that is running is not late, however long it takes.
    let is_running = row.is_some_and(|row| row.running.is_some() && !row.is_abandoned());
    let timeout = job.schedule(config).timeout.0;
    Expected { job: job.name(), enabled: timetable.is_some() && !is_running, next, timeout }
}
