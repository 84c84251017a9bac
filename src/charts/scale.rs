//! From values to places on the screen.

use crate::billing::Instant;

/// A straight scale from values to pixels; what lies outside of it is at its nearer end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: i128,
    to: i128,
    start: f64,
    end: f64,
}

impl Scale {
    /// The scale on which `from` is at the pixel `start` and `to` at `end`.
    pub(super) fn new([from, to]: [i128; 2], [start, end]: [f64; 2]) -> Self {
        Self { from, to, start, end }
    }

    /// Where a value is.
    pub(super) fn at(&self, value: i128) -> f64 {
        // Values may fall from start to end.
        let sign = if self.to < self.from { -1 } else { 1 };
        let share = share((value - self.from) * sign, (self.to - self.from) * sign);
        self.start + share * (self.end - self.start)
    }

    /// Where an instant is.
    pub(super) fn of(&self, at: Instant) -> f64 {
        self.at(i128::from(at.microseconds()))
    }

    /// The scale of instants.
    pub(super) fn of_time([from, to]: [Instant; 2], ends: [f64; 2]) -> Self {
        Self::new([from, to].map(|at| i128::from(at.microseconds())), ends)
    }
}

/// A part of a whole, between 0 and 1.
#[expect(clippy::cast_precision_loss, reason = "where something is on a screen")]
pub(super) fn share(part: i128, whole: i128) -> f64 {
    (part as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}

/// A number of things as a number of pixels.
#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
pub(super) fn px(count: usize) -> f64 {
    count as f64
}

/// How many things of that size fit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
pub(super) fn fitting(room: f64, size: f64) -> usize {
    (room / size).floor().clamp(0.0, 10_000.0) as usize
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn values_may_rise_or_fall_and_end_where_the_scale_does() {
        for (ends, place) in [([0, 100], 20.0), ([100, 0], 80.0)] {
            let scale = Scale::new(ends, [0.0, 100.0]);
            assert!((scale.at(20) - place).abs() < 1e-9, "{ends:?}");
            let outside = [scale.at(-5), scale.at(105)];
            assert!(outside.iter().all(|at| [0.0, 100.0].contains(at)), "{outside:?}");
        }
    }
}
