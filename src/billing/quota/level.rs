//! Levels: features that do not reset, such as storage, seats or projects.
//!
//! A counter is the sum of the metrics of its period, also of a level: where a period closes, the
//! rollover writes a metric of the whole level at the start of the next one. So whoever counts,
//! audits or removes metrics needs to know nothing of levels. A pack raises the limit of a level
//! while it lasts, and pays for nothing.

use super::Feature;
use crate::billing::{Instant, Quantity};

/// Keys of the metrics that carry levels over begin so, and end in a random id.
pub const CARRIED_KEY: &str = "periodd:carried:";

/// How a feature is counted.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// Usage begins at zero in every period.
    #[default]
    Metered,
    /// It carries over: storage, seats, projects.
    Level,
}

impl FeatureKind {
    /// The word in the tables and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Level => "level",
        }
    }

    /// The kind of that name; the schema knows no others.
    pub fn named(name: &str) -> Self {
        if name == Self::Level.name() { Self::Level } else { Self::Metered }
    }
}

/// A level that a rollover carries over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub feature: Feature,
    /// The period that it is carried into, by its start.
    pub period_start: Instant,
    /// The end of that period.
    pub period_end: Instant,
    pub level: Quantity,
}
