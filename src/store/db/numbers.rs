//! Which quantities a column can hold, by its type.

use super::error::StoreError;
use crate::billing::Quantity;

/// Decimals that quantities have at most.
const DECIMALS: u32 = 6;

/// A numeric type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Numbers {
    pub(in crate::store) kind: String,
    pub(in crate::store) decimals: u32,
    /// The largest quantity that it holds; `None` for more than any quantity.
    largest: Option<Quantity>,
}

impl Numbers {
    /// What a type holds, by its name and its modifier in the catalogue; `None` for a type that
    /// cannot hold quantities.
    pub(in crate::store) fn of(kind: &str, modifier: i32) -> Option<Self> {
        let whole = |largest: i64| (0, Some(Quantity::units(largest)));
        let (decimals, largest) = match kind {
            "numeric" if modifier < 0 => (DECIMALS, None),
            "numeric" => {
                // The scale stands in the lowest bits; a negative one rounds before the point.
                let scale = (((modifier - 4) & 0x7ff) ^ 1024).checked_sub(1024)?;
                let decimals = u32::try_from(scale).ok()?;
                let digits = u32::try_from((modifier - 4) >> 16).ok()?;
                (decimals, largest(digits, decimals))
            }
            "bigint" => whole(i64::MAX),
            "integer" => whole(i32::MAX.into()),
            "smallint" => whole(i16::MAX.into()),
            _ => return None,
        };
        Some(Self { kind: kind.to_owned(), decimals, largest })
    }

    /// A quantity as a column of this type holds it.
    ///
    /// # Errors
    /// [`StoreError::Unprocessable`] for one that is too large; `column` is named in it.
    pub(in crate::store) fn fitted(
        &self,
        column: &str,
        value: Quantity,
    ) -> Result<Quantity, StoreError> {
        let rounded = value.rounded(self.decimals);
        let rounded =
            rounded.map_err(|overflow| StoreError::Unprocessable(overflow.to_string()))?;
        match self.largest {
            Some(largest) if rounded.millionths().abs() > largest.millionths() => {
                let kind = &self.kind;
                Err(StoreError::Unprocessable(format!(
                    "{column} is {kind} and can store at most {largest}, not {rounded}: give the \
                     column a wider type, or remove it from [[sync.derived]]"
                )))
            }
            _ => Ok(rounded),
        }
    }
}

/// The largest quantity of so many digits, some of them behind the point.
fn largest(digits: u32, decimals: u32) -> Option<Quantity> {
    let above =
        (digits + DECIMALS).checked_sub(decimals).map_or(Some(1), |n| 10_i128.checked_pow(n));
    let step = 10_i128.pow(DECIMALS.saturating_sub(decimals));
    Quantity::from_millionths((above? - step).max(0)).ok()
}
