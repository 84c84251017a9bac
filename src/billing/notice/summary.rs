//! What a closed period was: once, soon after its close.
//!
//! Only the newest period of an org that is caught up is told of: after months without periodd one
//! email goes out, and not one for every month.

use jiff::SignedDuration;

use super::{Decided, Kind, Notice, Part, Seen, Summary, Used, is_told};
use crate::billing::instant::OutOfRange;
use crate::billing::{Instant, Period};

/// For how long after its end a period is told of.
pub const TOLD_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Features of a summary; a statement has them all.
const MOST: usize = 50;

/// The last period that was closed.
#[derive(Clone, Debug)]
pub struct Closed {
    pub period: Period,
    /// The open period.
    pub open: Period,
    /// Was the org paused all the time?
    pub is_paused: bool,
    /// By feature.
    pub features: Vec<Used>,
    /// What was counted after the close, by feature.
    pub later: Vec<Used>,
}

/// The summary that is due. Nothing of a period in which nothing was used.
///
/// # Errors
/// [`OutOfRange`] at the very ends of the calendar.
pub fn decide(closed: Closed, now: Instant, seen: &[Seen]) -> Result<Option<Decided>, OutOfRange> {
    let Closed { period, open, is_paused, mut features, mut later } = closed;
    let until = period.end.plus(TOLD_FOR)?;
    let key = period.start.to_string();
    let is_newest = period.end == open.start && now < open.end;
    let says_nothing = is_paused || features.is_empty() && later.is_empty();
    let is_due = period.end <= now && now < until && is_newest && !says_nothing;
    if !is_due || is_told(seen, Kind::Summary, &key) {
        return Ok(None);
    }
    let is_cut = features.len() > MOST || later.len() > MOST;
    features.truncate(MOST);
    later.truncate(MOST);
    let Period { start: period_start, end: period_end } = period;
    let notice = Notice::Summary(Summary { period_start, period_end, features, later, is_cut });
    Ok(Some(Decided { kind: Kind::Summary, key, part: Part::Tells(notice), until }))
}
