//! Ids as people type them: whole, or by their first digits.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The first digits of an id, or all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdPrefix {
    /// The first and the last id that begin so.
    pub first: Uuid,
    pub last: Uuid,
    typed: String,
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Fewer digits than this mean nothing in particular.
const FEWEST: usize = 4;

impl FromStr for IdPrefix {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId(text.to_owned());
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() < FEWEST || digits.len() > 32 {
            return Err(invalid());
        }
        let padded = |with: &str| {
            let rest = with.repeat(32 - digits.len());
            Uuid::try_parse(&[digits.as_str(), &rest].concat()).map_err(|_| invalid())
        };
        Ok(Self { first: padded("0")?, last: padded("f")?, typed: text.to_owned() })
    }
}

/// Text that is neither an id nor the first digits of one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid id `{0}`; write an id, or at least its first four digits")]
pub struct InvalidId(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_digits_stand_for_every_id_that_begins_so() {
        let prefix: IdPrefix = "6f0c3a52-4".parse().unwrap();
        assert_eq!(prefix.first.to_string(), "6f0c3a52-4000-0000-0000-000000000000");
        assert_eq!(prefix.last.to_string(), "6f0c3a52-4fff-ffff-ffff-ffffffffffff");
        let whole = "6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d";
        let prefix: IdPrefix = whole.parse().unwrap();
        assert_eq!((prefix.first.to_string(), prefix.last), (whole.to_owned(), prefix.first));
        for invalid in ["", "6f0", "6f0g", "acme", &"6".repeat(33), "6f0c é"] {
            assert!(invalid.parse::<IdPrefix>().is_err(), "{invalid}");
        }
    }
}
