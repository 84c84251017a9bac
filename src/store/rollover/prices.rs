//! The prices that closes keep: those of their tiers at the moment of the close.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::billing::Quantity;
use crate::billing::rollover::ClosedUsage;
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;

/// What uncovered units cost, by tier.
#[derive(Debug, Default)]
pub(super) struct Prices(BTreeMap<String, OfTier>);

#[derive(Debug)]
struct OfTier {
    currency: String,
    /// By feature, in hundredths of the currency.
    cents: BTreeMap<String, Quantity>,
}

/// The prices of all tiers.
pub(super) async fn of_tiers(connection: &mut PgConnection) -> Result<Prices, StoreError> {
    let rows = sqlx::query!(
        r#"select l.tier, l.feature, l.uncovered_price_cents as "cents!: Readable<Quantity>",
                  t.currency
           from tier_limits l join subscription_tiers t on t.code = l.tier
           where l.uncovered_price_cents is not null"#
    );
    let mut prices = Prices::default();
    for row in rows.fetch_all(connection).await? {
        // What a row must not hold is nobody's price: doctor names it.
        let readable = row.cents.value().filter(|cents| !cents.is_negative());
        let is_currency = row.currency.len() == 3
            && row.currency.bytes().all(|letter| letter.is_ascii_uppercase());
        let Some(price) = readable.filter(|_| is_currency) else { continue };
        let (currency, cents) = (row.currency, BTreeMap::new());
        let tier = prices.0.entry(row.tier).or_insert(OfTier { currency, cents });
        tier.cents.insert(row.feature, price);
    }
    Ok(prices)
}

/// The prices that a close keeps.
#[derive(Debug, Default)]
pub(super) struct Kept<'a> {
    /// A price or none for each feature that was used, and the currency; `None`: the tier has no
    /// prices.
    pub(super) used: Option<(Vec<Option<Quantity>>, &'a str)>,
    /// What has a price and was not used: usage of it may come late.
    pub(super) unused: Vec<(&'a str, Quantity)>,
}

impl Prices {
    /// What a period on a tier keeps.
    pub(super) fn of(&self, tier: &str, usage: &[ClosedUsage]) -> Kept<'_> {
        let Some(tier) = self.0.get(tier) else { return Kept::default() };
        let price = |one: &ClosedUsage| tier.cents.get(&*one.feature).copied();
        let is_unused = |feature: &str| usage.iter().all(|one| &*one.feature != feature);
        let prices = tier.cents.iter().map(|(feature, cents)| (feature.as_str(), *cents));
        Kept {
            used: Some((usage.iter().map(price).collect(), tier.currency.as_str())),
            unused: prices.filter(|(feature, _)| is_unused(feature)).collect(),
        }
    }
}
