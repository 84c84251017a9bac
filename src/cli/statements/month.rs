//! A calendar month, as people write it: `2026-11`.

use std::str::FromStr;

use jiff::civil::{Date, date};

use crate::billing::instant::OutOfRange;
use crate::billing::{Instant, LocalDate, Zone};

/// A month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    year: i16,
    month: i8,
}

impl FromStr for Month {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = "invalid month; write it as 2026-11";
        let (year, month) = text.split_once('-').ok_or(invalid)?;
        let is_plain = year.len() == 4 && month.len() == 2;
        let are_digits = text.bytes().filter(u8::is_ascii_digit).count() == 6;
        let (year, month) =
            (year.parse().map_err(|_| invalid)?, month.parse().map_err(|_| invalid)?);
        if is_plain && are_digits && (1..=9998).contains(&year) && (1..=12).contains(&month) {
            return Ok(Self { year, month });
        }
        Err(invalid)
    }
}

impl Month {
    /// Instants that lie before and after it in every zone.
    pub(super) fn around(self) -> Result<(Instant, Instant), OutOfRange> {
        let first = date(self.year, self.month, 1);
        let near = |date: Result<Date, jiff::Error>| {
            let date = date.map_err(|_| OutOfRange)?;
            Zone::utc().first_instant(LocalDate(date))
        };
        Ok((
            near(first.yesterday())?,
            near(first.last_of_month().tomorrow().and_then(Date::tomorrow))?,
        ))
    }

    /// Is an instant in it, in a zone?
    pub(super) fn contains(self, zone: &Zone, at: Instant) -> bool {
        let date = zone.date(at).0;
        (date.year(), date.month()) == (self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::Month;

    #[test]
    fn a_month_is_four_digits_and_two() {
        let month = |text: &str| text.parse::<Month>();
        assert_eq!(month("2026-11"), Ok(Month { year: 2026, month: 11 }));
        for text in ["2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "+026-11", "x"]
        {
            assert!(month(text).is_err(), "{text}");
        }
        let (first, last) = Month { year: 2026, month: 2 }.around().expect("instants");
        assert_eq!(first.to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(last.to_string(), "2026-03-02T00:00:00Z");
    }
}
