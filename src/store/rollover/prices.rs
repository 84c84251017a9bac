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

impl Prices {
    /// What a period on a tier keeps: a price or none for each of its features, and the currency.
    /// `None`: nothing of it has a price.
    pub(super) fn of(
        &self,
        tier: &str,
        usage: &[ClosedUsage],
    ) -> Option<(Vec<Option<Quantity>>, &str)> {
        let tier = self.0.get(tier)?;
        let price = |one: &ClosedUsage| tier.cents.get(&*one.feature).copied();
        let prices: Vec<Option<Quantity>> = usage.iter().map(price).collect();
        prices.iter().any(Option::is_some).then_some((prices, tier.currency.as_str()))
    }
}
