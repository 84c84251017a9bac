//! The jobs, and the one place that says which code each of them runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::config::{Config, Schedule};
use crate::jobs::deliver::Post;
use crate::jobs::stop::Stop;
use crate::jobs::{alerts, deliver, retention, rollover, sync};
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

    /// The code of each job.
    fn verb(self) -> Verb {
        match self {
            Self::Rollover => |means| Box::pin(roll_over(means)),
            Self::Sync => |means| Box::pin(count(means)),
            Self::Audit => |means| Box::pin(audit(means)),
            Self::Alerts => |means| Box::pin(alert(means)),
            Self::Deliver => |means| Box::pin(deliver(means)),
            Self::Retention => |means| Box::pin(retain(means)),
        }
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
    /// As the job has it.
    pub async fn run(self, means: Means) -> Result<Done, Error> {
        self.verb()(means).await
    }
}

/// Why a job failed: a sentence for the ledger.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Did a job fail because the database went away?
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    let store = match error.downcast_ref::<sync::Error>() {
        Some(sync::Error::Store(error)) => Some(error),
        _ => error.downcast_ref::<StoreError>(),
    };
    matches!(store, Some(StoreError::Unavailable(_)))
}

type Verb = fn(Means) -> Pin<Box<dyn Future<Output = Result<Done, Error>> + Send>>;

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

impl Done {
    /// A job that went to its end.
    fn with(report: &impl serde::Serialize) -> Self {
        Self { counts: counts(report), stopped: false }
    }
}

async fn roll_over(means: Means) -> Result<Done, Error> {
    let Means { config, tz, database, stop } = means;
    let derived = sync::besides_defaults(&sync::targets(&database, &config.sync).await?);
    let standing = rollover::Request::standing(&config.rollover);
    let request = rollover::Request { derived, stop, ..standing };
    let report = rollover::run(&database, &tz, &request, Arc::new(|_| {})).await?;
    for parked in &report.parked {
        tracing::warn!(org = parked.slug, reason = parked.reason, "parked");
    }
    Ok(Done { counts: counts(&report), stopped: report.stopped })
}

async fn count(means: Means) -> Result<Done, Error> {
    let request = sync_request(&means).await?;
    let report = sync::count(&means.database, &request, Arc::new(|_| {})).await?;
    Ok(Done::with(&report))
}

async fn audit(means: Means) -> Result<Done, Error> {
    let request = sync_request(&means).await?;
    let report = sync::audit(&means.database, &request, Arc::new(|_| {})).await?;
    Ok(Done::with(&report))
}

async fn sync_request(means: &Means) -> Result<sync::Request, Error> {
    let targets = sync::targets(&means.database, &means.config.sync).await?;
    Ok(sync::Request::standing(&means.config.sync, targets.into(), Uuid::new_v4()))
}

async fn alert(means: Means) -> Result<Done, Error> {
    let request = alerts::Request::of(&means.config);
    Ok(Done::with(&alerts::run(&means.database, &request).await?))
}

async fn deliver(means: Means) -> Result<Done, Error> {
    let Means { config, tz, database, .. } = means;
    let (post, request) = (Post::of(&config)?, deliver::Request::of(&config));
    let report = deliver::run(&database, &tz, &post, &request).await?;
    match report.locked_out.as_ref().or(report.unreachable.as_ref()) {
        Some(why) => Err(why.clone().into()),
        None => Ok(Done::with(&report)),
    }
}

async fn retain(means: Means) -> Result<Done, Error> {
    let config = &means.config;
    let request = retention::Request::standing(&config.retention, &config.sync);
    Ok(Done::with(&retention::run(&means.database, &request).await?))
}

/// A report in numbers, as the ledger keeps it: what is counted, and how long its lists are.
#[must_use]
pub fn counts(report: &impl serde::Serialize) -> Value {
    let Ok(Value::Object(fields)) = serde_json::to_value(report) else { return Map::new().into() };
    let numbers = fields.into_iter().filter_map(|(name, value)| match value {
        Value::Number(number) => Some((name, Value::Number(number))),
        Value::Array(list) => Some((name, list.len().into())),
        _ => None,
    });
    numbers.collect::<Map<_, _>>().into()
}
