//! What a rollover did, for people and programs.

use std::collections::HashSet;

use uuid::Uuid;

use super::lateness::Lateness;
use crate::billing::parking::ParkedCode;
use crate::billing::rollover::{ClosedUsage, Plan};
use crate::billing::{Instant, Quantity};
use crate::jobs::batches::Left;
use crate::jobs::columns::ColumnLeftOut;

/// What a rollover did.
#[derive(Debug, Default, serde::Serialize, schemars::JsonSchema)]
pub struct RolloverReport {
    /// Orgs that this run has brought up to now: each counts once, however many passes it took.
    pub orgs: usize,
    /// Periods that were closed.
    pub periods_closed: usize,
    /// How long after their ends.
    #[serde(skip)]
    pub lateness: Lateness,
    /// Orgs that had no open period and have one now.
    pub opened: usize,
    /// Entries written to the ledger of packs.
    pub pack_entries: usize,
    /// Pages that had to be read again because someone else was faster.
    pub conflicts: usize,
    /// Orgs that were parked by this run.
    pub parked: Vec<Parked>,
    /// Orgs that were neither processed nor parked, because the database refuses both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Left>,
    /// Orgs whose open period has begun too recently to be closed early.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Derived columns that nothing was written to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_left_out: Vec<ColumnLeftOut>,
    /// What a dry run would do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Plan>,
    /// It was asked to stop, and may have left something to do.
    #[serde(skip)]
    pub stopped: bool,
    /// Moves of orgs' rows: one that takes several passes moves several times.
    #[serde(skip)]
    moves: usize,
    /// Orgs that the last pass left alone, with why.
    #[serde(skip)]
    left: Vec<(Uuid, String)>,
    /// Orgs that others had moved before the last pass came to them.
    #[serde(skip)]
    missed: usize,
    /// May an org come up to now twice? Then the orgs are remembered, to count each once.
    #[serde(skip)]
    tells_apart: bool,
    #[serde(skip)]
    seen: HashSet<Uuid>,
}

/// An org that was parked.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Parked {
    /// The org.
    pub org: Uuid,
    /// Its name for people; its id where the row cannot even be read.
    pub slug: String,
    /// Why, as a code.
    pub code: ParkedCode,
    /// Why.
    pub reason: String,
}

/// An org whose open period is not closed early, because it has only just begun.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Refused {
    /// The org.
    pub org: Uuid,
    /// Its name for people.
    pub slug: String,
    /// When its open period began.
    pub since: Instant,
}

/// What one page did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) moves: usize,
    /// Orgs that are up to now.
    pub(super) finished: Vec<Uuid>,
    pub(super) periods_closed: usize,
    pub(super) lateness: Lateness,
    pub(super) opened: usize,
    pub(super) pack_entries: usize,
    pub(super) conflicts: usize,
    pub(super) parked: Vec<Parked>,
    /// Orgs that cannot even be parked.
    pub(super) skipped: Vec<Left>,
    /// Orgs that were not closed early.
    pub(super) refused: Vec<Refused>,
    /// Orgs that someone else had moved.
    pub(super) missed: usize,
    /// Orgs that are left to the next pass, with why.
    pub(super) left: Vec<(Uuid, String)>,
}

/// What a dry run foresees for a page.
#[derive(Debug, Default)]
pub(super) struct Preview {
    pub(super) plans: Vec<Plan>,
    pub(super) parked: Vec<Parked>,
    pub(super) refused: Vec<Refused>,
}

impl Tally {
    pub(super) fn applied(&mut self, plan: &Plan, now: Instant) {
        self.moves += 1;
        // An org with more to close moves again in the next pass, and counts then.
        self.finished.extend((plan.open.end > now).then_some(plan.org));
        self.periods_closed += plan.closes.len();
        plan.closes.iter().for_each(|close| self.lateness.note(close.period.end, now));
        self.opened += usize::from(plan.expected.period_end.is_none());
        self.pack_entries += plan.entries.len();
    }

    /// Leaves an org to the next pass.
    pub(super) fn leave(&mut self, org: Uuid, why: &str) {
        self.left.push((org, format!("org {org} could not be closed: {why}")));
    }

    /// Did someone else get to most of a page of that many orgs first?
    pub(super) fn collided(&self, page: usize) -> bool {
        self.missed * 2 > page
    }
}

impl RolloverReport {
    /// A report of a run in which an org may come up to now more than once.
    pub(super) fn telling_apart() -> Self {
        Self { tells_apart: true, ..Self::default() }
    }

    /// How often orgs moved or were parked: what tells a pass that did something.
    pub fn touched(&self) -> usize {
        self.moves + self.parked.len()
    }

    pub(super) fn add(&mut self, tally: Tally) {
        self.moves += tally.moves;
        self.orgs += if self.tells_apart {
            tally.finished.into_iter().filter(|org| self.seen.insert(*org)).count()
        } else {
            tally.finished.len()
        };
        self.periods_closed += tally.periods_closed;
        self.lateness.add(&tally.lateness);
        self.opened += tally.opened;
        self.pack_entries += tally.pack_entries;
        self.conflicts += tally.conflicts;
        self.parked.extend(tally.parked);
        tally.skipped.into_iter().for_each(|org| self.skip(org));
        // A pass may tell later whose fault it is.
        let Self { skipped, parked, .. } = self;
        skipped.retain(|skipped| parked.iter().all(|parked| parked.org != skipped.org));
        self.refuse(tally.refused);
        self.left.extend(tally.left);
        self.missed += tally.missed;
    }

    /// Each org is skipped once, however many passes come to it.
    pub(super) fn skip(&mut self, org: Left) {
        if !self.skipped.iter().any(|known| known.org == org.org) {
            self.skipped.push(org);
        }
    }

    /// Each org is refused once, however often it is come to.
    fn refuse(&mut self, refused: Vec<Refused>) {
        for one in refused {
            if !self.refused.iter().any(|known| known.org == one.org) {
                self.refused.push(one);
            }
        }
    }

    /// Takes out what the last pass left alone, and how often others were faster than it.
    pub(super) fn take_left_and_missed(&mut self) -> (Vec<(Uuid, String)>, usize) {
        (std::mem::take(&mut self.left), std::mem::take(&mut self.missed))
    }

    /// Takes the plans and parkings of a dry run; an org that several walks find counts once.
    pub(super) fn preview(&mut self, preview: Preview, now: Instant) {
        let Preview { plans, parked, refused } = preview;
        self.refuse(refused);
        for plan in plans {
            if !self.seen.contains(&plan.org) {
                let mut tally = Tally::default();
                tally.applied(&plan, now);
                self.add(tally);
                self.plans.push(plan);
            }
        }
        let seen = &mut self.seen;
        self.parked.extend(parked.into_iter().filter(|parked| seen.insert(parked.org)));
    }

    /// The closed usage of a dry run's plans.
    pub fn planned_usage(&self) -> impl Iterator<Item = (&Plan, &ClosedUsage)> {
        let closes = self.plans.iter().flat_map(|plan| plan.closes.iter().map(move |c| (plan, c)));
        closes.flat_map(|(plan, close)| close.features.iter().map(move |usage| (plan, usage)))
    }

    /// What stays uncovered in a dry run's plans.
    pub fn planned_uncovered(&self) -> bool {
        self.planned_usage().any(|(_, usage)| usage.uncovered > Quantity::ZERO)
    }
}
