//! Hatching by lines of its own: a pattern would need an id, and there is one page for many charts.

use std::fmt::Write;

use super::path::height;
use super::shapes::{Area, Short};

/// The distance between two lines.
const APART: f64 = 5.0;
/// The most lines of one hatching.
const MOST: usize = 400;

/// Lines that rise through a rectangle.
pub(super) fn of_area(area: Area) -> String {
    let Area { left, top, right, bottom } = area;
    let mut data = String::new();
    // Each line is x + y = sum.
    let mut sum = left + top + APART;
    for _ in 0..MOST {
        if sum >= right + bottom {
            break;
        }
        let [x1, x2] = [(sum - bottom).max(left), (sum - top).min(right)];
        let [y1, y2] = [sum - x1, sum - x2];
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(Short);
        // Writing to a string does not fail.
        let _ = write!(data, "M{x1} {y1}L{x2} {y2}");
        sum += APART;
    }
    data
}

/// Upright lines between two lines that go the same way.
pub(super) fn between(upper: &[[f64; 2]], lower: &[[f64; 2]]) -> String {
    let mut data = String::new();
    let ends = upper.first().zip(upper.last());
    let Some((first, last)) = ends else { return data };
    let mut x = first[0] + APART / 2.0;
    for _ in 0..MOST {
        if x >= last[0] {
            break;
        }
        let ends = height(upper, x).zip(height(lower, x));
        if let Some((top, bottom)) = ends.filter(|(top, bottom)| bottom - top > 0.5) {
            // Writing to a string does not fail.
            let _ = write!(data, "M{} {}V{}", Short(x), Short(top), Short(bottom));
        }
        x += APART;
    }
    data
}
