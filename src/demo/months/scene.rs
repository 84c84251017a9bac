//! What the audience sees: events, and what each rollover closed, boundary by boundary.

use super::story::Event;
use crate::billing::{Instant, Quantity, TimeOfDay};
use crate::jobs::sync::{self, Late};
use crate::store::reports::history::{ClosedRow, ExpiredRow};

/// A moment of the story.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Scene {
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
    /// An audit ran.
    Audit {
        /// Business time of the run.
        at: Instant,
        /// What it found wrong and repaired.
        drift: Vec<Drift>,
        /// Late usage that it decided.
        late: Vec<Late>,
        /// What was purchased without a pack.
        purchases: Vec<Purchase>,
    },
}

/// A purchase that no pack stands for.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Purchase {
    /// The org, by its slug.
    pub(crate) org: String,
    /// How much.
    pub(crate) quantity: Quantity,
}

/// A value that an audit repaired.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Drift {
    /// The org, by its slug.
    pub(crate) org: String,
    /// The feature.
    pub(crate) feature: String,
    /// Where it stands.
    pub(crate) place: String,
    /// What it held.
    pub(crate) before: Option<Quantity>,
    /// What it holds since.
    pub(crate) after: Quantity,
}

/// The orgs of one zone whose period ended at one instant.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Boundary {
    /// The instant.
    pub(crate) at: Instant,
    /// The zone.
    pub(crate) time_zone: String,
    /// Whose period ended.
    pub(crate) orgs: Vec<OrgClose>,
}

/// How one org's period closed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct OrgClose {
    /// The org, by its slug.
    pub(crate) org: String,
    /// How often its periods end.
    pub(crate) cycle: String,
    /// Local time of day at which they end.
    pub(crate) anchor_time: TimeOfDay,
    /// Start of the period.
    pub(crate) start: Instant,
    /// The tier that granted in it.
    pub(crate) tier: String,
    /// The tier that grants in the next.
    pub(crate) tier_after: String,
    /// What was used of each feature.
    pub(crate) features: Vec<FeatureClose>,
}

/// How a period closed for one feature.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct FeatureClose {
    /// The feature.
    pub(crate) feature: String,
    /// What one unit of it is called.
    pub(crate) unit: String,
    /// How much was used.
    pub(crate) used: Quantity,
    /// What packs paid.
    pub(crate) drawn: Quantity,
    /// What nothing paid.
    pub(crate) uncovered: Quantity,
}

impl Scene {
    /// What an audit reports.
    pub(super) fn audit(at: Instant, report: sync::SyncReport) -> Self {
        let drift = report.drift.into_iter().map(|line| Drift {
            org: line.slug,
            feature: line.feature,
            place: line.place,
            before: line.before,
            after: line.after,
        });
        let purchases = report.purchases_without_pack.into_iter();
        let purchases = purchases.map(|line| Purchase { org: line.org, quantity: line.quantity });
        Self::Audit {
            at,
            drift: drift.collect(),
            late: report.late,
            purchases: purchases.collect(),
        }
    }

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
        let ClosedRow { org, cycle, anchor_time, start, tier, tier_after, .. } = row;
        if self.orgs.last().is_none_or(|last| last.org != org) {
            let features = Vec::new();
            let close = OrgClose { org, cycle, anchor_time, start, tier, tier_after, features };
            self.orgs.push(close);
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
