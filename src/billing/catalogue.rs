//! What is metered and sold: how the tables differ from the configuration, as a plan.

use std::collections::BTreeMap;

use super::price::said as said_amount;
use super::quantity::Quantity;
use super::quota::Included;
use super::quota::level::FeatureKind;

/// Features, tiers and packs on sale, by name or code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    pub features: BTreeMap<String, Feature>,
    pub tiers: BTreeMap<String, Tier>,
    pub offers: BTreeMap<String, Offer>,
}

/// What is metered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// What one of it is called, where that is named.
    pub unit: Option<String>,
    /// How it is counted; `None`: as it is.
    pub kind: Option<FeatureKind>,
}

impl Feature {
    /// In words: the unit, and the kind where it is not the usual one.
    fn said(&self) -> String {
        let unit = self.unit.clone().unwrap_or_else(|| "units".to_owned());
        match self.kind {
            Some(FeatureKind::Level) => format!("{unit}, a level"),
            Some(FeatureKind::Metered) | None => unit,
        }
    }
}

/// A tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub name: String,
    /// Price per month in hundredths of the currency.
    pub price_cents: i64,
    pub currency: String,
    /// What it includes per period.
    pub limits: BTreeMap<String, Included>,
    /// What an uncovered unit costs, in hundredths of the currency.
    pub prices: BTreeMap<String, Quantity>,
}

/// A pack on sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub feature: String,
    pub quantity: Quantity,
    /// Price in hundredths of the currency.
    pub price_cents: i64,
    pub currency: String,
}

/// A name that is not a feature's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown feature `{name}`; known features: {known}")]
pub struct UnknownFeature {
    name: String,
    known: String,
}

impl UnknownFeature {
    /// That name, and those of all features.
    pub fn new(name: &str, known: &[String]) -> Self {
        Self { name: name.to_owned(), known: known.join(", ") }
    }
}

/// What a step is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A feature and its unit.
    Feature,
    /// A tier, its name and price.
    Tier,
    /// What a tier includes of a feature.
    Limit,
    /// What an uncovered unit of a feature costs on a tier.
    Price,
    /// A pack on sale.
    Offer,
}

impl Kind {
    /// As people call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Tier => "tier",
            Self::Limit => "limit",
            Self::Price => "price",
            Self::Offer => "pack",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// What becomes of one thing in the tables.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name or code; a limit's is its tier and its feature.
    pub name: String,
    /// As it stands; `None`: it is not there yet.
    pub before: Option<String>,
    /// As it should be; `None`: the configuration does not name it.
    pub after: Option<String>,
    /// What is done about it.
    pub deed: Deed,
}

/// What is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It is added.
    Add,
    /// It gets other values.
    Change,
    /// It is removed: the configuration does not name it, and that was asked for.
    Remove,
    /// It stays, although the configuration does not name it.
    Keep,
}

/// How the tables become what the configuration says. What it does not name is kept; with `prune`
/// it goes, but for the tiers `in_use`. A section that the configuration leaves out altogether
/// says nothing about the tables.
pub fn plan(stored: &Catalogue, wanted: &Catalogue, prune: bool, in_use: &[String]) -> Vec<Step> {
    let removed = |used: bool| if prune && !used { Deed::Remove } else { Deed::Keep };
    let mut steps = Vec::new();
    for (name, feature) in &wanted.features {
        let before = stored.features.get(name);
        let after = Feature {
            unit: feature.unit.clone().or_else(|| before?.unit.clone()),
            kind: feature.kind.or_else(|| before?.kind),
        };
        steps.extend(step(Kind::Feature, name.clone(), before.map(Feature::said), after.said()));
    }
    for (code, tier) in &wanted.tiers {
        let before = stored.tiers.get(code);
        steps.extend(step(Kind::Tier, code.clone(), before.map(said), said(tier)));
        for (feature, included) in &tier.limits {
            let before = before.and_then(|tier| tier.limits.get(feature)).map(|i| quantity(*i));
            let name = format!("{code} {feature}");
            steps.extend(step(Kind::Limit, name, before, quantity(*included)));
        }
        for (feature, price) in &tier.prices {
            let before =
                before.and_then(|tier| tier.prices.get(feature)).map(|price| cents(*price));
            let name = format!("{code} {feature}");
            steps.extend(step(Kind::Price, name, before, cents(*price)));
        }
        for (feature, included) in before.map(|tier| &tier.limits).into_iter().flatten() {
            if !tier.limits.contains_key(feature) {
                let before = quantity(*included);
                let name = format!("{code} {feature}");
                steps.push(unnamed(Kind::Limit, name, before, removed(false)));
            }
        }
    }
    for (code, tier) in &wanted.tiers {
        for (feature, price) in
            stored.tiers.get(code).map(|tier| &tier.prices).into_iter().flatten()
        {
            if tier.limits.contains_key(feature) && !tier.prices.contains_key(feature) {
                let name = format!("{code} {feature}");
                steps.push(unnamed(Kind::Price, name, cents(*price), removed(false)));
            }
        }
    }
    for (code, offer) in &wanted.offers {
        let before = stored.offers.get(code).map(offered);
        steps.extend(step(Kind::Offer, code.clone(), before, offered(offer)));
    }
    for (code, tier) in &stored.tiers {
        if !wanted.tiers.is_empty() && !wanted.tiers.contains_key(code) {
            let deed = removed(in_use.contains(code));
            steps.push(unnamed(Kind::Tier, code.clone(), said(tier), deed));
        }
    }
    for (code, offer) in &stored.offers {
        if !wanted.offers.is_empty() && !wanted.offers.contains_key(code) {
            steps.push(unnamed(Kind::Offer, code.clone(), offered(offer), removed(false)));
        }
    }
    steps
}

/// The tiers that are there and are to include something else: their orgs' limits change.
pub fn limited_otherwise(stored: &Catalogue, wanted: &Catalogue) -> Vec<String> {
    let changed = wanted.tiers.iter().filter(|(code, tier)| {
        stored.tiers.get(*code).is_some_and(|stored| stored.limits != tier.limits)
    });
    changed.map(|(code, _)| code.clone()).collect()
}

fn step(kind: Kind, name: String, before: Option<String>, after: String) -> Option<Step> {
    let deed = match &before {
        None => Deed::Add,
        Some(before) if *before != after => Deed::Change,
        Some(_) => return None,
    };
    Some(Step { kind, name, before, after: Some(after), deed })
}

fn unnamed(kind: Kind, name: String, before: String, deed: Deed) -> Step {
    Step { kind, name, before: Some(before), after: None, deed }
}

fn said(tier: &Tier) -> String {
    format!("{}, {}", tier.name, price(tier.price_cents, &tier.currency))
}

fn offered(offer: &Offer) -> String {
    let Offer { feature, quantity, price_cents, currency } = offer;
    format!("{quantity} {feature}, {}", price(*price_cents, currency))
}

/// What a tier includes, in words.
fn quantity(included: Included) -> String {
    included.column().map_or_else(|| "unlimited".to_owned(), |quantity| quantity.to_string())
}

/// What an uncovered unit costs, in words.
fn cents(price: Quantity) -> String {
    format!("{price} cents")
}

/// A price as people read it: `29.00 USD`.
pub fn price(cents: i64, currency: &str) -> String {
    said_amount(Quantity::units(cents), currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(price_cents: i64, limits: &[(&str, i64)]) -> Tier {
        let limits = limits.iter().map(|(feature, units)| {
            ((*feature).to_owned(), Included::Quantity(Quantity::units(*units)))
        });
        let (name, currency) = ("Pro".to_owned(), "USD".to_owned());
        let prices = BTreeMap::new();
        Tier { name, price_cents, currency, limits: limits.collect(), prices }
    }

    fn catalogue(tiers: &[(&str, Tier)]) -> Catalogue {
        let tiers = tiers.iter().map(|(code, tier)| ((*code).to_owned(), tier.clone()));
        Catalogue { tiers: tiers.collect(), ..Catalogue::default() }
    }

    fn deeds(steps: &[Step]) -> Vec<(Deed, &str)> {
        steps.iter().map(|step| (step.deed, step.name.as_str())).collect()
    }

    #[test]
    fn what_is_the_same_takes_no_step() {
        let both = catalogue(&[("pro", tier(7900, &[("sms_sent", 5)]))]);
        assert_eq!(plan(&both, &both, true, &[]), []);
        assert_eq!(plan(&both, &Catalogue::default(), true, &[]), [], "no list says nothing");
    }

    #[test]
    fn a_tier_that_orgs_use_is_kept_whatever_is_asked() {
        let stored = catalogue(&[
            ("old", tier(1, &[])),
            ("pro", tier(7900, &[("sms_sent", 5), ("scrapes", 7)])),
            ("used", tier(1, &[])),
        ]);
        let wanted = catalogue(&[("pro", tier(8900, &[("sms_sent", 6), ("emails_sent", 1)]))]);
        let kept = plan(&stored, &wanted, false, &[]);
        assert_eq!(
            deeds(&kept),
            [
                (Deed::Change, "pro"),
                (Deed::Add, "pro emails_sent"),
                (Deed::Change, "pro sms_sent"),
                (Deed::Keep, "pro scrapes"),
                (Deed::Keep, "old"),
                (Deed::Keep, "used"),
            ]
        );
        assert_eq!(kept[0].after.as_deref(), Some("Pro, 89.00 USD"));
        let pruned = plan(&stored, &wanted, true, &["used".to_owned()]);
        assert_eq!(
            deeds(&pruned)[3..],
            [(Deed::Remove, "pro scrapes"), (Deed::Remove, "old"), (Deed::Keep, "used")]
        );
    }
}
