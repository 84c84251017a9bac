//! What a quantity costs.

use super::quantity::{Overflow, Quantity};

const MILLIONTHS: i128 = 1_000_000;

/// What a quantity costs at a price for one unit, in hundredths of a currency: rounded to whole
/// ones, halves away from zero, so that a correction costs what it corrects. Totals are sums of
/// such amounts.
///
/// # Errors
/// [`Overflow`] from 10^22 on.
pub fn amount(quantity: Quantity, price_cents: Quantity) -> Result<Quantity, Overflow> {
    let product = quantity.millionths().checked_mul(price_cents.millionths()).ok_or(Overflow)?;
    // Millionths of millionths.
    let whole = MILLIONTHS * MILLIONTHS;
    let half = if product < 0 { -whole / 2 } else { whole / 2 };
    let cents = (product.checked_add(half).ok_or(Overflow)?) / whole;
    Quantity::from_millionths(cents.checked_mul(MILLIONTHS).ok_or(Overflow)?)
}

/// What `part` of a quantity that was sold whole costs, after `before` of it: amounts of parts add
/// up to the price of the whole.
///
/// # Errors
/// [`Overflow`] from 10^22 on.
pub fn share(
    price_cents: i64,
    whole: Quantity,
    before: Quantity,
    part: Quantity,
) -> Result<Quantity, Overflow> {
    let up_to = |quantity: Quantity| {
        if !whole.is_positive() {
            return Ok(0);
        }
        let product = i128::from(price_cents).checked_mul(quantity.millionths()).ok_or(Overflow)?;
        let (cents, rest) = (product / whole.millionths(), product % whole.millionths());
        Ok(if rest >= whole.millionths() - rest { cents + 1 } else { cents })
    };
    let cents = up_to(before.plus(part)?)? - up_to(before)?;
    Quantity::from_millionths(cents.checked_mul(MILLIONTHS).ok_or(Overflow)?)
}

/// An amount of hundredths as people read it: `29.00 USD`.
pub fn said(cents: Quantity, currency: &str) -> String {
    let whole = cents.millionths() / MILLIONTHS;
    let sign = if whole < 0 { "-" } else { "" };
    let whole = whole.unsigned_abs();
    format!("{sign}{}.{:02} {currency}", whole / 100, whole % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(quantity: &str, price: &str) -> String {
        let read = |text: &str| text.parse().expect("a quantity");
        amount(read(quantity), read(price))
            .map_or_else(|_| "overflow".into(), |cents| cents.to_string())
    }

    #[test]
    fn shares_add_up_to_the_price_of_the_whole() {
        let units = Quantity::units;
        let share = |before, part| share(1000, units(3), units(before), units(part));
        let parts = [share(0, 1), share(1, 1), share(2, 1)].map(|cents| cents.expect("cents"));
        assert_eq!(parts, [333, 334, 333].map(units));
        assert_eq!(share(0, 3), Ok(units(1000)));
        assert_eq!(super::share(5, Quantity::ZERO, units(0), units(0)), Ok(Quantity::ZERO));
    }

    #[test]
    fn an_amount_is_said_with_its_hundredths() {
        assert_eq!(said(Quantity::units(2900), "USD"), "29.00 USD");
        assert_eq!(said(Quantity::units(-5), "EUR"), "-0.05 EUR");
        assert_eq!(said(Quantity::ZERO, "EUR"), "0.00 EUR");
    }

    #[test]
    fn amounts_are_whole_and_corrections_cost_what_they_correct() {
        assert_eq!(of("250", "2"), "500");
        assert_eq!(of("3", "0.5"), "2", "half a cent is rounded up");
        assert_eq!(of("-3", "0.5"), "-2", "and away from zero");
        assert_eq!(of("0.000001", "0.000001"), "0");
        assert_eq!(of("1.499999", "1"), "1");
        assert_eq!(of("9999999999999999999999", "9999999999999999999999"), "overflow");
    }
}
