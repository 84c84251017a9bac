//! Changes of zone, cycle and anchor, and stored ends of unknown date.

use jiff::SignedDuration;
use periodd::billing::{Boundary, Calendar, Cycle, Instant, LocalDate, TimeOfDay};
use periodd::tz::TzData;

fn calendar(zone: &str, cycle: &str, anchor_day: i64) -> Calendar {
    at_time(zone, cycle, anchor_day, TimeOfDay::MIDNIGHT)
}

fn at_time(zone: &str, cycle: &str, anchor_day: i64, time: TimeOfDay) -> Calendar {
    let zone = TzData::newest().zone(zone).expect("a zone");
    Calendar { zone, cycle: Cycle::new(cycle, anchor_day, 1).expect("a cycle"), time }
}

fn instant(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn date(text: &str) -> LocalDate {
    LocalDate(text.parse().expect("a date"))
}

fn end(at: &str, nominal: &str) -> Boundary {
    Boundary { at: instant(at), date: date(nominal) }
}

/// Goes from the boundary in `from` through the calendars, one period in each, and asserts that
/// they end as listed. Every period begins where the one before ends, so there is no gap and no
/// overlap to look for; what could go wrong is an empty period or a wrong end.
fn assert_ends(from: Boundary, periods: &[(&Calendar, &str, &str)]) {
    let mut last = from;
    for (calendar, at, nominal) in periods {
        let next = calendar.following(last).expect("in range");
        assert_eq!(next, end(at, nominal), "after {last:?} in {}", calendar.zone.name());
        assert!(next.at > last.at, "no empty period");
        last = next;
    }
}

#[test]
fn calendar_months_stay_calendar_months_from_tokyo_to_new_york_and_back() {
    let tokyo = calendar("Asia/Tokyo", "monthly", 1);
    let new_york = calendar("America/New_York", "monthly", 1);
    assert_ends(
        end("2026-01-31T15:00:00Z", "2026-02-01"),
        &[
            // No stub of 14 hours up to New York's own February 1.
            (&new_york, "2026-03-01T05:00:00Z", "2026-03-01"),
            (&new_york, "2026-04-01T04:00:00Z", "2026-04-01"),
            (&tokyo, "2026-04-30T15:00:00Z", "2026-05-01"),
            (&tokyo, "2026-05-31T15:00:00Z", "2026-06-01"),
            (&new_york, "2026-07-01T04:00:00Z", "2026-07-01"),
        ],
    );
}

#[test]
fn a_new_anchor_gives_one_shorter_or_longer_period() {
    let middle = calendar("Europe/Berlin", "monthly", 15);
    let first = calendar("Europe/Berlin", "monthly", 1);
    let yearly = calendar("Europe/Berlin", "yearly", 1);
    assert_ends(
        end("2026-01-14T23:00:00Z", "2026-01-15"),
        &[
            (&first, "2026-01-31T23:00:00Z", "2026-02-01"),
            (&first, "2026-02-28T23:00:00Z", "2026-03-01"),
            (&middle, "2026-03-14T23:00:00Z", "2026-03-15"),
            (&yearly, "2026-12-31T23:00:00Z", "2027-01-01"),
            (&middle, "2027-01-14T23:00:00Z", "2027-01-15"),
        ],
    );
}

#[test]
fn months_become_quarters_and_half_years_and_end_at_a_time_of_day() {
    let noon = TimeOfDay::constant(12, 0, 0);
    let month = calendar("Europe/Berlin", "monthly", 1);
    let quarter = calendar("Europe/Berlin", "quarterly", 31);
    let half = at_time("Europe/Berlin", "semiannual", 15, noon);
    let noons = at_time("Europe/Berlin", "monthly", 1, noon);
    assert_ends(
        end("2026-01-14T23:00:00Z", "2026-01-15"),
        &[
            (&quarter, "2026-01-30T23:00:00Z", "2026-01-31"),
            (&quarter, "2026-04-29T22:00:00Z", "2026-04-30"),
            (&quarter, "2026-07-30T22:00:00Z", "2026-07-31"),
            (&half, "2027-01-15T11:00:00Z", "2027-01-15"),
            (&half, "2027-07-15T10:00:00Z", "2027-07-15"),
            (&month, "2027-07-31T22:00:00Z", "2027-08-01"),
            // August 1 at noon is that date's, too: the next is September's.
            (&noons, "2027-09-01T10:00:00Z", "2027-09-01"),
            (&month, "2027-09-30T22:00:00Z", "2027-10-01"),
        ],
    );
}

#[test]
fn days_go_on_from_one_end_of_the_world_to_the_other_and_back() {
    let kiritimati = calendar("Pacific/Kiritimati", "daily", 1); // UTC+14
    let west = calendar("Etc/GMT+12", "daily", 1); // UTC-12
    assert_ends(
        end("2026-05-31T10:00:00Z", "2026-06-01"),
        &[
            (&kiritimati, "2026-06-01T10:00:00Z", "2026-06-02"),
            // June 3 begins 26 hours later than it would have: a long day, no date left out.
            (&west, "2026-06-03T12:00:00Z", "2026-06-03"),
            (&west, "2026-06-04T12:00:00Z", "2026-06-04"),
            // Kiritimati's June 5 began two hours ago: the next date that is still to come is
            // June 6, and the day is one of 22 hours.
            (&kiritimati, "2026-06-05T10:00:00Z", "2026-06-06"),
            (&kiritimati, "2026-06-06T10:00:00Z", "2026-06-07"),
            (&west, "2026-06-08T12:00:00Z", "2026-06-08"),
        ],
    );
}

#[test]
fn any_change_at_any_end_leaves_no_gap_no_overlap_and_no_empty_period() {
    let calendars: Vec<Calendar> = ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata", "UTC"]
        .into_iter()
        .flat_map(|zone| {
            [
                ("daily", 1, (0, 0, 0)),
                ("daily", 1, (23, 59, 59)),
                ("weekly", 7, (14, 32, 10)),
                ("monthly", 31, (0, 0, 0)),
                ("monthly", 31, (2, 30, 0)),
                ("quarterly", 30, (9, 0, 0)),
                ("semiannual", 15, (0, 0, 1)),
                ("yearly", 1, (0, 0, 0)),
            ]
            .map(|(cycle, anchor, (hour, minute, second))| {
                at_time(zone, cycle, anchor, TimeOfDay::constant(hour, minute, second))
            })
        })
        .collect();
    let mut chance = fastrand::Rng::with_seed(2026);
    let mut last = end("2026-01-01T00:00:00Z", "2026-01-01");
    for _ in 0..10_000 {
        let calendar = &calendars[chance.usize(..calendars.len())];
        let next = calendar.following(last).expect("in range");
        assert!(next.at > last.at && next.date > last.date, "{last:?} then {next:?}");
        assert_eq!(calendar.boundary_of(next.date), Ok(next), "a boundary of its own");
        // A year, at most a day and two hours for the way around the world, and a day of time.
        assert!(next.at.since(last.at) <= SignedDuration::from_hours(366 * 24 + 26 + 24));
        // Back to today when the walk has left the years that people know.
        last = if next.date.0.year() > 2200 {
            end("2026-01-01T00:00:00Z", "2026-01-01")
        } else {
            next
        };
    }
}

#[test]
fn a_stored_end_of_unknown_date_stands_for_the_nearest_boundary() {
    let berlin = calendar("Europe/Berlin", "monthly", 1);
    let apia = calendar("Pacific/Apia", "daily", 1);
    for (calendar, stored, nominal) in [
        (&berlin, "2026-04-30T22:00:00Z", "2026-05-01"), // the boundary itself
        (&berlin, "2026-04-30T21:59:59.999Z", "2026-05-01"), // an inclusive end
        (&berlin, "2026-05-01T00:00:00Z", "2026-05-01"), // midnight in UTC
        (&berlin, "2026-05-16T09:59:59.999999Z", "2026-05-01"),
        (&berlin, "2026-05-16T10:00:00Z", "2026-05-01"), // as near to both: the earlier
        (&berlin, "2026-05-16T10:00:00.000001Z", "2026-06-01"),
        (&berlin, "2026-05-31T21:59:59Z", "2026-06-01"),
        // Samoa had no 2011-12-30: it begins with the 31st, and is the first date that does.
        (&apia, "2011-12-30T10:00:00Z", "2011-12-30"),
        (&apia, "2011-12-31T10:00:00Z", "2012-01-01"),
    ] {
        let found = calendar.nearest(instant(stored)).expect("in range");
        assert_eq!(found, date(nominal), "{stored} in {}", calendar.zone.name());
    }
}

#[test]
fn the_ends_ahead_are_as_many_and_reach_as_far_as_asked() {
    let span = SignedDuration::from_hours(35 * 24);
    let from = end("2026-01-14T23:00:00Z", "2026-01-15");
    for (cycle, expected) in [
        ("daily", 35),
        ("weekly", 6),
        ("monthly", 3),
        ("quarterly", 3),
        ("semiannual", 3),
        ("yearly", 3),
    ] {
        let calendar = calendar("Europe/Berlin", cycle, 1);
        let ends = calendar.following_ends(from).expect("in range");
        assert_eq!(ends.len(), expected, "{cycle}");
        assert!(ends.is_sorted_by(|a, b| a < b) && ends[0] > from.at);
        assert!(ends.last().is_some_and(|last| *last >= from.at.plus(span).expect("in range")));
    }
}
