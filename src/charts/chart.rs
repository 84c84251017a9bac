//! What a chart consists of, whatever it shows.

use crate::text;

/// How wide the place of a chart is, in CSS pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Width(u16);

impl Width {
    /// The narrowest place that a chart is drawn for: narrower ones get its table.
    const NARROWEST: u16 = 280;
    /// The widest: no label is read across more than that.
    const WIDEST: u16 = 1600;

    /// So many pixels.
    pub const fn px(pixels: u16) -> Self {
        Self(pixels)
    }

    /// The width to draw for, where that is at least so many pixels.
    pub(super) fn of_at_least(self, least: u16) -> Option<f64> {
        let is_wide_enough = self.0 >= least.max(Self::NARROWEST);
        is_wide_enough.then(|| f64::from(self.0.min(Self::WIDEST)))
    }
}

/// A picture, what it shows in a sentence, and the same as a table.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Chart {
    /// The `<svg>` element, as wide as its place; `None` where that has no room for the labels, or
    /// where there is nothing to draw.
    pub svg: Option<String>,
    /// What is shown, for a heading: plain text.
    pub title: String,
    /// What there is to see in it, in a sentence: plain text.
    pub finding: String,
    /// Every number of the picture.
    pub table: Table,
}

/// A table of plain text: whoever writes it into a document escapes it.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Table {
    pub caption: String,
    pub head: Vec<Heading>,
    /// One cell per heading.
    pub rows: Vec<Vec<String>>,
}

/// The head of a column.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Heading {
    pub name: String,
    /// Does the column hold numbers, which stand to the right?
    pub is_number: bool,
}

impl Table {
    /// An empty table; names that end in `#` are those of columns of numbers.
    pub(super) fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        let heading = |name: &&str| Heading {
            name: name.trim_end_matches('#').to_owned(),
            is_number: name.ends_with('#'),
        };
        Self { caption: caption.into(), head: head.iter().map(heading).collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell per heading. Characters that a reader does not see are written out.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| text::visible(&cell).into_owned()).collect());
    }
}
