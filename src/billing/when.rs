//! A point in time as people write it: an instant, a local date, or relative to now.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::{SignedDuration, Span, Timestamp};

use super::instant::{Instant, LocalDate};
use super::period::Zone;

/// A point in time as a person wrote it. It becomes an [`Instant`] with [`When::at`], once a zone
/// and now are known.
#[derive(Clone, Copy, Debug)]
pub struct When(Written);

#[derive(Clone, Copy, Debug)]
enum Written {
    Instant(Instant),
    Date(Date),
    /// Midnight of today, moved by so many days.
    Day(i64),
    /// Now, moved by a span. Days and longer units follow the calendar.
    Moved(Span),
}

impl When {
    /// Is it the same instant whatever the zone and now are?
    pub fn instant(self) -> Option<Instant> {
        match self.0 {
            Written::Instant(at) => Some(at),
            Written::Date(_) | Written::Day(_) | Written::Moved(_) => None,
        }
    }

    /// The instant that it means in a zone at `now`. A date is its first instant there.
    ///
    /// # Errors
    /// [`InvalidWhen::OutOfRange`] beyond the years 1 to 9999.
    pub fn at(self, zone: &Zone, now: Instant) -> Result<Instant, InvalidWhen> {
        let first = |date: Date| zone.first_instant(LocalDate(date)).map_err(|_| OUT_OF_RANGE);
        match self.0 {
            Written::Instant(at) => Ok(at),
            Written::Date(date) => first(date),
            Written::Day(days) => {
                let day = zone.date(now).0.checked_add(Span::new().days(days));
                first(day.map_err(|_| OUT_OF_RANGE)?)
            }
            Written::Moved(span) => {
                let local = now.timestamp().to_zoned(zone.rules().clone());
                let moved = local.checked_add(span).map_err(|_| OUT_OF_RANGE)?;
                let at = Instant::from(moved.timestamp());
                Instant::from_microseconds(at.microseconds()).map_err(|_| OUT_OF_RANGE)
            }
        }
    }
}

impl From<Instant> for When {
    fn from(at: Instant) -> Self {
        Self(Written::Instant(at))
    }
}

impl FromStr for When {
    type Err = InvalidWhen;

    /// Reads RFC 3339 (`2026-05-01T00:00:00+02:00`), a date (`2026-05-01`, `yesterday`), or a time
    /// relative to now (`now`, `+30d`, `2h ago`, `now-1d`, `in 3 weeks`).
    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        let unknown = || InvalidWhen::Unknown { text: text.to_owned() };
        let words = text.trim();
        if let Ok(at) = words.parse::<Instant>() {
            return Ok(Self(Written::Instant(at)));
        }
        if is_date(words) {
            return words.parse().map(|date| Self(Written::Date(date))).map_err(|_| unknown());
        }
        let words = words.to_ascii_lowercase();
        let written = match words.as_str() {
            "now" => Written::Moved(Span::new()),
            "yesterday" => Written::Day(-1),
            "today" => Written::Day(0),
            "tomorrow" => Written::Day(1),
            relative => Written::Moved(span(relative).ok_or_else(unknown)?),
        };
        Ok(Self(written))
    }
}

/// Ten characters, as only a date has: other forms that the calendar library reads are refused.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// `+30d`, `-2h`, `now+1h`, `2h ago`, `in 3 days`: the direction is always said.
fn span(words: &str) -> Option<Span> {
    let words = words.strip_prefix("now").map_or(words, str::trim_start);
    let (sign, amount) = if let Some(amount) = words.strip_prefix('+') {
        (1, amount)
    } else if let Some(amount) = words.strip_prefix('-') {
        (-1, amount)
    } else if let Some(amount) = words.strip_prefix("in ") {
        (1, amount)
    } else {
        (-1, words.strip_suffix(" ago")?)
    };
    let amount = amount.trim();
    // The library's own words for a direction, and other forms (`PT2H`), are not ours.
    if !amount.starts_with(|c: char| c.is_ascii_digit()) || amount.ends_with("ago") {
        return None;
    }
    let span: Span = amount.parse().ok()?;
    // Whatever moves the first instant there is out of the calendar is no span that anybody means.
    Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).ok()?;
    Some(if sign < 0 { span.negate() } else { span })
}

/// An instant on a zone's wall clock, with the zone's abbreviation: `2026-12-01 00:00 CET`. To the
/// minute, or to the second where it is not a full one.
pub fn shown(zone: &Zone, at: Instant) -> String {
    if at == Instant::NEVER {
        return "never".to_owned();
    }
    let is_full = at.microseconds().rem_euclid(60_000_000) < 1_000_000;
    zone.local_as(at, if is_full { "%Y-%m-%d %H:%M %Z" } else { "%Y-%m-%d %H:%M:%S %Z" })
}

/// The same of what belongs to no org: `2026-12-01 00:00 UTC`.
pub fn shown_in_utc(at: Instant) -> String {
    shown(&Zone::utc(), at)
}

/// A time relative to now, in its two largest units: `in 3 d 4 h`, `12 min ago`.
pub fn relative_to(now: Instant, at: Instant) -> String {
    if at == Instant::NEVER { "never".to_owned() } else { relative(at.since(now)) }
}

/// A span in its two largest units: `in 3 d 4 h`, `12 min ago`.
pub fn relative(span: SignedDuration) -> String {
    let length = match span.unsigned_abs().as_secs() {
        0 => return "now".to_owned(),
        seconds => amount(seconds),
    };
    if span.is_negative() { format!("{length} ago") } else { format!("in {length}") }
}

/// The two largest units of so many seconds: `45 s`, `12 min`, `3 h 20 min`, `41 d`.
pub fn amount(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {smaller}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => two(hours, "h", minutes % 60, "min"),
        (1..10, hours, _) => two(days, "d", hours % 24, "h"),
        _ => format!("{days} d"),
    }
}

/// Milliseconds as people read them: `93 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub fn millis(millis: i64) -> String {
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

const OUT_OF_RANGE: InvalidWhen = InvalidWhen::OutOfRange;

/// Text that is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWhen {
    #[error(
        "invalid time `{text}`; write it as RFC 3339 with an offset (2026-05-01T00:00:00Z), as a \
         date (2026-05-01, yesterday), or relative to now (+30d, 2h ago)"
    )]
    Unknown { text: String },
    #[error("the time is outside the years 1 to 9999")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Zone {
        let rules = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
        Zone::new("Europe/Berlin", rules)
    }

    #[test]
    fn every_form_means_one_instant_in_the_zone() {
        // Saturday noon in Berlin, the day before the clocks go forward at 02:00.
        let now: Instant = "2026-03-28T11:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2026-05-01T00:00:00+02:00", "2026-04-30T22:00:00Z"),
            ("2026-05-01", "2026-04-30T22:00:00Z"),
            ("yesterday", "2026-03-26T23:00:00Z"),
            ("today", "2026-03-27T23:00:00Z"),
            ("tomorrow", "2026-03-28T23:00:00Z"),
            ("now", "2026-03-28T11:00:00Z"),
            // A day is a day on the calendar, 24 hours are 24 hours.
            ("+1d", "2026-03-29T10:00:00Z"),
            ("+24h", "2026-03-29T11:00:00Z"),
            ("now-1d", "2026-03-27T11:00:00Z"),
            ("-2h", "2026-03-28T09:00:00Z"),
            ("2h ago", "2026-03-28T09:00:00Z"),
            ("1h 30m ago", "2026-03-28T09:30:00Z"),
            ("3 days ago", "2026-03-25T11:00:00Z"),
            ("in 2 weeks", "2026-04-11T10:00:00Z"),
            ("+1mo", "2026-04-28T10:00:00Z"),
            (" Yesterday ", "2026-03-26T23:00:00Z"),
        ] {
            let when: When = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let met = when.at(&berlin(), now).map(|at| at.to_string());
            assert_eq!(met.as_deref(), Ok(at), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in [
            "",
            "30d",
            "2026-13-01",
            "2026-05",
            "20260501",
            "May 1",
            "next week",
            "+",
            "-",
            "+d",
            "PT2H",
            "+PT2H",
            "ago",
            "2026-05-01T00:00:00",
            "+-2h",
            "--2h",
            "-2h ago",
            "+2h ago",
            "+99999999y",
        ] {
            assert!(text.parse::<When>().is_err(), "`{text}` is read");
        }
        let end: When = "+8000y".parse().unwrap();
        let now: Instant = "2026-03-28T11:00:00Z".parse().unwrap();
        assert_eq!(end.at(&berlin(), now), Err(InvalidWhen::OutOfRange));
    }

    #[test]
    fn a_relative_time_has_its_two_largest_units() {
        for (seconds, text) in [
            (0, "now"),
            (45, "in 45 s"),
            (-60, "1 min ago"),
            (-3_599, "59 min ago"),
            (3_600, "in 1 h"),
            (12_000, "in 3 h 20 min"),
            (-86_400, "1 d ago"),
            (273_600, "in 3 d 4 h"),
            (-41 * 86_400 - 7_200, "41 d ago"),
        ] {
            assert_eq!(relative(SignedDuration::from_secs(seconds)), text);
        }
    }
}
