//! What a sync did, for people and programs.

use std::collections::HashSet;

use uuid::Uuid;

use crate::billing::Quantity;
use crate::billing::late::{Adjustment, Kind};
use crate::billing::{Instant, quota::Feature};
use crate::jobs::Left;
use crate::jobs::columns::ColumnLeftOut;
use crate::jobs::rollover::Parked;
use crate::store::audit::drift::Mended;

/// Lines that are kept of each list; what comes after them is counted.
const LINES: usize = 1_000;

/// What a sync did.
#[derive(Debug, Default, serde::Serialize, schemars::JsonSchema)]
pub struct SyncReport {
    /// Metrics that were counted.
    pub metrics_counted: u64,
    /// Metrics from before an org's first period: done with, in no counter.
    pub before_first_period: u64,
    /// Counters whose copies are up to date now.
    pub counters_synced: u64,
    /// Copies that were written.
    pub columns_written: u64,
    /// Late usage that was found and decided.
    pub late: Vec<Late>,
    /// What the audit looked at; `None` where only counting was asked for.
    pub audited: Option<Audited>,
    /// Values that were found wrong, and repaired unless only a check was requested.
    pub drift_found: u64,
    /// The first thousand of them.
    pub drift: Vec<Mended>,
    /// What someone sold without a pack.
    pub purchases_without_pack: Vec<WithoutPack>,
    /// Orgs that were parked by this run.
    pub parked: Vec<Parked>,
    /// Orgs that were skipped until the next run, because their rows are locked or constantly
    /// changed by others.
    pub left: Vec<Left>,
    /// Orgs that were neither processed nor parked, because the database refuses both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Left>,
    /// Periods that hold fewer metrics than at the last audit: their orgs are left out of it.
    pub left_out: Vec<LeftOut>,
    /// Why a run would be refused that is not only a check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Derived columns that nothing was written to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_left_out: Vec<ColumnLeftOut>,
    /// Pages that had to be read again because someone else was faster.
    pub conflicts: usize,
    /// It was asked to end, and may have left something to do.
    #[serde(skip)]
    pub stopped: bool,
    #[serde(skip)]
    seen: HashSet<(Uuid, String)>,
}

/// What an audit looked at.
#[derive(Debug, Default, Clone, Copy, serde::Serialize, schemars::JsonSchema)]
pub struct Audited {
    /// Orgs.
    pub orgs: u64,
    /// Metrics.
    pub metrics: u64,
}

/// A period that holds fewer metrics than at the last audit.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct LeftOut {
    /// The org, by its slug.
    pub org: String,
    /// The period, by its start.
    pub period_start: Instant,
    /// Metrics that it held then.
    pub then: i64,
    /// Metrics that it holds now.
    pub now: i64,
}

/// Late usage of a closed period.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Late {
    /// The org, by its slug.
    pub org: String,
    /// The feature.
    pub feature: Feature,
    /// The closed period, by its start.
    pub period_start: Instant,
    /// Charged to it, or not charged.
    pub kind: Kind,
    /// How much came late; negative for a correction.
    pub used: Quantity,
    /// What packs paid; negative when it went back.
    pub drawn: Quantity,
    /// What nobody paid; negative when less is uncovered.
    pub uncovered: Quantity,
    /// Why, in a sentence.
    pub reason: String,
}

/// What someone added to a purchased column without a pack.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct WithoutPack {
    /// The org, by its slug.
    pub org: String,
    /// The column.
    pub column: String,
    /// The feature.
    pub feature: String,
    /// The quantity, which is kept in addition to the packs.
    pub quantity: Quantity,
    /// The command that repairs it.
    pub mended_by: String,
    /// Why no notice of it could be recorded; the next audit tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
}

impl SyncReport {
    /// Of a run that writes nothing to these columns.
    pub(super) fn without(columns: &[ColumnLeftOut]) -> Self {
        Self { columns_left_out: columns.to_vec(), ..Self::default() }
    }

    pub(super) fn late(&mut self, org: &str, feature: &Feature, start: Instant, late: &Adjustment) {
        self.late.push(Late {
            org: org.to_owned(),
            feature: feature.clone(),
            period_start: start,
            kind: late.kind,
            used: late.used,
            drawn: late.drawn,
            uncovered: late.uncovered,
            reason: late.reason.clone(),
        });
    }

    pub(super) fn drift(&mut self, mended: impl IntoIterator<Item = Mended>) {
        for line in mended {
            self.drift_found += 1;
            if self.drift.len() < LINES {
                self.drift.push(line);
            }
        }
    }

    /// Takes a purchase without a pack; one that several passes see counts once.
    pub(super) fn without_pack(&mut self, id: Uuid, line: WithoutPack) {
        if self.seen.insert((id, line.column.clone())) {
            self.purchases_without_pack.push(line);
        }
    }
}
