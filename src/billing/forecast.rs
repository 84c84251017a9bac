//! Where usage is heading: a run rate that knows the weekdays.
//!
//! Usage follows the week: an org that works from Monday to Friday uses nothing on Saturday, and a
//! plain average would have it run out on the wrong day. So each weekday has a rate of its own:
//! the mean of that weekday over the last four weeks, or over as many of them as there is history.
//! With less than a week of it there is a weekday that nobody knows, and no forecast.

use jiff::ToSpan;
use jiff::civil::Weekday;

use super::instant::{Instant, LocalDate, OutOfRange};
use super::period::Zone;
use super::quantity::{Overflow, Quantity};

/// Complete days that are looked back at: four weeks.
pub const DAYS: usize = 28;
/// Complete days without which there is no forecast: one week.
const FEWEST_DAYS: usize = 7;

/// The complete local days before an instant, oldest first, and the day that contains it.
#[derive(Clone, Debug)]
pub struct Window {
    zone: Zone,
    now: Instant,
    today: LocalDate,
    /// The first instants of the [`DAYS`] days, and of today: one more than there are days.
    starts: Vec<Instant>,
}

impl Window {
    /// The window before `now` in a zone.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn before(now: Instant, zone: &Zone) -> Result<Self, OutOfRange> {
        let today = zone.date(now);
        let back = i64::try_from(DAYS).unwrap_or_default();
        let first = today.0.checked_sub(back.days()).map_err(|_| OutOfRange)?;
        let yesterday = today.0.yesterday().map_err(|_| OutOfRange)?;
        let starts = zone.days(LocalDate(first), LocalDate(yesterday))?;
        Ok(Self { zone: zone.clone(), now, today, starts })
    }

    /// Where its days begin, and where the last one ends: usage is summed between these.
    pub fn boundaries(&self) -> &[Instant] {
        &self.starts
    }

    /// The weekday of the day at a place, 0 being the oldest and [`DAYS`] today.
    fn weekday(&self, place: usize) -> Weekday {
        let back = i64::try_from(DAYS - place).unwrap_or_default();
        self.today.0.weekday().wrapping_sub(back)
    }
}

/// What was used in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What was used on each of its days.
    pub days: Vec<Quantity>,
    /// Was anything used before the window?
    pub is_older: bool,
}

/// Where usage is heading at the current pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The local date on which the allowance is used up; `None` when it is used up already, or
    /// will not be before the period's end.
    pub used_up_on: Option<LocalDate>,
    /// Usage at the period's end.
    pub expected_at_end: Quantity,
}

/// Goes on at the current pace from `used` at the window's end to `until`. `None` with less than
/// a week of history, or beyond the range of quantities.
pub fn forecast(
    window: &Window,
    history: &History,
    used: Quantity,
    allowance: Quantity,
    until: Instant,
) -> Option<Forecast> {
    let rates = rates(window, history)?;
    ahead(window, &rates, used, allowance, until).ok().flatten()
}

/// Millionths per weekday, Monday first.
type Rates = [i128; 7];

fn rates(window: &Window, history: &History) -> Option<Rates> {
    let days = history.days.get(..DAYS)?;
    let first = if history.is_older { 0 } else { days.iter().position(|day| !day.is_zero())? };
    if DAYS - first < FEWEST_DAYS {
        return None;
    }
    let (mut sums, mut counts) = (Rates::default(), Rates::default());
    for (place, day) in days.iter().enumerate().skip(first) {
        let weekday = index(window.weekday(place));
        sums[weekday] += day.millionths();
        counts[weekday] += 1;
    }
    // A week of corrections is no pace.
    Some(std::array::from_fn(|weekday| (sums[weekday] / counts[weekday].max(1)).max(0)))
}

fn index(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or_default()
}

fn ahead(
    window: &Window,
    rates: &Rates,
    used: Quantity,
    allowance: Quantity,
    until: Instant,
) -> Result<Option<Forecast>, OutOfRange> {
    let mut expected = used.millionths();
    let mut used_up_on = None;
    let (mut date, mut start) = (window.today, window.starts[DAYS]);
    while start < until {
        let tomorrow = LocalDate(date.0.tomorrow().map_err(|_| OutOfRange)?);
        let end = window.zone.first_instant(tomorrow)?;
        let (from, to) = (start.max(window.now), end.min(until));
        let whole = end.since(start).as_secs();
        if whole > 0 && from < to {
            let part = i128::from(to.since(from).as_secs());
            expected += rates[index(date.0.weekday())] * part / i128::from(whole);
        }
        let is_over = expected >= allowance.millionths() && used < allowance;
        if used_up_on.is_none() && is_over {
            used_up_on = Some(date);
        }
        (date, start) = (tomorrow, end);
    }
    let expected: Result<Quantity, Overflow> = Quantity::from_millionths(expected);
    Ok(expected.ok().map(|expected_at_end| Forecast { used_up_on, expected_at_end }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    fn zone(name: &str) -> Zone {
        Zone::new(name, TimeZoneDatabase::bundled().get(name).unwrap())
    }

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn units(units: i64) -> Quantity {
        Quantity::units(units)
    }

    /// A history that uses the same on each day from Monday to Friday, over the last `days` days.
    fn working_days(window: &Window, daily: i64, days: usize) -> History {
        let day = |place: usize| {
            let works = window.weekday(place).to_monday_one_offset() < 6;
            if works && place >= DAYS - days { units(daily) } else { Quantity::ZERO }
        };
        History { days: (0..DAYS).map(day).collect(), is_older: false }
    }

    #[test]
    fn weekends_use_what_weekends_use() {
        // Monday, at midnight: 400 used, four working weeks of 20 a day to come but for two days.
        let window = Window::before(at("2026-05-04T00:00:00Z"), &zone("UTC")).unwrap();
        let history = working_days(&window, 20, DAYS);
        let until = at("2026-06-01T00:00:00Z");
        let forecast = forecast(&window, &history, units(400), units(600), until).unwrap();
        assert_eq!(forecast.expected_at_end, units(800));
        // The tenth working day is Friday of the second week.
        assert_eq!(forecast.used_up_on.unwrap().to_string(), "2026-05-15");
    }

    #[test]
    fn the_rest_of_today_counts_by_its_share() {
        let window = Window::before(at("2026-05-04T18:00:00Z"), &zone("UTC")).unwrap();
        let history = working_days(&window, 20, DAYS);
        let until = at("2026-05-05T00:00:00Z");
        let forecast = forecast(&window, &history, units(10), units(600), until).unwrap();
        assert_eq!((forecast.expected_at_end, forecast.used_up_on), (units(15), None));
    }

    #[test]
    fn less_than_a_week_of_history_is_no_pace() {
        let window = Window::before(at("2026-05-06T12:00:00Z"), &zone("Asia/Tokyo")).unwrap();
        let until = at("2026-06-01T00:00:00Z");
        let of = |history: &History| forecast(&window, history, units(1), units(9), until);
        assert_eq!(of(&History::default()), None);
        assert_eq!(of(&working_days(&window, 20, 6)), None);
        assert!(of(&working_days(&window, 20, 8)).is_some());
        // Who was there before, but used nothing, uses nothing.
        let idle = History { days: vec![Quantity::ZERO; DAYS], is_older: true };
        assert_eq!(of(&idle).unwrap().expected_at_end, units(1));
    }

    #[test]
    fn what_is_used_up_already_is_not_used_up_again() {
        let window = Window::before(at("2026-05-06T12:00:00Z"), &zone("UTC")).unwrap();
        let history = working_days(&window, 20, DAYS);
        let until = at("2026-06-01T00:00:00Z");
        let forecast = forecast(&window, &history, units(600), units(600), until).unwrap();
        assert_eq!(forecast.used_up_on, None);
        assert!(forecast.expected_at_end > units(600));
    }

    #[test]
    fn days_are_the_orgs_own_even_where_clocks_change() {
        let zone = zone("Europe/Berlin");
        let window = Window::before(at("2026-04-01T10:00:00Z"), &zone).unwrap();
        let starts = window.boundaries();
        assert_eq!(starts.len(), DAYS + 1);
        assert_eq!(starts[DAYS], at("2026-03-31T22:00:00Z"));
        // Daylight saving began on March 29: that day has 23 hours.
        assert_eq!(starts[25], at("2026-03-28T23:00:00Z"));
        assert_eq!(starts[26], at("2026-03-29T22:00:00Z"));
        assert_eq!(window.weekday(DAYS), Weekday::Wednesday);
        assert_eq!(window.weekday(0), Weekday::Wednesday);
        assert_eq!(window.weekday(25), Weekday::Sunday);
    }
}
