//! What the configuration says about the jobs, for the scheduler.

use std::sync::{Arc, PoisonError, RwLock};

use super::run::{Assignment, Work};
use super::scheduler::{Scheduled, Setting};
use super::upkeep::Rules;
use super::work::{Job, Means};
use crate::config::{Config, Missed};
use crate::schedule::{Policy, Timetable};
use crate::store::{Database, StoreError};
use crate::tzdata::{TzData, UnknownZone};

/// The configuration in force, for everybody who needs it.
#[derive(Clone, Debug)]
pub(super) struct InForce(Arc<RwLock<Arc<Config>>>);

impl InForce {
    pub(super) fn new(config: Config) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    pub(super) fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// The scheduler's setting by a configuration.
///
/// # Errors
/// [`UnknownZone`] for a zone that the tz database does not have any more.
pub(super) fn setting(config: &Config, tz: &TzData, work: Work) -> Result<Setting, UnknownZone> {
    let jobs = Job::ALL.into_iter().map(|job| scheduled(job, config, tz));
    Ok(Setting { jobs: jobs.collect::<Result<_, _>>()?, work, lease: config.daemon.lease.0 })
}

/// A job's timetable and policy.
///
/// # Errors
/// As `setting`.
pub fn scheduled(job: Job, config: &Config, tz: &TzData) -> Result<Scheduled, UnknownZone> {
    let schedule = job.schedule(config);
    let zone = tz.zone(schedule.time_zone.as_str())?;
    let timetable = schedule.enabled.then(|| Timetable::new(&schedule.cron, zone));
    Ok(Scheduled {
        job: job.name().to_owned(),
        timetable,
        policy: Policy { makes_up: schedule.catch_up == Missed::Once, jitter: schedule.jitter.0 },
        timeout: schedule.timeout.0,
        at_boundaries: job == Job::Rollover,
    })
}

/// Runs jobs with the configuration and the rules that are in force when they begin.
pub(super) fn work(config: InForce, rules: Rules, database: Database) -> Work {
    Arc::new(move |assignment: Assignment| {
        let means = Means {
            config: config.get(),
            tz: rules.get(),
            database: database.clone(),
            run: assignment.held.run,
            stop: assignment.stop.clone(),
        };
        Box::pin(async move {
            let Some(job) = Job::named(&assignment.job) else {
                let sentence = format!("there is no job `{}`", assignment.job);
                return Err(StoreError::Invalid(sentence));
            };
            job.run(means).await
        })
    })
}
