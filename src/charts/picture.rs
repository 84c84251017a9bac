//! The small picture of a period: cumulative usage against the allowance, with the forecast. For a
//! terminal in characters, for a document that nobody knows the width of as a [`super::figure`].

use super::scale::share;
use crate::billing::{Instant, Period, Quantity};

/// Rows of the terminal's picture.
const ROWS: usize = 9;
/// Eighths of a row, from nothing to all of it.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The usage of a feature in a period.
#[derive(Clone, Debug)]
pub struct Usage {
    /// What had been used by an instant, from the period's start to now.
    pub curve: Vec<(Instant, Quantity)>,
    /// All that may be used; `None`: unlimited.
    pub allowance: Option<Quantity>,
    /// What will have been used at the period's end; `None`: there is too little to go by.
    pub at_end: Option<Quantity>,
}

/// What there is to see: values between 0 and 1 of the picture's height, along 0 to 1 of the
/// period. Only where things are on a screen is decided here, so that fractions do no harm.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The top of the picture.
    pub top: Quantity,
    /// Where the allowance lies; `None`: unlimited.
    pub(super) allowance: Option<f64>,
    /// Points along the period: how far, how high.
    pub(super) curve: Vec<(f64, f64)>,
    /// Where the curve is heading at the period's end.
    pub(super) ahead: Option<f64>,
}

impl Picture {
    /// The picture of a period; `None` where nothing was used and nothing is granted.
    pub fn of(usage: &Usage, period: Period) -> Option<Self> {
        let highest = usage.curve.iter().map(|(_, used)| *used).max()?;
        let top = [Some(highest), usage.at_end, usage.allowance].into_iter().flatten().max()?;
        if !top.is_positive() || usage.curve.len() < 2 {
            return None;
        }
        let height = |quantity: Quantity| share(quantity.millionths(), top.millionths());
        let length = i128::from(period.end.since(period.start).as_secs());
        let along = |at: Instant| share(i128::from(at.since(period.start).as_secs()), length);
        let curve = usage.curve.iter().map(|(at, used)| (along(*at), height(*used)));
        Some(Self {
            top,
            allowance: usage.allowance.map(height),
            curve: curve.collect(),
            ahead: usage.at_end.map(height),
        })
    }

    /// How high the curve, or else the forecast, is at a place; and which of the two it is.
    fn at(&self, along: f64) -> Option<(f64, bool)> {
        let (last, now_high) = *self.curve.last()?;
        if along <= last {
            let passed = self.curve.iter().take_while(|(at, _)| *at <= along).last();
            return passed.map(|(_, high)| (*high, true));
        }
        let ahead = self.ahead?;
        let part = (along - last) / (1.0 - last).max(f64::EPSILON);
        Some((now_high + (ahead - now_high) * part, false))
    }

    /// The picture in characters, the highest row first, `columns` wide.
    pub fn rows(&self, columns: usize) -> Vec<String> {
        let limit = self.allowance.map(row_of);
        let places: Vec<Option<(f64, bool)>> =
            (0..columns).map(|column| self.at(middle(column, columns))).collect();
        (0..ROWS)
            .rev()
            .map(|row| {
                let cell = |place: &Option<(f64, bool)>| match place {
                    Some((high, true)) => match (eighths(*high, row), limit == Some(row)) {
                        (0, true) => '─',
                        (eighths, _) => EIGHTHS[eighths],
                    },
                    Some((high, false)) if row_of(*high) == row => '·',
                    _ if limit == Some(row) => '─',
                    _ => ' ',
                };
                let line: String = places.iter().map(cell).collect();
                line.trim_end().to_owned()
            })
            .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "where something is on a screen")]
fn middle(column: usize, columns: usize) -> f64 {
    (column as f64 + 0.5) / columns.max(1) as f64
}

/// The row that a height lies in.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and ROWS")]
#[expect(clippy::cast_precision_loss, reason = "ROWS is small")]
fn row_of(high: f64) -> usize {
    ((high * ROWS as f64).ceil() as usize).clamp(1, ROWS) - 1
}

/// How many eighths of a row a column of that height fills.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
#[expect(clippy::cast_precision_loss, reason = "ROWS is small")]
fn eighths(high: f64, row: usize) -> usize {
    let filled = (high * ROWS as f64 - row as f64).clamp(0.0, 1.0) * 8.0;
    // Whatever is there at all is seen.
    if filled > 0.0 { (filled.round() as usize).max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_rises_to_now_and_is_expected_to_go_on() {
        let picture = Picture {
            top: Quantity::units(100),
            allowance: Some(1.0),
            curve: vec![(0.0, 0.0), (0.25, 0.25), (0.5, 0.5)],
            ahead: Some(1.0),
        };
        let rows = picture.rows(12);
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows[0], "───────────·", "the allowance, and the forecast that meets it");
        assert_eq!(rows[8], "   ███", "nothing for a quarter, then more than a row");
        assert!(rows[4].starts_with("      ·") || rows[4].contains('·'), "{rows:#?}");
        assert!(rows.iter().all(|row| row.chars().count() <= 12));
    }
}
