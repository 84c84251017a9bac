//! Retention: what has been kept long enough goes, in small batches.
//!
//! Each kind of row has its own span in the configuration. Usage metrics go only where they belong
//! to closed periods whose grace is over, so that whatever can still be audited or adjusted has
//! its metrics; and where they went is remembered, so that nobody takes them for lost. The counters
//! of those periods go with them: what was closed is in the books.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use uuid::Uuid;

use super::batches::{Batch, Batches, Left, Served};
use super::stop::Stop;
use super::sync;
use crate::billing::Instant;
use crate::billing::instant::OutOfRange;
use crate::config::{self, Keep};
use crate::store::audit::retention::{self, Cut};
use crate::store::{
    Connection, Database, Lease, LockTimeout, StoreError,
    audit::{self, drift},
    begin_within,
    events::{self, webhook_outbox},
    messages::outbox,
    overview::kept,
    rollover::snapshot,
    runs,
};

/// Rows of one batch.
const ROWS: i64 = 5_000;
/// Orgs that are looked at together.
const ORGS: i64 = 1_000;
/// The overview is kept for a year and a month, to compare a month with that of the year before.
const OVERVIEW_KEEP: Keep = Keep::For { months: 13, days: 0 };
/// How many orgs of which something stays a report names.
const MOST_NAMED: usize = 20;

/// A retention that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// How long usage metrics and counters of closed periods are kept.
    pub metrics_keep: Keep,
    /// How long the drift log is kept.
    pub drift_keep: Keep,
    /// How long the ledger of runs is kept.
    pub runs_keep: Keep,
    /// How long emails that were sent or given up are kept, and alerts of ended periods.
    pub emails_keep: Keep,
    /// How long rows of the event table are kept.
    pub events_keep: Keep,
    /// How long after a close late usage is still charged to the period.
    pub grace: SignedDuration,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Asks the run to end with the batch that it is at.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says.
    pub fn standing(config: &config::sections::Retention, sync: &config::sections::Sync) -> Self {
        let grace = sync::rules(sync).grace;
        let config::sections::Retention {
            metrics_keep,
            drift_keep,
            runs_keep,
            emails_keep,
            events_keep,
        } = *config;
        let (at, stop) = (None, Stop::default());
        Self { metrics_keep, drift_keep, runs_keep, emails_keep, events_keep, grace, at, stop }
    }
}

/// What went.
#[derive(Debug, Default, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct RetentionReport {
    /// Usage metrics.
    pub metrics: u64,
    /// Counters of the periods of such metrics, of orgs and of users.
    pub counters: u64,
    /// Lines of the drift log.
    pub drift: u64,
    /// Rows of the ledger of runs.
    pub runs: u64,
    /// Emails.
    pub emails: u64,
    /// Messages to webhooks.
    pub webhooks: u64,
    /// Rows of the event table.
    pub events: u64,
    /// Alerts whose emails are gone.
    pub alerts: u64,
    /// Rows of the overview.
    pub overview: u64,
    /// Orgs of which something stays, because somebody else holds their rows.
    pub left: usize,
    /// The first of them.
    pub left_orgs: Vec<Left>,
    /// It was asked to end before everything was gone.
    #[serde(skip)]
    pub stopped: bool,
}

/// Deletes what has been kept long enough. Stopped half-way, it goes on the next time.
pub async fn run(database: &Database, request: &Request) -> Result<RetentionReport, StoreError> {
    let real = database.believed_now().await?;
    let now = request.at.unwrap_or(real);
    let cut = |keep: Keep, now: Instant| keep.before(now).map_err(outside);
    let connection = database.connection().await?;
    let (stop, wait, left) = (&request.stop, LockTimeout::Long, BTreeMap::new());
    let mut work = Work { connection, stop, wait, left, served: Served::default() };
    let mut report = RetentionReport::default();
    if let Some(before) = cut(request.metrics_keep, now)? {
        let closed_before = now.plus(-request.grace).map_err(outside)?;
        let gone = work.usage(before, closed_before).await?;
        (report.metrics, report.counters) = (gone.metrics, gone.counters);
    }
    if let Some(before) = cut(request.drift_keep, now)? {
        report.drift = work.rows(Rows::Drift, before).await?;
    }
    // When a run ended and when an email was settled is real time, whatever time business has.
    if let Some(before) = cut(request.runs_keep, real)? {
        report.runs = work.of_no_org(before, runs::delete_before).await?;
    }
    if let Some(before) = cut(request.emails_keep, real)? {
        report.emails = work.rows(Rows::Emails, before).await?;
        report.webhooks = work.rows(Rows::Webhooks, before).await?;
    }
    if let Some(before) = cut(request.events_keep, real)? {
        report.events = work.rows(Rows::Events, before).await?;
    }
    if let Some(before) = cut(request.emails_keep, now)? {
        report.alerts = work.rows(Rows::Alerts, before).await?;
    }
    if let Some(before) = cut(OVERVIEW_KEEP, now)? {
        report.overview = work.of_no_org(before, kept::delete_before).await?;
    }
    std::mem::take(&mut work.served).end()?;
    report.stopped = request.stop.is_set();
    report.left = work.left.len();
    let named: Vec<Uuid> = work.left.keys().copied().take(MOST_NAMED).collect();
    if !named.is_empty() {
        let slugs = snapshot::slugs(&mut work.connection, &named).await?;
        for org in named {
            let slug = slugs.get(&org).cloned().unwrap_or_else(|| org.to_string());
            let reason = work.left.remove(&org).unwrap_or_default();
            report.left_orgs.push(Left { org, slug, reason });
        }
    }
    Ok(report)
}

fn outside(error: OutOfRange) -> StoreError {
    StoreError::Unprocessable(error.to_string())
}

/// Rows of orgs that go by their age.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Drift,
    Emails,
    Webhooks,
    Events,
    /// Alerts of ended periods go after their emails: an email tells of its alert, and so does one
    /// that is sent once more.
    Alerts,
}

/// Usage that went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Gone {
    metrics: u64,
    counters: u64,
}

impl Gone {
    fn add(&mut self, more: Self) {
        self.metrics += more.metrics;
        self.counters += more.counters;
    }
}

struct Work<'a> {
    connection: Lease,
    stop: &'a Stop,
    /// How long a page waits for what somebody else holds.
    wait: LockTimeout,
    /// Orgs of which something stays, with why.
    left: BTreeMap<Uuid, String>,
    served: Served,
}

impl Work<'_> {
    /// Deletes batch after batch, until nothing that old is left; org by org once somebody turns
    /// out to hold such a row.
    async fn rows(&mut self, rows: Rows, before: Instant) -> Result<u64, StoreError> {
        let mut gone = 0;
        while rows != Rows::Alerts && !self.stop.is_set() {
            match remove(&mut self.connection, rows, before, None, self.wait).await {
                Ok(0) => return Ok(gone),
                Ok(batch) => gone += batch,
                Err(error) if error.is_contention() => {
                    self.wait = LockTimeout::Short;
                    break;
                }
                Err(other) => return Err(other),
            }
        }
        let mut after = Uuid::nil();
        while let Some(page) = self.page(&mut after).await? {
            let mut batches = Batches::of(page, self.wait);
            while let Some(batch) = batches.next().filter(|_| !self.stop.is_set()) {
                let Batch { ids, wait, .. } = &batch;
                let mut removed = Ok(0);
                while !self.stop.is_set() {
                    let some = Some(&ids[..]);
                    removed = remove(&mut self.connection, rows, before, some, *wait).await;
                    match &removed {
                        Ok(batch) => gone += batch,
                        Err(_) => break,
                    }
                    if rows == Rows::Alerts || matches!(removed, Ok(0)) {
                        break;
                    }
                }
                batches.outcome(&mut self.connection, batch, removed).await?;
            }
            self.set_aside(batches)?;
        }
        Ok(gone)
    }

    /// Of a table that belongs to no org, in pages. What somebody holds of it is left to the next
    /// run.
    async fn of_no_org(
        &mut self,
        before: Instant,
        delete: impl AsyncFn(&mut Connection, Instant, i64) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        while !self.stop.is_set() {
            let mut transaction = begin_within(&mut self.connection, self.wait).await?;
            let batch = match delete(&mut transaction, before, ROWS).await {
                Ok(batch) => batch,
                Err(error) if error.is_contention() => break,
                Err(other) => return Err(other),
            };
            transaction.commit().await?;
            gone += batch;
            if batch == 0 {
                break;
            }
        }
        Ok(gone)
    }

    /// Metrics of closed periods, and then the counters of those periods.
    async fn usage(
        &mut self,
        ended_before: Instant,
        closed_before: Instant,
    ) -> Result<Gone, StoreError> {
        let (mut gone, mut after) = (Gone::default(), Uuid::nil());
        while let Some(page) = self.page(&mut after).await? {
            let mut batches = Batches::of(page, self.wait);
            let mut cuts = Vec::new();
            while let Some(batch) = batches.next().filter(|_| !self.stop.is_set()) {
                let noted =
                    cuts_of(&mut self.connection, &batch, ended_before, closed_before).await;
                let noted = batches.outcome(&mut self.connection, batch, noted).await?;
                cuts.extend(noted.into_iter().flatten());
            }
            self.set_aside(batches)?;
            let cuts: BTreeMap<Uuid, Cut> = cuts.into_iter().map(|cut| (cut.org, cut)).collect();
            let orgs = cuts.keys().copied().collect();
            let mut batches = Batches::of(orgs, self.wait).one_by_one();
            while let Some(batch) = batches.next().filter(|_| !self.stop.is_set()) {
                let mut removed = Ok(Gone::default());
                for cut in batch.ids.iter().filter_map(|org| cuts.get(org)) {
                    while !self.stop.is_set() {
                        removed = cut_once(&mut self.connection, *cut, batch.wait).await;
                        match &removed {
                            Ok(batch) if *batch != Gone::default() => gone.add(*batch),
                            Ok(_) | Err(_) => break,
                        }
                    }
                }
                batches.outcome(&mut self.connection, batch, removed).await?;
            }
            self.set_aside(batches)?;
        }
        Ok(gone)
    }

    /// The next page of orgs, until there is none or the run was asked to end.
    async fn page(&mut self, after: &mut Uuid) -> Result<Option<Vec<Uuid>>, StoreError> {
        if self.stop.is_set() {
            return Ok(None);
        }
        let mut reading = begin_within(&mut self.connection, LockTimeout::Long).await?;
        let orgs = audit::orgs(&mut reading, *after, ORGS).await?;
        reading.commit().await?;
        let Some(last) = orgs.last() else { return Ok(None) };
        *after = *last;
        Ok(Some(orgs))
    }

    /// Notes the orgs that a page did not serve: what is kept too long harms nobody, and parks
    /// nobody.
    fn set_aside(&mut self, mut batches: Batches) -> Result<(), StoreError> {
        if batches.met_holder() {
            self.wait = LockTimeout::Short;
        }
        self.left.extend(batches.left()?);
        self.served.note(&mut batches);
        Ok(())
    }
}

async fn remove(
    connection: &mut Connection,
    rows: Rows,
    before: Instant,
    orgs: Option<&[Uuid]>,
    wait: LockTimeout,
) -> Result<u64, StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let gone = match rows {
        Rows::Drift => drift::remove_before(&mut transaction, before, orgs, ROWS).await?,
        Rows::Emails => outbox::delete_settled_before(&mut transaction, before, orgs, ROWS).await?,
        Rows::Webhooks => {
            webhook_outbox::delete_settled_before(&mut transaction, before, orgs, ROWS).await?
        }
        Rows::Events => events::delete_before(&mut transaction, before, orgs, ROWS).await?,
        Rows::Alerts => {
            let orgs = orgs.unwrap_or_default();
            outbox::delete_alerts_before(&mut transaction, orgs, before).await?
        }
    };
    transaction.commit().await?;
    Ok(gone)
}

/// Finds and notes how far the usage of some orgs may go; before the first of them goes.
async fn cuts_of(
    connection: &mut Connection,
    batch: &Batch,
    ended_before: Instant,
    closed_before: Instant,
) -> Result<Vec<Cut>, StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    let cuts = retention::cuts(&mut transaction, &batch.ids, ended_before, closed_before).await?;
    retention::note(&mut transaction, &cuts).await?;
    transaction.commit().await?;
    Ok(cuts)
}

/// One batch of an org's usage: its metrics, after them the counters of its users, and the org's
/// own last, for they are what says that something is left.
async fn cut_once(
    connection: &mut Connection,
    cut: Cut,
    wait: LockTimeout,
) -> Result<Gone, StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let mut gone =
        Gone { metrics: retention::remove(&mut transaction, cut, ROWS).await?, counters: 0 };
    if gone.metrics == 0 {
        gone.counters = retention::remove_user_counters(&mut transaction, cut, ROWS).await?;
    }
    if gone == Gone::default() {
        gone.counters = retention::remove_counters(&mut transaction, cut, ROWS).await?;
    }
    transaction.commit().await?;
    Ok(gone)
}
