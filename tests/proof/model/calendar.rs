//! Boundaries by the slow search of the rules' tests, which shares nothing with `src/billing`.

use std::collections::HashMap;
use std::rc::Rc;

use jiff::tz::TimeZone;

use crate::oracle::{Dates, Wall};

/// Zones with midnights that are missing or come twice, far from UTC, and without any change.
pub(super) const ZONES: [&str; 8] = [
    "America/New_York",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "America/Havana",
    "UTC",
];

/// How an org's periods follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Cycle {
    pub(super) zone: usize,
    pub(super) name: &'static str,
    pub(super) day: i64,
    pub(super) month: i64,
}

/// A boundary: when it is, and the position of the nominal date that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Boundary {
    pub(super) at: i64,
    pub(super) date: usize,
}

/// The nominal dates of a cycle, by its name, day and month.
type Nominal = HashMap<(&'static str, i64, i64), Rc<Vec<usize>>>;

/// What is known of dates and zones: searched once, and then looked up.
pub(super) struct Calendars {
    dates: Dates,
    first: Vec<Vec<i64>>,
    nominal: std::cell::RefCell<Nominal>,
}

impl Calendars {
    pub(super) fn new() -> Self {
        let first = |zone: &&str| {
            let rules = if *zone == "UTC" {
                TimeZone::UTC
            } else {
                jiff::tz::db().get(zone).expect("a zone that everybody has")
            };
            Wall::watch(&rules).first_seconds(0)
        };
        let first = ZONES.iter().map(first).collect();
        Self { dates: Dates::all(), first, nominal: HashMap::new().into() }
    }

    fn nominal(&self, cycle: Cycle) -> Rc<Vec<usize>> {
        let key = (cycle.name, cycle.day, cycle.month);
        let mut known = self.nominal.borrow_mut();
        let search = || Rc::new(self.dates.nominal(cycle.name, cycle.day, cycle.month));
        known.entry(key).or_insert_with(search).clone()
    }

    fn boundary(&self, zone: usize, date: usize) -> Boundary {
        Boundary { at: self.first[zone][date] * 1_000_000, date }
    }

    /// The local date on which an instant falls: the last one that has begun by then.
    pub(super) fn date(&self, zone: usize, at: i64) -> usize {
        self.first[zone].partition_point(|second| *second * 1_000_000 <= at) - 1
    }

    /// The first nominal date after an end whose boundary lies after it.
    pub(super) fn following(&self, cycle: Cycle, end: Boundary) -> Boundary {
        let nominal = self.nominal(cycle);
        let later = nominal.partition_point(|date| *date <= end.date);
        let mut later = nominal[later..].iter().map(|date| self.boundary(cycle.zone, *date));
        later.find(|next| next.at > end.at).expect("the calendar goes on")
    }

    /// The period that contains an instant: its start and its end.
    pub(super) fn around(&self, cycle: Cycle, at: i64) -> (i64, Boundary) {
        let nominal = self.nominal(cycle);
        let starts = nominal.iter().map(|date| self.boundary(cycle.zone, *date));
        let start = starts.take_while(|boundary| boundary.at <= at).last();
        let start = start.expect("after 1969");
        (start.at, self.following(cycle, start))
    }

    /// The ends that an org stores after that of its open period.
    pub(super) fn following_ends(&self, cycle: Cycle, end: Boundary) -> Vec<i64> {
        let (mut ends, mut last) = (Vec::new(), end);
        while ends.len() < 3 || last.at < end.at + 35 * 86_400_000_000 {
            last = self.following(cycle, last);
            ends.push(last.at);
        }
        ends
    }
}
