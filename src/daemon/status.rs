//! What the daemon is about, in plain words: the line that `systemctl status` shows.

use jiff::SignedDuration;

use crate::billing::Instant;
use crate::store::claim::Falling;

/// Above this many the count is not worth its price.
pub(super) const MANY: i64 = 10_000;

/// What comes next, as `next: 412 orgs in Asia/Tokyo at 15:00Z`; with the date when that is not
/// within a day.
pub(super) fn next(boundary: Option<Instant>, now: Instant, falling: &[Falling]) -> String {
    let Some(at) = boundary else { return "no org has a period that ends".to_owned() };
    let is_soon = at.since(now) < SignedDuration::from_hours(24);
    let time = at.timestamp().strftime(if is_soon { "%H:%MZ" } else { "%Y-%m-%d %H:%MZ" });
    let orgs: i64 = falling.iter().map(|zone| zone.orgs).sum();
    let orgs = match orgs {
        // A pack expires then.
        0 => return format!("next: an expiry at {time}"),
        1 => "1 org".to_owned(),
        MANY.. => format!("{MANY} orgs or more"),
        more => format!("{more} orgs"),
    };
    match falling {
        [only] => format!("next: {orgs} in {} at {time}", only.time_zone),
        many => format!("next: {orgs} in {} zones at {time}", many.len()),
    }
}
