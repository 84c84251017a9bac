//! The real clock, read in one place.
//!
//! Business time (what is due, open, late or expired) is not this clock: a pass reads it once
//! from the database and passes it down. What has no database asks here.

use crate::billing::Instant;

/// The time on this machine's clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the real clock, for what has no database to ask"
)]
pub fn now() -> Instant {
    jiff::Timestamp::now().into()
}
