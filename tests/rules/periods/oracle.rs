//! A second, slow way to find boundaries, which shares nothing with the first.
//!
//! It only ever asks "what does the clock on the wall show at this instant?", which always has
//! one answer, and applies the rule's text to what it saw. Dates are counted by hand.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

const DAY: i64 = 86_400;
/// 1969-01-01 as days since 1970-01-01: one year of margin before 1970 to 2037.
const FIRST_DAY: i64 = -365;
/// 1969 to 2038: 70 years, of which 17 are leap years.
const DAYS: usize = 70 * 365 + 17;

/// Every date from 1969-01-01 to 2038-12-31.
pub(crate) struct Dates(Vec<Date>);

impl Dates {
    pub(crate) fn all() -> Self {
        let mut dates = Vec::with_capacity(DAYS);
        for year in 1969..=2038 {
            for month in 1..=12 {
                dates.extend((1..=days_in(year, month)).map(|day| date(year, month, day)));
            }
        }
        assert_eq!(dates.len(), DAYS);
        Self(dates)
    }

    /// The positions of the dates that the schema's words for a cycle pick.
    pub(crate) fn nominal(&self, cycle: &str, anchor_day: i64, anchor_month: i64) -> Vec<usize> {
        // 1969-01-01 was a Wednesday, ISO weekday 3.
        let weekday = |position: usize| (day_number(position) - FIRST_DAY + 2) % 7 + 1;
        let picks = |(position, date): &(usize, &Date)| {
            let length = i64::from(days_in(date.year(), date.month()));
            let on_day = i64::from(date.day()) == anchor_day.min(length);
            match cycle {
                "daily" => true,
                "weekly" => weekday(*position) == anchor_day,
                "monthly" => on_day,
                "quarterly" => on_day && (i64::from(date.month()) - anchor_month) % 3 == 0,
                "semiannual" => on_day && (i64::from(date.month()) - anchor_month) % 6 == 0,
                "yearly" => on_day && i64::from(date.month()) == anchor_month,
                other => panic!("no cycle {other}"),
            }
        };
        self.0.iter().enumerate().filter(picks).map(|(position, _)| position).collect()
    }

    pub(crate) fn at(&self, position: usize) -> Date {
        self.0[position]
    }

    pub(crate) fn position(&self, date: Date) -> usize {
        self.0.binary_search(&date).expect("between 1969 and 2038")
    }
}

fn days_in(year: i16, month: i8) -> i8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What a zone's wall clocks showed: the offset in seconds from each change on.
pub(crate) struct Wall {
    changes: Vec<(i64, i64)>,
}

impl Wall {
    /// Looks at the clock every twelve hours from 1968-12-28 to 2039-01-04, and where the offset
    /// has changed, halves the interval until the second is found.
    pub(crate) fn watch(rules: &TimeZone) -> Self {
        let offset = |second: i64| offset_at(rules, second);
        let (from, until) = ((FIRST_DAY - 4) * DAY, (FIRST_DAY + 70 * 365 + 17 + 4) * DAY);
        let mut changes = vec![(from, offset(from))];
        let (mut seen, mut old) = (from, offset(from));
        while seen < until {
            let (mut before, mut after) = (seen, seen + DAY / 2);
            let new = offset(after);
            seen = after;
            if new != old {
                while after - before > 1 {
                    let middle = before.midpoint(after);
                    if offset(middle) == old { before = middle } else { after = middle }
                }
                changes.push((after, new));
                old = new;
            }
        }
        Self { changes }
    }

    /// The seconds at which the offset changed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = i64> {
        self.changes.iter().skip(1).map(|(at, _)| *at)
    }

    /// The first second of every date: the least one at which the clock, set back by so many
    /// seconds, showed the date; for a date that never was shown, that of the next one that was.
    /// So it is the first second at or after that time of day on each date.
    pub(crate) fn first_seconds(&self, time: i64) -> Vec<i64> {
        let mut first: Vec<Option<i64>> = vec![None; DAYS];
        let ends = self.changes().chain([i64::MAX]);
        for (&(from, offset), until) in self.changes.iter().zip(ends) {
            let offset = offset - time;
            let shown = |second: i64| second.saturating_add(offset).div_euclid(DAY);
            let dates = position_of(shown(from))..position_of(shown(until - 1) + 1);
            for (position, known) in dates.clone().zip(&mut first[dates]) {
                // While this offset held, the clock showed this date from then on.
                let since = from.max(day_number(position) * DAY - offset);
                *known = Some(known.map_or(since, |known: i64| known.min(since)));
            }
        }
        let mut next = None;
        for first in first.iter_mut().rev() {
            next = first.or(next);
            *first = next;
        }
        first.into_iter().map(|first| first.expect("2038 ends on a date that exists")).collect()
    }
}

/// The same by the letter of the rule, minute by minute; for offsets and times of whole minutes.
pub(crate) fn first_second_by_minutes(rules: &TimeZone, mut position: usize, time: i64) -> i64 {
    loop {
        let day = day_number(position);
        // No offset is farther than 16 hours from UTC, forward or back.
        let (from, until) = (day * DAY - 16 * 3600, (day + 2) * DAY + 16 * 3600);
        let shown =
            |second: &i64| (second + offset_at(rules, *second) - time).div_euclid(DAY) == day;
        let mut around = (from..until).step_by(60);
        if let Some(second) = around.find(shown) {
            return second;
        }
        position += 1;
    }
}

/// Days from 1970-01-01 to the date at that position.
fn day_number(position: usize) -> i64 {
    FIRST_DAY + i64::try_from(position).expect("a few thousand")
}

/// The position of a date by its number; the nearest there is, when it lies outside.
fn position_of(day_number: i64) -> usize {
    usize::try_from(day_number - FIRST_DAY).map_or(0, |position| position.min(DAYS))
}

fn offset_at(rules: &TimeZone, second: i64) -> i64 {
    let at = Timestamp::from_second(second).expect("between 1968 and 2039");
    i64::from(rules.to_offset(at).seconds())
}
