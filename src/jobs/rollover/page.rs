//! One page of orgs: read, plan, check, apply; and what to do when one of the four fails.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::planning::{Decision, Planner, Read};
use super::report::{Parked, Tally};
use crate::billing::Instant;
use crate::billing::rollover::Plan;
use crate::billing::timeline::Policy;
use crate::jobs::stop::Stop;
use crate::jobs::sync;
use crate::store::apply::{self, Parking, Stamp, Wait};
use crate::store::derived::Target;
use crate::store::{Connection, StoreError, Transaction, claim, snapshot};
use crate::tzdata::TzData;

/// Conflicts in a row on the same page before it is taken apart: many orgs at once are fast, few
/// at once get through.
const CONFLICTS_PER_PAGE: u32 = 2;
/// Conflicts in a row on a single org before its row is locked: whoever sells packs to it without
/// a pause then waits for the rollover, and not the rollover for a pause.
const CONFLICTS_BEFORE_LOCK: u32 = 3;
/// Conflicts in a row on a single org before a pass leaves it to the next one.
const CONFLICTS_PER_ORG: u32 = 20;
/// Waits for rows that somebody holds, on one page, before what is left of it is left to the next
/// pass. Most of a page's are short ones: to find one org among a thousand takes eleven.
const WAITS_PER_PAGE: usize = 40;
/// The longest pause after a conflict with a single org; each is drawn at random below it.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Rolls pages of orgs over, on one connection.
pub(super) struct Worker<'a> {
    planner: Planner<'a>,
    stamp: Stamp<'a>,
    /// Derived columns besides those that the plan writes.
    derived: &'a [Target],
    /// How long a page waits for what somebody holds, before it is taken apart.
    wait: Wait,
    /// Asks to leave what was taken apart.
    stop: Stop,
}

/// A page as it was read; nothing where its orgs cannot be read together.
pub(super) struct Seen {
    ids: Vec<Uuid>,
    read: Option<Read>,
}

/// A page with what it should become; nothing where its orgs cannot be planned together.
pub(super) struct Decided {
    ids: Vec<Uuid>,
    decision: Option<Decision>,
}

/// Orgs that are tried together, and how often they met a conflict.
struct Batch {
    ids: Vec<Uuid>,
    conflicts: u32,
    /// How long they wait for what somebody holds.
    wait: Wait,
}

impl Decided {
    /// How many orgs it is about.
    pub(super) fn size(&self) -> usize {
        self.ids.len()
    }
}

impl<'a> Worker<'a> {
    /// `real` is the database's clock when the pass began.
    pub(super) fn new(tz: &'a TzData, policy: &'a Policy, now: Instant, real: Instant) -> Self {
        let stamp = Stamp { now, counted_at: real, tzdb: tz.release() };
        let planner = Planner::new(tz, policy, now);
        Self { planner, stamp, derived: &[], wait: Wait::Long, stop: Stop::default() }
    }

    /// Has this worker write these columns, too, wherever an org moves.
    pub(super) fn also_write(&mut self, derived: &'a [Target]) {
        self.derived = derived;
    }

    /// Has this worker wait no longer than that, where the pass before met somebody who holds rows.
    pub(super) fn hurry(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// Has this worker end when it is asked to, even amid a page that was taken apart.
    pub(super) fn heed(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    /// A worker for dry runs.
    pub(super) fn foreseeing(self) -> Self {
        Self { planner: self.planner.foreseeing(), ..self }
    }

    /// Reads a page, before the one at hand is rolled over: what keeps it from being read is
    /// seen to when its turn comes.
    pub(super) async fn look_at(
        &mut self,
        connection: &mut Connection,
        ids: Vec<Uuid>,
    ) -> Result<Seen, StoreError> {
        let mut transaction = apply::begin_within(connection, self.wait).await?;
        let read = self.planner.read(&mut transaction, &ids).await;
        transaction.rollback().await?;
        Ok(Seen { ids, read: unless_taken_apart(read)? })
    }

    /// Plans a page that was read.
    pub(super) async fn decide(&self, seen: Seen) -> Result<Decided, StoreError> {
        let Seen { ids, read } = seen;
        let Some(read) = read else { return Ok(Decided { ids, decision: None }) };
        Ok(Decided { ids, decision: unless_taken_apart(self.planner.plan(read).await)? })
    }

    /// Rolls a page over, and plans the next one while the database is at work on this one. A
    /// conflict reads the page again; a row that cannot be processed falls back to ever smaller
    /// pages, until it stands alone and is parked.
    pub(super) async fn roll_over(
        &mut self,
        connection: &mut Connection,
        page: Decided,
        next: Option<Seen>,
    ) -> Result<(Tally, Option<Decided>), StoreError> {
        let Decided { ids, decision } = page;
        let mut tally = Tally::default();
        let batch = Batch { ids, conflicts: 0, wait: self.wait };
        let mut batches = Vec::new();
        let planning = async {
            match next {
                Some(seen) => self.decide(seen).await.map(Some),
                None => Ok(None),
            }
        };
        let next = if let Some(decision) = decision {
            let writing = self.write(connection, decision, &mut tally);
            let (written, next) = futures_util::future::join(writing, planning).await;
            batches.extend(self.follow_up(connection, batch, written, &mut tally).await?);
            next?
        } else {
            batches.push(batch);
            planning.await?
        };
        while let Some(batch) = batches.pop() {
            if self.stop.is_set() {
                // What is due stays due, for whoever comes next.
                break;
            }
            let written = self.attempt(connection, &batch, &mut tally).await;
            batches.extend(self.follow_up(connection, batch, written, &mut tally).await?);
        }
        Ok((tally, next))
    }

    /// What is left to try, after orgs were tried together.
    async fn follow_up(
        &self,
        connection: &mut Connection,
        batch: Batch,
        written: Result<Vec<Uuid>, StoreError>,
        tally: &mut Tally,
    ) -> Result<Vec<Batch>, StoreError> {
        let wait = batch.wait;
        match written {
            Ok(missed) if missed.is_empty() => Ok(Vec::new()),
            Ok(missed) => {
                tally.missed += missed.len();
                let why = "its row does not stand as it was read";
                Ok(after_conflict(Batch { ids: missed, ..batch }, why, tally).await)
            }
            Err(error) if error.is_held() => {
                tally.conflicts += 1;
                Ok(after_wait(batch.ids, tally))
            }
            Err(StoreError::Conflict(why)) => {
                tally.conflicts += 1;
                Ok(after_conflict(batch, &why, tally).await)
            }
            Err(StoreError::Unprocessable(_)) if batch.ids.len() > 1 => Ok(halves(batch.ids, wait)),
            Err(StoreError::Unprocessable(why)) => {
                match self.park_unreadable(connection, &batch.ids, why, wait).await {
                    Ok(parked) => tally.parked.extend(parked),
                    Err(StoreError::Conflict(why)) => tally.leave(batch.ids, &why),
                    Err(other) => return Err(other),
                }
                Ok(Vec::new())
            }
            Err(other) => Err(other),
        }
    }

    /// Plans a page without applying anything.
    pub(super) async fn plan_only(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<(Vec<Plan>, Vec<Parked>), StoreError> {
        let mut plans = Vec::new();
        let mut parked = Vec::new();
        let mut batches = vec![ids.to_vec()];
        while let Some(ids) = batches.pop() {
            match self.read_and_plan(connection, &ids).await {
                Ok(decision) => {
                    plans.extend(decision.planned.into_iter().map(|planned| planned.plan));
                    let reasons = decision.parkings.into_iter();
                    parked.extend(reasons.map(|(parking, slug)| parked_as(&parking, slug)));
                }
                Err(StoreError::Unprocessable(_)) if ids.len() > 1 => {
                    batches.extend(halves(ids, Wait::Long).into_iter().map(|batch| batch.ids));
                }
                Err(StoreError::Unprocessable(reason)) => {
                    let parkings = unreadable(connection, &ids, &reason).await?.into_iter();
                    parked.extend(parkings.map(|(parking, slug)| parked_as(&parking, slug)));
                }
                Err(other) => return Err(other),
            }
        }
        Ok((plans, parked))
    }

    /// Reads and plans orgs in one go.
    async fn read_and_plan(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Decision, StoreError> {
        let read = self.planner.read(connection, ids).await?;
        self.planner.plan(read).await
    }

    /// Reads, plans, checks and applies in one transaction; an org that met conflicts again and
    /// again, while nobody else may change its row. Returns the orgs that did not move, to be
    /// looked at again.
    async fn attempt(
        &mut self,
        connection: &mut Connection,
        batch: &Batch,
        tally: &mut Tally,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut transaction = apply::begin_within(connection, batch.wait).await?;
        if let (&[org], CONFLICTS_BEFORE_LOCK..) = (batch.ids.as_slice(), batch.conflicts) {
            claim::lock(&mut transaction, org).await?;
        }
        let decision = self.read_and_plan(&mut transaction, &batch.ids).await?;
        self.carry_out(transaction, decision, tally).await
    }

    /// Writes what was decided. Returns the orgs that did not move.
    async fn write(
        &self,
        connection: &mut Connection,
        decision: Decision,
        tally: &mut Tally,
    ) -> Result<Vec<Uuid>, StoreError> {
        let transaction = apply::begin_within(connection, self.wait).await?;
        self.carry_out(transaction, decision, tally).await
    }

    async fn carry_out(
        &self,
        mut transaction: Transaction<'_>,
        decision: Decision,
        tally: &mut Tally,
    ) -> Result<Vec<Uuid>, StoreError> {
        let Decision { planned, parkings } = decision;
        let parked = self.park(&mut transaction, parkings).await?;
        let moved = if planned.is_empty() {
            HashSet::new()
        } else {
            apply::apply(&mut transaction, &planned, self.stamp).await?
        };
        if !self.derived.is_empty() && !moved.is_empty() {
            let moved: Vec<Uuid> = moved.iter().copied().collect();
            sync::follow(&mut transaction, self.derived, &moved, self.stamp.now).await?;
        }
        transaction.commit().await?;
        let (applied, missed): (Vec<_>, Vec<_>) =
            planned.iter().partition(|planned| moved.contains(&planned.plan.org));
        for planned in applied {
            tally.applied(&planned.plan, self.stamp.now);
        }
        tally.parked.extend(parked);
        Ok(missed.iter().map(|planned| planned.plan.org).collect())
    }

    async fn park(
        &self,
        connection: &mut Connection,
        parkings: Vec<(Parking, String)>,
    ) -> Result<Vec<Parked>, StoreError> {
        if parkings.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Parking> = parkings.iter().map(|(parking, _)| parking.clone()).collect();
        let parked = apply::park(connection, &rows, self.stamp.now).await?;
        let ours = parkings.into_iter().filter(|(parking, _)| parked.contains(&parking.org));
        Ok(ours.map(|(parking, slug)| parked_as(&parking, slug)).collect())
    }

    async fn park_unreadable(
        &self,
        connection: &mut Connection,
        ids: &[Uuid],
        reason: String,
        wait: Wait,
    ) -> Result<Vec<Parked>, StoreError> {
        let mut transaction = apply::begin_within(connection, wait).await?;
        let parkings = unreadable(&mut transaction, ids, &reason).await?;
        let parked = self.park(&mut transaction, parkings).await?;
        transaction.commit().await?;
        Ok(parked)
    }
}

/// What keeps a page from being read or planned as a whole is found again, and seen to, when it is
/// its turn.
fn unless_taken_apart<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Conflict(_) | StoreError::Unprocessable(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn parked_as(parking: &Parking, slug: String) -> Parked {
    Parked { org: parking.org, slug, reason: parking.reason.clone() }
}

fn halves(mut ids: Vec<Uuid>, wait: Wait) -> Vec<Batch> {
    let rest = ids.split_off(ids.len() / 2);
    vec![Batch { ids, conflicts: 0, wait }, Batch { ids: rest, conflicts: 0, wait }]
}

/// The parkings of orgs whose rows cannot be read, with their names.
async fn unreadable(
    connection: &mut Connection,
    ids: &[Uuid],
    reason: &str,
) -> Result<Vec<(Parking, String)>, StoreError> {
    let slugs = snapshot::slugs(connection, ids).await?;
    let parking = |org: &Uuid| Parking { org: *org, revision: None, reason: reason.to_owned() };
    let name = |org: &Uuid| slugs.get(org).cloned().unwrap_or_else(|| org.to_string());
    Ok(ids.iter().map(|org| (parking(org), name(org))).collect())
}

/// What to try after a conflict: the same page again, then its halves; a single org after a
/// pause drawn at random, so that two that collide do not collide in step. An org that conflicts
/// again and again is left to the next pass: it must not keep the others from being closed.
async fn after_conflict(batch: Batch, why: &str, tally: &mut Tally) -> Vec<Batch> {
    let Batch { ids, conflicts, wait } = batch;
    let conflicts = conflicts + 1;
    if ids.len() > 1 {
        return if conflicts < CONFLICTS_PER_PAGE {
            vec![Batch { ids, conflicts, wait }]
        } else {
            halves(ids, wait)
        };
    }
    if conflicts == CONFLICTS_PER_ORG {
        tally.leave(ids, why);
        return Vec::new();
    }
    tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
    vec![Batch { ids, conflicts, wait }]
}

/// What to try after somebody held a row for too long: the halves, which wait less, until that org
/// stands alone. It is left to the next pass at once: to wait again would keep the others waiting.
fn after_wait(ids: Vec<Uuid>, tally: &mut Tally) -> Vec<Batch> {
    tally.waits += 1;
    if ids.len() > 1 && tally.waits < WAITS_PER_PAGE {
        return halves(ids, Wait::Short);
    }
    tally.leave(ids, "somebody else's transaction holds its rows, and does not end");
    Vec::new()
}
