//! Instants and dates, as precise as the database keeps them.

pub mod time_of_day;

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

/// An instant in UTC, counted in whole microseconds since 1970-01-01T00:00:00Z.
///
/// PostgreSQL's `timestamptz` keeps microseconds; anything finer would be lost on the way there
/// and make an instant differ from itself after a round trip, so it is cut off on the way in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// Before every instant that a row can hold; the database reads it as `-infinity`.
    pub const MIN: Self = Self(-210_866_803_200_000_000);
    /// 9999-12-31T23:59:59.999999Z, the last instant that there is: the end of what never ends.
    pub const NEVER: Self = Self(Self::LAST);
    /// 0001-01-01T00:00:00Z, the first instant that a row may hold.
    const FIRST: i64 = -62_135_596_800_000_000;
    /// 9999-12-31T23:59:59.999999Z, the last instant that a row may hold.
    const LAST: i64 = 253_402_300_799_999_999;

    /// The instant that many microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`OutOfRange`] outside the years 1 to 9999.
    pub fn from_microseconds(microseconds: i64) -> Result<Self, OutOfRange> {
        match microseconds {
            Self::FIRST..=Self::LAST => Ok(Self(microseconds)),
            _ => Err(OutOfRange),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn microseconds(self) -> i64 {
        self.0
    }

    /// The same instant as jiff's type; finer than ours, so nothing is lost. That type ends 26
    /// hours before the year 9999 does: what is later is its last instant.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }

    /// The time from `earlier` to this instant; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> SignedDuration {
        SignedDuration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved by `span`.
    ///
    /// # Errors
    /// [`OutOfRange`] when the result lies outside the years 1 to 9999.
    pub fn plus(self, span: SignedDuration) -> Result<Self, OutOfRange> {
        let micros = i64::try_from(span.as_micros()).map_err(|_| OutOfRange)?;
        Self::from_microseconds(self.0.checked_add(micros).ok_or(OutOfRange)?)
    }
}

impl From<Timestamp> for Instant {
    /// Cuts off what is finer than a microsecond, towards the past.
    fn from(at: Timestamp) -> Self {
        let below = i64::from(at.subsec_nanosecond() % 1_000 < 0);
        Self(at.as_microsecond() - below)
    }
}

impl FromStr for Instant {
    type Err = InvalidInstant;

    /// Reads RFC 3339 with an offset (`2026-05-01T00:00:00+02:00`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>()
            .map(Self::from)
            .ok()
            .or_else(|| last_hours(text))
            .ok_or_else(|| InvalidInstant { text: text.to_owned() })
    }
}

/// 1970-01-01T00:00:00, without a zone.
const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Reads an instant of the year 9999 in UTC that jiff's type of instants ends before.
fn last_hours(text: &str) -> Option<Instant> {
    let civil: DateTime = text.strip_suffix('Z')?.parse().ok()?;
    let since_epoch = civil.duration_since(EPOCH).as_micros();
    Instant::from_microseconds(i64::try_from(since_epoch).ok()?).ok()
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, with as many decimals as needed: `2026-05-01T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(at) = Timestamp::from_microsecond(self.0) {
            return write!(f, "{at}");
        }
        let civil = EPOCH.saturating_add(SignedDuration::from_micros(self.0));
        write!(f, "{civil}Z")
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Reads a value from the text that it is written as.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// A calendar date without a zone: the *nominal* date that a boundary stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate(pub Date);

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for LocalDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for LocalDate {
    type Err = InvalidDate;

    /// Reads `2026-05-01`, and nothing besides.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = if is_plain { text.parse().ok() } else { None };
        date.map(Self).ok_or_else(|| InvalidDate { text: text.to_owned() })
    }
}

impl<'de> serde::Deserialize<'de> for LocalDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// A date or an instant outside the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the date is outside the years 1 to 9999")]
pub struct OutOfRange;

/// Text that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid date `{text}`; write it as 2026-05-01")]
pub struct InvalidDate {
    pub text: String,
}

/// Text that is no RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid time `{text}`; write it as RFC 3339 with an offset, such as 2026-05-01T00:00:00Z")]
pub struct InvalidInstant {
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finer_than_a_microsecond_is_cut_off_towards_the_past() {
        let instant = |text: &str| text.parse::<Instant>().unwrap().microseconds();
        assert_eq!(instant("1970-01-01T00:00:00.0000019Z"), 1);
        assert_eq!(instant("1969-12-31T23:59:59.9999999Z"), -1);
        assert_eq!(instant("1969-12-31T23:59:59.999999Z"), -1);
    }
    #[test]
    fn dates_are_read_in_one_form() {
        assert_eq!("2026-05-01".parse::<LocalDate>().unwrap().to_string(), "2026-05-01");
        for text in ["", "2026-5-1", "2026-02-30", "20260501", "2026-05-01T00:00", "-026-05-01"] {
            let said = text.parse::<LocalDate>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")), "{said}");
        }
    }

    #[test]
    fn the_years_1_to_9999_are_read_and_written_to_their_last_microsecond() {
        for (microseconds, text) in [
            (Instant::FIRST, "0001-01-01T00:00:00Z"),
            (Instant::LAST, "9999-12-31T23:59:59.999999Z"),
        ] {
            let at = Instant::from_microseconds(microseconds).unwrap();
            assert_eq!((at.to_string().as_str(), text.parse()), (text, Ok(at)));
        }
        for outside in [i64::MIN, Instant::FIRST - 1, Instant::LAST + 1, i64::MAX] {
            assert_eq!(Instant::from_microseconds(outside), Err(OutOfRange));
        }
    }
}
