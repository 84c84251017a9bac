//! Which days or periods a chart is made of: what was asked for, within bounds.

use std::str::FromStr;

use jiff::ToSpan;

use super::instant::{Instant, LocalDate, OutOfRange};
use super::period::Zone;

/// The most days of a series: a year, and the month before it to compare with.
pub const MOST_DAYS: i32 = 400;
/// Days where nobody says how many.
const DEFAULT_DAYS: i32 = 30;
/// The most periods of a series: ten years of months.
pub const MOST_PERIODS: usize = 120;
/// Periods where nobody says how many.
const DEFAULT_PERIODS: usize = 12;

/// What a series has a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Each local day.
    Day,
    /// Each billing period.
    Period,
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "day" => Ok(Self::Day),
            "period" => Ok(Self::Period),
            other => Err(format!("unknown value `{other}`; write day or period")),
        }
    }
}

/// The local dates that were asked for, both of them included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub from: Option<LocalDate>,
    /// Today where it is not given, or is later: nothing has been used after that.
    pub to: Option<LocalDate>,
}

/// Why a range cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    #[error("`from`: {from} is after `to`, {to}")]
    AfterTo { from: LocalDate, to: LocalDate },
    #[error("`from`: {from} is after today, {today}")]
    AfterToday { from: LocalDate, today: LocalDate },
    #[error("`from`: {days} days are too many; ask for at most {MOST_DAYS}")]
    TooManyDays { days: i32 },
    #[error("`from`: the range has more than {MOST_PERIODS} periods; choose a later date")]
    TooManyPeriods,
    #[error("`from`: {0}")]
    OutOfRange(#[from] OutOfRange),
}

/// The days of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    pub dates: Vec<LocalDate>,
    /// Their first instants, and that of the day after: one more than there are days.
    pub starts: Vec<Instant>,
}

/// The periods of a series: those that overlap this stretch of time, the newest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// `None`: however old.
    pub from: Option<Instant>,
    pub until: Instant,
    /// So many; with `from`, more are too many.
    pub most: usize,
}

impl Range {
    /// The days that were asked for; the last 30 where no start is given.
    ///
    /// # Errors
    /// [`InvalidRange`] for an inverted range, one in the future, and one that is too long.
    pub fn days(self, today: LocalDate, zone: &Zone) -> Result<Days, InvalidRange> {
        let (from, to) = self.bounds(today)?;
        let first = |to: LocalDate| to.0.checked_sub((DEFAULT_DAYS - 1).days());
        let from = match from {
            Some(from) => from,
            None => LocalDate(first(to).map_err(|_| OutOfRange)?),
        };
        let days = from.0.until(to.0).map_err(|_| OutOfRange)?.get_days() + 1;
        if days > MOST_DAYS {
            return Err(InvalidRange::TooManyDays { days });
        }
        let starts = zone.days(from, to)?;
        let dates = from.0.series(1.day()).take(starts.len() - 1).map(LocalDate).collect();
        Ok(Days { dates, starts })
    }

    /// The periods that were asked for; the last 12 where no start is given.
    ///
    /// # Errors
    /// [`InvalidRange`] for an inverted range, and one in the future.
    pub fn periods(self, today: LocalDate, zone: &Zone) -> Result<Periods, InvalidRange> {
        let (from, to) = self.bounds(today)?;
        let until = LocalDate(to.0.tomorrow().map_err(|_| OutOfRange)?);
        let most = if from.is_some() { MOST_PERIODS } else { DEFAULT_PERIODS };
        let from = from.map(|from| zone.first_instant(from)).transpose()?;
        Ok(Periods { from, until: zone.first_instant(until)?, most })
    }

    fn bounds(self, today: LocalDate) -> Result<(Option<LocalDate>, LocalDate), InvalidRange> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(InvalidRange::AfterTo { from, to });
        }
        if let Some(from) = self.from.filter(|from| *from > today) {
            return Err(InvalidRange::AfterToday { from, today });
        }
        Ok((self.from, self.to.map_or(today, |to| to.min(today))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    fn date(text: &str) -> LocalDate {
        text.parse().unwrap()
    }

    fn range(from: &str, to: &str) -> Range {
        let date = |text: &str| if text.is_empty() { None } else { Some(date(text)) };
        Range { from: date(from), to: date(to) }
    }

    fn days(from: &str, to: &str) -> Result<(String, String, usize), String> {
        let days = range(from, to).days(date("2026-11-30"), &Zone::utc());
        let days = days.map_err(|error| error.to_string())?;
        assert_eq!(days.starts.len(), days.dates.len() + 1);
        let (first, last) = (days.dates[0], days.dates[days.dates.len() - 1]);
        Ok((first.to_string(), last.to_string(), days.dates.len()))
    }

    #[test]
    fn days_end_today_and_are_thirty_if_nobody_says_how_many() {
        let of = |from: &str, to: &str, count| Ok((from.to_owned(), to.to_owned(), count));
        assert_eq!(days("", ""), of("2026-11-01", "2026-11-30", 30));
        assert_eq!(days("", "2026-03-01"), of("2026-01-31", "2026-03-01", 30));
        assert_eq!(days("2026-11-30", "2027-01-01"), of("2026-11-30", "2026-11-30", 1));
        assert_eq!(days("2025-10-27", ""), of("2025-10-27", "2026-11-30", 400));
    }

    #[test]
    fn a_range_that_cannot_be_shown_is_refused_with_the_parameters_name() {
        for (from, to, said) in [
            ("2026-11-02", "2026-11-01", "`from`: 2026-11-02 is after `to`, 2026-11-01"),
            ("2026-12-01", "", "`from`: 2026-12-01 is after today, 2026-11-30"),
            ("2025-10-26", "", "`from`: 401 days are too many; ask for at most 400"),
        ] {
            assert_eq!(days(from, to), Err(said.to_owned()));
        }
    }

    #[test]
    fn a_day_begins_when_the_zone_says_and_may_be_missing() {
        let rules = TimeZoneDatabase::bundled().get("Pacific/Apia").unwrap();
        let apia = Zone::new("Pacific/Apia", rules);
        let days = range("2011-12-29", "2011-12-31").days(date("2026-11-30"), &apia).unwrap();
        let starts: Vec<String> = days.starts.iter().map(ToString::to_string).collect();
        assert_eq!(
            starts,
            [
                "2011-12-29T10:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-31T10:00:00Z"
            ]
        );
    }

    #[test]
    fn periods_are_twelve_if_nobody_says_since_when() {
        let periods = |from: &str, to: &str| {
            range(from, to).periods(date("2026-11-30"), &Zone::utc()).unwrap()
        };
        let last = periods("", "");
        assert_eq!((last.from, last.most), (None, 12));
        assert_eq!(last.until.to_string(), "2026-12-01T00:00:00Z");
        let some = periods("2026-01-01", "2026-03-31");
        assert_eq!(some.from.map(|at| at.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!((some.until.to_string().as_str(), some.most), ("2026-04-01T00:00:00Z", 120));
    }
}
