//! How usage went through the period that contains now, and where it goes: by local day.

use std::collections::BTreeMap;

use super::Explanation;
use super::feature::FeatureView;
use crate::billing::forecast::Expected;
use crate::billing::{Instant, Period, Quantity, Zone};
use crate::jobs::outlook::Pace;
use crate::store::reports::explain::Stretch;

/// Days that are shown one by one; more of them by the week.
const DAYS: usize = 100;
/// Hours of a period that is shown by the hour.
const HOURS: i64 = 49;

/// What had been used by an instant, since the period's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub at: Instant,
    pub counted: Quantity,
    /// What is recorded and not counted yet.
    pub uncounted: Quantity,
}

/// The course of a feature.
#[derive(Debug, Clone)]
pub struct Course {
    /// By the end of each day of the org up to now, and at the period's start; by hours in a period
    /// of a day or two, by weeks in one of many days.
    pub points: Vec<Used>,
    /// From now to the reset; empty where there is too little to go by.
    pub ahead: Vec<Expected>,
}

/// Where the parts of a period begin, the first at its start.
pub(super) fn parts(period: Period, zone: &Zone) -> Vec<Instant> {
    let Period { start, end } = period;
    let inside = |at: &Instant| start < *at && *at < end;
    let hours = end.since(start).as_hours();
    let after: Vec<Instant> = if hours < HOURS {
        let hour = |hours| start.plus(jiff::SignedDuration::from_hours(hours)).ok();
        (1..=hours).filter_map(hour).collect()
    } else {
        zone.days(zone.date(start), zone.date(end)).unwrap_or_default()
    };
    let after: Vec<Instant> = after.into_iter().filter(inside).collect();
    let every = if after.len() > DAYS { 7 } else { 1 };
    std::iter::once(start).chain(after.into_iter().skip(every - 1).step_by(every)).collect()
}

/// The courses of all features of an explanation. `parts` are those that the metrics were summed
/// by.
pub(super) fn of(
    found: &Explanation,
    parts: &[Instant],
    metrics: &[Stretch],
    pace: Option<&Pace>,
) -> BTreeMap<String, Course> {
    let Some(period) = found.period.as_ref() else { return BTreeMap::new() };
    let period = Period { start: period.start, end: period.end };
    let course = |view: &FeatureView| {
        let of_it = metrics.iter().filter(|stretch| stretch.feature == view.feature);
        let ahead = pace.and_then(|pace| pace.way(&view.feature, view.used, period.end));
        let points = points(period, parts, of_it, found.now);
        (view.feature.clone(), Course { points, ahead: thinned(ahead.unwrap_or_default()) })
    };
    found.features.iter().map(course).collect()
}

fn points<'a>(
    period: Period,
    parts: &[Instant],
    metrics: impl Iterator<Item = &'a Stretch>,
    now: Instant,
) -> Vec<Used> {
    let by_part: BTreeMap<usize, &Stretch> = metrics
        .filter_map(|stretch| Some((usize::try_from(stretch.number).ok()?, stretch)))
        .collect();
    let carried = by_part.get(&0).map_or(Quantity::ZERO, |stretch| stretch.counted);
    let (mut counted, mut uncounted) = (carried, Quantity::ZERO);
    let mut points = vec![Used { at: period.start, counted, uncounted }];
    for (number, start) in (1..).zip(parts) {
        if *start >= now {
            break;
        }
        if let Some(stretch) = by_part.get(&number) {
            counted = counted.plus(stretch.counted).unwrap_or(counted);
            uncounted = uncounted.plus(stretch.uncounted).unwrap_or(uncounted);
        }
        let end = parts.get(number).copied().unwrap_or(period.end);
        points.push(Used { at: end.min(now), counted, uncounted });
    }
    points
}

/// As many as a picture has room for, the last one among them.
fn thinned(ahead: Vec<Expected>) -> Vec<Expected> {
    if ahead.len() <= DAYS {
        return ahead;
    }
    let last = ahead.last().copied();
    let weeks = ahead.into_iter().skip(6).step_by(7);
    let mut thinned: Vec<Expected> = weeks.filter(|one| Some(*one) != last).collect();
    thinned.extend(last);
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tz::TzData;

    fn count(zone: &str, start: &str, end: &str) -> usize {
        let [start, end] = [start, end].map(|at| at.parse().unwrap());
        let parts = parts(Period { start, end }, &TzData::bundled().zone(zone).unwrap());
        assert_eq!(parts[0], start);
        assert!(parts.is_sorted() && *parts.last().unwrap() < end);
        parts.len()
    }

    #[test]
    fn a_period_has_parts_by_its_length() {
        // A day on which clocks go forward, and one on which they go back.
        assert_eq!(count("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 23);
        assert_eq!(count("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 25);
        assert_eq!(count("Europe/Berlin", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"), 31);
        assert_eq!(count("Asia/Tokyo", "2026-10-10T15:00:00Z", "2026-11-10T15:00:00Z"), 31);
        // One that began amid a day has a part for what is left of that day.
        assert_eq!(count("UTC", "2026-06-05T12:00:00Z", "2026-07-01T00:00:00Z"), 26);
        assert_eq!(count("UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), 53);
    }

    #[test]
    fn what_is_counted_and_what_is_not_add_up_apart_and_end_now() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let period = Period { start: at("2026-11-01T00:00:00Z"), end: at("2026-12-01T00:00:00Z") };
        let now = at("2026-11-03T12:00:00Z");
        let stretch = |number, counted, uncounted| Stretch {
            feature: "scrapes".to_owned(),
            number,
            counted: Quantity::units(counted),
            uncounted: Quantity::units(uncounted),
        };
        let metrics = [stretch(1, 5, 0), stretch(3, 2, 4), stretch(9, 100, 0)];
        let points = points(period, &parts(period, &Zone::utc()), metrics.iter(), now);
        let shown: Vec<String> = points
            .iter()
            .map(|used| format!("{} {} {}", used.at, used.counted, used.uncounted))
            .collect();
        let expected = [
            "2026-11-01T00:00:00Z 0 0",
            "2026-11-02T00:00:00Z 5 0",
            "2026-11-03T00:00:00Z 5 0",
            "2026-11-03T12:00:00Z 7 4",
        ];
        assert_eq!(shown, expected);
    }
}
