//! What a rollover did, for people and programs.

use std::collections::HashSet;

use uuid::Uuid;

use crate::billing::Quantity;
use crate::billing::rollover::{ClosedUsage, Plan};

/// What a rollover did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// Orgs whose row moved.
    pub orgs: usize,
    /// Periods that were closed.
    pub periods_closed: usize,
    /// Orgs that had no open period and have one now.
    pub opened: usize,
    /// Entries written to the ledger of packs.
    pub pack_entries: usize,
    /// Pages that had to be read again because someone else was faster.
    pub conflicts: usize,
    /// Orgs that were parked by this run.
    pub parked: Vec<Parked>,
    /// What a dry run would do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Plan>,
    #[serde(skip)]
    seen: HashSet<Uuid>,
}

/// An org that was parked.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Parked {
    /// The org.
    pub org: Uuid,
    /// Its name for people; its id where the row cannot even be read.
    pub slug: String,
    /// Why.
    pub reason: String,
}

/// What one page did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) orgs: usize,
    pub(super) periods_closed: usize,
    pub(super) opened: usize,
    pub(super) pack_entries: usize,
    pub(super) conflicts: usize,
    pub(super) parked: Vec<Parked>,
    /// Orgs that someone else had moved.
    pub(super) missed: usize,
}

impl Tally {
    pub(super) fn applied(&mut self, plan: &Plan) {
        self.orgs += 1;
        self.periods_closed += plan.closes.len();
        self.opened += usize::from(plan.expected.period_end.is_none());
        self.pack_entries += plan.entries.len();
    }

    /// Did someone else get to most of a page of that many orgs first?
    pub(super) fn collided(&self, page: usize) -> bool {
        self.missed * 2 > page
    }
}

impl Report {
    /// Orgs that moved or were parked.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.orgs + self.parked.len()
    }

    pub(super) fn add(&mut self, tally: Tally) {
        self.orgs += tally.orgs;
        self.periods_closed += tally.periods_closed;
        self.opened += tally.opened;
        self.pack_entries += tally.pack_entries;
        self.conflicts += tally.conflicts;
        self.parked.extend(tally.parked);
    }

    /// Takes the plans and parkings of a dry run; an org that several walks find counts once.
    pub(super) fn preview(&mut self, (plans, parked): (Vec<Plan>, Vec<Parked>)) {
        for plan in plans {
            if self.seen.insert(plan.org) {
                let mut tally = Tally::default();
                tally.applied(&plan);
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
    #[must_use]
    pub fn planned_uncovered(&self) -> bool {
        self.planned_usage().any(|(_, usage)| usage.uncovered > Quantity::ZERO)
    }
}
