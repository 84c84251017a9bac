//! The one place that says which code each job runs.

use std::sync::Arc;
use std::time::Duration;

use crate::command::Command;
use crate::config::Config;
use crate::jobs::Left;
use crate::jobs::alerts::notices::Look;
use crate::jobs::catalogue::Job;
use crate::jobs::columns::ColumnLeftOut;
use crate::jobs::counts::RunCounts;
use crate::jobs::deliver::{self, EndpointFault, Mailer, Webhooks};
use crate::jobs::pace::{self, Pace};
use crate::jobs::stop::Stop;
use crate::jobs::{alerts, retention, rollover, sync};
use crate::store::{Database, StoreError};
use crate::tz::TzData;

/// Runs a job.
///
/// # Errors
/// [`StoreError`] as the job has it.
pub(super) async fn run(job: Job, means: JobContext) -> Result<Done, StoreError> {
    match job {
        Job::Rollover => roll_over(means).await,
        Job::Sync => count(means).await,
        Job::Audit => audit(means).await,
        Job::Alerts => look_for_alerts(means).await,
        Job::Deliver => deliver(means).await,
        Job::Retention => retain(means).await,
    }
}

/// What a job works with.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// The configuration in force when it began.
    pub config: Arc<Config>,
    pub tz: TzData,
    pub database: Database,
    /// The run's number in the ledger.
    pub run: i64,
    pub stop: Stop,
}

/// What a job did.
#[derive(Clone, Debug)]
pub struct Done {
    pub counts: RunCounts,
    /// It was asked to stop, and may have left something to do.
    pub stopped: bool,
}

async fn roll_over(means: JobContext) -> Result<Done, StoreError> {
    let JobContext { config, tz, database, run, stop } = means;
    let derived = sync::targets_besides_defaults(&database, &config.sync).await.map_err(of_sync)?;
    let standing = rollover::Request::standing(&config.rollover);
    let request = rollover::Request { derived, stop, ..standing };
    let report = rollover::run(&database, &tz, &request, told(run, pace::EVERY)).await?;
    say_left_out(&report.columns_left_out);
    say_parked(report.parked.iter().map(|parked| (parked.slug.as_str(), parked.reason.as_str())));
    say_skipped(&report.skipped);
    Ok(Done { counts: RunCounts::from(&report), stopped: report.stopped })
}

/// Has the log say which orgs a run could neither process nor park: the first, and how many.
fn say_skipped(orgs: &[Left]) {
    if let Some(Left { slug: org, reason, .. }) = orgs.first() {
        tracing::warn!(count = orgs.len(), org, reason, "skipped; it could not be parked");
    }
}

/// Has the log say which derived columns a run has written nothing to.
fn say_left_out(columns: &[ColumnLeftOut]) {
    for ColumnLeftOut { column, key, reason } in columns {
        tracing::warn!(column, key, reason, "a derived column is left out");
    }
}

/// So many orgs that one run parked are said one by one, and as many of more are named.
const NAMED: usize = 3;

/// Has the log say which orgs a run has parked: one line however many they are, but for a few.
fn say_parked<'a>(parked: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    let count = parked.len();
    let named: Vec<_> = parked.take(NAMED).collect();
    if count <= NAMED {
        for (org, reason) in named {
            tracing::warn!(org, reason, "parked");
        }
        return;
    }
    let reason = named.first().map(|(_, reason)| *reason);
    let orgs = named.iter().map(|(org, _)| *org).collect::<Vec<_>>().join(", ");
    tracing::warn!(
        count,
        orgs,
        reason,
        "parked several orgs, the first of which are listed; `status` shows all"
    );
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

async fn count(means: JobContext) -> Result<Done, StoreError> {
    let (database, request) = (means.database.clone(), sync_request(means).await?);
    done_syncing(sync::count(&database, &request, Arc::new(|_| {})).await)
}

async fn audit(means: JobContext) -> Result<Done, StoreError> {
    let (database, request) = (means.database.clone(), sync_request(means).await?);
    done_syncing(sync::audit(&database, &request, Arc::new(|_| {})).await)
}

async fn sync_request(means: JobContext) -> Result<sync::Request, StoreError> {
    let JobContext { config, database, run, stop, .. } = means;
    let columns = sync::targets(&database, &config.sync).await.map_err(of_sync)?;
    let standing = sync::Request::standing(&config, columns);
    Ok(sync::Request { run: Some(run), stop, ..standing })
}

fn done_syncing(report: Result<sync::SyncReport, sync::Error>) -> Result<Done, StoreError> {
    let report = report.map_err(of_sync)?;
    say_left_out(&report.columns_left_out);
    for sold in &report.purchases_without_pack {
        let (org, column, unrecorded) = (&sold.org, &sold.column, sold.unrecorded.as_deref());
        tracing::warn!(org, column, unrecorded, "a purchase without a pack");
    }
    say_parked(report.parked.iter().map(|parked| (parked.slug.as_str(), parked.reason.as_str())));
    say_skipped(&report.skipped);
    Ok(Done { counts: RunCounts::from(&report), stopped: report.stopped })
}

/// What a sync refuses is said in the run's record; only the database can be away.
fn of_sync(error: sync::Error) -> StoreError {
    match error {
        sync::Error::Store(error) => error,
        sync::Error::Refused(_) => StoreError::Unprocessable(format!(
            "{error}; check usage_metrics, and if it is right, run `{}`",
            Command::periodd(["sync", "--full", "--force"])
        )),
        sync::Error::Derived { .. } => StoreError::Configuration(error.to_string()),
    }
}

async fn look_for_alerts(means: JobContext) -> Result<Done, StoreError> {
    let JobContext { config, tz, database, stop, .. } = means;
    let request = alerts::Request { stop, ..alerts::Request::of(&config) };
    let (report, _) = alerts::run_with_notices(&database, &tz, &request, Look::Hourly).await?;
    Ok(Done { counts: RunCounts::Alerts((&report).into()), stopped: report.stopped })
}

async fn deliver(means: JobContext) -> Result<Done, StoreError> {
    let JobContext { config, tz, database, stop, .. } = means;
    let request = deliver::Request { stop: stop.clone(), ..deliver::Request::of(&config) };
    let mailer = match Mailer::of(&config) {
        Ok(mailer) => mailer,
        // What is wrong with emails keeps no webhook from being sent.
        Err(error) => {
            let endpoints = Webhooks::of(&config);
            let report = deliver::send_webhooks(&database, &endpoints, &request).await?;
            say_faults(&report.faults);
            return Err(StoreError::Configuration(error.to_string()));
        }
    };
    let report = deliver::run(&database, &tz, &mailer, &request).await?;
    say_faults(&report.webhooks.faults);
    // That the mail server takes no emails is the run's failure, and said as such.
    Ok(Done { counts: RunCounts::Deliver((&report).into()), stopped: stop.is_set() })
}

/// Has the log say which endpoints could not be spoken to.
fn say_faults(faults: &[EndpointFault]) {
    for EndpointFault { endpoint, reason } in faults {
        tracing::warn!(endpoint, error = reason, "a webhook failed");
    }
}

async fn retain(means: JobContext) -> Result<Done, StoreError> {
    let JobContext { config, database, stop, .. } = means;
    let standing = retention::Request::standing(&config.retention, &config.sync);
    let report = retention::run(&database, &retention::Request { stop, ..standing }).await?;
    Ok(Done { counts: RunCounts::from(&report), stopped: report.stopped })
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

    fn logged(work: impl FnOnce()) -> String {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn many_parked_orgs_are_one_line_and_a_few_are_named_each() {
        let slugs: Vec<String> = (0..20_000).map(|n| format!("org-{n}")).collect();
        let said = |count: usize| {
            let parked = slugs.iter().take(count).map(|slug| (slug.as_str(), "a bad zone"));
            logged(|| say_parked(parked))
        };
        assert_eq!(said(0), "");
        assert_eq!(said(NAMED).lines().count(), NAMED);
        let many = said(20_000);
        assert_eq!(many.lines().count(), 1);
        for part in [r#""count":20000"#, r#""orgs":"org-0, org-1, org-2""#, "a bad zone"] {
            assert!(many.contains(part), "{many}");
        }
    }

    /// What the log says of three pages, spoken of so often.
    fn said(every: Duration) -> String {
        logged(|| {
            let observer = told(7, every);
            for orgs in [1_000, 2_000, 3_000] {
                let mut report = rollover::RolloverReport::default();
                report.orgs = orgs;
                observer(&report);
            }
        })
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
