//! A restart of the billing cycle: the open period ends at an instant, and full periods follow from
//! there on, anchored on its local date and time of day.

use crate::billing::instant::Instant;

/// A restart of the billing cycle.
///
/// Whoever restarts a cycle changes the tier most of the time, and may do so before or with it.
/// What the restart ends is booked on the tier that held in it either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Where the period ends and the next one begins.
    pub at: Instant,
    /// The tier that is booked for what ends there.
    pub from: String,
    /// The tier that the org's row was on until then: what it allowed stays covered.
    pub on: String,
    /// The tier from there on, where it was named together with the restart; `None`: that of the
    /// org's row.
    pub tier: Option<String>,
    /// An application restarted the cycle, and its row says so: the row is on the tier that was
    /// named or on another one that was written since, and what was due by then is gone from it.
    pub is_stored: bool,
}
