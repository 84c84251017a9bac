//! Which packs to buy: the cheapest combination of offers that covers a need.

use super::quantity::Quantity;

/// Combinations that are looked at before the best one found so far has to do. Real price lists
/// need a few dozen.
const MOST_STEPS: u32 = 100_000;

/// A pack on sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub code: String,
    /// How much is in it.
    pub quantity: Quantity,
    /// The price of one, in the currency's smallest unit.
    pub price_cents: i64,
    pub currency: String,
}

/// The cheapest combination of offers in one currency that covers `need`, as how many of which;
/// empty when nothing is needed or nothing in that currency is on sale.
///
/// Of several that cost the same the one with the fewest packs, then the one that covers most,
/// then the one whose codes come first: the same every time.
pub fn cheapest(offers: &[Offer], currency: &str, need: Quantity) -> Vec<(u32, Offer)> {
    let of_currency = |offer: &&Offer| {
        offer.currency == currency && offer.quantity.is_positive() && offer.price_cents >= 0
    };
    let mut offers: Vec<&Offer> = offers.iter().filter(of_currency).collect();
    // Cheapest per unit first, so that the first combination is a good one; compared as fractions.
    offers.sort_by(|a, b| {
        let cost = |one: &Offer, other: &Offer| {
            // What as much of the one costs as the other holds. It saturates beyond any price
            // list, where the order decides no more than what is looked at first.
            i128::from(one.price_cents).saturating_mul(other.quantity.millionths())
        };
        cost(a, b).cmp(&cost(b, a)).then_with(|| a.code.cmp(&b.code))
    });
    if offers.is_empty() || !need.is_positive() {
        return Vec::new();
    }
    let mut search =
        Search { offers: &offers, counts: vec![0; offers.len()], steps: 0, best: None };
    search.go_on(0, need.millionths(), 0, 0);
    let counts = search.best.map(|best| best.counts).unwrap_or_default();
    let chosen = counts.into_iter().zip(offers).filter(|(count, _)| *count > 0);
    let mut chosen: Vec<(u32, Offer)> =
        chosen.map(|(count, offer)| (count, offer.clone())).collect();
    chosen.sort_by(|(_, a), (_, b)| b.quantity.cmp(&a.quantity).then_with(|| a.code.cmp(&b.code)));
    chosen
}

/// What to buy: the cheapest in the currency that a customer pays in; where nothing is on sale in
/// that, in the first one in which there is.
pub fn recommended(offers: &[Offer], paid_in: &str, need: Quantity) -> Vec<(u32, Offer)> {
    let currencies = offers.iter().map(|offer| offer.currency.as_str());
    let currency = currencies.min_by_key(|currency| (*currency != paid_in, *currency));
    currency.map(|currency| cheapest(offers, currency, need)).unwrap_or_default()
}

/// A combination that covers the need.
struct Best {
    cost: i128,
    packs: u32,
    /// How much more than needed it covers, negated to be compared upwards.
    excess: i128,
    counts: Vec<u32>,
}

/// Branch and bound: how many of the first offer, then of the next, and back as soon as even the
/// best price per unit cannot make it cheaper than what has been found.
struct Search<'a> {
    offers: &'a [&'a Offer],
    counts: Vec<u32>,
    steps: u32,
    best: Option<Best>,
}

impl Search<'_> {
    fn go_on(&mut self, place: usize, left: i128, cost: i128, packs: u32) {
        if left <= 0 {
            self.consider(left, cost, packs);
            return;
        }
        let Some(offer) = self.offers.get(place) else { return };
        let held = offer.quantity.millionths();
        let price = i128::from(offer.price_cents);
        let most = u32::try_from((left + held - 1) / held).unwrap_or(u32::MAX);
        for count in (0..=most).rev() {
            self.steps += 1;
            let rest = left - held.saturating_mul(i128::from(count));
            let so_far = cost.saturating_add(price.saturating_mul(i128::from(count)));
            let is_enough = self.steps > MOST_STEPS && self.best.is_some();
            if is_enough || self.is_hopeless(place, rest, so_far) {
                // With fewer of these, the rest costs at least as much per unit.
                break;
            }
            if rest <= 0 && self.best.as_ref().is_some_and(|best| so_far > best.cost) {
                // One less may still cost less: what the last one covers may not be needed.
                continue;
            }
            self.counts[place] = count;
            self.go_on(place + 1, rest, so_far, packs.saturating_add(count));
            self.counts[place] = 0;
        }
    }

    /// Would covering the rest at the best price that is left cost more than the best found?
    fn is_hopeless(&self, place: usize, rest: i128, so_far: i128) -> bool {
        let Some(best) = &self.best else { return false };
        if rest <= 0 {
            return false;
        }
        let Some(next) = self.offers.get(place + 1) else { return true };
        let price = i128::from(next.price_cents).saturating_mul(rest);
        so_far.saturating_add(price / next.quantity.millionths()) > best.cost
    }

    fn consider(&mut self, left: i128, cost: i128, packs: u32) {
        let rank = (cost, packs, left);
        let is_better =
            self.best.as_ref().is_none_or(|best| rank < (best.cost, best.packs, best.excess));
        if is_better {
            let counts = self.counts.clone();
            self.best = Some(Best { cost, packs, excess: left, counts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(code: &str, units: i64, price_cents: i64) -> Offer {
        let quantity = Quantity::units(units);
        Offer { code: code.to_owned(), quantity, price_cents, currency: "USD".to_owned() }
    }

    fn chosen(offers: &[Offer], need: i64) -> String {
        let chosen = cheapest(offers, "USD", Quantity::units(need));
        let words = chosen.iter().map(|(count, offer)| format!("{count} {}", offer.code));
        words.collect::<Vec<_>>().join(" + ")
    }

    #[test]
    fn the_cheapest_combination_covers_the_need() {
        let offers = [offer("s", 100, 1_000), offer("m", 300, 2_500), offer("l", 1_000, 7_500)];
        assert_eq!(chosen(&offers, 0), "");
        assert_eq!(chosen(&offers, 1), "1 s");
        assert_eq!(chosen(&offers, 100), "1 s");
        assert_eq!(chosen(&offers, 250), "1 m");
        assert_eq!(chosen(&offers, 301), "1 m + 1 s");
        assert_eq!(chosen(&offers, 850), "1 l");
        assert_eq!(chosen(&offers, 12_345), "12 l + 1 m + 1 s");
        assert_eq!(chosen(&[], 5), "");
        assert!(cheapest(&offers, "EUR", Quantity::units(5)).is_empty());
    }

    #[test]
    fn what_costs_the_same_is_fewer_packs_and_then_more_of_it() {
        let offers = [offer("one", 100, 500), offer("two", 200, 1_000), offer("big", 250, 1_000)];
        assert_eq!(chosen(&offers, 200), "1 big");
        assert_eq!(chosen(&[offer("b", 100, 500), offer("a", 100, 500)], 100), "1 a");
        assert_eq!(chosen(&[offer("free", 1, 0), offer("dear", 100, 1)], 50), "50 free");
    }

    #[test]
    fn the_last_one_of_the_best_price_may_be_one_too_many() {
        let offers = [offer("a", 6, 32), offer("b", 5, 28), offer("c", 8, 29)];
        assert_eq!(chosen(&offers, 9), "2 b");
    }

    #[test]
    fn a_need_beyond_every_pack_is_answered_in_time() {
        let offers = [offer("a", 7, 11), offer("b", 13, 20), offer("c", 97, 149)];
        assert!(chosen(&offers, 1_000_000_000).contains(" c"));
    }

    proptest! {
        /// Against trying every combination.
        #[test]
        fn nothing_that_covers_is_cheaper(
            packs in prop::collection::vec((1_i64..12, 0_i64..40), 1..4),
            need in 1_i64..40,
        ) {
            let offers: Vec<Offer> = packs
                .iter()
                .enumerate()
                .map(|(i, (units, price))| offer(&format!("{i}"), *units, *price))
                .collect();
            let chosen = cheapest(&offers, "USD", Quantity::units(need));
            let held: i64 = chosen
                .iter()
                .map(|(n, o)| i64::from(*n) * i64::try_from(o.quantity.millionths()).unwrap())
                .sum();
            prop_assert!(held >= need * 1_000_000);
            let cost: i64 = chosen.iter().map(|(n, o)| i64::from(*n) * o.price_cents).sum();
            // The cheapest way to cover n: one pack more than the cheapest way to cover the rest.
            let mut least = vec![0_i64];
            for n in 1..=need {
                let with = |(units, price): &(i64, i64)| {
                    price + least[usize::try_from((n - units).max(0)).unwrap()]
                };
                least.push(packs.iter().map(with).min().unwrap());
            }
            prop_assert_eq!(cost, *least.last().unwrap());
        }
    }
}
