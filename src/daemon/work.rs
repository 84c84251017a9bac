//! The jobs, and the one place that says which code each of them runs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::config::{Config, Schedule};
use crate::jobs::deliver::{self, Post};
use crate::jobs::pace::{self, Pace};
use crate::jobs::stop::Stop;
use crate::jobs::{alerts, retention, rollover, sync};
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
    /// [`StoreError`] as the job has it.
    pub async fn run(self, means: Means) -> Result<Done, StoreError> {
        match self {
            Self::Rollover => roll_over(means).await,
            Self::Sync => count(means).await,
            Self::Audit => audit(means).await,
            Self::Alerts => look_for_alerts(means).await,
            Self::Deliver => deliver(means).await,
            Self::Retention => retain(means).await,
        }
    }
}

/// What a job works with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The configuration in force when it began.
    pub config: Arc<Config>,
    /// The newest tz database.
    pub tz: TzData,
    /// The database.
    pub database: Database,
    /// The run's number in the ledger.
    pub run: i64,
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
    let Means { config, tz, database, run, stop } = means;
    let derived = sync::targets_besides_defaults(&database, &config.sync).await.map_err(of_sync)?;
    let standing = rollover::Request::standing(&config.rollover);
    let request = rollover::Request { derived, stop, ..standing };
    let report = rollover::run(&database, &tz, &request, told(run, pace::EVERY)).await?;
    for parked in &report.parked {
        tracing::warn!(org = parked.slug, reason = parked.reason, "parked");
    }
    Ok(Done { counts: rollover_counts(&report), stopped: report.stopped })
}

/// Has the log say now and then how far a long rollover is.
fn told(run: i64, every: Duration) -> rollover::Observer {
    let pace = Pace::new(every);
    Arc::new(move |report| {
        if pace.is_due() {
            let (job, orgs) = (Job::Rollover.name(), report.orgs);
            let (periods_closed, parked) = (report.periods_closed, report.parked.len());
            tracing::info!(job, run, orgs, periods_closed, parked, "still going");
        }
    })
}

async fn count(means: Means) -> Result<Done, StoreError> {
    let (database, request) = (means.database.clone(), sync_request(means).await?);
    done_syncing(sync::count(&database, &request, Arc::new(|_| {})).await)
}

async fn audit(means: Means) -> Result<Done, StoreError> {
    let (database, request) = (means.database.clone(), sync_request(means).await?);
    done_syncing(sync::audit(&database, &request, Arc::new(|_| {})).await)
}

async fn sync_request(means: Means) -> Result<sync::Request, StoreError> {
    let Means { config, database, run, stop, .. } = means;
    let targets = sync::targets(&database, &config.sync).await.map_err(of_sync)?;
    let standing = sync::Request::standing(&config.sync, Arc::from(targets));
    Ok(sync::Request { run: Some(run), stop, ..standing })
}

fn done_syncing(report: Result<sync::Report, sync::Error>) -> Result<Done, StoreError> {
    let report = report.map_err(of_sync)?;
    for sold in &report.purchases_without_pack {
        tracing::warn!(org = sold.org, column = sold.column, "a purchase without a pack");
    }
    for parked in &report.parked {
        tracing::warn!(org = parked.slug, reason = parked.reason, "parked");
    }
    Ok(Done { counts: sync_counts(&report), stopped: report.stopped })
}

/// What a sync refuses is said in the run's record; only the database can be away.
fn of_sync(error: sync::Error) -> StoreError {
    match error {
        sync::Error::Store(error) => error,
        sync::Error::Refused(_) => StoreError::Unprocessable(format!(
            "{error}; look at usage_metrics, and where it is right after all, run \
             `periodd sync --full --force`"
        )),
        sync::Error::Derived { .. } => StoreError::Configuration(error.to_string()),
    }
}

async fn look_for_alerts(means: Means) -> Result<Done, StoreError> {
    let Means { config, database, stop, .. } = means;
    let request = alerts::Request { stop, ..alerts::Request::of(&config) };
    let report = alerts::run(&database, &request).await?;
    Ok(Done { counts: json!(report), stopped: report.stopped })
}

async fn deliver(means: Means) -> Result<Done, StoreError> {
    let Means { config, tz, database, stop, .. } = means;
    let post = Post::of(&config).map_err(|error| StoreError::Configuration(error.to_string()))?;
    let request = deliver::Request { stop: stop.clone(), ..deliver::Request::of(&config) };
    let report = deliver::run(&database, &tz, &post, &request).await?;
    if let Some(why) = report.unreachable.as_ref().or(report.locked_out.as_ref()) {
        tracing::warn!(why, "emails wait for the mail server");
    }
    Ok(Done { counts: json!(report), stopped: stop.is_set() })
}

async fn retain(means: Means) -> Result<Done, StoreError> {
    let Means { config, database, stop, .. } = means;
    let standing = retention::Request::standing(&config.retention, &config.sync);
    let report = retention::run(&database, &retention::Request { stop, ..standing }).await?;
    Ok(Done { counts: json!(report), stopped: report.stopped })
}

/// A sync in numbers, as the ledger keeps it.
#[must_use]
pub fn sync_counts(report: &sync::Report) -> serde_json::Value {
    json!({
        "metrics_counted": report.metrics_counted,
        "counters_synced": report.counters_synced,
        "columns_written": report.columns_written,
        "late": report.late.len(),
        "orgs_audited": report.audited.map(|audited| audited.orgs),
        "drift_found": report.drift_found,
        "purchases_without_pack": report.purchases_without_pack.len(),
        "conflicts": report.conflicts,
        "parked": report.parked.len(),
    })
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What the log says of three pages, spoken of so often.
    fn said(every: Duration) -> String {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let observer = told(7, every);
            for orgs in [1_000, 2_000, 3_000] {
                let mut report = rollover::Report::default();
                report.orgs = orgs;
                observer(&report);
            }
        });
        let text = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_long_rollover_says_now_and_then_how_far_it_is() {
        let lines = said(Duration::ZERO);
        assert_eq!(lines.lines().count(), 3, "{lines}");
        let last = lines.lines().last().expect("a line");
        for field in [r#""message":"still going""#, r#""job":"rollover""#, r#""orgs":3000"#] {
            assert!(last.contains(field), "{last}");
        }
        assert_eq!(said(Duration::from_hours(1)), "", "a short one says nothing on the way");
    }
}
