//! Boundaries against jiff's own conversion of the same dates, in every zone.
//!
//! `cargo bench --bench boundaries`. Each run measures all workloads, one after the other, so
//! that a slow moment of the machine falls on all of them; the medians of the runs are compared.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::civil::{Date, date};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use periodd::billing::{Boundary, Calendar, Cycle, LocalDate, Zone};
use periodd::tz::TzData;

/// Odd, so that the median is a run that really was.
const RUNS: usize = 9;
const GOAL: f64 = 2.0;

/// A zone twice: as ours, and as jiff's.
struct Place {
    zone: Zone,
    rules: TimeZone,
}

/// Dates to convert, and the cycle that they are the nominal dates of.
struct Workload {
    name: &'static str,
    cycle: Cycle,
    dates: Vec<Date>,
}

fn main() {
    let places = places();
    let workloads = [
        workload(
            "monthly, day 31, 1970-2037",
            "monthly",
            31,
            date(1970, 1, 31),
            date(2037, 12, 31),
        ),
        workload("daily, 2024-2027", "daily", 1, date(2024, 1, 1), date(2027, 12, 31)),
    ];
    println!("{} zones, medians of {RUNS} runs, nanoseconds per boundary\n", places.len());
    println!(
        "{:<28} {:>6} {:>13} {:>6} {:>10} {:>6}",
        "", "jiff", "first_instant", "ratio", "following", "ratio"
    );
    let mut met = true;
    let mut rows = Vec::new();
    for workload in &workloads {
        let [jiff, first, following] = medians(&places, workload);
        let (first_ratio, following_ratio) = (first / jiff, following / jiff);
        met &= first_ratio <= GOAL && following_ratio <= GOAL;
        println!(
            "{:<28} {jiff:>6.1} {first:>13.1} {first_ratio:>6.2} {following:>10.1} \
             {following_ratio:>6.2}",
            workload.name
        );
        rows.push(serde_json::json!({
            "name": workload.name, "jiff": jiff, "first": first, "following": following,
            "runs": RUNS,
        }));
    }
    keep(&rows);
    println!("\ngoal: ratios of at most {GOAL:.1}: {}", if met { "met" } else { "MISSED" });
}

/// Keeps the results for the page that `make bench-page` writes.
fn keep(rows: &[serde_json::Value]) {
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|output| output.stdout).unwrap_or_default();
    let commit = String::from_utf8_lossy(&commit);
    let text = serde_json::json!({ "commit": commit.trim(), "rows": rows }).to_string();
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-boundaries.json");
    std::fs::write(file, text).expect("a file below the target directory");
}

/// Nanoseconds per boundary: jiff's conversion, `Zone::first_instant`, `Calendar::following`.
fn medians(places: &[Place], workload: &Workload) -> [f64; 3] {
    let measures = [convert, first_instant, following];
    let mut runs = [const { Vec::new() }; 3];
    for _ in 0..RUNS {
        for (measure, runs) in measures.iter().zip(&mut runs) {
            let began = Instant::now();
            for place in places {
                measure(place, workload);
            }
            runs.push(began.elapsed());
        }
    }
    let boundaries = u32::try_from(places.len() * workload.dates.len()).expect("a few million");
    runs.map(|mut runs: Vec<Duration>| {
        runs.sort_unstable();
        runs[RUNS / 2].as_secs_f64() * 1e9 / f64::from(boundaries)
    })
}

fn convert(place: &Place, workload: &Workload) {
    for date in &workload.dates {
        let zoned = black_box(date).to_zoned(place.rules.clone()).expect("in range");
        black_box(zoned.timestamp());
    }
}

fn first_instant(place: &Place, workload: &Workload) {
    for date in &workload.dates {
        black_box(place.zone.first_instant(LocalDate(*black_box(date))).expect("in range"));
    }
}

/// Walks from the first date: as many boundaries, each found from the one before.
fn following(place: &Place, workload: &Workload) {
    let calendar = Calendar { zone: place.zone.clone(), cycle: workload.cycle };
    let date = LocalDate(workload.dates[0]);
    let mut last = Boundary { at: place.zone.first_instant(date).expect("in range"), date };
    for _ in &workload.dates {
        last = black_box(calendar.following(last).expect("in range"));
    }
}

fn places() -> Vec<Place> {
    let tz = TzData::bundled();
    let place = |name: String| {
        let rules = TimeZoneDatabase::bundled().get(&name).expect("the same database");
        Place { zone: tz.zone(&name).expect("a listed zone"), rules }
    };
    tz.names().into_iter().map(place).collect()
}

/// The nominal dates of a cycle between two dates, found by the calendar of UTC.
fn workload(name: &'static str, cycle: &str, day: i64, from: Date, until: Date) -> Workload {
    let cycle = Cycle::new(cycle, day, 1).expect("a cycle");
    let zone = TzData::bundled().zone("UTC").expect("UTC exists");
    let calendar = Calendar { zone, cycle };
    let date = LocalDate(from);
    let mut last = Boundary { at: calendar.zone.first_instant(date).expect("in range"), date };
    let mut dates = Vec::new();
    while last.date.0 <= until {
        dates.push(last.date.0);
        last = calendar.following(last).expect("in range");
    }
    Workload { name, cycle, dates }
}
