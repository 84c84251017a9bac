//! Planning a page: what is read of its orgs, and what they should become.
//!
//! Reading needs the connection and planning does not: so a page can be planned while the
//! database is at work on the one before.

use std::collections::HashMap;
use std::sync::Arc;

use super::reading::{Facts, PlanBuilder, Reader, Room};
use super::report::Refused;
use crate::billing::check::check;
use crate::billing::org::{OrgState, Reason};
use crate::billing::parking::ParkedCode;
use crate::billing::rollover::{self, Plan};
use crate::billing::timeline::{Policy, Timeline};
use crate::billing::{Calendar, Cycle, Instant, Zone};
use crate::store::rollover::apply::Parking;
use crate::store::rollover::planned::{EndsSource, Planned};
use crate::store::rollover::snapshot::{self, Features, OrgRow};
use crate::store::{Connection, StoreError, orgs::packs, rollover::claim};
use crate::tz::TzData;
use uuid::Uuid;

/// Orgs that are planned in one go before the thread sees to its connections again.
const AT_A_STRETCH: usize = 32;

/// Plans pages of orgs.
pub(super) struct Planner<'a> {
    tz: &'a TzData,
    policy: &'a Policy,
    ended_tier: Arc<str>,
    /// Business time.
    now: Instant,
    /// What is read for: a dry run reads everything together, and locks nothing.
    is_dry: bool,
    /// Is business time read again once an org is locked?
    by_clock: bool,
    zones: HashMap<String, Result<Zone, Reason>>,
    features: Features,
}

/// What was read of a page.
#[derive(Default)]
pub(super) struct Read {
    drafts: Vec<(OrgRow, Timeline)>,
    facts: Facts,
    parkings: Vec<(Parking, String)>,
    alone: Vec<Uuid>,
    refused: Vec<Refused>,
    /// Everything was read under locks.
    is_locked: bool,
}

impl Read {
    fn recounts(&self) -> bool {
        self.drafts.iter().any(|(_, timeline)| timeline.recount.is_some())
    }

    /// How many rows of its orgs were read.
    pub(super) fn rows(&self) -> usize {
        self.facts.rows
    }

    /// The revision of the first org; the only one that is locked.
    pub(super) fn revision(&self) -> Option<i64> {
        self.drafts.first().map(|(row, _)| row.state.revision)
    }
}

/// What a page should become.
#[derive(Default)]
pub(super) struct Decision {
    pub(super) planned: Vec<Planned>,
    /// Orgs to set aside, with their names.
    pub(super) parkings: Vec<(Parking, String)>,
    /// Orgs that wait for something that orgs share to be repaired, with what.
    pub(super) left: Vec<(Uuid, String)>,
    /// Orgs that have to be locked before they are read.
    pub(super) alone: Vec<Uuid>,
    /// Orgs whose open period is too young to be closed early.
    pub(super) refused: Vec<Refused>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(tz: &'a TzData, policy: &'a Policy, now: Instant) -> Self {
        let ended_tier = policy.ended_tier.as_str().into();
        let (zones, features) = (HashMap::new(), Features::default());
        Self { tz, policy, ended_tier, now, is_dry: false, by_clock: false, zones, features }
    }

    /// Business time.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Has business time read again from the clock once an org is locked.
    pub(super) fn take_instants_under_locks(&mut self) {
        self.by_clock = true;
    }

    /// A planner for dry runs, which lock nothing and enter no packs in the ledger, and still have
    /// to foresee what those pay.
    pub(super) fn dry_run(self) -> Self {
        Self { is_dry: true, ..self }
    }

    /// Reads what the plans of a page depend on. Orgs that have to be locked before they are read
    /// are told apart: those whose usage is counted again, and those with packs that an application
    /// inserted by itself. `None` where there is no room for all that.
    pub(super) async fn read(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
        room: Room,
    ) -> Result<Option<Read>, StoreError> {
        let mut read = self.rows(connection, ids).await?;
        if self.is_dry {
            let mut reader = self.reader(connection, room);
            reader.foresee_packs = true;
            if !reader.mind_moved_bounds(&mut read.drafts).await? {
                return Ok(None);
            }
            let Some(facts) = reader.read(&read.drafts).await? else { return Ok(None) };
            read.facts = facts;
            return Ok(Some(read));
        }
        if !read.drafts.is_empty() {
            let unseen = snapshot::orgs_with_unseen_packs(connection, ids).await?;
            let needs_locks = |row: &OrgRow, timeline: &Timeline| {
                timeline.recount.is_some()
                    || row.state.period.is_some_and(|stored| stored.moved_from.is_some())
                    || unseen.contains(&row.state.id)
            };
            for (row, _) in read.drafts.extract_if(.., |(row, t)| needs_locks(row, t)) {
                read.alone.push(row.state.id);
            }
        }
        let mut reader = self.reader(connection, room);
        let Some(facts) = reader.read(&read.drafts).await? else { return Ok(None) };
        read.facts = facts;
        for (row, _) in read.drafts.extract_if(.., |(row, t)| read.facts.has_moved_bounds(row, t)) {
            read.alone.push(row.state.id);
        }
        Ok(Some(read))
    }

    /// Takes one org for the rest of the transaction, and reads what its plan depends on under the
    /// locks.
    ///
    /// Whoever else moves an org's counters takes them in the same order: the org's row, its
    /// counters, its users' counters, its users. What is read is read in statements of its own
    /// after that: a statement does not see what it waited for.
    pub(super) async fn read_locked(
        &mut self,
        connection: &mut Connection,
        org: Uuid,
        real: Instant,
    ) -> Result<Read, StoreError> {
        claim::lock(connection, org).await?;
        packs::enter_in_ledger(connection, &[org]).await?;
        let mut read = self.rows(connection, &[org]).await?;
        read.is_locked = true;
        let mut reader = self.reader(connection, Room::ALL);
        if let Some((row, timeline)) = read.drafts.first() {
            let since = row.state.period.map_or(timeline.start(), |stored| stored.period.start);
            reader.mind_moved_bounds(&mut read.drafts).await?;
            let recounts = read.recounts();
            claim::hold_counters(reader.connection, org, since, recounts, real).await?;
            // What was waited for may say otherwise.
            reader.mind_moved_bounds(&mut read.drafts).await?;
            if read.recounts() && !recounts {
                claim::hold_counters(reader.connection, org, since, true, real).await?;
            }
        }
        if self.by_clock && read.recounts() {
            // Uses under way have been waited for: they lie before this instant, all others wait.
            self.now = self.now.max(claim::clock(connection).await?);
            read = self.rows(connection, &[org]).await?;
            read.is_locked = true;
            self.reader(connection, Room::ALL).mind_moved_bounds(&mut read.drafts).await?;
        }
        let mut reader = self.reader(connection, Room::ALL);
        if let Some(facts) = reader.read(&read.drafts).await? {
            read.facts = facts;
        }
        Ok(read)
    }

    async fn rows(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Read, StoreError> {
        let rows = snapshot::orgs(connection, ids).await?;
        let mut read = Read { drafts: Vec::with_capacity(rows.len()), ..Read::default() };
        for mut row in rows {
            match self.timeline(&mut row.state) {
                Ok(timeline) => {
                    if self.policy.early.closes() && timeline.is_too_young(self.now) {
                        let slug = row.state.slug.clone();
                        let since = timeline.open.period.start;
                        read.refused.push(Refused { org: row.state.id, slug, since });
                    }
                    read.drafts.push((row, timeline));
                }
                Err(reason) => read.parkings.push(parking(&row.state, &reason)),
            }
        }
        Ok(read)
    }

    fn reader<'c>(&'c mut self, connection: &'c mut Connection, room: Room) -> Reader<'c> {
        let Self { features, now, .. } = self;
        Reader { connection, features, now: *now, foresee_packs: false, room }
    }

    /// Plans what was read, and leaves the thread to its connections now and then.
    pub(super) async fn plan(&self, read: Read) -> Result<Decision, StoreError> {
        let Read { drafts, mut facts, parkings, alone, refused, is_locked } = read;
        let planned = Vec::with_capacity(drafts.len());
        let mut decision = Decision { planned, parkings, left: Vec::new(), alone, refused };
        for (place, (row, timeline)) in drafts.into_iter().enumerate() {
            if place % AT_A_STRETCH == 0 {
                tokio::task::yield_now().await;
            }
            let (has_stale_ends, revision) = (row.has_stale_ends, row.state.revision);
            if let Some(fault) = facts.tier_fault(&row.state.subscription, &self.ended_tier) {
                decision
                    .left
                    .push((row.state.id, format!("{} has to wait: {fault}", row.state.slug)));
                continue;
            }
            let draft = facts.draft(row, timeline, self.ended_tier.clone())?;
            let planned = rollover::plan(&draft.snapshot, self.now);
            // Nothing is wrong with the org: what is to be repaired is the configuration's.
            if let Some(tier) = planned.as_ref().ok().and_then(|plan| facts.unknown_tier(plan)) {
                let slug = &draft.snapshot.org.slug;
                let why = format!(
                    "{slug} has to wait: its subscription has ended, and the tier `{tier}` of \
                     [rollover] ended_tier does not exist"
                );
                decision.left.push((draft.snapshot.org.id, why));
                continue;
            }
            match planned {
                Ok(plan) if !has_stale_ends && is_done(&plan, &draft.snapshot.org) => {}
                Ok(plan) if plan.needs_locks() && !is_locked && !self.is_dry => {
                    decision.alone.push(plan.org);
                }
                Ok(plan) => decision.plan(plan, draft, revision),
                Err(reason) => decision.parkings.push(parking(&draft.snapshot.org, &reason)),
            }
        }
        Ok(decision)
    }

    fn timeline(&mut self, org: &mut OrgState) -> Result<Timeline, Reason> {
        self.refuse_newer_tz(org)?;
        let (day, month) = (i64::from(org.anchor_day), i64::from(org.anchor_month));
        let cycle = Cycle::new(&org.cycle, day, month)?;
        let calendar = Calendar { zone: self.zone(&org.time_zone)?, cycle, time: org.anchor_time };
        if let Some(period) = &mut org.period {
            *period = period.ended_by(&calendar, self.now)?;
        }
        Timeline::of(org, &calendar, self.policy, self.now)
    }

    /// An end that came from an older tz database release is looked at under this one's rules, in
    /// the zone that it came from.
    fn refuse_newer_tz(&mut self, org: &mut OrgState) -> Result<(), Reason> {
        let OrgState { period: Some(period), ends_time_zone: Some(zone), .. } = org else {
            return Ok(());
        };
        if org.ends_tzdb.as_deref().is_some_and(|release| release < self.tz.release()) {
            *period = period.under(&self.zone(zone)?, org.ends_anchor_time, self.now)?;
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

fn parking(org: &OrgState, reason: &Reason) -> (Parking, String) {
    let (revision, code, reason) = (Some(org.revision), reason.code(), reason.to_string());
    (Parking { org: org.id, revision, code, reason }, org.slug.clone())
}

impl Decision {
    /// Takes a plan, if its checker finds no fault with it. A fault is a defect of ours: the org
    /// is set aside rather than billed wrongly.
    fn plan(&mut self, plan: Plan, draft: PlanBuilder, revision: i64) {
        let org = draft.snapshot.org;
        if let Some(fault) = check(&plan).first() {
            let reason = format!("periodd planned a rollover that breaks a rule: {fault}");
            let (revision, code) = (Some(revision), ParkedCode::PlanFault);
            let parking = Parking { org: org.id, revision, code, reason };
            self.parkings.push((parking, org.slug));
            return;
        }
        let source = EndsSource {
            time_zone: org.time_zone,
            cycle: org.cycle,
            anchor_day: org.anchor_day,
            anchor_month: org.anchor_month,
            anchor_time: org.anchor_time,
            tzdb: org.ends_tzdb,
        };
        let (counting, expects_to_count) = (draft.counting, draft.counted);
        self.planned.push(Planned { plan, source, counting, expects_to_count });
    }
}
