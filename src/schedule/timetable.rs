//! The occurrences of a cron line on the wall clock of a time zone.
//!
//! The line itself is read by `croner`, on a wall clock that never jumps. What becomes of the
//! jumps is decided here, as Unix crons do:
//!
//! - A line that names its hours (`0 30 2 * * *`) happens once for every wall time that it names.
//!   Where the clock jumps over that time, it happens as soon as the clock has jumped; where the
//!   clock shows it twice, the first time.
//! - A line with `*` among its hours (`0 */10 * * * *`) goes on at its pace: what is jumped over is
//!   left out, and an hour that comes twice counts twice.

use std::fmt;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::billing::{Instant, Zone};
use crate::config::values::CronLine;

/// Jumps of the clock that a search goes through: two a year, for a line that happens on
/// February 29 only, and some to spare.
const MOST_JUMPS: usize = 100;

/// A cron line on the wall clock of a zone.
#[derive(Clone, Debug)]
pub struct Timetable {
    line: String,
    cron: Cron,
    zone: Zone,
    names_hours: bool,
}

impl Timetable {
    /// A line in a zone.
    pub fn new(line: &CronLine, zone: Zone) -> Self {
        let fields: Vec<&str> = line.fields().split_whitespace().collect();
        let hours = fields.iter().rev().nth(3).copied().unwrap_or("*");
        Self {
            line: line.as_str().to_owned(),
            cron: line.cron().clone(),
            names_hours: !hours.contains(['*', '?']),
            zone,
        }
    }

    /// The zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The line in words, such as "At 03:30."
    pub fn words(&self) -> String {
        self.cron.describe()
    }

    /// The first occurrence after an instant; `None` when there is none before the calendar ends.
    pub fn next_after(&self, after: Instant) -> Option<Instant> {
        let rules = self.zone.rules();
        let second = after.microseconds().div_euclid(1_000_000) + 1;
        let mut from = Timestamp::from_second(second).ok()?;
        if let Some(at) = self.jumped_over_at(rules, from) {
            return Some(at);
        }
        for _ in 0..MOST_JUMPS {
            let offset = rules.to_offset(from);
            let jump = rules.following(from).next().map(|transition| transition.timestamp());
            let shown = self.first_not_seen(rules, from, offset);
            let found = self.first_match(shown)?;
            let at = offset.to_timestamp(found).ok()?;
            let Some(jump) = jump.filter(|jump| *jump <= at) else { return Some(at.into()) };
            // Not on this side of the jump. Does the clock jump over it?
            let behind = rules.to_offset(jump).to_datetime(jump);
            if self.names_hours && found < behind {
                return Some(jump.into());
            }
            from = jump;
        }
        None
    }

    /// The instant itself, where the clock jumps at it over an occurrence that the line names: the
    /// second before it does not show what is jumped over.
    fn jumped_over_at(&self, rules: &TimeZone, at: Timestamp) -> Option<Instant> {
        let just_after = at.checked_add(1.second()).ok()?;
        let is_jump = rules.preceding(just_after).next().is_some_and(|t| t.timestamp() == at);
        if !self.names_hours || !is_jump {
            return None;
        }
        let before = at.checked_sub(1.second()).ok()?;
        let shown = self.first_not_seen(rules, before, rules.to_offset(before));
        let reached = rules.to_offset(before).to_datetime(at);
        let found = self.first_match(shown.max(reached))?;
        (found < rules.to_offset(at).to_datetime(at)).then(|| at.into())
    }

    /// The occurrences after an instant, one by one.
    pub fn after(&self, after: Instant) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.next_after(after), |at| self.next_after(*at))
    }

    /// What the wall clock shows at `from`; for a line that names its hours, the first thing from
    /// then on that it has not shown before.
    fn first_not_seen(&self, rules: &TimeZone, from: Timestamp, offset: Offset) -> DateTime {
        let shown = offset.to_datetime(from);
        if !self.names_hours {
            return shown;
        }
        let Ok(just_after) = from.checked_add(1.second()) else { return shown };
        let jump = rules.preceding(just_after).next().map(|transition| transition.timestamp());
        let before = jump.and_then(|jump| Some((jump, jump.checked_sub(1.second()).ok()?)));
        match before {
            Some((jump, before)) => shown.max(rules.to_offset(before).to_datetime(jump)),
            None => shown,
        }
    }

    /// The first match at or after a wall time, on a clock that never jumps.
    fn first_match(&self, from: DateTime) -> Option<DateTime> {
        let from = from.to_zoned(TimeZone::UTC).ok()?;
        self.cron.find_next_occurrence(&from, true).ok().map(|found| found.datetime())
    }
}

impl fmt::Display for Timetable {
    /// The line and its zone: what tells one schedule from another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.line, self.zone.name())
    }
}
