//! Bringing `[[features]]`, `[[tiers]]` and `[[packs]]` of the configuration into the tables.

use std::collections::BTreeSet;

use crate::billing::Instant;
use crate::billing::catalogue::{self, Catalogue, Deed, Offer, Step, Tier};
use crate::billing::quota::Included;
use crate::command::Command;
use crate::config::{Config, values::Limit};
use crate::jobs::events::webhooks;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::store::orgs::tiers::{self as tables, Over};
use crate::store::{Database, StoreError};

/// What the configuration wants. Names of features are in lower case in the tables.
pub fn wanted(config: &Config) -> Catalogue {
    let mut wanted = Catalogue::default();
    for feature in &config.features {
        let (unit, kind) = (feature.unit.clone(), feature.kind);
        wanted.features.insert(feature.name.to_lowercase(), catalogue::Feature { unit, kind });
    }
    for tier in &config.tiers {
        let limits = tier.limits.iter().map(|(feature, limit)| {
            let included = match limit {
                Limit::Unlimited => Included::Unlimited,
                Limit::Included(quantity) => Included::Quantity(*quantity),
            };
            (feature.to_lowercase(), included)
        });
        let prices = tier.uncovered_price_cents.iter();
        let prices = prices.map(|(feature, price)| (feature.to_lowercase(), price.0));
        let tier_row = Tier {
            name: tier.name.clone(),
            price_cents: tier.monthly_price_cents,
            currency: tier.currency.as_str().to_owned(),
            limits: limits.collect(),
            prices: prices.collect(),
        };
        wanted.tiers.insert(tier.code.clone(), tier_row);
    }
    for pack in &config.packs {
        let offer = Offer {
            feature: pack.feature.to_lowercase(),
            quantity: pack.quantity.0,
            price_cents: pack.price_cents,
            currency: pack.currency.as_str().to_owned(),
        };
        wanted.offers.insert(pack.code.clone(), offer);
    }
    // What is granted or sold has to be something that is metered.
    let limits = wanted.tiers.values().flat_map(|tier| tier.limits.keys());
    let sold = wanted.offers.values().map(|offer| &offer.feature);
    let named: Vec<String> = limits.chain(sold).cloned().collect();
    for feature in named {
        wanted.features.entry(feature).or_default();
    }
    wanted
}

/// What the configuration names and the tables do not have, or have otherwise: tiers that rollovers
/// would come to in vain, and features, tiers and packs that were never applied.
pub async fn mismatches(database: &Database, config: &Config) -> Result<Vec<Finding>, StoreError> {
    let mut findings = differences(&list(database).await?, config);
    findings.extend(webhooks::mismatches(database, config).await?);
    Ok(findings)
}

fn differences(stored: &Catalogue, config: &Config) -> Vec<Finding> {
    let wanted = wanted(config);
    let mut findings = Vec::new();
    let ended = &config.rollover.ended_tier;
    let apply = || Command::periodd(["tiers", "apply"]);
    if !stored.tiers.contains_key(ended) {
        let what = format!(
            "the tier `{ended}` of [rollover] ended_tier does not exist; orgs whose subscription \
             ends stay as they are"
        );
        let finding = Finding::problem(Check::EndedTier, what);
        findings.push(if wanted.tiers.contains_key(ended) {
            finding.mend(apply())
        } else {
            let tiers: Vec<&str> = stored.tiers.keys().map(String::as_str).collect();
            finding.mend(Mend::advice(format!(
                "set [rollover] ended_tier to one of {}, or define it in [[tiers]]",
                tiers.join(", ")
            )))
        });
    }
    let steps = catalogue::plan(stored, &wanted, false, &[]);
    let of = |deed: Deed| -> Vec<String> {
        let of_deed = steps.iter().filter(|step| step.deed == deed);
        of_deed.map(|step| format!("{} {}", step.kind, step.name)).collect()
    };
    let (missing, changed) = (of(Deed::Add), of(Deed::Change));
    if !missing.is_empty() {
        let what =
            format!("the configuration names what the tables do not have: {}", missing.join(", "));
        findings.push(Finding::warning(Check::Catalogue, what).mend(apply()));
    }
    if !changed.is_empty() {
        let what = format!("the tables differ from the configuration: {}", changed.join(", "));
        let advice = "if the configuration is right, apply it; else correct it";
        let mend = Mend::advice_then(advice, apply());
        findings.push(Finding::note(Check::Catalogue, what).mend(mend));
    }
    findings
}

/// What the tables say.
pub async fn list(database: &Database) -> Result<Catalogue, StoreError> {
    let mut connection = database.connection().await?;
    tables::read(&mut connection).await
}

/// What was done, or would be.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Applied {
    /// What differs.
    pub steps: Vec<Step>,
    /// Orgs that are over a limit in their open period because of it.
    pub newly_over: Vec<Over>,
}

/// Brings the tables to what the configuration wants, in one transaction, and returns the steps and
/// who is over a limit by them; with `dry_run` nothing is kept of it. What the configuration does
/// not name is kept, unless `prune`; a tier that an org uses, and the one that ended subscriptions
/// fall back to, is kept in any case.
///
/// # Errors
/// [`StoreError::Unprocessable`] when an org comes to use a tier that is being removed.
pub async fn apply(
    database: &Database,
    config: &Config,
    prune: bool,
    dry_run: bool,
    now: Instant,
) -> Result<Applied, StoreError> {
    let wanted = wanted(config);
    let mut connection = database.connection().await?;
    let mut transaction = crate::store::begin(&mut connection).await?;
    let stored = tables::read(&mut transaction).await?;
    let unnamed = stored.tiers.keys().filter(|code| !wanted.tiers.contains_key(*code));
    let unnamed: Vec<String> = unnamed.cloned().collect();
    let mut in_use = tables::in_use(&mut transaction, &unnamed).await?;
    in_use.push(config.rollover.ended_tier.clone());
    let steps = catalogue::plan(&stored, &wanted, prune, &in_use);
    let limited = catalogue::limited_otherwise(&stored, &wanted);
    let named = |over: &Over| (over.org.clone(), over.feature.clone());
    let before = tables::over(&mut transaction, &limited, now).await?;
    let before: BTreeSet<_> = before.iter().map(named).collect();
    tables::apply(&mut transaction, &wanted, &steps).await?;
    let mut newly_over = tables::over(&mut transaction, &limited, now).await?;
    newly_over.retain(|over| !before.contains(&named(over)));
    if dry_run {
        transaction.rollback().await.map_err(StoreError::from)?;
    } else {
        transaction.commit().await.map_err(StoreError::from)?;
    }
    Ok(Applied { steps, newly_over })
}
