//! Lines and areas as SVG path data.

use std::fmt::Write;

use super::shapes::Short;

/// A line through the points.
pub(super) fn line(points: &[[f64; 2]]) -> String {
    let mut data = String::with_capacity(points.len() * 10);
    for (number, [x, y]) in points.iter().enumerate() {
        let letter = if number == 0 { 'M' } else { 'L' };
        // Writing to a string does not fail.
        let _ = write!(data, "{letter}{} {}", Short(*x), Short(*y));
    }
    data
}

/// The area between two lines that go the same way.
pub(super) fn between(upper: &[[f64; 2]], lower: &[[f64; 2]]) -> String {
    let around: Vec<[f64; 2]> = upper.iter().chain(lower.iter().rev()).copied().collect();
    let mut data = line(&around);
    if !data.is_empty() {
        data.push('Z');
    }
    data
}

/// A line as steps: each height holds until the next place.
pub(super) fn steps(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut stepped: Vec<[f64; 2]> = Vec::with_capacity(points.len() * 2);
    for [x, y] in points {
        if let Some([_, before]) = stepped.last().copied() {
            stepped.push([*x, before]);
        }
        stepped.push([*x, *y]);
    }
    stepped
}

/// The height of a line at a place on it; that of its nearer end elsewhere.
pub(super) fn height(points: &[[f64; 2]], x: f64) -> Option<f64> {
    let [first, last] = [points.first()?, points.last()?];
    if x <= first[0] {
        return Some(first[1]);
    }
    let piece = points.windows(2).find(|pair| pair[0][0] <= x && x <= pair[1][0]);
    let Some([[x1, y1], [x2, y2]]) = piece.map(|pair| [pair[0], pair[1]]) else {
        return Some(last[1]);
    };
    Some(y1 + (y2 - y1) * ((x - x1) / (x2 - x1).max(f64::EPSILON)).clamp(0.0, 1.0))
}
