//! Retention: what has been kept long enough goes, in small batches.
//!
//! Each kind of row has its own span in the configuration. Usage metrics go only where they belong
//! to closed periods whose grace is over, so that whatever can still be audited or adjusted has
//! its metrics; and where they went is remembered, so that nobody takes them for lost.

use jiff::SignedDuration;
use uuid::Uuid;

use super::sync;
use crate::billing::Instant;
use crate::billing::instant::OutOfRange;
use crate::config::{self, Keep};
use crate::store::{Database, StoreError, audit, drift, retention};

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
    /// How long after a close late usage is still charged to the period.
    pub grace: SignedDuration,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
}

impl Request {
    /// What the configuration says.
    #[must_use]
    pub fn standing(config: &config::Retention, sync: &config::Sync) -> Self {
        let grace = sync::rules(sync).grace;
        let config::Retention { metrics_keep, drift_keep, .. } = *config;
        Self { metrics_keep, drift_keep, grace, at: None }
    }
}

/// What went.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct Report {
    /// Usage metrics.
    pub metrics: u64,
    /// Lines of the drift log.
    pub drift: u64,
}

/// Deletes what has been kept long enough. Stopped half-way, it goes on the next time.
///
/// # Errors
/// As every write.
pub async fn run(database: &Database, request: &Request) -> Result<Report, StoreError> {
    let now = match request.at {
        Some(at) => at,
        None => database.now().await?,
    };
    let outside = |error: OutOfRange| StoreError::Unprocessable(error.to_string());
    let mut report = Report::default();
    if let Some(before) = request.metrics_keep.before(now).map_err(outside)? {
        let closed_before = now.plus(-request.grace).map_err(outside)?;
        report.metrics = metrics(database, before, closed_before).await?;
    }
    if let Some(before) = request.drift_keep.before(now).map_err(outside)? {
        let mut connection = database.connection().await?;
        loop {
            let gone = drift::remove_before(&mut connection, before, ROWS).await?;
            report.drift += gone;
            if gone == 0 {
                break;
            }
        }
    }
    Ok(report)
}

async fn metrics(
    database: &Database,
    ended_before: Instant,
    closed_before: Instant,
) -> Result<u64, StoreError> {
    let mut connection = database.connection().await?;
    let (mut gone, mut after) = (0, Uuid::nil());
    loop {
        let orgs = audit::orgs(&mut connection, after, ORGS).await?;
        let Some(last) = orgs.last() else { return Ok(gone) };
        after = *last;
        let cuts = retention::cuts(&mut connection, &orgs, ended_before, closed_before).await?;
        retention::note(&mut connection, &cuts).await?;
        for cut in cuts {
            loop {
                let batch = retention::remove(&mut connection, cut, ROWS).await?;
                gone += batch;
                if batch == 0 {
                    break;
                }
            }
        }
    }
}
