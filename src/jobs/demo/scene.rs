//! What the audience sees: events, and what each rollover closed, boundary by boundary.

use super::story::Event;
use crate::billing::{Instant, Quantity};
use crate::store::history::{ClosedRow, ExpiredRow};

/// A moment of the story.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scene {
    /// Something happened.
    Event(Event),
    /// The rollover ran, and something was due.
    Rollover {
        /// Business time of the run.
        at: Instant,
        /// The boundaries that had passed, oldest first.
        boundaries: Vec<Boundary>,
        /// What packs wrote off.
        expired: Vec<ExpiredRow>,
    },
}

/// The orgs of one zone whose period ended at one instant.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Boundary {
    /// The instant.
    pub at: Instant,
    /// The zone.
    pub time_zone: String,
    /// Whose period ended.
    pub orgs: Vec<OrgClose>,
}

/// How one org's period closed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OrgClose {
    /// The org, by its slug.
    pub org: String,
    /// How often its periods end.
    pub cycle: String,
    /// Start of the period.
    pub start: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The tier that grants in the next.
    pub tier_after: String,
    /// What was used of each feature.
    pub features: Vec<FeatureClose>,
}

/// How a period closed for one feature.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FeatureClose {
    /// The feature.
    pub feature: String,
    /// What one unit of it is called.
    pub unit: String,
    /// How much was used.
    pub used: Quantity,
    /// What packs paid.
    pub drawn: Quantity,
    /// What nothing paid.
    pub uncovered: Quantity,
}

impl Scene {
    /// A rollover's rows, put together by boundary and org; they come in that order.
    pub(super) fn rollover(at: Instant, rows: Vec<ClosedRow>, expired: Vec<ExpiredRow>) -> Self {
        let mut boundaries: Vec<Boundary> = Vec::new();
        for row in rows {
            let same = |last: &Boundary| last.at == row.end && last.time_zone == row.time_zone;
            if !boundaries.last().is_some_and(same) {
                let time_zone = row.time_zone.clone();
                boundaries.push(Boundary { at: row.end, time_zone, orgs: Vec::new() });
            }
            if let Some(boundary) = boundaries.last_mut() {
                boundary.add(row);
            }
        }
        Self::Rollover { at, boundaries, expired }
    }
}

impl Boundary {
    fn add(&mut self, row: ClosedRow) {
        let ClosedRow { org, cycle, start, tier, tier_after, .. } = row;
        if self.orgs.last().is_none_or(|last| last.org != org) {
            let features = Vec::new();
            self.orgs.push(OrgClose { org, cycle, start, tier, tier_after, features });
        }
        let quantities = row.used.zip(row.drawn).zip(row.uncovered);
        let named = row.feature.zip(quantities);
        if let (Some(org), Some((feature, ((used, drawn), uncovered)))) =
            (self.orgs.last_mut(), named)
        {
            let unit = row.unit.unwrap_or_else(|| "units".to_owned());
            org.features.push(FeatureClose { feature, unit, used, drawn, uncovered });
        }
    }
}
