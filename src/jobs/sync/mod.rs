//! Sync: counters and their copies follow the metrics.
//!
//! Counting (`count`) takes metrics that nobody has counted yet, and writes the copies of counters
//! that moved (`derived`); what a closed period's counter gained that way is late usage (`late`).
//! None of that is drift. The audit (`audit`) looks for drift: it sweeps over everything read-only,
//! asks whether what it read can be believed, and mends what differs where it still is what was
//! read.
//!
//! Never: a counter that is set to a sum older than itself; a repair after a read that failed; a
//! closed row that is edited.

mod audit;
mod count;
mod derived;
mod late;
mod report;
mod sold;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::drift::Refusal;
use crate::billing::late::{AfterGrace, Rules};
use crate::billing::parking::ParkedCode;
use crate::command::Command;
use crate::config::{self, Config};
use crate::jobs::batches::{Batches, Left, Served, Stuck};
use crate::jobs::columns::Columns;
use crate::jobs::finding::Mend;
use crate::jobs::pack_entries;
use crate::jobs::parking::{self, Attempt};
use crate::jobs::rollover::Parked;
use crate::jobs::stop::Stop;
use crate::store::audit::drift::Mark;
use crate::store::orgs::packs::EntryScope;
use crate::store::rollover::apply::Parking;
use crate::store::{Connection, Database, LockTimeout, StoreError, rollover::snapshot};
pub(in crate::jobs) use derived::due;
pub use derived::{follow, targets, targets_besides_defaults};
pub use report::{Audited, Late, SyncReport, WithoutPack};
pub use sold::{Told, grant_of};

/// Rounds of looking again at orgs with late usage, before the rest is left to the next run.
const ROUNDS: usize = 3;
/// Pages in a row on which somebody holds what everybody needs, before a run gives up.
const PAGES_HELD_UP: usize = 2;

/// Which orgs a sync is for.
#[derive(Clone, Debug)]
pub enum Scope {
    /// All of them.
    All,
    /// These.
    Orgs(Vec<Uuid>),
}

impl Scope {
    /// The org, where a single one is named.
    pub fn only(&self) -> Option<Uuid> {
        match self {
            Self::Orgs(orgs) if orgs.len() == 1 => orgs.first().copied(),
            _ => None,
        }
    }
}

/// A sync that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub scope: Scope,
    /// Is the usage of parked orgs in scope counted, too? For what an application has just
    /// recorded: it is served as by the functions.
    pub serves_parked: bool,
    /// The derived columns: see [`targets`].
    pub columns: Columns,
    /// How late usage is decided.
    pub rules: Rules,
    /// Who hears of purchases without a pack.
    pub told: Told,
    /// The share of orgs that an audit may change.
    pub max_fix_ratio: f64,
    /// How many pages an audit reads at once, each on a connection of its own.
    pub connections: usize,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
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
    pub fn standing(config: &Config, columns: Columns) -> Self {
        Self {
            scope: Scope::All,
            serves_parked: false,
            columns,
            rules: rules(&config.sync),
            told: Told::of(config),
            max_fix_ratio: config.sync.max_fix_ratio,
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
pub fn rules(config: &config::sections::Sync) -> Rules {
    let grace = SignedDuration::try_from(config.late_usage_grace.0).unwrap_or(SignedDuration::MAX);
    let after = match config.late_usage_policy {
        config::sections::LateUsage::SetAside => AfterGrace::SetAside,
        config::sections::LateUsage::OpenPeriod => AfterGrace::OpenPeriod,
    };
    Rules { grace, after }
}

/// Who is told how far a run is, after every page.
pub type Observer = Arc<dyn Fn(&SyncReport) + Send + Sync>;

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
) -> Result<SyncReport, Error> {
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
) -> Result<SyncReport, Error> {
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

/// What repairs drift that was found: the audit, unless its guard would refuse it, or it would find
/// nothing to repair.
///
/// # Errors
/// [`Error::Store`] when the database fails.
pub async fn repair(database: &Database, request: Request) -> Result<Mend, Error> {
    let words: Vec<String> = match &request.scope {
        Scope::All => vec!["--full".to_owned()],
        Scope::Orgs(ids) => {
            let mut connection = database.connection().await?;
            let slugs = snapshot::slugs(&mut connection, ids).await?;
            let orgs = slugs.into_values().flat_map(|slug| ["--org".to_owned(), slug]);
            orgs.collect()
        }
    };
    let sync = |force: &[&'static str]| {
        let words = ["sync"].into_iter().chain(words.iter().map(String::as_str));
        Command::periodd(words.chain(force.iter().copied()))
    };
    let request = Request { check: true, ..request };
    let found = audit(database, &request, Arc::new(|_| {})).await?;
    let lost = found.left_out.first().map(|lost| lost.org.clone());
    Ok(match (found.refusal, lost) {
        (Some(refusal), _) => {
            let advice = format!(
                "{refusal}: restore these metrics from a backup; only if the metrics are right, \
                 have the counters follow them"
            );
            Mend::advice_then(advice, sync(&["--force"]))
        }
        (None, Some(org)) if found.drift_found == 0 => {
            let advice = format!(
                "{org} holds fewer metrics than at the last audit: restore them from a backup; \
                 only if they were deleted on purpose, have the counters follow"
            );
            let force = Command::periodd(["sync", "--full", "--force", "--org", &org]);
            Mend::advice_then(advice, force)
        }
        (None, None) if found.drift_found == 0 => Mend::advice(
            "`db verify` names the rows; these counters are of no open period of their orgs, so \
             that no audit repairs them: correct the period first",
        ),
        (None, _) => sync(&[]).into(),
    })
}

/// A table that is not there any more is no reason to migrate: the schema was looked at before.
fn unreadable(error: StoreError) -> StoreError {
    match error {
        StoreError::Missing(why) => StoreError::Failed(format!(
            "{why} (an unreadable quantity is not zero: no counter was changed)"
        )),
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
    report: Mutex<SyncReport>,
    /// What an audit notes, it notes under this.
    audit: Uuid,
    /// Somebody holds rows, and does not let go of them.
    met_holder: AtomicBool,
    /// Pages in a row of which nobody could be served for that.
    held_up: AtomicUsize,
    served: Mutex<Served>,
}

impl<'a> Job<'a> {
    fn new(database: &'a Database, request: &'a Request, observer: Observer) -> Self {
        let (met_holder, held_up) = (AtomicBool::new(false), AtomicUsize::new(0));
        let report = Mutex::new(SyncReport::without(&request.columns.left_out));
        let audit = Uuid::new_v4();
        let served = Mutex::default();
        Self { database, request, observer, report, audit, met_holder, held_up, served }
    }

    async fn pass(&self) -> Result<Pass, StoreError> {
        let real = if self.request.check {
            self.database.now().await?
        } else {
            self.database.believed_now().await?
        };
        Ok(Pass { now: self.request.at.unwrap_or(real), real })
    }

    /// Over one connection: two would take half the time, and make an application's own uses wait
    /// four times as long as without them.
    async fn counting(&self, pass: Pass) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        self.enter_packs(&mut connection, pass).await?;
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

    /// Enters packs that applications inserted plainly in the ledger. Whoever else enters them, or
    /// closes their period, does it as well.
    async fn enter_packs(&self, connection: &mut Connection, pass: Pass) -> Result<(), StoreError> {
        let scope = match &self.request.scope {
            Scope::All => EntryScope::All,
            Scope::Orgs(orgs) => EntryScope::Orgs(orgs),
        };
        let not_entered = pack_entries::enter(connection, scope, &self.request.stop).await?;
        self.tell(|report| report.conflicts += not_entered.conflicts);
        for stuck in not_entered.stuck {
            match stuck {
                Stuck::Faulty(org, code, why) => {
                    self.park(connection, org, code, why, pass).await?;
                }
                Stuck::Left(org, why) => self.leave(connection, org, why).await?,
            }
        }
        for (org, why) in not_entered.refused {
            let reason = format!("its packs could not be entered in the ledger: {why}");
            let slug = parking::name(connection, org).await?;
            self.skip(Left { org, slug, reason });
        }
        Ok(())
    }

    /// Skips an org that can be neither processed nor parked.
    fn skip(&self, org: Left) {
        self.tell(|report| {
            if !report.skipped.iter().any(|known| known.org == org.org) {
                report.skipped.push(org);
            }
        });
    }

    /// How long a page waits for what somebody else holds.
    fn wait(&self) -> LockTimeout {
        if self.met_holder.load(Ordering::Relaxed) { LockTimeout::Short } else { LockTimeout::Long }
    }

    /// A page of orgs, to be worked on.
    fn batches(&self, orgs: Vec<Uuid>) -> Batches {
        Batches::of(orgs, self.wait())
    }

    /// Sees to the orgs that a page does not serve: they are parked, or left to the next run.
    ///
    /// # Errors
    /// What keeps everybody from being served.
    async fn set_aside(
        &self,
        connection: &mut Connection,
        mut batches: Batches,
        pass: Pass,
    ) -> Result<(), StoreError> {
        self.tell(|report| report.conflicts += batches.conflicts());
        self.met_holder.fetch_or(batches.met_holder(), Ordering::Relaxed);
        let held_up = if batches.was_held_up() {
            self.held_up.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.held_up.store(0, Ordering::Relaxed);
            0
        };
        let stuck = batches.stuck()?;
        self.served.lock().unwrap_or_else(PoisonError::into_inner).note(&mut batches);
        for stuck in stuck {
            match stuck {
                Stuck::Faulty(org, code, why) => {
                    self.park(connection, org, code, why, pass).await?;
                }
                Stuck::Left(_, why) if held_up == PAGES_HELD_UP => {
                    return Err(StoreError::Held(why));
                }
                Stuck::Left(org, why) => self.leave(connection, org, why).await?,
            }
        }
        Ok(())
    }

    /// Leaves an org to the next run.
    async fn leave(
        &self,
        connection: &mut Connection,
        org: Uuid,
        reason: String,
    ) -> Result<(), StoreError> {
        if self.report().left.iter().any(|left| left.org == org) {
            return Ok(());
        }
        let slug = parking::name(connection, org).await?;
        self.tell(|report| report.left.push(Left { org, slug, reason }));
        Ok(())
    }

    /// Parks an org whose rows cannot be processed.
    async fn park(
        &self,
        connection: &mut Connection,
        org: Uuid,
        code: ParkedCode,
        reason: String,
        pass: Pass,
    ) -> Result<(), StoreError> {
        if self.request.check {
            let Parking { code, reason, .. } = parking::of(connection, org, code, &reason).await?;
            let slug = parking::name(connection, org).await?;
            self.tell(|report| report.parked.push(Parked { org, slug, code, reason }));
            return Ok(());
        }
        let why = (code, reason.as_str());
        match parking::park(connection, org, why, pass.now, LockTimeout::Short).await? {
            Attempt::Parked(parked) => self.tell(|report| report.parked.push(parked)),
            Attempt::Gone => {}
            Attempt::Held(error) => {
                self.leave(connection, org, format!("{reason}; {error}")).await?;
            }
            Attempt::Refused(skipped) => self.skip(skipped),
        }
        Ok(())
    }

    /// Adds to the report, and shows it to whoever watches.
    fn tell(&self, add: impl FnOnce(&mut SyncReport)) {
        let mut report = self.report();
        add(&mut report);
        (self.observer)(&report);
    }

    /// Has somebody asked the run to end?
    fn stopped(&self) -> bool {
        self.request.stop.is_set()
    }

    fn report(&self) -> MutexGuard<'_, SyncReport> {
        // A watcher that panicked leaves a report that is as good as before.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report, in order and with names for people.
    ///
    /// # Errors
    /// The database's; and what it lacked, where the run served nobody.
    async fn done(self) -> Result<SyncReport, StoreError> {
        let stopped = self.stopped();
        self.served.into_inner().unwrap_or_else(PoisonError::into_inner).end()?;
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
