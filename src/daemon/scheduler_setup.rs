//! What the configuration says about the jobs, for the scheduler.

use std::sync::{Arc, PoisonError, RwLock};

use super::maintenance::TzHandle;
use super::run::{Assignment, Work};
use super::scheduler::{SchedulerSetup, Task};
use super::work::{self, JobContext};
use crate::config::Config;
use crate::jobs::catalogue::Job;
use crate::schedule::Scheduled;
use crate::store::Database;
use crate::tz::UnknownZone;

/// The configuration in force, for everybody who needs it.
#[derive(Clone, Debug)]
pub(super) struct ConfigHandle(Arc<RwLock<Arc<Config>>>);

impl ConfigHandle {
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

/// What runs work with: the configuration, the rules and the database in force when they begin.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) config: ConfigHandle,
    pub(super) tz: TzHandle,
    pub(super) database: Database,
}

/// The scheduler's setting by a configuration; what it starts works with the one in force.
///
/// # Errors
/// [`UnknownZone`] for a zone that the tz database does not have any more.
pub(super) fn setting(
    config: &Config,
    around: &Surroundings,
) -> Result<SchedulerSetup, UnknownZone> {
    let tz = around.tz.get();
    let task = |job: Job| {
        let scheduled = Scheduled::of(job, config, &tz)?;
        Ok(Task { scheduled, work: work(job, around.clone()) })
    };
    let tasks = Job::ALL.into_iter().map(task).collect::<Result<_, _>>()?;
    Ok(SchedulerSetup { tasks, lease: config.daemon.lease.0 })
}

fn work(job: Job, around: Surroundings) -> Work {
    Arc::new(move |assignment: Assignment| {
        let means = JobContext {
            config: around.config.get(),
            tz: around.tz.get(),
            database: around.database.on_leash(&assignment.leash),
            run: assignment.held.run,
            stop: assignment.stop.clone(),
        };
        Box::pin(work::run(job, means))
    })
}
