//! Retention: what has been kept long enough goes, in small batches.
//!
//! Each kind of row has its own span in the configuration. Usage metrics go only where they belong
//! to closed periods whose grace is over, so that whatever can still be audited or adjusted has
//! its metrics; and where they went is remembered, so that nobody takes them for lost.

use jiff::SignedDuration;
use uuid::Uuid;

use super::stop::Stop;
use super::sync;
use crate::billing::Instant;
use crate::billing::instant::OutOfRange;
use crate::config::{self, Keep};
use crate::store::{
    Connection, Database, StoreError, apply, audit, drift, outbox, retention, runs,
};

/// Rows of one batch.
const ROWS: i64 = 5_000;
/// Orgs that are looked at together.
const ORGS: i64 = 1_000;

/// A retention that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// How long usage metrics of closed periods are kept.
    pub metrics_keep: Keep,
    /// How long the drift log is kept.
    pub drift_keep: Keep,
    /// How long the ledger of runs is kept.
    pub runs_keep: Keep,
    /// How long emails that were sent or given up are kept, and alerts of ended periods.
    pub emails_keep: Keep,
    /// How long after a close late usage is still charged to the period.
    pub grace: SignedDuration,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Asks the run to end with the batch that it is at.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says.
    #[must_use]
    pub fn standing(config: &config::Retention, sync: &config::Sync) -> Self {
        let grace = sync::rules(sync).grace;
        let config::Retention { metrics_keep, drift_keep, runs_keep, emails_keep } = *config;
        let (at, stop) = (None, Stop::default());
        Self { metrics_keep, drift_keep, runs_keep, emails_keep, grace, at, stop }
    }
}

/// What went.
#[derive(Debug, Default, Clone, Copy, serde::Serialize, schemars::JsonSchema)]
pub struct Report {
    /// Usage metrics.
    pub metrics: u64,
    /// Lines of the drift log.
    pub drift: u64,
    /// Rows of the ledger of runs.
    pub runs: u64,
    /// Emails.
    pub emails: u64,
    /// Alerts whose emails are gone.
    pub alerts: u64,
    /// It was asked to end before everything was gone.
    #[serde(skip)]
    pub stopped: bool,
}

/// Deletes what has been kept long enough. Stopped half-way, it goes on the next time.
///
/// # Errors
/// As every write.
pub async fn run(database: &Database, request: &Request) -> Result<Report, StoreError> {
    let real = database.now().await?;
    let now = request.at.unwrap_or(real);
    let cut = |keep: Keep, now: Instant| keep.before(now).map_err(outside);
    let stop = &request.stop;
    let mut connection = database.connection().await?;
    let mut report = Report::default();
    if let Some(before) = cut(request.metrics_keep, now)? {
        let closed_before = now.plus(-request.grace).map_err(outside)?;
        report.metrics = metrics(&mut connection, before, closed_before, stop).await?;
    }
    if let Some(before) = cut(request.drift_keep, now)? {
        report.drift = rows(&mut connection, Rows::Drift, before, stop).await?;
    }
    // When a run ended and when an email was settled is real time, whatever time business has.
    if let Some(before) = cut(request.runs_keep, real)? {
        report.runs = rows(&mut connection, Rows::Runs, before, stop).await?;
    }
    if let Some(before) = cut(request.emails_keep, real)? {
        report.emails = rows(&mut connection, Rows::Emails, before, stop).await?;
    }
    if let Some(before) = cut(request.emails_keep, now)? {
        report.alerts = alerts(&mut connection, before, stop).await?;
    }
    report.stopped = stop.is_set();
    Ok(report)
}

fn outside(error: OutOfRange) -> StoreError {
    StoreError::Unprocessable(error.to_string())
}

/// Rows that go by their age alone.
#[derive(Clone, Copy)]
enum Rows {
    Drift,
    Runs,
    Emails,
}

/// Deletes batch after batch, until nothing that old is left.
async fn rows(
    connection: &mut Connection,
    rows: Rows,
    before: Instant,
    stop: &Stop,
) -> Result<u64, StoreError> {
    let mut gone = 0;
    while !stop.is_set() {
        let batch = match rows {
            Rows::Drift => drift::remove_before(connection, before, ROWS).await?,
            Rows::Runs => runs::delete_before(connection, before, ROWS).await?,
            Rows::Emails => outbox::delete_settled_before(connection, before, ROWS).await?,
        };
        gone += batch;
        if batch == 0 {
            break;
        }
    }
    Ok(gone)
}

async fn metrics(
    connection: &mut Connection,
    ended_before: Instant,
    closed_before: Instant,
    stop: &Stop,
) -> Result<u64, StoreError> {
    let (mut gone, mut after) = (0, Uuid::nil());
    while !stop.is_set() {
        let orgs = audit::orgs(connection, after, ORGS).await?;
        let Some(last) = orgs.last() else { break };
        after = *last;
        let cuts = retention::cuts(connection, &orgs, ended_before, closed_before).await?;
        retention::note(connection, &cuts).await?;
        for cut in cuts {
            while !stop.is_set() {
                let batch = retention::remove(connection, cut, ROWS).await?;
                gone += batch;
                if batch == 0 {
                    break;
                }
            }
        }
    }
    Ok(gone)
}

/// Deletes the alerts of ended periods, after their emails: an email tells of its alert, and so
/// does one that is sent once more.
async fn alerts(
    connection: &mut Connection,
    before: Instant,
    stop: &Stop,
) -> Result<u64, StoreError> {
    let (mut gone, mut after) = (0, Uuid::nil());
    while !stop.is_set() {
        let orgs = audit::orgs(connection, after, ORGS).await?;
        let Some(last) = orgs.last() else { break };
        after = *last;
        let mut transaction = apply::begin(connection).await?;
        gone += outbox::delete_alerts_before(&mut transaction, &orgs, before).await?;
        transaction.commit().await?;
    }
    Ok(gone)
}
