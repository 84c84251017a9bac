//! Bringing `[[features]]`, `[[tiers]]` and `[[packs]]` of the configuration into the tables.

use crate::billing::catalogue::{self, Catalogue, Offer, Step, Tier};
use crate::billing::quota::Included;
use crate::config::{Config, Limit};
use crate::store::{Database, StoreError, tiers as tables};

/// What the configuration wants. Names of features are in lower case in the tables.
#[must_use]
pub fn wanted(config: &Config) -> Catalogue {
    let mut wanted = Catalogue::default();
    for feature in &config.features {
        wanted.features.insert(feature.name.to_lowercase(), feature.unit.clone());
    }
    for tier in &config.tiers {
        let limits = tier.limits.iter().map(|(feature, limit)| {
            let included = match limit {
                Limit::Unlimited => Included::Unlimited,
                Limit::Included(quantity) => Included::Quantity(*quantity),
            };
            (feature.to_lowercase(), included)
        });
        let tier_row = Tier {
            name: tier.name.clone(),
            price_cents: tier.monthly_price_cents,
            currency: tier.currency.as_str().to_owned(),
            limits: limits.collect(),
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

/// What the tables say.
///
/// # Errors
/// As every read.
pub async fn list(database: &Database) -> Result<Catalogue, StoreError> {
    let mut connection = database.connection().await?;
    tables::read(&mut connection).await
}

/// Brings the tables to what the configuration wants, in one transaction, and returns the steps;
/// with `dry_run` the steps alone. What the configuration does not name is kept, unless `prune`;
/// a tier that an org uses, and the one that ended subscriptions fall back to, is kept in any case.
///
/// # Errors
/// [`StoreError::Unprocessable`] when an org comes to use a tier that is being removed.
pub async fn apply(
    database: &Database,
    config: &Config,
    prune: bool,
    dry_run: bool,
) -> Result<Vec<Step>, StoreError> {
    let wanted = wanted(config);
    let mut connection = database.connection().await?;
    let mut transaction = crate::store::begin(&mut connection).await?;
    let stored = tables::read(&mut transaction).await?;
    let unnamed = stored.tiers.keys().filter(|code| !wanted.tiers.contains_key(*code));
    let unnamed: Vec<String> = unnamed.cloned().collect();
    let mut in_use = tables::in_use(&mut transaction, &unnamed).await?;
    in_use.push(config.rollover.ended_tier.clone());
    let steps = catalogue::plan(&stored, &wanted, prune, &in_use);
    if !dry_run {
        tables::apply(&mut transaction, &wanted, &steps).await?;
        transaction.commit().await.map_err(StoreError::from)?;
    }
    Ok(steps)
}
