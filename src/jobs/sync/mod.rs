//! Sync: counters and their copies follow the metrics.
//!
//! Counting (`count`) takes metrics that nobody has counted yet, and writes the copies of counters
//! that moved (`derived`); what a closed period's counter gained that way is late usage (`late`).
//! None of that is drift. The audit (`audit`) looks for drift: it sweeps over everything read-only,
//! asks whether what it read can be believed, and mends what differs where it still is what was
//! read.

mod audit;
mod batches;
mod count;
mod derived;
mod late;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::drift::Refusal;
use crate::billing::late::{AfterGrace, Rules};
use crate::config;
use crate::jobs::rollover::Parked;
use crate::jobs::stop::Stop;
use crate::store::apply::{self, Parking};
use crate::store::derived::Target;
use crate::store::drift::Mark;
use crate::store::{Connection, Database, StoreError, packs, snapshot};
pub(in crate::jobs) use derived::due;
pub use derived::{follow, targets, targets_besides_defaults};
pub use report::{Audited, Late, Report, WithoutPack};

/// Rounds of looking again at orgs with late usage, before the rest is left to the next run.
const ROUNDS: usize = 3;

/// Which orgs a sync is for.
#[derive(Clone, Debug)]
pub enum Scope {
    /// All of them.
    All,
    /// These.
    Orgs(Vec<Uuid>),
}

/// A sync that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// For which orgs.
    pub scope: Scope,
    /// The derived columns: see [`targets`].
    pub targets: Arc<[Target]>,
    /// How late usage is decided.
    pub rules: Rules,
    /// The share of orgs that an audit may change.
    pub max_fix_ratio: f64,
    /// How many pages an audit reads at once, each on a connection of its own.
    pub connections: usize,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Look only.
    pub check: bool,
    /// Mend even what looks suspicious.
    pub force: bool,
    /// The run's number in the ledger, for the drift log; `None` for one that is not in it.
    pub run: Option<i64>,
    /// Asks the run to end with the pages that it is at.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says about every sync.
    #[must_use]
    pub fn standing(config: &config::Sync, targets: Arc<[Target]>) -> Self {
        Self {
            scope: Scope::All,
            targets,
            rules: rules(config),
            max_fix_ratio: config.max_fix_ratio,
            connections: 2,
            at: None,
            check: false,
            force: false,
            run: None,
            stop: Stop::default(),
        }
    }
}

/// How late usage is decided, by the configuration.
#[must_use]
pub fn rules(config: &config::Sync) -> Rules {
    let grace = SignedDuration::try_from(config.late_usage_grace.0).unwrap_or(SignedDuration::MAX);
    let after = match config.late_usage_policy {
        config::LateUsage::SetAside => AfterGrace::SetAside,
        config::LateUsage::OpenPeriod => AfterGrace::OpenPeriod,
    };
    Rules { grace, after }
}

/// Who is told how far a run is, after every page.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// Why a sync came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// What was read cannot be believed, and nothing was mended.
    #[error("{0}; no counter was changed")]
    Refused(Refusal),
    /// A derived column that is not there, or cannot hold what it should.
    #[error("{sentence}")]
    Derived {
        /// The key of the configuration: `sync.derived[0].table`.
        key: String,
        /// What is wrong.
        sentence: String,
    },
}

/// Counts what waits to be counted, and brings the copies of counters that moved up to date.
///
/// # Errors
/// [`Error::Store`] when the database fails; what was counted by then stays counted.
pub async fn count(
    database: &Database,
    request: &Request,
    observer: Observer,
) -> Result<Report, Error> {
    let job = Job::new(database, request, observer);
    let pass = job.pass().await?;
    job.counting(pass).await.map_err(unreadable)?;
    Ok(job.done().await?)
}

/// Counts, then audits; with `check` it only looks.
///
/// # Errors
/// [`Error::Refused`] where what was read cannot be believed, [`Error::Store`] when the database
/// fails: then no counter was mended that was not read whole.
pub async fn audit(
    database: &Database,
    request: &Request,
    observer: Observer,
) -> Result<Report, Error> {
    let job = Job::new(database, request, observer);
    let pass = job.pass().await?;
    if !request.check {
        job.counting(pass).await.map_err(unreadable)?;
    }
    job.audit(pass).await.map_err(|error| match error {
        Error::Store(error) => unreadable(error).into(),
        other => other,
    })?;
    Ok(job.done().await?)
}

/// A table that is not there any more is no reason to migrate: the schema was looked at before.
fn unreadable(error: StoreError) -> StoreError {
    match error {
        StoreError::Outdated(why) => {
            let why = why.split("; the database is not migrated").next().unwrap_or_default();
            StoreError::Failed(format!("{why} (what cannot be read is not zero: no counter moved)"))
        }
        other => other,
    }
}

/// The moments of a run.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// Business time.
    now: Instant,
    /// The database's clock.
    real: Instant,
}

impl Pass {
    fn mark(self, run: Option<i64>) -> Mark {
        Mark { run, now: self.now, real: self.real }
    }
}

struct Job<'a> {
    database: &'a Database,
    request: &'a Request,
    observer: Observer,
    report: Mutex<Report>,
    /// What an audit notes, it notes under this.
    audit: Uuid,
}

impl<'a> Job<'a> {
    fn new(database: &'a Database, request: &'a Request, observer: Observer) -> Self {
        let report = Mutex::default();
        Self { database, request, observer, report, audit: Uuid::new_v4() }
    }

    async fn pass(&self) -> Result<Pass, StoreError> {
        let real = self.database.now().await?;
        Ok(Pass { now: self.request.at.unwrap_or(real), real })
    }

    /// Over one connection: two would take half the time, and make an application's own uses wait
    /// four times as long as without them.
    async fn counting(&self, pass: Pass) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        match packs::adopt_unseen(&mut connection).await {
            // Whoever else enters them in the ledger does it as well.
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(other) => return Err(other),
        }
        let orgs = match &self.request.scope {
            Scope::All => None,
            Scope::Orgs(ids) => Some(ids.as_slice()),
        };
        self.count(&mut connection, orgs, pass).await?;
        let again = self.settle(&mut connection, orgs, pass).await?;
        self.once_more(&mut connection, again, pass).await
    }

    /// Counts what late usage charged to open periods, and shows what it left in the packs.
    async fn once_more(
        &self,
        connection: &mut Connection,
        orgs: Vec<Uuid>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut again = orgs;
        for _ in 0..ROUNDS {
            if again.is_empty() {
                break;
            }
            self.count(connection, Some(&again), pass).await?;
            again = self.settle(connection, Some(&again), pass).await?;
        }
        Ok(())
    }

    /// Parks an org whose rows cannot be processed.
    async fn park(
        &self,
        connection: &mut Connection,
        org: Uuid,
        reason: String,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let slugs = snapshot::slugs(connection, &[org]).await?;
        let slug = slugs.get(&org).cloned().unwrap_or_else(|| org.to_string());
        if !self.request.check {
            let parking = Parking { org, revision: None, reason: reason.clone() };
            let parked = apply::park(connection, &[parking], pass.now).await?;
            if parked.is_empty() {
                return Ok(());
            }
        }
        self.tell(|report| report.parked.push(Parked { org, slug, reason }));
        Ok(())
    }

    /// Adds to the report, and shows it to whoever watches.
    fn tell(&self, add: impl FnOnce(&mut Report)) {
        let mut report = self.report();
        add(&mut report);
        (self.observer)(&report);
    }

    /// Has somebody asked the run to end?
    fn stopped(&self) -> bool {
        self.request.stop.is_set()
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        // A watcher that panicked leaves a report that is as good as before.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report, in order and with names for people.
    async fn done(self) -> Result<Report, StoreError> {
        let stopped = self.stopped();
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.stopped = stopped;
        report.purchases_without_pack.sort_by(|a, b| (&a.org, &a.column).cmp(&(&b.org, &b.column)));
        if !report.drift.is_empty() {
            let orgs: Vec<Uuid> = report.drift.iter().map(|line| line.org).collect();
            let mut connection = self.database.connection().await?;
            let slugs = snapshot::slugs(&mut connection, &orgs).await?;
            for line in &mut report.drift {
                if let Some(slug) = slugs.get(&line.org) {
                    line.slug.clone_from(slug);
                }
            }
        }
        Ok(report)
    }
}
