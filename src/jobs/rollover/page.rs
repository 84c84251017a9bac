//! One page of orgs: read, plan, check, apply; and what to do when one of the four fails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::reading::{Draft, Reader};
use super::report::{Parked, Tally};
use crate::billing::check::check;
use crate::billing::rollover::{self, OrgState, Plan, Reason};
use crate::billing::timeline::{Policy, Timeline};
use crate::billing::{Calendar, Cycle, Instant, Zone};
use crate::jobs::sync;
use crate::store::apply::{self, EndsSource, Parking, Planned, Stamp};
use crate::store::derived::Target;
use crate::store::snapshot::{self, Features};
use crate::store::{Connection, StoreError, claim};
use crate::tzdata::TzData;

/// Conflicts in a row on the same page before it is taken apart: many orgs at once are fast, few
/// at once get through.
const CONFLICTS_PER_PAGE: u32 = 2;
/// Conflicts in a row on a single org before its row is locked: whoever sells packs to it without
/// a pause then waits for the rollover, and not the rollover for a pause.
const CONFLICTS_BEFORE_LOCK: u32 = 3;
/// Conflicts in a row on a single org before a pass leaves it to the next one.
const CONFLICTS_PER_ORG: u32 = 20;
/// The longest pause after a conflict with a single org; each is drawn at random below it.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Rolls pages of orgs over, on one connection.
pub(super) struct Worker<'a> {
    tz: &'a TzData,
    policy: &'a Policy,
    ended_tier: Arc<str>,
    /// Business time.
    now: Instant,
    /// The database's clock when the pass began.
    real: Instant,
    /// Packs that nobody has entered in the ledger yet pay as if they had been.
    foresee_packs: bool,
    zones: HashMap<String, Result<Zone, Reason>>,
    features: Features,
    /// Derived columns besides those that the plan writes.
    derived: &'a [Target],
}

/// Orgs that are tried together, and how often they met a conflict.
struct Batch {
    ids: Vec<Uuid>,
    conflicts: u32,
}

/// What a page should become.
#[derive(Default)]
struct Decision {
    planned: Vec<Planned>,
    parkings: Vec<(Parking, String)>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(tz: &'a TzData, policy: &'a Policy, now: Instant, real: Instant) -> Self {
        let ended_tier = policy.ended_tier.as_str().into();
        let (zones, features) = (HashMap::new(), Features::default());
        let derived = &[];
        Self { tz, policy, ended_tier, now, real, foresee_packs: false, zones, features, derived }
    }

    /// Has this worker write these columns, too, wherever an org moves.
    pub(super) fn also_write(&mut self, derived: &'a [Target]) {
        self.derived = derived;
    }

    /// A worker for dry runs, which enter no packs in the ledger and still have to foresee what
    /// those pay.
    pub(super) fn foreseeing(self) -> Self {
        Self { foresee_packs: true, ..self }
    }

    /// Rolls a page over. A conflict reads it again; a row that cannot be processed falls back to
    /// ever smaller pages, until it stands alone and is parked.
    pub(super) async fn roll_over(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        let mut batches = vec![Batch { ids: ids.to_vec(), conflicts: 0 }];
        while let Some(Batch { ids, conflicts }) = batches.pop() {
            let lock = ids.len() == 1 && conflicts >= CONFLICTS_BEFORE_LOCK;
            match self.attempt(connection, &ids, lock, &mut tally).await {
                Ok(missed) if missed.is_empty() => {}
                Ok(missed) => {
                    tally.missed += missed.len();
                    let why = "its row does not stand as it was read";
                    batches.extend(after_conflict(missed, conflicts, why, &mut tally).await);
                }
                Err(StoreError::Conflict(why)) => {
                    tally.conflicts += 1;
                    batches.extend(after_conflict(ids, conflicts, &why, &mut tally).await);
                }
                Err(StoreError::Unprocessable(_)) if ids.len() > 1 => {
                    batches.extend(halves(ids, 0));
                }
                Err(StoreError::Unprocessable(why)) => {
                    self.park_unreadable(connection, &ids, why, &mut tally).await?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(tally)
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
            match self.decide(connection, &ids).await {
                Ok(decision) => {
                    plans.extend(decision.planned.into_iter().map(|planned| planned.plan));
                    let reasons = decision.parkings.into_iter();
                    parked.extend(reasons.map(|(parking, slug)| parked_as(&parking, slug)));
                }
                Err(StoreError::Unprocessable(_)) if ids.len() > 1 => {
                    batches.extend(halves(ids, 0).into_iter().map(|batch| batch.ids));
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

    /// Reads, plans, checks and applies once; with `lock`, while nobody else may change the row.
    /// Returns the orgs that did not move, to be looked at again.
    async fn attempt(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
        lock: bool,
        tally: &mut Tally,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut transaction = apply::begin(connection).await?;
        if let ([org], true) = (ids, lock) {
            claim::lock(&mut transaction, *org).await?;
        }
        let Decision { planned, parkings } = self.decide(&mut transaction, ids).await?;
        let parked = self.park(&mut transaction, parkings).await?;
        let stamp = Stamp { now: self.now, counted_at: self.real, tzdb: self.tz.release() };
        let moved = if planned.is_empty() {
            HashSet::new()
        } else {
            apply::apply(&mut transaction, &planned, stamp).await?
        };
        if !self.derived.is_empty() && !moved.is_empty() {
            let moved: Vec<Uuid> = moved.iter().copied().collect();
            sync::follow(&mut transaction, self.derived, &moved, self.now).await?;
        }
        transaction.commit().await?;
        let (applied, missed): (Vec<_>, Vec<_>) =
            planned.iter().partition(|planned| moved.contains(&planned.plan.org));
        for planned in applied {
            tally.applied(&planned.plan, self.now);
        }
        tally.parked.extend(parked);
        Ok(missed.iter().map(|planned| planned.plan.org).collect())
    }

    /// Reads a page and plans it.
    async fn decide(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Decision, StoreError> {
        let rows = snapshot::orgs(connection, ids).await?;
        let mut decision = Decision::default();
        let mut drafts = Vec::with_capacity(rows.len());
        for mut row in rows {
            match self.timeline(&mut row.state) {
                Ok(timeline) => drafts.push((row, timeline)),
                Err(reason) => decision.park(&row.state, &reason),
            }
        }
        let (now, foresee_packs) = (self.now, self.foresee_packs);
        let mut reader = Reader { connection, features: &mut self.features, now, foresee_packs };
        let mut facts = reader.read(&drafts).await?;
        for (row, timeline) in drafts {
            let (has_stale_ends, revision) = (row.has_stale_ends, row.state.revision);
            let draft = facts.draft(row, timeline, self.ended_tier.clone())?;
            match rollover::plan(&draft.snapshot, self.now) {
                Ok(plan) if !has_stale_ends && is_done(&plan, &draft.snapshot.org) => {}
                Ok(plan) => decision.plan(plan, draft, revision),
                Err(reason) => decision.park(&draft.snapshot.org, &reason),
            }
        }
        Ok(decision)
    }

    fn timeline(&mut self, org: &mut OrgState) -> Result<Timeline, Reason> {
        self.mind_newer_rules(org)?;
        let (day, month) = (i64::from(org.anchor_day), i64::from(org.anchor_month));
        let cycle = Cycle::new(&org.cycle, day, month)?;
        let calendar = Calendar { zone: self.zone(&org.time_zone)?, cycle };
        Timeline::of(org, &calendar, self.policy, self.now)
    }

    /// An end that came from an older tz database release is looked at under this one's rules, in
    /// the zone that it came from.
    fn mind_newer_rules(&mut self, org: &mut OrgState) -> Result<(), Reason> {
        let OrgState { period: Some(period), ends_time_zone: Some(zone), .. } = org else {
            return Ok(());
        };
        if org.ends_tzdb.as_deref().is_some_and(|release| release < self.tz.release()) {
            *period = period.under(&self.zone(zone)?, self.now)?;
        }
        Ok(())
    }

    fn zone(&mut self, name: &str) -> Result<Zone, Reason> {
        if let Some(known) = self.zones.get(name) {
            return known.clone();
        }
        let zone = self.tz.zone(name).map_err(|unknown| Reason::Zone(unknown.to_string()));
        self.zones.insert(name.to_owned(), zone.clone());
        zone
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
        let parked = apply::park(connection, &rows, self.now).await?;
        let ours = parkings.into_iter().filter(|(parking, _)| parked.contains(&parking.org));
        Ok(ours.map(|(parking, slug)| parked_as(&parking, slug)).collect())
    }

    async fn park_unreadable(
        &self,
        connection: &mut Connection,
        ids: &[Uuid],
        reason: String,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let parkings = unreadable(connection, ids, &reason).await?;
        tally.parked.extend(self.park(connection, parkings).await?);
        Ok(())
    }
}

/// Nothing is due, nothing is to be settled, and the row says so already.
fn is_done(plan: &Plan, org: &OrgState) -> bool {
    plan.closes.is_empty()
        && plan.entries.is_empty()
        && plan.next_ends == org.next_period_ends
        && org
            .period
            .is_some_and(|stored| stored.period == plan.open && stored.moved_from.is_none())
}

fn parked_as(parking: &Parking, slug: String) -> Parked {
    Parked { org: parking.org, slug, reason: parking.reason.clone() }
}

fn halves(mut ids: Vec<Uuid>, conflicts: u32) -> Vec<Batch> {
    let rest = ids.split_off(ids.len() / 2);
    vec![Batch { ids, conflicts }, Batch { ids: rest, conflicts }]
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
async fn after_conflict(
    ids: Vec<Uuid>,
    conflicts: u32,
    why: &str,
    tally: &mut Tally,
) -> Vec<Batch> {
    let conflicts = conflicts + 1;
    if ids.len() > 1 {
        return if conflicts < CONFLICTS_PER_PAGE {
            vec![Batch { ids, conflicts }]
        } else {
            halves(ids, 0)
        };
    }
    if conflicts == CONFLICTS_PER_ORG {
        tally.left.extend(ids.into_iter().map(|org| (org, why.to_owned())));
        return Vec::new();
    }
    tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
    vec![Batch { ids, conflicts }]
}

impl Decision {
    fn park(&mut self, org: &OrgState, reason: &Reason) {
        let (revision, reason) = (Some(org.revision), reason.to_string());
        self.parkings.push((Parking { org: org.id, revision, reason }, org.slug.clone()));
    }

    /// Takes a plan, if its checker finds no fault with it. A fault is a defect of ours: the org
    /// is set aside rather than billed wrongly.
    fn plan(&mut self, plan: Plan, draft: Draft, revision: i64) {
        let org = draft.snapshot.org;
        if let Some(fault) = check(&plan).first() {
            let reason = format!("periodd planned a rollover that breaks a rule: {fault}");
            let parking = Parking { org: org.id, revision: Some(revision), reason };
            self.parkings.push((parking, org.slug));
            return;
        }
        let source = EndsSource {
            time_zone: org.time_zone,
            cycle: org.cycle,
            anchor_day: org.anchor_day,
            anchor_month: org.anchor_month,
            tzdb: org.ends_tzdb,
        };
        let (counting, expects_to_count) = (draft.counting, draft.counted);
        self.planned.push(Planned { plan, source, counting, expects_to_count });
    }
}
