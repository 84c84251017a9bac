//! Usage that somebody reports: when it may have happened, and by which key it is known.

use std::fmt;
use std::str::FromStr;

use jiff::civil::date;
use jiff::tz::Offset;

use super::instant::{Instant, LocalDate};
use super::when::shown_in_utc;

/// Nothing that is metered today was used before this date. What comes from before it is a Unix
/// time whose seconds were taken for milliseconds, or the zero of somebody's calendar.
pub const EARLIEST: LocalDate = LocalDate(date(2000, 1, 1));

/// Why usage cannot have happened at that time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// Later than now.
    #[error("{} is in the future (now is {})", shown_in_utc(*.at), shown_in_utc(*.now))]
    Future { at: Instant, now: Instant },
    /// Before [`EARLIEST`].
    #[error(
        "{} is before {EARLIEST}; was a Unix time in seconds taken for one in milliseconds?",
        shown_in_utc(*.0)
    )]
    TooEarly(Instant),
}

/// Checks when something was used.
///
/// # Errors
/// [`Implausible`].
pub fn check_time(at: Instant, now: Instant) -> Result<(), Implausible> {
    if at > now {
        return Err(Implausible::Future { at, now });
    }
    if Offset::UTC.to_datetime(at.timestamp()).date() < EARLIEST.0 {
        return Err(Implausible::TooEarly(at));
    }
    Ok(())
}

/// An idempotency key of an application. The database's `periodd_is_key` holds others to the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// The longest key, in bytes. PostgreSQL's index would refuse one of more than 2,704.
const KEY_BYTES: usize = 1024;
/// Keys that start so are periodd's own.
const RESERVED: &str = "periodd:";

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            0 => Err(InvalidKey::Empty),
            bytes if bytes > KEY_BYTES => Err(InvalidKey::TooLong(bytes)),
            _ if text.contains('\0') => Err(InvalidKey::Nul),
            _ if text.starts_with(RESERVED) => Err(InvalidKey::Reserved),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing.
    #[error("the key is empty; leave it out for usage without a key")]
    Empty,
    /// So many bytes.
    #[error("the key has {0} bytes; at most {KEY_BYTES} are allowed")]
    TooLong(usize),
    /// What no text of the database holds.
    #[error("the key contains a NUL character")]
    Nul,
    /// One of periodd's own.
    #[error("keys that start with {RESERVED} are for internal use")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_text_that_says_something() {
        let of = |text: &str| text.parse::<Key>().map(|key| key.to_string());
        assert_eq!(of("call-4711"), Ok("call-4711".to_owned()));
        assert_eq!(of(""), Err(InvalidKey::Empty));
        assert_eq!(of("a\0b"), Err(InvalidKey::Nul));
        assert_eq!(of("periodd:late"), Err(InvalidKey::Reserved));
        assert_eq!(of(&"k".repeat(1025)), Err(InvalidKey::TooLong(1025)));
        assert!(of(&"k".repeat(1024)).is_ok());
    }

    #[test]
    fn seconds_taken_for_milliseconds_are_no_time_of_use() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let now = at("2026-05-15T00:00:00Z");
        assert_eq!(check_time(now, now), Ok(()));
        assert_eq!(check_time(at("2000-01-01T00:00:00Z"), now), Ok(()));
        let later = at("2026-05-15T00:00:01Z");
        assert_eq!(check_time(later, now), Err(Implausible::Future { at: later, now }));
        let early = at("1970-01-21T10:06:55Z");
        assert_eq!(check_time(early, now), Err(Implausible::TooEarly(early)));
    }
}
