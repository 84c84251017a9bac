//! When lines fall due, found out by brute force: every minute is looked at, and the wall clock
//! that it shows.

use std::collections::HashSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use periodd::billing::Instant;
use periodd::config::values::CronLine;
use periodd::schedule::Timetable;
use periodd::tz::TzData;

/// Which wall times a line names: minutes past midnight, and whether it goes on at its pace.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) cron: &'static str,
    pub(crate) matches: fn(u32) -> bool,
    pub(crate) at_its_pace: bool,
}

/// Every minute from `from` to `to` with what a wall clock shows then.
pub(crate) fn wall_clock(
    from: Timestamp,
    to: Timestamp,
    shows: impl Fn(Timestamp) -> DateTime,
) -> Vec<(Timestamp, DateTime)> {
    let mut minutes = Vec::new();
    let mut at = from;
    while at <= to {
        minutes.push((at, shows(at)));
        at = at.checked_add(1.minute()).expect("in range");
    }
    minutes
}

/// The instants at which a line happens on that clock, after its first minute.
pub(crate) fn expected(line: Line, clock: &[(Timestamp, DateTime)]) -> Vec<Instant> {
    let of_day = |wall: DateTime| {
        u32::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).expect("positive")
    };
    let mut seen = HashSet::from([clock[0].1]);
    let mut found = Vec::new();
    for pair in clock.windows(2) {
        let [(_, before), (at, wall)] = pair else { unreachable!("windows of two") };
        let mut happens = (line.matches)(of_day(*wall));
        if !line.at_its_pace {
            happens &= !seen.contains(wall);
            let mut skipped = before.checked_add(1.minute()).expect("in range");
            while skipped < *wall {
                happens |= (line.matches)(of_day(skipped)) && seen.insert(skipped);
                skipped = skipped.checked_add(1.minute()).expect("in range");
            }
            seen.insert(*wall);
        }
        if happens {
            found.push(Instant::from(*at));
        }
    }
    found
}

pub(crate) fn timetable(cron: &str, zone: &str) -> Timetable {
    let line: CronLine = cron.parse().expect("a cron line");
    Timetable::new(&line, TzData::newest().zone(zone).expect("a zone"))
}

/// Every accepted zone, around every jump of its clock in four years: one that names hours, and
/// one that goes on at its pace.
#[test]
fn every_zone_at_every_jump_of_its_clock() {
    let lines = [
        Line { cron: "0 30 0-23 * * *", matches: |m| m % 60 == 30, at_its_pace: false },
        Line { cron: "0 0 23,0 * * *", matches: |m| m == 23 * 60 || m == 0, at_its_pace: false },
        Line { cron: "0 15,45 * * * *", matches: |m| m % 30 == 15, at_its_pace: true },
    ];
    let tz = TzData::newest();
    let span: Timestamp = "2024-01-01T00:00:00Z".parse().expect("an instant");
    let end: Timestamp = "2028-01-01T00:00:00Z".parse().expect("an instant");
    let mut jumps = 0;
    for name in tz.names() {
        let zone = tz.zone(&name).expect("a zone");
        let rules: &TimeZone = zone.rules();
        let within = rules.following(span).take_while(|jump| jump.timestamp() < end);
        for jump in within.map(|jump| jump.timestamp()) {
            jumps += 1;
            let from = jump.checked_sub(4.hours()).expect("in range");
            let to = jump.checked_add(4.hours()).expect("in range");
            let clock = wall_clock(from, to, |at| rules.to_datetime(at));
            for line in lines {
                let timetable = timetable_in(line.cron, &zone);
                let until = Instant::from(to);
                let found: Vec<_> =
                    timetable.after(from.into()).take_while(|at| *at <= until).collect();
                assert_eq!(found, expected(line, &clock), "{} in {name} at {jump}", line.cron);
                // Whenever it is asked, in the second before the jump as well.
                let before = jump.checked_sub(1.second()).expect("in range");
                if let Some(next) = found.iter().find(|at| **at > before.into()) {
                    let asked = timetable.next_after(before.into());
                    assert_eq!(asked, Some(*next), "{} in {name} before {jump}", line.cron);
                }
            }
        }
    }
    assert!(jumps > 500, "only {jumps} jumps");
}

fn timetable_in(cron: &str, zone: &periodd::billing::Zone) -> Timetable {
    Timetable::new(&cron.parse::<CronLine>().expect("a cron line"), zone.clone())
}

#[test]
fn nuuk_jumps_over_its_last_hour_and_the_night_job_runs_all_the_same() {
    // On March 28, 2026 the clock goes from 22:59:59 to midnight.
    let table = timetable("0 30 23 * * *", "America/Nuuk");
    let after = "2026-03-28T12:00:00Z".parse().expect("an instant");
    let found: Vec<String> = table.after(after).take(2).map(|at| table.zone().local(at)).collect();
    assert_eq!(found, ["2026-03-29T00:00:00-01:00", "2026-03-29T23:30:00-01:00"]);
}

#[test]
fn lines_are_told_in_words_and_five_fields_mean_second_zero() {
    let (five, six) = (timetable("30 3 * * *", "UTC"), timetable("0 30 3 * * *", "UTC"));
    let after = "2026-05-01T00:00:00Z".parse().expect("an instant");
    assert_eq!(five.next_after(after), six.next_after(after));
    assert_eq!(five.words(), "At 03:30.");
}
