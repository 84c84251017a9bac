//! What an email about a notice says, as facts; and how its templates see it.
//!
//! Never: a sentence or markup in a letter; a fact that is read again after it was composed.

pub(super) mod samples;
pub(super) mod view;

use serde::{Deserialize, Serialize};

use crate::billing::notice::Kind;
use crate::billing::{LocalDate, LocalTime, Quantity};

/// Everything that an email about a notice says. It is composed once and stored as JSON, so that
/// every attempt renders the same email. What a kind says nothing of is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoticeLetter {
    /// What it is about; its folder of templates has the same name.
    pub kind: Kind,
    /// Can its recipients unsubscribe from this kind?
    pub opt_out: bool,
    /// The org's name for people; any text.
    pub org_name: String,
    /// The org's short name.
    pub org_slug: String,
    /// What is metered; empty where it is about the org.
    pub feature: String,
    /// What it is called in emails; none: its name in words.
    pub label: Option<String>,
    /// What one unit is called.
    pub unit: String,
    pub used: Quantity,
    pub allowance: Quantity,
    /// Usage at the end of the period, about.
    pub expected_at_end: Quantity,
    /// The local day on which the allowance runs out, about.
    pub about: Option<LocalDate>,
    /// When it happens, or happened, on the org's wall clock: the end of the period, the change of
    /// the tier, the first expiry.
    pub at: LocalTime,
    /// Is that the end of a period that never ends? Then nothing is there again.
    #[serde(default)]
    pub never_renews: bool,
    /// Whole days until then; for a reminder, since the limit was reached.
    pub days: i64,
    /// In the order in which they pay.
    pub packs: Vec<PackLeft>,
    /// The tier until then, by its name.
    pub tier: String,
    /// The tier from then on, by its name.
    pub next_tier: String,
    /// Why an org was set aside; for a purchase without a pack, the column that holds it.
    pub reason: String,
    /// The command that corrects it.
    #[serde(default)]
    pub command: String,
    /// The first local day of the period that a summary is of.
    #[serde(default)]
    pub from: Option<LocalDate>,
    /// Its last local day.
    #[serde(default)]
    pub upto: Option<LocalDate>,
    /// What was used by the close.
    #[serde(default)]
    pub used_each: Vec<UsedOf>,
    /// What was counted after it.
    #[serde(default)]
    pub later: Vec<UsedOf>,
    /// Are there more features than these?
    #[serde(default)]
    pub is_cut: bool,
    /// The org's zone, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Language and region for words, numbers and dates.
    pub locale: String,
    /// When all this was so, on the org's wall clock.
    pub composed_at: LocalTime,
}

impl NoticeLetter {
    /// Says nothing yet but when: of a notice that is composed at `now`.
    pub fn blank(now: LocalTime) -> Self {
        Self {
            kind: Kind::Threshold,
            opt_out: false,
            org_name: String::new(),
            org_slug: String::new(),
            feature: String::new(),
            label: None,
            unit: String::new(),
            used: Quantity::ZERO,
            allowance: Quantity::ZERO,
            expected_at_end: Quantity::ZERO,
            about: None,
            at: now,
            never_renews: false,
            days: 0,
            packs: Vec::new(),
            tier: String::new(),
            next_tier: String::new(),
            reason: String::new(),
            command: String::new(),
            from: None,
            upto: None,
            used_each: Vec::new(),
            later: Vec::new(),
            is_cut: false,
            time_zone: String::new(),
            locale: "en".to_owned(),
            composed_at: now,
        }
    }
}

/// What was used of a feature in a closed period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsedOf {
    pub feature: String,
    /// What the feature is called in emails; none: its name in words.
    pub label: Option<String>,
    /// What one unit is called.
    pub unit: String,
    pub used: Quantity,
    /// `None`: unlimited.
    pub included: Option<Quantity>,
    pub drawn: Quantity,
    pub uncovered: Quantity,
}

/// A pack that expires.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackLeft {
    pub feature: String,
    /// What the feature is called in emails; none: its name in words.
    pub label: Option<String>,
    /// What one unit is called.
    pub unit: String,
    pub left: Quantity,
    /// On the org's wall clock.
    pub expires: LocalTime,
}
