//! Thresholds of a limit that one user has within an org: a warning to that user, which refuses
//! nothing.

use uuid::Uuid;

use super::{Decided, Kind, Notice, Part, Seen, UserLimit, is_told};
use crate::billing::threshold::{Limit, is_crossed};
use crate::billing::{Instant, Period, Quantity};

/// A user's counter with the limit of their own.
#[derive(Clone, Copy, Debug)]
pub struct OwnCounter<'a> {
    pub user: Uuid,
    pub feature: &'a str,
    pub period: Period,
    pub used: Quantity,
    pub included: Quantity,
}

/// What is to be told: the highest threshold that was reached, which covers those below it. Each is
/// told once per period and limit.
pub fn decide(
    counter: &OwnCounter<'_>,
    thresholds: &[u8],
    now: Instant,
    seen: &[Seen],
) -> Vec<Decided> {
    let OwnCounter { user, feature, period, used, included } = *counter;
    if now < period.start || now >= period.end {
        return Vec::new();
    }
    let limit = Limit::Quantity(included);
    let mut reached: Vec<u8> =
        thresholds.iter().copied().filter(|level| is_crossed(*level, used, limit)).collect();
    reached.sort_unstable_by(|one, other| other.cmp(one));
    let highest = reached.first().map(|threshold| {
        Part::Tells(Notice::UserLimit(UserLimit {
            user,
            feature: feature.to_owned(),
            threshold: *threshold,
            period_start: period.start,
            period_end: period.end,
            used,
            included,
        }))
    });
    let mut parts = highest.into_iter();
    let decided = reached.into_iter().map(|threshold| Decided {
        kind: Kind::UserLimit,
        key: format!("{}/{user}/{feature}/{included}/{threshold}", period.start),
        part: parts.next().unwrap_or(Part::Covered),
        until: period.end,
    });
    decided.filter(|one| !is_told(seen, Kind::UserLimit, &one.key)).collect()
}
