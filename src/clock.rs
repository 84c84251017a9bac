//! Clocks: the machine's, read in one place, and what the daemon asks of its own.
//!
//! Business time (what is due, open, late or expired) is not this clock: a pass reads it once
//! from the database and passes it down. What has no database asks here.

use std::future::Future;
use std::time::Duration;

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

/// What the daemon's loop asks of a clock: what time it is, and to let time pass. A year of
/// schedules then takes as long as its clock says.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Why a clock cannot be read.
    type Error;

    /// What time it is.
    fn now(&self) -> impl Future<Output = Result<Instant, Self::Error>> + Send;

    /// Ends when that much time has passed.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send;
}
