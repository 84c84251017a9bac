//! What the configuration says about when a job runs.

use std::time::Duration;

use super::{Policy, Timetable};
use crate::config::{Config, sections::Missed};
use crate::jobs::catalogue::Job;
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
