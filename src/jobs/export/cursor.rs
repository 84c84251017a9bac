//! How far a consumer has come.

use std::fmt;
use std::str::FromStr;

/// The last line that a consumer has: a row by its position, and of a row with several lines the
/// line in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    position: i64,
    /// The line of the row, from 1; `None`: all of them. It is written behind a `#`: with a point
    /// it would be a number to those who read it, and 7.10 the same as 7.1.
    line: Option<u32>,
}

/// What is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cursor; use the value of the column `cursor` in the last line, such as 1042")]
pub(crate) struct InvalidCursor;

impl Cursor {
    /// The whole row at a position.
    pub(crate) const fn row(position: i64) -> Self {
        Self { position, line: None }
    }

    /// A line of the row at a position, from 1.
    pub(crate) const fn line(position: i64, line: u32) -> Self {
        Self { position, line: Some(line) }
    }

    /// The position of its row.
    pub(crate) const fn position(self) -> i64 {
        self.position
    }

    /// The position of the last row that is there as a whole.
    pub(crate) const fn whole(self) -> i64 {
        match self.line {
            None => self.position,
            Some(_) => self.position - 1,
        }
    }

    /// Does the consumer have this line already?
    pub(crate) fn covers(self, position: i64, line: u32) -> bool {
        position < self.position
            || position == self.position && self.line.is_none_or(|last| line <= last)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            None => write!(f, "{}", self.position),
            Some(line) => write!(f, "{}#{line}", self.position),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, line) = match text.split_once('#') {
            None => (text, None),
            Some((position, line)) => (position, Some(line.parse().map_err(|_| InvalidCursor)?)),
        };
        let position = position.parse().map_err(|_| InvalidCursor)?;
        if position < 0 || line.is_some_and(|line| line == 0 || position == 0) {
            return Err(InvalidCursor);
        }
        Ok(Self { position, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for text in ["0", "1", "1042", "1042#1", "9223372036854775807#4294967295"] {
            assert_eq!(text.parse::<Cursor>().map(|cursor| cursor.to_string()), Ok(text.into()));
        }
        for text in ["", "-1", "1#", "#1", "1#0", "0#1", "1#2#3", "1.2", "x", "9223372036854775808"]
        {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn a_row_that_was_cut_is_read_again_from_its_next_line() {
        let cut = Cursor::line(7, 2);
        assert_eq!((cut.whole(), Cursor::row(7).whole()), (6, 7));
        assert!(cut.covers(6, 9) && cut.covers(7, 2) && !cut.covers(7, 3) && !cut.covers(8, 1));
        assert!(Cursor::row(7).covers(7, 9) && !Cursor::row(7).covers(8, 1));
    }
}
