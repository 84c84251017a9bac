//! Exact quantities: how much of a feature was used, granted, drawn.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

/// Millionths in one unit: a quantity has at most six decimals.
const SCALE: u32 = 6;
const MILLIONTHS: i128 = 1_000_000;
/// Ten to the 22nd units: with six decimals that is 28 digits, all that [`Decimal`] keeps exactly.
const LIMIT: i128 = 10_000_000_000_000_000_000_000 * MILLIONTHS;

/// An exact, signed quantity with at most six decimals, below 10^22 units either way.
///
/// Held as a whole number of millionths, so that sums and comparisons are exact and no
/// arithmetic can round. Every operation that could leave the range says so instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(i128);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole units.
    pub fn units(units: i64) -> Self {
        Self(i128::from(units) * MILLIONTHS)
    }

    /// The exact number of millionths.
    pub const fn millionths(self) -> i128 {
        self.0
    }

    /// The quantity of that many millionths.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn from_millionths(millionths: i128) -> Result<Self, Overflow> {
        if millionths > -LIMIT && millionths < LIMIT { Ok(Self(millionths)) } else { Err(Overflow) }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        Self::from_millionths(self.0 + other.0)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        Self::from_millionths(self.0 - other.0)
    }

    /// This quantity, or zero when it is negative.
    pub fn or_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// Less than nothing?
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// More than nothing?
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Exactly nothing?
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum of them all.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn sum(quantities: impl IntoIterator<Item = Self>) -> Result<Self, Overflow> {
        quantities.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// The same number as a decimal, without trailing zeros.
    pub fn decimal(self) -> Decimal {
        // Most quantities are whole; the others are worth a division per trailing zero.
        if self.0 % MILLIONTHS == 0 {
            return Decimal::from_i128_with_scale(self.0 / MILLIONTHS, 0);
        }
        Decimal::from_i128_with_scale(self.0, SCALE).normalize()
    }
}

impl TryFrom<Decimal> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(decimal: Decimal) -> Result<Self, Self::Error> {
        let invalid = |why| InvalidQuantity { text: decimal.to_string(), why };
        let exact = decimal.normalize();
        let missing = SCALE.checked_sub(exact.scale()).ok_or_else(|| invalid(TOO_FINE))?;
        let millionths = exact.mantissa().checked_mul(10_i128.pow(missing));
        millionths
            .and_then(|value| Self::from_millionths(value).ok())
            .ok_or_else(|| invalid(TOO_LARGE))
    }
}

const TOO_FINE: &str = "has more than 6 decimals";
const TOO_LARGE: &str = "is too large (the limit is 10^22)";
const NO_NUMBER: &str = "is not a decimal number";

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Decimal::from_str_exact(text) {
            Ok(decimal) => Self::try_from(decimal)
                .map_err(|invalid| InvalidQuantity { text: text.to_owned(), ..invalid }),
            Err(rust_decimal::Error::Underflow) => {
                Err(InvalidQuantity { text: text.to_owned(), why: TOO_FINE })
            }
            Err(rust_decimal::Error::ExceedsMaximumPossibleValue) => {
                Err(InvalidQuantity { text: text.to_owned(), why: TOO_LARGE })
            }
            Err(_) => Err(InvalidQuantity { text: text.to_owned(), why: NO_NUMBER }),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.decimal(), f)
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Quantity {
    /// A JSON number with all its digits.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let number: serde_json::Number = self.to_string().parse().map_err(S::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Quantity {
    /// Reads what `Serialize` writes: a JSON number with at most six decimals.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.to_string().parse().map_err(serde::de::Error::custom)
    }
}

/// A result that would reach 10^22 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity would reach 10^22 units")]
pub struct Overflow;

/// Text or a number that is no quantity of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct InvalidQuantity {
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn trailing_zeros_are_the_same_number() {
        assert_eq!(q("1.5"), q("1.50000000"));
        assert_eq!(q("1.500").to_string(), "1.5");
        assert_eq!(q("-0").to_string(), "0");
    }

    #[test]
    fn the_seventh_decimal_is_refused_and_not_rounded() {
        let error = "0.1234567".parse::<Quantity>().unwrap_err();
        assert_eq!(error.to_string(), "`0.1234567` has more than 6 decimals");
        assert!("1e3".parse::<Quantity>().is_err());
        assert!("NaN".parse::<Quantity>().is_err());
    }

    #[test]
    fn the_largest_quantity_plus_the_smallest_is_an_overflow() {
        let largest = q("9999999999999999999999.999999");
        assert_eq!(largest.minus(q("0.000001")).unwrap(), q("9999999999999999999999.999998"));
        assert_eq!(largest.plus(q("0.000001")), Err(Overflow));
        assert!("10000000000000000000000".parse::<Quantity>().is_err());
    }

    #[test]
    fn json_keeps_every_digit() {
        let json = serde_json::to_string(&q("1234567890123456789012.123456")).unwrap();
        assert_eq!(json, "1234567890123456789012.123456");
        assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), q(&json));
        assert!(serde_json::from_str::<Quantity>("0.1234567").is_err());
    }
}
