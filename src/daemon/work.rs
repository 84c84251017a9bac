//! The jobs, and the one place that says which code each of them runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::json;

use crate::config::{Config, Schedule};
use crate::jobs::rollover;
use crate::jobs::stop::Stop;
use crate::store::{Database, StoreError};
use crate::tzdata::TzData;

/// What a schedule can start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Job {
    /// Closing of periods.
    Rollover,
    /// Counting of usage metrics.
    Sync,
    /// The look for drift.
    Audit,
    /// Thresholds against counters.
    Alerts,
    /// Sending of emails.
    Deliver,
    /// Deletion of what has been kept long enough.
    Retention,
}

impl Job {
    /// Every job, in the order of the configuration.
    pub const ALL: [Self; 6] =
        [Self::Rollover, Self::Sync, Self::Audit, Self::Alerts, Self::Deliver, Self::Retention];

    /// The code of each job; a job without any is not scheduled.
    fn verb(self) -> Option<Verb> {
        match self {
            Self::Rollover => Some(|means| Box::pin(roll_over(means))),
            Self::Sync | Self::Audit | Self::Alerts | Self::Deliver | Self::Retention => None,
        }
    }

    /// The jobs that this program can run.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|job| job.verb().is_some())
    }

    /// As `[schedule.NAME]`, the ledger and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollover => "rollover",
            Self::Sync => "sync",
            Self::Audit => "audit",
            Self::Alerts => "alerts",
            Self::Deliver => "deliver",
            Self::Retention => "retention",
        }
    }

    /// The job of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }

    /// Its section of the configuration.
    #[must_use]
    pub fn schedule(self, config: &Config) -> &Schedule {
        match self {
            Self::Rollover => &config.schedule.rollover,
            Self::Sync => &config.schedule.sync,
            Self::Audit => &config.schedule.audit,
            Self::Alerts => &config.schedule.alerts,
            Self::Deliver => &config.schedule.deliver,
            Self::Retention => &config.schedule.retention,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`StoreError`] as the job has it; a job that this program cannot run is refused.
    pub async fn run(self, means: Means) -> Result<Done, StoreError> {
        match self.verb() {
            Some(verb) => verb(means).await,
            None => Err(StoreError::Invalid(format!("this periodd cannot run `{}`", self.name()))),
        }
    }
}

type Verb = fn(Means) -> Pin<Box<dyn Future<Output = Result<Done, StoreError>> + Send>>;

/// What a job works with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The configuration in force when it began.
    pub config: Arc<Config>,
    /// The newest tz database.
    pub tz: TzData,
    /// The database.
    pub database: Database,
    /// Asks it to end.
    pub stop: Stop,
}

/// What a job did.
#[derive(Clone, Debug)]
pub struct Done {
    /// In numbers: a JSON object.
    pub counts: serde_json::Value,
    /// It was asked to stop, and may have left something to do.
    pub stopped: bool,
}

async fn roll_over(means: Means) -> Result<Done, StoreError> {
    let Means { config, tz, database, stop } = means;
    let request = rollover::Request { stop, ..rollover::Request::standing(&config.rollover) };
    let report = rollover::run(&database, &tz, &request, Arc::new(|_| {})).await?;
    for parked in &report.parked {
        tracing::warn!(org = parked.slug, reason = parked.reason, "parked");
    }
    Ok(Done { counts: rollover_counts(&report), stopped: report.stopped })
}

/// A rollover in numbers, as the ledger keeps it.
#[must_use]
pub fn rollover_counts(report: &rollover::Report) -> serde_json::Value {
    json!({
        "orgs": report.orgs,
        "periods_closed": report.periods_closed,
        "opened": report.opened,
        "pack_entries": report.pack_entries,
        "conflicts": report.conflicts,
        "parked": report.parked.len(),
    })
}
