//! Times of day on a wall clock, to the second.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;

use super::parsed;

const DAY: i64 = 86_400;

/// A time of day without a zone, to the second: from 00:00:00 to 23:59:59.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(Time);

impl TimeOfDay {
    /// 00:00:00, where days begin.
    pub const MIDNIGHT: Self = Self(Time::midnight());

    /// A time that is written in the program.
    pub const fn constant(hour: i8, minute: i8, second: i8) -> Self {
        Self(Time::constant(hour, minute, second, 0))
    }

    /// The time that many seconds after midnight; `None` from 24:00:00 on.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        if !(0..DAY).contains(&seconds) {
            return None;
        }
        let part = |value: i64| i8::try_from(value).ok();
        let (hour, minute) = (part(seconds / 3_600)?, part(seconds / 60 % 60)?);
        Time::new(hour, minute, part(seconds % 60)?, 0).ok().map(Self)
    }

    /// Seconds since midnight.
    pub fn seconds(self) -> i64 {
        let Self(time) = self;
        i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second())
    }

    pub(in crate::billing) const fn time(self) -> Time {
        self.0
    }

    /// The time of day that a wall clock shows, without what is finer than a second.
    pub(in crate::billing) fn of(time: Time) -> Self {
        Self::constant(time.hour(), time.minute(), time.second())
    }
}

impl Default for TimeOfDay {
    fn default() -> Self {
        Self::MIDNIGHT
    }
}

impl fmt::Display for TimeOfDay {
    /// `14:32:10`, always with seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time) = self;
        write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidTime;

    /// Reads `14:32` or `14:32:10`, and nothing besides.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTime { text: text.to_owned() };
        let part = |digits: &str, limit: i64| {
            let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<i64>().ok().filter(|value| is_plain && *value < limit)
        };
        let read = || {
            let mut parts = text.split(':');
            let hour = part(parts.next()?, 24)?;
            let minute = part(parts.next()?, 60)?;
            let second = parts.next().map_or(Some(0), |digits| part(digits, 60))?;
            let is_whole = parts.next().is_none();
            Self::from_seconds(hour * 3_600 + minute * 60 + second).filter(|_| is_whole)
        };
        read().ok_or_else(invalid)
    }
}

impl serde::Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Text that is not a time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid time of day `{text}`; write it as 14:32 or 14:32:10, from 00:00 to 23:59:59")]
pub struct InvalidTime {
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_minute_or_the_second_and_written_in_full() {
        for (text, seconds, written) in [
            ("00:00", 0, "00:00:00"),
            ("14:32", 52_320, "14:32:00"),
            ("14:32:10", 52_330, "14:32:10"),
            ("23:59:59", 86_399, "23:59:59"),
        ] {
            let time: TimeOfDay = text.parse().unwrap();
            assert_eq!((time.seconds(), time.to_string().as_str()), (seconds, written));
            assert_eq!(TimeOfDay::from_seconds(seconds), Some(time));
        }
        assert_eq!([-1, 86_400].map(TimeOfDay::from_seconds), [None, None]);
    }

    #[test]
    fn what_is_not_a_time_of_day_is_refused() {
        for text in [
            "",
            "24:00",
            "23:60",
            "23:59:60",
            "1:30",
            "14",
            "14:32:10.5",
            "14:32:10:00",
            "2 pm",
            "14:32Z",
            "+4:00",
            "١٤:٣٢",
        ] {
            let said = text.parse::<TimeOfDay>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")), "{said}");
        }
    }
}
