//! What the first page shows of all orgs, read in blocks: one that fails or takes too long says so,
//! and the others stand.

use jiff::SignedDuration;

use super::parts::Unread;
use crate::billing::Instant;
use crate::http::turns::Turns;
use crate::jobs::catalogue::Job;
use crate::jobs::status::{Status, Surroundings, status_beside};
use crate::schedule::expected;
use crate::store::overview::kept::{self, Kept};
use crate::store::reports::facts::{self, Backlog};
use crate::store::reports::overview::{self, Repairs, Size};
use crate::store::reports::status::{Ends, NextBoundary, boundaries};
use crate::store::runs::{self, Run, schedules};
use crate::store::{Connection, Database, StoreError};
use crate::{config::Config, tz::TzData};

/// How far the wave reaches.
pub(super) const AHEAD: SignedDuration = SignedDuration::from_hours(24);
pub(super) const BEHIND: SignedDuration = SignedDuration::from_hours(3);
/// Repairs are counted for so long.
const REPAIRED_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Instants of the wave, and the orgs of each that are counted.
pub(super) const INSTANTS: i64 = 100;
pub(super) const OF_EACH: i64 = 2_000;
/// Runs of the last hours that are read.
const RUNS: i64 = 1_000;

/// What was read at one time.
pub(in crate::http) struct Overview {
    pub(super) now: Instant,
    pub(super) status: Result<Status, Unread>,
    pub(super) size: Result<Size, Unread>,
    pub(super) wave: Result<Wave, Unread>,
    pub(super) repairs: Result<Repairs, Unread>,
    /// Rollovers at the ends of periods, within a day.
    pub(super) boundaries: Result<Vec<Run>, Unread>,
    pub(super) inbox: Result<Inbox, Unread>,
    /// What was kept of all counters last.
    pub(super) kept: Result<Vec<Kept>, Unread>,
}

/// What became of thresholds that were crossed within a day, as the runs have counted it.
pub(super) struct Inbox {
    /// In the order of [`ALERTS`].
    pub(super) alerts: Vec<u64>,
    /// In the order of [`DELIVERIES`].
    pub(super) deliveries: Vec<u64>,
}

/// Names of counts in the ledger.
const ALERTS: [&str; 5] = ["notified", "covered", "waiting", "recorded", "emails"];
const DELIVERIES: [&str; 4] = ["sent", "given_up", "expired", "suppressed"];

/// The ends of periods around now.
pub(super) struct Wave {
    /// Those to come.
    pub(super) to_come: Vec<NextBoundary>,
    /// Those that have passed and are not closed.
    pub(super) overdue: Vec<Backlog>,
    /// Runs that ended lately, the newest first.
    pub(super) runs: Vec<Run>,
}

/// Reads all of it, as of now.
pub(super) async fn see(
    database: &Database,
    turns: &Turns,
    config: &Config,
    tz: &TzData,
    now: Instant,
) -> Overview {
    let ago = |span: SignedDuration| now.plus(-span).unwrap_or(now);
    let status = block(turns, async |look| {
        let rows = schedules::all(look).await?;
        let clock = database.look_at_clock().await?;
        let jobs = expected(config, tz, &rows);
        let around = Surroundings::look(database, config, tz, jobs, false).await;
        status_beside(look, rows, around, clock, now).await
    });
    let status = status.await;
    let size = block(turns, overview::size).await;
    let wave = block(turns, async |look| {
        let until = now.plus(AHEAD).ok();
        let ends = Ends { after: now, until, instants: INSTANTS, orgs: OF_EACH };
        Ok(Wave {
            to_come: boundaries(look, ends).await?,
            overdue: facts::backlog(look, now).await?,
            runs: runs::ended_since(look, ago(BEHIND), RUNS).await?,
        })
    });
    let wave = wave.await;
    let since = ago(REPAIRED_WITHIN);
    let repairs = block(turns, async |look| overview::repairs(look, since).await).await;
    let day_ago = ago(AHEAD);
    let boundaries = block(turns, async |look| {
        runs::at_boundaries(look, Job::Rollover.name(), day_ago, RUNS).await
    });
    let boundaries = boundaries.await;
    let inbox = block(turns, async |look| {
        Ok(Inbox {
            alerts: runs::counted(look, Job::Alerts.name(), &ALERTS, day_ago).await?,
            deliveries: runs::counted(look, Job::Deliver.name(), &DELIVERIES, day_ago).await?,
        })
    });
    let inbox = inbox.await;
    let kept = block(turns, kept::latest).await;
    Overview { now, status, size, wave, repairs, boundaries, inbox, kept }
}

/// Reads one block, in a transaction of its own.
pub(super) async fn block<T>(
    turns: &Turns,
    read: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, Unread> {
    let mut turn = turns.take().await.map_err(|problem| Unread::because(&problem.detail))?;
    let mut look = overview::begin(&mut turn).await?;
    let found = read(&mut look).await?;
    look.rollback().await.map_err(StoreError::from)?;
    Ok(found)
}
