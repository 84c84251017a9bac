//! What the daemon is about, in plain words: the line that `systemctl status` shows.

use jiff::SignedDuration;

use crate::billing::Instant;
use crate::store::rollover::claim::EndingAt;

/// Above this many the count is not worth its price.
pub(super) const MANY: i64 = 10_000;

/// What comes next, as `next: 412 orgs in Asia/Tokyo at 15:00Z`; with the date when that is not
/// within a day.
pub(super) fn next(boundary: Option<Instant>, now: Instant, falling: &[EndingAt]) -> String {
    let Some(at) = boundary else { return "no org has an open period".to_owned() };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(zones: &[(&str, i64)]) -> Vec<EndingAt> {
        let zones = zones.iter();
        zones.map(|(zone, orgs)| EndingAt { time_zone: (*zone).to_owned(), orgs: *orgs }).collect()
    }

    #[test]
    fn what_comes_next_is_one_plain_line() {
        let at = |text: &str| text.parse::<Instant>().expect("an instant");
        let now = at("2026-05-30T15:00:01Z");
        let (soon, later) = ("2026-05-31T15:00:00Z", "2026-05-31T15:00:01Z");
        let tokyo = "Asia/Tokyo";
        let two = [(tokyo, 400), ("Asia/Seoul", 12)];
        for (boundary, falling, line) in [
            (soon, falling(&[(tokyo, 412)]), "next: 412 orgs in Asia/Tokyo at 15:00Z"),
            (later, falling(&[(tokyo, 412)]), "next: 412 orgs in Asia/Tokyo at 2026-05-31 15:00Z"),
            (soon, falling(&[(tokyo, 1)]), "next: 1 org in Asia/Tokyo at 15:00Z"),
            (soon, falling(&[]), "next: an expiry at 15:00Z"),
            (soon, falling(&two), "next: 412 orgs in 2 zones at 15:00Z"),
            (soon, falling(&[(tokyo, MANY)]), "next: 10000 orgs or more in Asia/Tokyo at 15:00Z"),
        ] {
            assert_eq!(next(Some(at(boundary)), now, &falling), line);
        }
        assert_eq!(next(None, now, &[]), "no org has an open period");
    }
}
