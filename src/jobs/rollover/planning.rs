//! Planning a page: what is read of its orgs, and what they should become.
//!
//! Reading needs the connection and planning does not: so a page can be planned while the
//! database is at work on the one before.

use std::collections::HashMap;
use std::sync::Arc;

use super::reading::{Draft, Facts, Reader};
use crate::billing::check::check;
use crate::billing::rollover::{self, OrgState, Plan, Reason};
use crate::billing::timeline::{Policy, Timeline};
use crate::billing::{Calendar, Cycle, Instant, Zone};
use crate::store::apply::{EndsSource, Parking, Planned};
use crate::store::snapshot::{self, Features, OrgRow};
use crate::store::{Connection, StoreError};
use crate::tzdata::TzData;
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
    /// Packs that nobody has entered in the ledger yet pay as if they had been.
    foresee_packs: bool,
    zones: HashMap<String, Result<Zone, Reason>>,
    features: Features,
}

/// What was read of a page.
pub(super) struct Read {
    drafts: Vec<(OrgRow, Timeline)>,
    facts: Facts,
    parkings: Vec<(Parking, String)>,
}

/// What a page should become.
#[derive(Default)]
pub(super) struct Decision {
    pub(super) planned: Vec<Planned>,
    /// Orgs to set aside, with their names.
    pub(super) parkings: Vec<(Parking, String)>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(tz: &'a TzData, policy: &'a Policy, now: Instant) -> Self {
        let ended_tier = policy.ended_tier.as_str().into();
        let (zones, features) = (HashMap::new(), Features::default());
        Self { tz, policy, ended_tier, now, foresee_packs: false, zones, features }
    }

    /// A planner for dry runs, which enter no packs in the ledger and still have to foresee what
    /// those pay.
    pub(super) fn foreseeing(self) -> Self {
        Self { foresee_packs: true, ..self }
    }

    /// Reads what the plans of a page depend on.
    pub(super) async fn read(
        &mut self,
        connection: &mut Connection,
        ids: &[Uuid],
    ) -> Result<Read, StoreError> {
        let rows = snapshot::orgs(connection, ids).await?;
        let mut drafts = Vec::with_capacity(rows.len());
        let mut parkings = Vec::new();
        for mut row in rows {
            match self.timeline(&mut row.state) {
                Ok(timeline) => drafts.push((row, timeline)),
                Err(reason) => parkings.push(parking(&row.state, &reason)),
            }
        }
        let (now, foresee_packs) = (self.now, self.foresee_packs);
        let mut reader = Reader { connection, features: &mut self.features, now, foresee_packs };
        let facts = reader.read(&drafts).await?;
        Ok(Read { drafts, facts, parkings })
    }

    /// Plans what was read, and leaves the thread to its connections now and then.
    pub(super) async fn plan(&self, read: Read) -> Result<Decision, StoreError> {
        let Read { drafts, mut facts, parkings } = read;
        let planned = Vec::with_capacity(drafts.len());
        let mut decision = Decision { planned, parkings };
        for (place, (row, timeline)) in drafts.into_iter().enumerate() {
            if place % AT_A_STRETCH == 0 {
                tokio::task::yield_now().await;
            }
            let (has_stale_ends, revision) = (row.has_stale_ends, row.state.revision);
            let draft = facts.draft(row, timeline, self.ended_tier.clone())?;
            match rollover::plan(&draft.snapshot, self.now) {
                Ok(plan) if !has_stale_ends && is_done(&plan, &draft.snapshot.org) => {}
                Ok(plan) => decision.plan(plan, draft, revision),
                Err(reason) => decision.parkings.push(parking(&draft.snapshot.org, &reason)),
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
    let (revision, reason) = (Some(org.revision), reason.to_string());
    (Parking { org: org.id, revision, reason }, org.slug.clone())
}

impl Decision {
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
