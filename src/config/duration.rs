//! Lengths of time as people write them: exact ones for waiting, calendar ones for keeping.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span};

use crate::billing::Instant;
use crate::billing::instant::OutOfRange;

/// The longest wait that is accepted, a leap year: sums with it stay far from every clock's end.
const LONGEST: Duration = Duration::from_hours(366 * 24);
/// More months or days than anybody keeps anything, and few enough for every calendar.
const MOST_KEPT: i32 = 120_000;

/// An exact length of time, written `"30s"`, `"5m"`, `"72h"` or `"1h 30m"`; never negative, at
/// most 366 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Wait(pub Duration);

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = |_| {
            format!(
                "invalid duration `{text}`; write a number with its unit, such as \"30s\", \"5m\" \
                 or \"72h\""
            )
        };
        let signed: SignedDuration = text.parse().map_err(malformed)?;
        let exact = Duration::try_from(signed)
            .map_err(|_| format!("`{text}` is negative; a duration is zero or more"))?;
        if exact > LONGEST {
            return Err(format!("`{text}` is too long; the longest duration is 8784h (366 days)"));
        }
        Ok(Self(exact))
    }
}

/// How long rows are kept: a stretch of the calendar, written `"25 months"` or `"90 days"`, or
/// `"forever"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing is ever deleted.
    Forever,
    /// Deleted when it is older than these months and then these days.
    For {
        /// Whole months; a year is twelve of them.
        months: u32,
        /// Whole days; a week is seven of them.
        days: u32,
    },
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        text.parse().ok().and_then(|span: Span| calendar(&span)).ok_or_else(|| {
            format!(
                "invalid calendar duration `{text}`; write \"25 months\", \"90 days\" or \
                 \"forever\""
            )
        })
    }
}

/// The span in months and days; `None` unless it is positive and made of nothing smaller.
fn calendar(span: &Span) -> Option<Keep> {
    let months = i32::from(span.get_years()) * 12 + span.get_months();
    let days = span.get_weeks() * 7 + span.get_days();
    let dates_only = Span::new()
        .try_years(span.get_years())
        .and_then(|part| part.try_months(span.get_months()))
        .and_then(|part| part.try_weeks(span.get_weeks()))
        .and_then(|part| part.try_days(span.get_days()))
        .ok()?;
    let within = 0..=MOST_KEPT;
    let is_sound = dates_only.fieldwise() == span.fieldwise()
        && within.contains(&months)
        && within.contains(&days)
        && !span.is_zero();
    let keep = Keep::For { months: months.try_into().ok()?, days: days.try_into().ok()? };
    is_sound.then_some(keep)
}

impl Keep {
    /// What is older than this instant has been kept long enough at `now`; `None` for ever. The
    /// calendar is that of UTC.
    ///
    /// # Errors
    /// [`OutOfRange`] before the calendar begins.
    pub fn before(self, now: Instant) -> Result<Option<Instant>, OutOfRange> {
        let Self::For { months, days } = self else { return Ok(None) };
        let span = Span::new().try_months(months).and_then(|span| span.try_days(days));
        let now = now.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        let before = span.and_then(|span| now.checked_sub(span)).map_err(|_| OutOfRange)?;
        Ok(Some(before.timestamp().into()))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::For { months, days: 0 } => write!(f, "{months} months"),
            Self::For { months: 0, days } => write!(f, "{days} days"),
            Self::For { months, days } => write!(f, "{months} months {days} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_durations_need_a_unit_of_fixed_length() {
        let wait = |text: &str| text.parse::<Wait>();
        assert_eq!(wait("30s"), Ok(Wait(Duration::from_secs(30))));
        assert_eq!(wait("1h 30m"), Ok(Wait(Duration::from_mins(90))));
        assert_eq!(wait("0s"), Ok(Wait(Duration::ZERO)));
        for refused in ["30", "", "1 month", "1 day", "soon", "-5s", "5s ago", "9000h", "1e9h"] {
            assert!(wait(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_is_kept_is_counted_by_the_calendar() {
        let before = |keep: &str, now: &str| {
            let now: Instant = now.parse().unwrap();
            keep.parse::<Keep>().unwrap().before(now).unwrap().map(|at| at.to_string())
        };
        let now = "2026-03-31T12:00:00Z";
        assert_eq!(before("1 month", now).unwrap(), "2026-02-28T12:00:00Z");
        assert_eq!(before("25 months", now).unwrap(), "2024-02-29T12:00:00Z");
        assert_eq!(before("90 days", now).unwrap(), "2025-12-31T12:00:00Z");
        assert_eq!(before("forever", now), None);
    }

    #[test]
    fn kept_spans_are_made_of_days_and_months_only() {
        let keep = |text: &str| text.parse::<Keep>();
        assert_eq!(keep("25 months"), Ok(Keep::For { months: 25, days: 0 }));
        assert_eq!(keep("2y 1 week"), Ok(Keep::For { months: 24, days: 7 }));
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        for refused in ["25", "36h", "1 day 2h", "0 days", "-3 months", "3 days ago", "19000 years"]
        {
            assert!(keep(refused).is_err(), "{refused}");
        }
    }
}
