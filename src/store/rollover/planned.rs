//! A plan with what applying it needs besides.

use super::snapshot::{OrgUsage, Window};
use crate::billing::rollover::{Close, Plan};
use crate::billing::{Instant, TimeOfDay};

/// When plans are applied, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    pub now: Instant,
    /// Real time: when metrics are counted.
    pub counted_at: Instant,
    /// The tz database release that the ends come from.
    pub tzdb: &'a str,
    /// By how much the orgs' revisions rise: 1 where they were locked before they were read.
    pub raises: i64,
}

/// What a plan's ends were computed from: written beside them, and part of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndsSource {
    /// The org's zone, as stored.
    pub time_zone: String,
    /// The org's cycle, as stored.
    pub cycle: String,
    /// The org's anchor day, as stored.
    pub anchor_day: i16,
    /// The org's anchor month, as stored.
    pub anchor_month: i16,
    /// The org's anchor time.
    pub anchor_time: TimeOfDay,
    /// The tz database release of the end before.
    pub tzdb: Option<String>,
}

/// A plan with what applying it needs besides.
#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    /// What its ends came from.
    pub source: EndsSource,
    /// The windows in which this rollover counts metrics.
    pub counting: Vec<Window>,
    /// What it expects to count in them, by feature.
    pub expects_to_count: Vec<OrgUsage>,
}

/// Every close of a page with the org that it belongs to.
pub(in crate::store) fn closes<'a>(
    page: &'a [&'a Planned],
) -> impl Iterator<Item = (&'a Planned, &'a Close)> {
    page.iter().flat_map(|planned| planned.plan.closes.iter().map(|close| (*planned, close)))
}
