//! The rollover: due orgs → plan → check → apply → report.
//!
//! Passes walk over pages of orgs (`walk`); a page is read, planned, checked and applied in one
//! transaction (`page`). A schedule, a person at the terminal and a dry run take the same way;
//! a dry run only stops before the apply.

mod page;
mod planning;
mod reading;
mod report;
mod walk;

use std::sync::Arc;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::stop::Stop;
use crate::billing::Instant;
use crate::billing::timeline::{CatchUp, Policy};
use crate::config;
use crate::store::apply::{self, Wait};
use crate::store::derived::Target;
use crate::store::{Connection, Database, StoreError, claim, packs};
use crate::tzdata::TzData;
use page::Worker;
pub use report::{Parked, Report};
use walk::Walk;

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

/// A rollover that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// For which orgs.
    pub scope: Scope,
    /// By which policy.
    pub policy: Policy,
    /// Orgs per page and transaction.
    pub batch_size: usize,
    /// How many pages are worked on at once, each on a connection of its own.
    pub connections: usize,
    /// Business time; `None` reads the database's clock once per pass.
    pub at: Option<Instant>,
    /// Plan only.
    pub dry_run: bool,
    /// Derived columns besides the three that every rollover writes.
    pub derived: Arc<[Target]>,
    /// Asks the run to end with the pages that it is at.
    pub stop: Stop,
}

impl Request {
    /// Everything that is due now, by what the configuration says about every rollover.
    #[must_use]
    pub fn standing(config: &config::Rollover) -> Self {
        let policy = Policy {
            catch_up: match config.catch_up {
                config::CatchUp::Replay => CatchUp::Replay,
                config::CatchUp::Collapse => CatchUp::Collapse,
                config::CatchUp::Halt => CatchUp::Halt,
            },
            max_periods: config.max_periods_per_pass as usize,
            ended_tier: config.ended_tier.clone(),
            early: false,
        };
        Self {
            scope: Scope::All,
            policy,
            batch_size: config.batch_size as usize,
            connections: config.connections as usize,
            at: None,
            dry_run: false,
            derived: Arc::from([]),
            stop: Stop::default(),
        }
    }
}

/// Who is told how far a run is, after every page.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

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
) -> Result<Report, StoreError> {
    // An early close comes after the regular ones; and a dry run plans the same org each time
    // that it finds it.
    let twice = request.policy.early || request.dry_run;
    let report = Mutex::new(if twice { Report::telling_apart() } else { Report::default() });
    let job = Job { database, tz, request, observer, report: &report };
    if request.dry_run {
        job.dry_run().await?;
    } else {
        job.regular_passes().await?;
        if request.policy.early {
            job.pass(&request.policy, job.now().await?, false, Wait::Long).await?;
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
    report: &'a Mutex<Report>,
}

impl Job<'_> {
    /// Closes what has ended, in as many passes as it takes.
    async fn regular_passes(&self) -> Result<(), StoreError> {
        let policy = Policy { early: false, ..self.request.policy.clone() };
        let mut fruitless = 0;
        let mut has_adopted = false;
        let mut wait = Wait::Long;
        loop {
            let now = self.now().await?;
            let mut connection = self.database.connection().await?;
            let pending = claim::pending(&mut connection, now, self.tz.release()).await?;
            if pending.unseen_packs {
                adopt(&mut connection).await?;
            }
            drop(connection);
            if matches!(self.request.scope, Scope::All) && pending.is_quiet() {
                if !pending.unseen_packs || has_adopted {
                    return Ok(());
                }
                // One of them may have expired already. Whoever goes on inserting packs does not
                // keep the run from its end.
                has_adopted = true;
                continue;
            }
            let moved = self.pass(&policy, now, pending.old_rules, wait).await?;
            if self.request.stop.is_set() {
                self.report.lock().await.stopped = true;
                return Ok(());
            }
            let (left, missed) = self.report.lock().await.take_left_and_missed();
            // Who holds rows for longer than a pass has been waited for.
            wait = if left.is_empty() { Wait::Long } else { Wait::Short };
            if moved + missed + left.len() == 0 && !matches!(self.request.scope, Scope::All) {
                // Nothing of what was asked for is due any more.
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

    /// One walk over everything in scope. Returns how many orgs moved or were parked.
    async fn pass(
        &self,
        policy: &Policy,
        now: Instant,
        old_rules: bool,
        wait: Wait,
    ) -> Result<usize, StoreError> {
        let before = self.report.lock().await.touched();
        let limit = self.request.batch_size;
        let mut walk = Walk::new(&self.request.scope, policy.early, now, limit);
        let old_rules = old_rules && matches!(self.request.scope, Scope::All);
        if old_rules {
            walk.mind_old_rules(self.tz.release());
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
        walk: &Mutex<Walk>,
        policy: &Policy,
        now: Instant,
        wait: Wait,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let mut worker = Worker::new(self.tz, policy, now, self.real(now).await?);
        worker.also_write(&self.request.derived);
        worker.heed(&self.request.stop);
        worker.hurry(wait);
        let Some(ids) = self.next(walk, &mut connection).await? else { return Ok(()) };
        let first = worker.look_at(&mut connection, ids).await?;
        let mut at_hand = Some(worker.decide(first).await?);
        while let Some(page) = at_hand {
            let size = page.size();
            let next = match self.next(walk, &mut connection).await? {
                Some(ids) => Some(worker.look_at(&mut connection, ids).await?),
                None => None,
            };
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

    /// The next page of the walk; none once the run has been asked to end.
    async fn next(
        &self,
        walk: &Mutex<Walk>,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        if self.request.stop.is_set() {
            return Ok(None);
        }
        walk.lock().await.next(connection).await
    }

    /// Plans everything in scope, and applies nothing. One plan shows what several passes would
    /// do, so the bound on periods per pass does not hold here.
    async fn dry_run(&self) -> Result<(), StoreError> {
        let now = self.now().await?;
        let policy = Policy { max_periods: usize::MAX, ..self.request.policy.clone() };
        let mut walk = Walk::new(&self.request.scope, policy.early, now, self.request.batch_size);
        let mut connection = self.database.connection().await?;
        let mut worker = Worker::new(self.tz, &policy, now, self.real(now).await?).foreseeing();
        while let Some(ids) = walk.next(&mut connection).await? {
            let planned = worker.plan_only(&mut connection, &ids).await?;
            self.report.lock().await.preview(planned, now);
        }
        Ok(())
    }

    async fn now(&self) -> Result<Instant, StoreError> {
        match self.request.at {
            Some(at) => Ok(at),
            None => self.database.now().await,
        }
    }

    /// The database's clock, which is business time too unless `--at` says otherwise.
    async fn real(&self, now: Instant) -> Result<Instant, StoreError> {
        match self.request.at {
            Some(_) => self.database.now().await,
            None => Ok(now),
        }
    }
}

/// Enters packs that applications inserted by themselves in the ledger; where somebody else is at
/// the same rows, the next pass sees to them.
async fn adopt(connection: &mut Connection) -> Result<(), StoreError> {
    let mut transaction = apply::begin_within(connection, Wait::Short).await?;
    match packs::adopt_unseen(&mut transaction).await {
        Ok(_) => Ok(transaction.commit().await?),
        Err(StoreError::Conflict(_)) => Ok(transaction.rollback().await?),
        Err(other) => Err(other),
    }
}

fn stays_due(left: &[(Uuid, String)]) -> StoreError {
    let why = left.first().map_or_else(
        || "nothing seems to keep them from being closed".to_owned(),
        |(org, why)| format!("every attempt on org {org} met a conflict: {why}"),
    );
    StoreError::Failed(format!("orgs stay due, and {why}; `periodd doctor` may tell more"))
}
