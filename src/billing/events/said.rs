//! What kinds of events say.

use schemars::JsonSchema;
use serde::Serialize;

use super::Said;
use crate::billing::notice::{
    Change, ExpiringPack, LimitReachedAgain, PacksExpire, Parked, RunsOut, WithoutPack,
};
use crate::billing::{Instant, LocalDate, Quantity};

/// A threshold that was crossed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CrossedThreshold {
    /// The feature.
    pub feature: String,
    /// The percentage that was reached.
    pub threshold: i16,
    /// What it is a percentage of: `allowance` or `included`.
    pub basis: String,
    /// Usage in the period.
    pub used: Quantity,
    /// The included quantity; null: unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    /// What usable packs have left.
    pub purchased: Quantity,
    /// Was it crossed because the limit fell?
    pub limit_change: bool,
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period, when usage resets.
    pub period_end: Instant,
}

/// The threshold of 100 %.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ReachedLimit(pub CrossedThreshold);

/// A period that was closed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Statement {
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period.
    pub period_end: Instant,
    /// Time zone of the org at the close.
    pub time_zone: Option<String>,
    /// Tier in the period.
    pub tier: String,
    /// Was the org paused in the period?
    pub is_paused: bool,
    /// Currency of the prices; null: no prices.
    pub currency: Option<String>,
    /// Every feature with usage or a draw.
    pub features: Vec<StatementLine>,
}

/// A feature in a closed period.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StatementLine {
    /// The feature.
    pub feature: String,
    /// Usage in the period.
    pub used: Quantity,
    /// The included quantity; null: unlimited.
    pub included: Option<Quantity>,
    /// What packs paid for.
    pub drawn: Quantity,
    /// What neither the tier nor packs covered.
    pub uncovered: Quantity,
    /// Price of an uncovered unit, in hundredths of the currency; null: none.
    pub uncovered_price_cents: Option<Quantity>,
}

/// An entry in the ledger of a pack.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PackEntry {
    /// Id of the pack.
    pub pack_id: uuid::Uuid,
    /// Reference of its purchase; null: none.
    pub reference: Option<String>,
    /// The feature that it covers.
    pub feature: String,
    /// The quantity of the entry.
    pub quantity: Quantity,
    /// What was left of the pack afterwards.
    pub remaining: Quantity,
    /// Start of the period whose usage it paid for; null: not a draw.
    pub period_start: Option<Instant>,
    /// When the pack expires; null: never.
    pub expires_at: Option<Instant>,
}

/// Another tier.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TierChange {
    /// Tier before.
    pub before: String,
    /// Tier from now on.
    pub after: String,
}

/// A quantity of an example.
fn units(text: &str) -> Quantity {
    text.parse().unwrap_or(Quantity::ZERO)
}

/// An instant of an example.
fn at(text: &str) -> Instant {
    text.parse().unwrap_or(Instant::MIN)
}

impl Said for CrossedThreshold {
    fn example() -> Self {
        Self {
            feature: "minutes_transcribed".to_owned(),
            threshold: 90,
            basis: "allowance".to_owned(),
            used: units("812.5"),
            included: Some(units("600")),
            drawn: Quantity::ZERO,
            purchased: units("300"),
            limit_change: false,
            period_start: at("2026-05-01T04:00:00Z"),
            period_end: at("2026-06-01T04:00:00Z"),
        }
    }
}

impl Said for ReachedLimit {
    fn example() -> Self {
        Self(CrossedThreshold { threshold: 100, used: units("900"), ..CrossedThreshold::example() })
    }
}

impl Said for Statement {
    fn example() -> Self {
        Self {
            period_start: at("2026-05-01T04:00:00Z"),
            period_end: at("2026-06-01T04:00:00Z"),
            time_zone: Some("America/New_York".to_owned()),
            tier: "starter".to_owned(),
            is_paused: false,
            currency: Some("USD".to_owned()),
            features: vec![StatementLine {
                feature: "minutes_transcribed".to_owned(),
                used: units("950"),
                included: Some(units("600")),
                drawn: units("300"),
                uncovered: units("50"),
                uncovered_price_cents: Some(units("2.5")),
            }],
        }
    }
}

impl Said for PackEntry {
    fn example() -> Self {
        Self {
            pack_id: uuid::Uuid::from_u128(0x0b2d_7c1e_5f6a_4c3b_9d8e_7f6a_5b4c_3d2e),
            reference: Some("invoice-1042".to_owned()),
            feature: "minutes_transcribed".to_owned(),
            quantity: units("300"),
            remaining: units("300"),
            period_start: None,
            expires_at: Some(at("2027-05-12T00:00:00Z")),
        }
    }
}

impl Said for TierChange {
    fn example() -> Self {
        Self { before: "starter".to_owned(), after: "pro".to_owned() }
    }
}

impl Said for RunsOut {
    fn example() -> Self {
        Self {
            feature: "minutes_transcribed".to_owned(),
            period_start: at("2026-05-01T04:00:00Z"),
            period_end: at("2026-06-01T04:00:00Z"),
            used: units("480.25"),
            allowance: units("600"),
            expected_at_end: units("880"),
            about: LocalDate(jiff::civil::date(2026, 5, 21)),
        }
    }
}

impl Said for LimitReachedAgain {
    fn example() -> Self {
        Self {
            feature: "minutes_transcribed".to_owned(),
            period_start: at("2026-05-01T04:00:00Z"),
            period_end: at("2026-06-01T04:00:00Z"),
            used: units("650"),
            allowance: units("600"),
            days: 3,
        }
    }
}

impl Said for PacksExpire {
    fn example() -> Self {
        let pack = ExpiringPack {
            pack: uuid::Uuid::from_u128(0x0b2d_7c1e_5f6a_4c3b_9d8e_7f6a_5b4c_3d2e),
            feature: "minutes_transcribed".to_owned(),
            left: units("120"),
            expires_at: at("2026-05-19T04:00:00Z"),
        };
        Self { packs: vec![pack] }
    }
}

impl Said for Change {
    fn example() -> Self {
        Self {
            at: at("2026-06-01T04:00:00Z"),
            tier: "pro".to_owned(),
            tier_name: "Pro".to_owned(),
            next_tier: "free".to_owned(),
            next_tier_name: "Free".to_owned(),
        }
    }
}

impl Said for Parked {
    fn example() -> Self {
        Self {
            since: at("2026-05-12T09:30:00Z"),
            code: Some("unknown_zone".to_owned()),
            reason: "unknown time zone `Europe/Nowhere`".to_owned(),
        }
    }
}

impl Said for WithoutPack {
    fn example() -> Self {
        Self {
            column: "organizations.overage_minutes".to_owned(),
            feature: "minutes_transcribed".to_owned(),
            quantity: units("300"),
            reference: "sold:5f0c3a52".to_owned(),
            found_at: at("2026-05-12T09:30:00Z"),
        }
    }
}
