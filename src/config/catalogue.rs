//! What is metered and what is sold: `[[features]]`, `[[tiers]]` and `[[packs]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::sections::Basis;
use super::values::{Amount, Currency, Limit, Thresholds};
use crate::billing::quota::level::FeatureKind;

/// Something that is metered.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name, case-insensitive.
    pub name: String,
    /// Unit, as shown in emails: `minutes`.
    pub unit: Option<String>,
    /// `metered`, which resets every period, or `level`, which carries over. Not set: as it is in
    /// the database, where a new feature is `metered`.
    pub kind: Option<FeatureKind>,
    /// Name in emails: `Transcription`. Not set: the name in words.
    pub label: Option<String>,
    /// Thresholds for this feature, instead of those of `[alerts]`.
    pub thresholds: Option<Thresholds>,
    /// Basis for this feature, instead of that of `[alerts]`.
    pub basis: Option<Basis>,
    /// Template folder for this feature, instead of `alert`.
    #[schemars(extend("format" = "template-folder"))]
    pub template: Option<String>,
}

/// A tier of subscription, written to the database by `periodd tiers apply`.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Code by which organizations refer to the tier.
    pub code: String,
    /// Display name.
    pub name: String,
    /// Price per month, in hundredths of the currency.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub monthly_price_cents: i64,
    /// The currency of the price.
    #[serde(default)]
    pub currency: Currency,
    /// What it includes per period, by feature: a quantity or `"unlimited"`.
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
    /// What an uncovered unit costs, by feature, in hundredths of the currency. Each close keeps
    /// the prices of its day.
    #[serde(default)]
    pub uncovered_price_cents: BTreeMap<String, Amount>,
}

/// A pack on sale.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Code by which offers refer to the pack.
    pub code: String,
    /// Name in emails: `300 minutes`. Not set: the code.
    pub name: Option<String>,
    /// The feature it covers.
    pub feature: String,
    /// How much is in it.
    pub quantity: Amount,
    /// Price, in hundredths of the currency.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub price_cents: i64,
    /// The currency of the price.
    #[serde(default)]
    pub currency: Currency,
}
