//! What is metered and what is sold: `[[features]]`, `[[tiers]]` and `[[packs]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::sections::Basis;
use super::values::{Amount, Currency, Limit, Thresholds};

/// Something that is metered.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name; capital and small letters are the same.
    pub name: String,
    /// What it is counted in, as emails say it: `minutes`.
    pub unit: Option<String>,
    /// Thresholds of its own, instead of those of `[alerts]`.
    pub thresholds: Option<Thresholds>,
    /// A basis of its own, instead of that of `[alerts]`.
    pub basis: Option<Basis>,
    /// A folder of templates of its own, instead of `alert`.
    #[schemars(extend("format" = "template-folder"))]
    pub template: Option<String>,
}

/// A tier of subscription, written to the database by `periodd tiers apply`.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// What organizations refer to it by.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// Its price per month, in hundredths of the currency.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub monthly_price_cents: i64,
    /// The currency of the price.
    #[serde(default)]
    pub currency: Currency,
    /// What it includes per period, by feature: a quantity or `"unlimited"`.
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
}

/// A pack on sale.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// What offers refer to it by.
    pub code: String,
    /// The feature it is good for.
    pub feature: String,
    /// How much is in it.
    pub quantity: Amount,
    /// Its price, in hundredths of the currency.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub price_cents: i64,
    /// The currency of the price.
    #[serde(default)]
    pub currency: Currency,
}
