//! From values to places on the screen.

/// A part of a whole, between 0 and 1.
#[expect(clippy::cast_precision_loss, reason = "where something is on a screen")]
pub(super) fn share(part: i128, whole: i128) -> f64 {
    (part as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}
