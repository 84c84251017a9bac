//! A year of schedules in zones whose clocks jump, in seconds.

use std::collections::BTreeMap;

use chrono::TimeZone as _;
use jiff::Timestamp;
use jiff::civil::DateTime;
use periodd::billing::Instant;
use periodd::clock::Clock as _;

use crate::schedule::lanes::{Hand, Notes, job, replica, setting, settle};
use crate::schedule::oracle::{Line, expected, wall_clock};
use crate::support::TestDatabase;

const FROM: &str = "2025-07-01T00:00:00Z";
const TO: &str = "2026-07-01T00:00:00Z";

/// A line in each zone that hits its jumps: New York and Berlin jump over 2:30 and repeat 1:30 and
/// 2:30, Lord Howe jumps by half an hour, Santiago over midnight and back to 23:00, and Casablanca
/// goes back for Ramadan. And one that goes on at its pace.
const LINES: [(&str, Line); 6] = [
    (
        "America/New_York",
        Line { cron: "0 30 1,2 * * *", matches: |m| m == 90 || m == 150, at_its_pace: false },
    ),
    ("Europe/Berlin", Line { cron: "30 2 * * *", matches: |m| m == 150, at_its_pace: false }),
    (
        "Australia/Lord_Howe",
        Line { cron: "0 45,15 1,2 * * *", matches: quarters, at_its_pace: false },
    ),
    (
        "America/Santiago",
        Line { cron: "0 0 0,23 * * *", matches: |m| m == 0 || m == 23 * 60, at_its_pace: false },
    ),
    ("Africa/Casablanca", Line { cron: "0 30 2 * * *", matches: |m| m == 150, at_its_pace: false }),
    ("Europe/Berlin", Line { cron: "0 0 */6 * * *", matches: |m| m % 360 == 0, at_its_pace: true }),
];

fn quarters(minute: u32) -> bool {
    [75, 105, 135, 165].contains(&minute)
}

/// What another library's wall clock shows.
fn shown_by_chrono(zone: &str) -> impl Fn(Timestamp) -> DateTime {
    let zone: chrono_tz::Tz = zone.parse().expect("a zone");
    move |at| {
        let local = zone.timestamp_opt(at.as_second(), 0).single().expect("an instant");
        local.naive_local().to_string().parse().expect("a wall time")
    }
}

#[tokio::test]
async fn a_simulated_year_runs_every_occurrence_exactly_once() {
    let (from, to): (Timestamp, Timestamp) = (FROM.parse().unwrap(), TO.parse().unwrap());
    let mut table: BTreeMap<(String, Instant), usize> = BTreeMap::new();
    let mut jobs = Vec::new();
    let mut jumps = 0;
    for (number, (zone, line)) in LINES.into_iter().enumerate() {
        let clock = wall_clock(from, to, shown_by_chrono(zone));
        let shift = |pair: &[(Timestamp, DateTime)]| pair[0].1.duration_until(pair[1].1).as_secs();
        jumps += clock.windows(2).filter(|pair| shift(pair) != 60).count();
        let name = format!("{number} in {zone}");
        for at in expected(line, &clock) {
            table.insert((name.clone(), at), 1);
        }
        jobs.push(job(&name, line.cron, zone));
    }
    assert!(jumps >= 2 * LINES.len(), "both jumps of every clock: {jumps}");

    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at(FROM), Notes::default());
    // Two processes, of which now this one and now that one is first.
    let mut first = replica(&test, &hand, "one", setting(jobs.clone(), notes.work())).await;
    let mut second = replica(&test, &hand, "two", setting(jobs, notes.work())).await;
    let until: Instant = to.into();
    while hand.get() <= until {
        let next = settle(&mut first).await;
        if fastrand::u8(..4) == 0 {
            assert_eq!(settle(&mut second).await.wait, next.wait, "they agree what comes next");
            std::mem::swap(&mut first, &mut second);
        }
        hand.sleep(next.wait.expect("something always comes next")).await;
    }
    let mut ran: BTreeMap<(String, Instant), usize> = BTreeMap::new();
    for run in notes.take() {
        *ran.entry(run).or_default() += 1;
    }
    assert!(table.len() > 4_000, "{}", table.len());
    let missed: Vec<_> = table.keys().filter(|key| !ran.contains_key(*key)).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(ran, table);
    let counts =
        "select outcome, count(*), count(distinct (job, occurrence)) as one from periodd_runs
                  group by 1";
    assert_eq!(test.rows(counts).await, [format!("done {0} {0}", table.len())]);
}
