//! Days of UTC, by which pages of all orgs count: their own days differ.

use jiff::ToSpan;

use crate::billing::{Instant, LocalDate, Zone};

/// Days in a row, today the last of them.
#[derive(Clone, Debug)]
pub(super) struct Days {
    /// The oldest first.
    pub(super) dates: Vec<LocalDate>,
    /// Where each begins, and where the last one ends.
    pub(super) boundaries: Vec<Instant>,
}

impl Days {
    /// The last days; fewer at the beginning of the calendar.
    pub(super) fn until(now: Instant, count: i64) -> Self {
        let zone = Zone::utc();
        let today = zone.date(now);
        let back = (1..count).rev().filter_map(|back| today.0.checked_sub(back.days()).ok());
        let dates: Vec<LocalDate> = back.map(LocalDate).chain([today]).collect();
        let first = dates.first().copied().unwrap_or(today);
        let boundaries = zone.days(first, today).unwrap_or_else(|_| vec![now]);
        Self { dates, boundaries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_the_last_of_them() {
        let days = Days::until("2026-03-01T10:00:00Z".parse().unwrap(), 3);
        let dates: Vec<String> = days.dates.iter().map(ToString::to_string).collect();
        assert_eq!(dates, ["2026-02-27", "2026-02-28", "2026-03-01"]);
        assert_eq!(days.boundaries.len(), 4);
        assert_eq!(days.boundaries[3], "2026-03-02T00:00:00Z".parse().unwrap());
    }
}
