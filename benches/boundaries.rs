//! Boundaries against jiff's own conversion of the same dates, in every zone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::civil::{Date, date};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use periodd::billing::{Boundary, Calendar, Cycle, LocalDate, TimeOfDay, Zone};
use periodd::tz::TzData;

use crate::support::{Bench, Goal, Outcome, Series};

/// What jiff needs, at most twice.
const GOAL: Goal = Goal::RatioAtMost(2.0);
type Measure = fn(&Place, &Workload);

/// What is measured: jiff's conversion, `Zone::first_instant`, `Calendar::following`.
const MEASURES: [(&str, Measure); 3] =
    [("jiff", convert), ("first instant of a date", first_instant), ("next boundary", following)];

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

#[expect(clippy::unused_async, reason = "as all workloads")]
pub(crate) async fn run(bench: &Bench) -> Outcome {
    let places = places();
    let months = (date(1970, 1, 31), date(2037, 12, 31));
    let days = (date(2024, 1, 1), date(2027, 12, 31));
    let workloads = [
        workload("monthly on the 31st, 1970-2037", "monthly", 31, months),
        workload("daily, 2024-2027", "daily", 1, days),
    ];
    let mut series = Series::default();
    for _ in 0..bench.size.runs {
        for workload in &workloads {
            for (what, measure) in MEASURES {
                let began = Instant::now();
                for place in &places {
                    measure(place, workload);
                }
                let boundaries = u32::try_from(places.len() * workload.dates.len());
                let each = nanoseconds(began.elapsed(), boundaries.expect("a few million"));
                series.add(&format!("{what}, {}", workload.name), each);
            }
        }
    }
    let mut figures = Vec::new();
    for workload in &workloads {
        let jiff = format!("jiff, {}", workload.name);
        for (what, _) in &MEASURES[1..] {
            let what = format!("{what}, {}", workload.name);
            let base = ("jiff's own conversion", jiff.as_str());
            figures.push(series.against(base, &what, "ns", &what, GOAL));
        }
    }
    Outcome::Measured(figures)
}

fn nanoseconds(elapsed: Duration, boundaries: u32) -> f64 {
    elapsed.as_secs_f64() * 1e9 / f64::from(boundaries)
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
    let calendar =
        Calendar { zone: place.zone.clone(), cycle: workload.cycle, time: TimeOfDay::MIDNIGHT };
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
fn workload(name: &'static str, cycle: &str, day: i64, (from, until): (Date, Date)) -> Workload {
    let cycle = Cycle::new(cycle, day, 1).expect("a cycle");
    let zone = TzData::bundled().zone("UTC").expect("UTC exists");
    let calendar = Calendar { zone, cycle, time: TimeOfDay::MIDNIGHT };
    let date = LocalDate(from);
    let mut last = Boundary { at: calendar.zone.first_instant(date).expect("in range"), date };
    let mut dates = Vec::new();
    while last.date.0 <= until {
        dates.push(last.date.0);
        last = calendar.following(last).expect("in range");
    }
    Workload { name, cycle, dates }
}
