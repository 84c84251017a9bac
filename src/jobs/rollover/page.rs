//! One page of orgs: read, plan, check, apply; and what to do when one of the four fails.

use std::collections::HashSet;

use uuid::Uuid;

use super::planning::{Decision, Planner, Read};
use super::reading::Room;
use super::report::{Parked, Preview, Tally};
use crate::billing::Instant;
use crate::billing::parking::ParkedCode;
use crate::billing::timeline::Policy;
use crate::jobs::batches::{self, Batch, Batches, Stuck};
use crate::jobs::stop::Stop;
use crate::jobs::{parking, sync};
use crate::store::audit::derived::Target;
use crate::store::orgs::packs;
use crate::store::rollover::apply::{self, Parking};
use crate::store::{
    Connection, LockTimeout, StoreError, Transaction, begin_within,
    rollover::{claim, planned::Stamp, snapshot},
    serves,
};
use crate::tz::TzData;

/// Rolls pages of orgs over, on one connection.
pub(super) struct Worker<'a> {
    planner: Planner<'a>,
    stamp: Stamp<'a>,
    /// Derived columns besides those that the plan writes.
    derived: &'a [Target],
    /// How long a page waits for what somebody holds, before it is taken apart.
    wait: LockTimeout,
    /// Asks to leave what was taken apart.
    stop: Stop,
}

/// A page as it was read; nothing where its orgs cannot be read together.
pub(super) struct PageRead {
    ids: Vec<Uuid>,
    read: Option<Read>,
    /// Orgs of the page that there was no room for.
    rest: Vec<Uuid>,
}

impl PageRead {
    /// Takes out the orgs that there was no room for.
    pub(super) fn take_rest(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.rest)
    }

    /// How many orgs have how many rows, where that is known.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        self.read.as_ref().map(|read| (self.ids.len(), read.rows()))
    }
}

/// A page with what it should become; nothing where its orgs cannot be planned together.
pub(super) struct PagePlan {
    ids: Vec<Uuid>,
    decision: Option<Decision>,
}

/// What became of orgs that were tried together.
#[derive(Default)]
struct Written {
    /// Those that did not move, to be looked at again.
    missed: Vec<Uuid>,
    /// Those that have to be locked first.
    alone: Vec<Uuid>,
}

impl PagePlan {
    /// How many orgs it is about.
    pub(super) fn size(&self) -> usize {
        self.ids.len()
    }
}

impl<'a> Worker<'a> {
    /// `real` is the database's clock when the pass began.
    pub(super) fn new(tz: &'a TzData, policy: &'a Policy, now: Instant, real: Instant) -> Self {
        let stamp = Stamp { now, counted_at: real, tzdb: tz.release(), raises: 0 };
        let planner = Planner::new(tz, policy, now);
        Self { planner, stamp, derived: &[], wait: LockTimeout::Long, stop: Stop::default() }
    }

    /// Has this worker write these columns, too, wherever an org moves.
    pub(super) fn with_derived(&mut self, derived: &'a [Target]) {
        self.derived = derived;
    }

    /// Has this worker wait no longer than that, where the pass before met somebody who holds rows.
    pub(super) fn with_lock_timeout(&mut self, wait: LockTimeout) {
        self.wait = wait;
    }

    /// Has this worker end when it is asked to, even amid a page that was taken apart.
    pub(super) fn with_cancel(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    /// Has this worker restart cycles at the instant at which it has the org's rows for itself:
    /// whoever was allowed something until then is counted in the period that ends.
    pub(super) fn restarting_by_clock(&mut self) {
        self.planner.take_instants_under_locks();
    }

    /// A worker for dry runs.
    pub(super) fn dry_run(self) -> Self {
        Self { planner: self.planner.dry_run(), ..self }
    }

    /// Reads a page, before the one at hand is rolled over: what keeps it from being read is
    /// seen to when its turn comes. Where its rows are too many, it becomes the first of its orgs
    /// that there is room for.
    pub(super) async fn read_page(
        &mut self,
        connection: &mut Connection,
        mut ids: Vec<Uuid>,
    ) -> Result<PageRead, StoreError> {
        let mut rest = Vec::new();
        loop {
            let mut transaction = begin_within(connection, self.wait).await?;
            let room = Room::of_page(ids.len());
            let read = self.planner.read(&mut transaction, &ids, room).await;
            transaction.rollback().await?;
            let read = match read {
                Ok(None) => {
                    let mut later = ids.split_off(ids.len() / 2);
                    later.append(&mut rest);
                    rest = later;
                    continue;
                }
                // A server that serves lacked something for these rows only.
                Err(StoreError::Unavailable(_)) if serves(connection).await => None,
                read => unless_taken_apart(read)?.flatten(),
            };
            return Ok(PageRead { ids, read, rest });
        }
    }

    /// Plans a page that was read.
    pub(super) async fn decide(&self, seen: PageRead) -> Result<PagePlan, StoreError> {
        let PageRead { ids, read, .. } = seen;
        let Some(read) = read else { return Ok(PagePlan { ids, decision: None }) };
        Ok(PagePlan { ids, decision: unless_taken_apart(self.planner.plan(read).await)? })
    }

    /// Rolls a page over, and plans the next one while the database is at work on this one. A
    /// conflict reads the page again; a row that cannot be processed falls back to ever smaller
    /// pages, until it stands alone and is parked.
    pub(super) async fn roll_over(
        &mut self,
        connection: &mut Connection,
        page: PagePlan,
        next: Option<PageRead>,
    ) -> Result<(Tally, Option<PagePlan>), StoreError> {
        let PagePlan { ids, decision } = page;
        let mut tally = Tally::default();
        let mut batches = Batches::of(ids, self.wait).locking_first();
        let planning = async {
            match next {
                Some(seen) => self.decide(seen).await.map(Some),
                None => Ok(None),
            }
        };
        let planned = decision.and_then(|decision| Some((decision, batches.next()?)));
        let (begun, next) = if let Some((decision, batch)) = planned {
            let writing = self.write(connection, decision, &mut tally);
            let (written, next) = futures_util::future::join(writing, planning).await;
            (follow_up(connection, batch, written, &mut batches, &mut tally).await, next?)
        } else {
            (Ok(()), planning.await?)
        };
        let served = match begun {
            Ok(()) => self.go_on(connection, &mut batches, &mut tally).await,
            Err(error) => Err(error),
        };
        tally.conflicts += batches.conflicts();
        for stuck in served? {
            match stuck {
                Stuck::Left(org, why) => tally.leave(org, &why),
                Stuck::Faulty(org, code, why) => {
                    self.park_or_leave(connection, org, (code, &why), &mut tally).await?;
                }
            }
        }
        Ok((tally, next))
    }

    /// Tries what is left of a page, and returns the orgs that it does not serve. What is due stays
    /// due, for whoever comes after a run that was asked to stop.
    async fn go_on(
        &mut self,
        connection: &mut Connection,
        batches: &mut Batches,
        tally: &mut Tally,
    ) -> Result<Vec<Stuck>, StoreError> {
        while let Some(batch) = batches.next().filter(|_| !self.stop.is_set()) {
            let written = self.attempt(connection, &batch, tally).await;
            follow_up(connection, batch, written, batches, tally).await?;
        }
        batches.stuck()
    }

    /// Parks an org whose rows cannot be processed; where somebody is at its row, the next pass
    /// finds it again.
    async fn park_or_leave(
        &self,
        connection: &mut Connection,
        org: Uuid,
        why: (ParkedCode, &str),
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        match parking::park(connection, org, why, self.stamp.now, self.wait).await? {
            parking::Attempt::Parked(parked) => tally.parked.push(parked),
            parking::Attempt::Gone => {}
            parking::Attempt::Held(error) => tally.leave(org, &error),
            parking::Attempt::Refused(skipped) => tally.skipped.push(skipped),
        }
        Ok(())
    }

    /// Plans a page without applying anything.
    pub(super) async fn plan_only(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Preview, StoreError> {
        let mut preview = Preview::default();
        let Preview { plans, parked, refused } = &mut preview;
        let mut waiting = vec![ids.to_vec()];
        while let Some(mut ids) = waiting.pop() {
            match self.read_and_plan(connection, &ids, Room::of_page(ids.len())).await {
                Ok(None) => {
                    let rest = ids.split_off(ids.len() / 2);
                    waiting.extend([rest, ids]);
                }
                Ok(Some(Decision { left, .. })) if !left.is_empty() => {
                    let why = left.into_iter().map(|(_, why)| why).next().unwrap_or_default();
                    return Err(StoreError::Failed(why));
                }
                Ok(Some(decision)) => {
                    refused.extend(decision.refused);
                    plans.extend(decision.planned.into_iter().map(|planned| planned.plan));
                    let reasons = decision.parkings.into_iter();
                    parked.extend(reasons.map(|(parking, slug)| parked_as(&parking, slug)));
                }
                Err(error) if may_be_taken_apart(&error) && ids.len() > 1 => {
                    let rest = ids.split_off(ids.len() / 2);
                    waiting.extend([ids, rest]);
                }
                Err(error) if error.may_concern_one_row() => {
                    let reason = error.to_string();
                    let code = batches::fault(&error).unwrap_or(ParkedCode::Unprocessable);
                    let parkings = unreadable(connection, &ids, code, &reason).await?.into_iter();
                    parked.extend(parkings.map(|(parking, slug)| parked_as(&parking, slug)));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(preview)
    }

    /// Reads and plans orgs in one go; `None` where there is no room for them together.
    async fn read_and_plan(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
        room: Room,
    ) -> Result<Option<Decision>, StoreError> {
        match self.planner.read(connection, ids, room).await? {
            Some(read) => self.planner.plan(read).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads, plans, checks and applies in one transaction; an org that met conflicts again and
    /// again, while nobody else may change its row. Returns the orgs that did not move, to be
    /// looked at again.
    async fn attempt(
        &mut self,
        connection: &mut Connection,
        batch: &Batch,
        tally: &mut Tally,
    ) -> Result<Written, StoreError> {
        let (&[org], true) = (batch.ids.as_slice(), batch.is_locked_first) else {
            let mut transaction = begin_within(connection, batch.wait).await?;
            // They had room when they became a page.
            let decision = self.read_and_plan(&mut transaction, &batch.ids, Room::ALL).await?;
            return self.carry_out(transaction, decision.unwrap_or_default(), tally).await;
        };
        // By itself, for an org's row is best written once in a transaction: see `claim::raise`.
        // Packs that come meanwhile are entered under the lock.
        if !snapshot::orgs_with_unseen_packs(connection, &[org]).await?.is_empty() {
            let mut transaction = begin_within(connection, batch.wait).await?;
            packs::enter_in_ledger(&mut transaction, &[org]).await?;
            transaction.commit().await?;
        }
        let mut transaction = begin_within(connection, batch.wait).await?;
        let real = self.stamp.counted_at;
        let read = self.planner.read_locked(&mut transaction, org, real).await?;
        self.stamp.now = self.planner.now();
        let revision = read.revision();
        let decision = self.planner.plan(read).await?;
        self.carry_out_locked(transaction, (org, revision), decision, tally).await
    }

    /// Writes what was decided. Returns the orgs that did not move.
    async fn write(
        &self,
        connection: &mut Connection,
        decision: Decision,
        tally: &mut Tally,
    ) -> Result<Written, StoreError> {
        let transaction = begin_within(connection, self.wait).await?;
        self.carry_out(transaction, decision, tally).await
    }

    async fn carry_out(
        &self,
        mut transaction: Transaction<'_>,
        decision: Decision,
        tally: &mut Tally,
    ) -> Result<Written, StoreError> {
        let moved = self.apply(&mut transaction, &decision, self.stamp).await?;
        let parked = self.park(&mut transaction, &decision.parkings).await?;
        transaction.commit().await?;
        Ok(told(decision, &moved, parked, self.stamp.now, tally))
    }

    /// The same for an org that was locked before it was read: counters that were made to be locked
    /// go again.
    async fn carry_out_locked(
        &self,
        mut transaction: Transaction<'_>,
        (org, revision): (Uuid, Option<i64>),
        decision: Decision,
        tally: &mut Tally,
    ) -> Result<Written, StoreError> {
        let stamp = Stamp { raises: 1, ..self.stamp };
        let moved = self.apply(&mut transaction, &decision, stamp).await?;
        let parked = self.park(&mut transaction, &decision.parkings).await?;
        if let Some(revision) = revision {
            claim::raise(&mut transaction, org, revision).await?;
        }
        claim::drop_unused(&mut transaction, org, self.stamp.counted_at).await?;
        transaction.commit().await?;
        Ok(told(decision, &moved, parked, self.stamp.now, tally))
    }

    async fn apply(
        &self,
        connection: &mut Connection,
        decision: &Decision,
        stamp: Stamp<'_>,
    ) -> Result<HashSet<Uuid>, StoreError> {
        if decision.planned.is_empty() {
            return Ok(HashSet::new());
        }
        let moved = apply::apply(connection, &decision.planned, stamp).await?;
        if !self.derived.is_empty() && !moved.is_empty() {
            let moved: Vec<Uuid> = moved.iter().copied().collect();
            sync::follow(connection, self.derived, &moved, self.stamp.now).await?;
        }
        Ok(moved)
    }

    async fn park(
        &self,
        connection: &mut Connection,
        parkings: &[(Parking, String)],
    ) -> Result<Vec<Parked>, StoreError> {
        if parkings.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Parking> = parkings.iter().map(|(parking, _)| parking.clone()).collect();
        let parked = apply::park(connection, &rows, self.stamp.now).await?;
        let ours = parkings.iter().filter(|(parking, _)| parked.contains(&parking.org));
        Ok(ours.map(|(parking, slug)| parked_as(parking, slug.clone())).collect())
    }
}

/// May the same be done with fewer orgs at once, or by another attempt?
fn may_be_taken_apart(error: &StoreError) -> bool {
    error.is_contention()
        || error.may_concern_one_row()
        || matches!(error, StoreError::Cancelled(_))
}

/// What keeps a page from being read or planned as a whole is found again, and seen to, when it is
/// its turn.
fn unless_taken_apart<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if may_be_taken_apart(&error) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Enters what was done in the tally. Returns what is left to try.
fn told(
    decision: Decision,
    moved: &HashSet<Uuid>,
    parked: Vec<Parked>,
    now: Instant,
    tally: &mut Tally,
) -> Written {
    let Decision { planned, alone, refused, left, .. } = decision;
    let (applied, missed): (Vec<_>, Vec<_>) =
        planned.iter().partition(|planned| moved.contains(&planned.plan.org));
    for planned in applied {
        tally.applied(&planned.plan, now);
    }
    tally.parked.extend(parked);
    tally.refused.extend(refused);
    tally.left.extend(left);
    Written { missed: missed.iter().map(|planned| planned.plan.org).collect(), alone }
}

fn parked_as(parking: &Parking, slug: String) -> Parked {
    Parked { org: parking.org, slug, code: parking.code, reason: parking.reason.clone() }
}

/// What is left to try, after orgs were tried together: those that had to be locked first, and
/// those that did not move.
async fn follow_up(
    connection: &mut Connection,
    mut batch: Batch,
    written: Result<Written, StoreError>,
    batches: &mut Batches,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let (batch, result) = match written {
        Ok(Written { missed, alone }) => {
            batches.lock_first(alone);
            if missed.is_empty() {
                (batch, Ok(()))
            } else {
                tally.missed += missed.len();
                let why = "its row was changed meanwhile";
                batch.ids = missed;
                (batch, Err(StoreError::Conflict(why.to_owned())))
            }
        }
        Err(error) => (batch, Err(error)),
    };
    batches.outcome(connection, batch, result).await.map(|_| ())
}

/// The parkings of orgs whose rows cannot be read, with their names.
async fn unreadable(
    connection: &mut Connection,
    ids: &[Uuid],
    code: ParkedCode,
    reason: &str,
) -> Result<Vec<(Parking, String)>, StoreError> {
    let slugs = snapshot::slugs(connection, ids).await?;
    let mut parkings = Vec::with_capacity(ids.len());
    for org in ids {
        let parking = parking::of(connection, *org, code, reason).await?;
        parkings.push((parking, slugs.get(org).cloned().unwrap_or_else(|| org.to_string())));
    }
    Ok(parkings)
}
