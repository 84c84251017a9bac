//! Derived columns: what a stored copy of a counter should hold.

use super::quantity::{Overflow, Quantity};
use super::quota::{self, Included};

/// The largest percentage, in hundredths: 9999999999999999999999.99 %.
const MOST_HUNDREDTHS: i128 = 999_999_999_999_999_999_999_999;

/// Whose counter a derived column copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The org's.
    Org,
    /// One user's.
    User,
}

/// What of it a derived column copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copied {
    /// Usage in the open period.
    Used,
    /// What is left of the packs.
    PurchasedRemaining,
    /// Usage as a percentage of the allowance, cut off after two decimals.
    Percent,
}

/// What a derived column depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterState {
    /// What the counter of the open period holds.
    pub used: Quantity,
    /// What is included in it.
    pub included: Included,
    /// What it has drawn so far.
    pub drawn: Quantity,
    /// What the packs hold that are usable now.
    pub usable: Quantity,
}

/// A derived column as it is found, with what periodd remembers of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurchasedColumn {
    pub held: Quantity,
    /// What periodd wrote to it last, without what others had added; `None` before the first time.
    pub written: Option<Quantity>,
    /// What packs have granted since.
    pub granted: Quantity,
}

/// What a derived column should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    pub value: Quantity,
    /// The value without what others added: what is remembered as written.
    pub written: Quantity,
    /// What someone added to a purchased column without a pack: it is kept.
    pub without_pack: Quantity,
    /// Someone else wrote a value that no counter and no pack explains.
    pub is_damaged: bool,
}

impl PurchasedColumn {
    /// What someone added to the column who sold without a pack. `left` is what is left of the
    /// packs by themselves: before its first write that is all that periodd knows.
    ///
    /// What periodd wrote is not theirs, and neither is what packs have granted since: the
    /// application may have added that to the column, too. A rise for any other reason (a
    /// correction of usage, a higher limit) takes nothing away from them.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn added_by_others(self, left: Quantity) -> Result<Quantity, Overflow> {
        let ours = match self.written {
            Some(written) => written.plus(self.granted)?,
            None => self.granted.max(left),
        };
        Ok(self.held.minus(ours)?.or_zero())
    }
}

impl CounterState {
    /// What a column of that kind should hold, given what it holds.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn due(self, copied: Copied, column: PurchasedColumn) -> Result<Due, Overflow> {
        let plain = |value| Due {
            value,
            written: value,
            without_pack: Quantity::ZERO,
            is_damaged: column.held != value,
        };
        let is_as_written = column.written.is_none_or(|written| column.held == written);
        Ok(match copied {
            Copied::Used => plain(self.used),
            // A higher limit or a new pack moves it, and nobody did anything wrong.
            Copied::Percent => {
                let due = plain(self.percent()?);
                Due { is_damaged: due.is_damaged && !is_as_written, ..due }
            }
            Copied::PurchasedRemaining => {
                let Self { used, included, drawn, usable } = self;
                let left = quota::purchased_remaining(included, drawn, usable, used)?;
                let without_pack = column.added_by_others(left)?;
                let value = left.plus(without_pack)?;
                let lowered = column.written.is_some_and(|written| column.held < written);
                Due {
                    value,
                    written: left,
                    without_pack,
                    is_damaged: lowered && column.held != value,
                }
            }
        })
    }

    /// Usage as a percentage of the allowance, cut off after two decimals: 0 where nothing limits
    /// it, 100 where nothing is allowed and something was used.
    fn percent(self) -> Result<Quantity, Overflow> {
        let Included::Quantity(included) = self.included else { return Ok(Quantity::ZERO) };
        let allowance = included.plus(self.drawn)?.plus(self.usable)?;
        if !self.used.is_positive() {
            return Ok(Quantity::ZERO);
        }
        if !allowance.is_positive() {
            return Ok(Quantity::units(100));
        }
        // No further than quantities reach, as `periodd_percent` has it: more is as much over the
        // limit.
        let hundredths = self.used.millionths().saturating_mul(10_000) / allowance.millionths();
        Quantity::from_millionths(hundredths.min(MOST_HUNDREDTHS).saturating_mul(10_000))
    }
}

impl Quantity {
    /// The same with that many decimals, rounded half away from zero as the database's numbers
    /// are: a column of whole numbers cannot hold more.
    ///
    /// # Errors
    /// [`Overflow`] when rounding leads to 10^22 units.
    pub fn rounded(self, decimals: u32) -> Result<Self, Overflow> {
        let Some(spare) = 6_u32.checked_sub(decimals) else { return Ok(self) };
        let step = 10_i128.pow(spare);
        let half = if self.is_negative() { -step / 2 } else { step / 2 };
        Self::from_millionths((self.millionths() + half) / step * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    fn column(held: &str, written: Option<&str>, granted: &str) -> PurchasedColumn {
        PurchasedColumn { held: q(held), written: written.map(q), granted: q(granted) }
    }

    fn added(held: &str, written: Option<&str>, granted: &str, left: &str) -> String {
        column(held, written, granted).added_by_others(q(left)).unwrap().to_string()
    }

    #[test]
    fn what_others_added_survives_whatever_moves_the_packs() {
        assert_eq!(added("90", Some("60"), "0", "60"), "30");
        // A correction or a higher limit lets purchased remaining rise.
        assert_eq!(added("90", Some("60"), "0", "90"), "30");
        assert_eq!(added("90", Some("60"), "0", "500"), "30");
        // The pack that was missing is granted.
        assert_eq!(added("90", Some("60"), "30", "90"), "0");
        assert_eq!(added("90", Some("60"), "10", "70"), "20");
        // An application that grants a pack and adds it to the column, too.
        assert_eq!(added("390", Some("60"), "300", "360"), "30");
        assert_eq!(added("360", Some("60"), "300", "310"), "0");
        // A sale beside a grant, in whatever order: as much as was granted is taken for the pack's.
        // It may be what the application added for it, and nobody is to have that twice.
        assert_eq!(added("50", Some("0"), "30", "30"), "20");
        assert_eq!(added("80", Some("0"), "30", "30"), "50");
        // Before the first write the packs are all that is known.
        assert_eq!(added("130", None, "100", "60"), "30");
        assert_eq!(added("60", None, "0", "60"), "0");
        // Someone lowered it.
        assert_eq!(added("10", Some("60"), "0", "60"), "0");
    }

    fn state(used: &str, included: &str, usable: &str) -> CounterState {
        let included = Included::Quantity(q(included));
        CounterState { used: q(used), included, drawn: Quantity::ZERO, usable: q(usable) }
    }

    #[test]
    fn a_percentage_ends_where_quantities_end() {
        let state = state("100000000000000000000", "0.000001", "0");
        assert_eq!(state.percent().unwrap().to_string(), "9999999999999999999999.99");
    }

    #[test]
    fn percentages_are_cut_off_and_know_no_division_by_zero() {
        let percent =
            |used, included, usable| state(used, included, usable).percent().unwrap().to_string();
        assert_eq!(percent("1", "3", "0"), "33.33");
        assert_eq!(percent("2", "2", "1"), "66.66");
        assert_eq!(percent("5", "0", "0"), "100");
        assert_eq!(percent("0", "0", "0"), "0");
        assert_eq!(percent("-5", "10", "0"), "0");
        let unlimited = CounterState { included: Included::Unlimited, ..state("9", "0", "0") };
        assert_eq!(unlimited.percent().unwrap(), Quantity::ZERO);
    }

    #[test]
    fn only_what_nothing_explains_is_damage() {
        let damaged = |copied, held: &str, written| {
            let column = column(held, Some(written), "0");
            state("30", "50", "60").due(copied, column).unwrap().is_damaged
        };
        assert!(damaged(Copied::Used, "29", "29"));
        assert!(!damaged(Copied::Used, "30", "29"));
        assert!(!damaged(Copied::PurchasedRemaining, "70", "70"), "the packs changed");
        assert!(!damaged(Copied::PurchasedRemaining, "90", "60"), "someone added");
        assert!(damaged(Copied::PurchasedRemaining, "50", "60"), "someone took away");
        assert!(!damaged(Copied::Percent, "60", "60"), "the allowance changed");
        assert!(damaged(Copied::Percent, "61", "60"));
    }

    #[test]
    fn rounding_is_the_databases() {
        let rounded = |text: &str, decimals| q(text).rounded(decimals).unwrap().to_string();
        assert_eq!(rounded("12.5", 0), "13");
        assert_eq!(rounded("-12.5", 0), "-13");
        assert_eq!(rounded("12.344", 2), "12.34");
        assert_eq!(rounded("12.345", 2), "12.35");
        assert_eq!(rounded("12.345", 6), "12.345");
    }
}
