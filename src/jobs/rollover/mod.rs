//! The rollover: due orgs → plan → check → apply → report.
//!
//! Passes walk over pages of orgs (`walk`); a page is read, planned, checked and applied in one
//! transaction (`page`). A schedule, a person at the terminal and a dry run take the same way;
//! a dry run only stops before the apply.
//!
//! Never: a plan that is applied unchecked; code of its own for a dry run.

pub mod lateness;
mod page;
mod page_scan;
mod planning;
mod reading;
mod report;

use std::sync::Arc;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::batches::{Left, Stuck};
use super::columns::Columns;
use super::pack_entries;
use super::parking::{self, Attempt};
use super::stop::Stop;
use crate::billing::Instant;
use crate::billing::timeline::{CatchUp, Early, Policy};
use crate::command::Command;
use crate::config;
use crate::store::orgs::packs::EntryScope;
use crate::store::{Connection, Database, LockTimeout, StoreError, rollover::claim, usage::limits};
use crate::tz::TzData;
use page::{PageRead, Worker};
use page_scan::PageScan;
use report::Tally;
pub use report::{Parked, RolloverReport};

/// Passes that find something due but move nothing, before a run gives up.
const FRUITLESS_PASSES: usize = 3;

/// Which orgs a rollover is for.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Whatever is due.
    All,
    /// These.
    Orgs(Vec<Uuid>),
    /// Those in one time zone.
    Zone(String),
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

/// A rollover that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub scope: Scope,
    pub policy: Policy,
    /// Orgs per page and transaction.
    pub batch_size: usize,
    /// How many pages are worked on at once, each on a connection of its own.
    pub connections: usize,
    /// Business time; `None` reads the database's clock once per pass.
    pub at: Option<Instant>,
    pub dry_run: bool,
    /// Derived columns besides the three that every rollover writes.
    pub derived: Columns,
    /// Asks the run to end with the pages that it is at.
    pub stop: Stop,
}

impl Request {
    /// Everything that is due now, by what the configuration says about every rollover.
    pub fn standing(config: &config::sections::Rollover) -> Self {
        let policy = Policy {
            catch_up: match config.catch_up {
                config::sections::CatchUp::Replay => CatchUp::Replay,
                config::sections::CatchUp::Collapse => CatchUp::Collapse,
                config::sections::CatchUp::Halt => CatchUp::Halt,
            },
            max_periods: config.max_periods_per_pass as usize,
            ended_tier: config.ended_tier.clone(),
            early: Early::No,
        };
        Self {
            scope: Scope::All,
            policy,
            batch_size: config.batch_size as usize,
            connections: config.connections as usize,
            at: None,
            dry_run: false,
            derived: Columns::default(),
            stop: Stop::default(),
        }
    }
}

/// Who is told how far a run is, after every page.
pub type Observer = Arc<dyn Fn(&RolloverReport) + Send + Sync>;

/// Runs passes until nothing is due any more.
///
/// # Errors
/// [`StoreError`] when the database fails. Orgs that cannot be processed are no error: they are
/// parked and listed in the report.
pub async fn run(
    database: &Database,
    tz: &TzData,
    request: &Request,
    observer: Observer,
) -> Result<RolloverReport, StoreError> {
    // An early close comes after the regular ones; and a dry run plans the same org each time
    // that it finds it.
    let twice = request.policy.early.closes() || request.dry_run;
    let mut report =
        if twice { RolloverReport::telling_apart() } else { RolloverReport::default() };
    report.columns_left_out.clone_from(&request.derived.left_out);
    let report = Mutex::new(report);
    let job = Job { database, tz, request, observer, report: &report };
    if request.dry_run {
        job.dry_run().await?;
    } else {
        limits::tell_ended_tier(database, &request.policy.ended_tier).await?;
        job.regular_passes().await?;
        if request.policy.early.closes() {
            job.early_passes().await?;
        }
    }
    drop(job);
    Ok(report.into_inner())
}

struct Job<'a> {
    database: &'a Database,
    tz: &'a TzData,
    request: &'a Request,
    observer: Observer,
    report: &'a Mutex<RolloverReport>,
}

impl Job<'_> {
    /// Closes what has ended, in as many passes as it takes.
    async fn regular_passes(&self) -> Result<(), StoreError> {
        let policy = Policy { early: Early::No, ..self.request.policy.clone() };
        let mut fruitless = 0;
        let (mut has_entered, mut has_rechecked) = (false, false);
        let mut wait = LockTimeout::Long;
        loop {
            let now = self.now().await?;
            let mut connection = self.database.connection().await?;
            let mut pending = claim::pending(&mut connection, now, self.tz.release()).await?;
            // That it was done may not have been remembered, where somebody holds that row.
            pending.old_rules &= !has_rechecked;
            if pending.packs_without_entry {
                self.enter_packs(&mut connection, now).await?;
            }
            let scope = &self.request.scope;
            drop(connection);
            if matches!(self.request.scope, Scope::All) && pending.is_quiet() {
                if !pending.packs_without_entry || has_entered {
                    return Ok(());
                }
                // One of them may have expired already. Whoever goes on inserting packs does not
                // keep the run from its end.
                has_entered = true;
                continue;
            }
            let moved = self.pass(scope, &policy, now, pending.old_rules, wait).await?;
            has_rechecked |= pending.old_rules && matches!(scope, Scope::All);
            if self.request.stop.is_set() {
                self.report.lock().await.stopped = true;
                return Ok(());
            }
            let (left, missed, has_skipped) = {
                let mut report = self.report.lock().await;
                let (left, missed) = report.take_left_and_missed();
                (left, missed, !report.skipped.is_empty())
            };
            // Who holds rows for longer than a pass has been waited for.
            wait = if left.is_empty() { LockTimeout::Long } else { LockTimeout::Short };
            let all = matches!(self.request.scope, Scope::All);
            if moved + missed + left.len() == 0 && (!all || has_skipped) {
                // Nothing of what was asked for is due any more, but for those that were skipped.
                return Ok(());
            }
            // Others may have moved what this pass went for; and ends that were only looked at
            // under newer rules need not move anybody.
            let well = left.is_empty() && (missed > 0 || pending.old_rules);
            fruitless = if moved > 0 || well { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS_PASSES {
                return Err(stays_due(&left));
            }
        }
    }

    /// Closes the open periods, whether they have ended or not, in as many passes as it takes: each
    /// goes for what the one before had to leave, and closes nothing twice.
    async fn early_passes(&self) -> Result<(), StoreError> {
        let mut scope = self.request.scope.clone();
        let mut wait = LockTimeout::Long;
        let mut fruitless = 0;
        loop {
            let now = self.now().await?;
            let moved = self.pass(&scope, &self.request.policy, now, false, wait).await?;
            if self.request.stop.is_set() {
                self.report.lock().await.stopped = true;
                return Ok(());
            }
            let (left, _) = self.report.lock().await.take_left_and_missed();
            if left.is_empty() {
                return Ok(());
            }
            fruitless = if moved > 0 { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS_PASSES {
                return Err(stays_due(&left));
            }
            wait = LockTimeout::Short;
            scope = Scope::Orgs(left.into_iter().map(|(org, _)| org).collect());
        }
    }

    /// One walk over everything in scope. Returns how many orgs moved or were parked.
    async fn pass(
        &self,
        scope: &Scope,
        policy: &Policy,
        now: Instant,
        old_rules: bool,
        wait: LockTimeout,
    ) -> Result<usize, StoreError> {
        let before = self.report.lock().await.touched();
        let limit = self.request.batch_size;
        let mut walk = PageScan::new(scope, policy.early.closes(), now, limit);
        let old_rules = old_rules && matches!(scope, Scope::All);
        if old_rules {
            walk.recheck_tz(self.tz.release());
        }
        let walk = Mutex::new(walk);
        let workers = (0..self.request.connections.max(1)).map(async |_| {
            let worked = self.work(&walk, policy, now, wait).await;
            if worked.is_err() {
                walk.lock().await.end();
            }
            worked
        });
        // None is dropped amid a statement when another one fails.
        for worked in futures_util::future::join_all(workers).await {
            worked?;
        }
        if old_rules && !self.request.stop.is_set() {
            let mut connection = self.database.connection().await?;
            claim::remember_rules(&mut connection, self.tz.release()).await?;
        }
        Ok(self.report.lock().await.touched() - before)
    }

    /// Takes page after page of the walk, on a connection of its own; reads each before the one
    /// ahead of it is written, so that there is something to plan while the database writes.
    async fn work(
        &self,
        walk: &Mutex<PageScan>,
        policy: &Policy,
        now: Instant,
        wait: LockTimeout,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let mut worker = Worker::new(self.tz, policy, now, self.real(now).await?);
        worker.with_derived(&self.request.derived.targets);
        worker.with_cancel(&self.request.stop);
        worker.with_lock_timeout(wait);
        if policy.early.restarts() && self.request.at.is_none() {
            worker.restarting_by_clock();
        }
        let Some(first) = self.next(walk, &mut connection, &mut worker).await? else {
            return Ok(());
        };
        let mut at_hand = Some(worker.decide(first).await?);
        while let Some(page) = at_hand {
            let size = page.size();
            let next = self.next(walk, &mut connection, &mut worker).await?;
            let (tally, decided) = worker.roll_over(&mut connection, page, next).await?;
            at_hand = decided;
            if tally.collided(size) {
                walk.lock().await.jump(&mut connection).await?;
            }
            let mut report = self.report.lock().await;
            report.add(tally);
            (self.observer)(&report);
        }
        Ok(())
    }

    /// Reads the next page of the walk; none once the run has been asked to end.
    async fn next(
        &self,
        walk: &Mutex<PageScan>,
        connection: &mut Connection,
        worker: &mut Worker<'_>,
    ) -> Result<Option<PageRead>, StoreError> {
        if self.request.stop.is_set() {
            return Ok(None);
        }
        let page = walk.lock().await.next(connection).await?;
        let Some(ids) = page else { return Ok(None) };
        let mut page = worker.read_page(connection, ids).await?;
        walk.lock().await.read(page.take_rest(), page.size());
        Ok(Some(page))
    }

    /// Plans everything in scope, and applies nothing. One plan shows what several passes would
    /// do, so the bound on periods per pass does not hold here.
    async fn dry_run(&self) -> Result<(), StoreError> {
        let now = self.now().await?;
        let policy = Policy { max_periods: usize::MAX, ..self.request.policy.clone() };
        let mut walk =
            PageScan::new(&self.request.scope, policy.early.closes(), now, self.request.batch_size);
        let mut connection = self.database.connection().await?;
        let mut worker = Worker::new(self.tz, &policy, now, self.real(now).await?).dry_run();
        while let Some(ids) = walk.next(&mut connection).await? {
            let planned = worker.plan_only(&mut connection, &ids).await?;
            self.report.lock().await.preview(planned, now);
        }
        Ok(())
    }

    /// Enters packs that applications inserted plainly in the ledger. Where somebody else is at an
    /// org's rows it is passed over: an org with such packs is not closed before they are in the
    /// ledger, see [`page`].
    async fn enter_packs(
        &self,
        connection: &mut Connection,
        now: Instant,
    ) -> Result<(), StoreError> {
        let scope = match &self.request.scope {
            Scope::All => EntryScope::All,
            Scope::Orgs(orgs) => EntryScope::Orgs(orgs),
            Scope::Zone(zone) => EntryScope::Zone(zone),
        };
        let not_entered = pack_entries::enter(connection, scope, &self.request.stop).await?;
        let mut tally = Tally { conflicts: not_entered.conflicts, ..Tally::default() };
        for stuck in not_entered.stuck {
            let Stuck::Faulty(org, code, why) = stuck else { continue };
            match parking::park(connection, org, (code, &why), now, LockTimeout::Short).await? {
                Attempt::Parked(parked) => tally.parked.push(parked),
                Attempt::Refused(skipped) => tally.skipped.push(skipped),
                Attempt::Gone | Attempt::Held(_) => {}
            }
        }
        for (org, why) in not_entered.refused {
            let reason = format!("its packs could not be entered in the ledger: {why}");
            let slug = parking::name(connection, org).await?;
            tally.skipped.push(Left { org, slug, reason });
        }
        self.report.lock().await.add(tally);
        Ok(())
    }

    async fn now(&self) -> Result<Instant, StoreError> {
        match self.request.at {
            // What is closed by `--at` cannot be undone either.
            Some(at) => self.clock().await.map(|_| at),
            None => self.clock().await,
        }
    }

    /// The database's clock; where something is done by it, it has to be believed.
    async fn clock(&self) -> Result<Instant, StoreError> {
        if self.request.dry_run {
            self.database.now().await
        } else {
            self.database.believed_now().await
        }
    }

    /// The database's clock, which is business time too unless `--at` says otherwise.
    async fn real(&self, now: Instant) -> Result<Instant, StoreError> {
        match self.request.at {
            Some(_) => self.clock().await,
            None => Ok(now),
        }
    }
}

fn stays_due(left: &[(Uuid, String)]) -> StoreError {
    let why = left.first().map_or_else(|| "no reason was found".to_owned(), |(_, why)| why.clone());
    let orgs = match left.len() {
        0 => "some orgs are".to_owned(),
        1 => "1 org is".to_owned(),
        several => format!("{several} orgs are"),
    };
    let doctor = Command::periodd(["doctor"]);
    StoreError::Failed(format!("{orgs} still due: {why}; `{doctor}` may show more"))
}
