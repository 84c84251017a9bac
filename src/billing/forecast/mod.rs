//! Where usage is heading: a run rate that knows the weekdays.
//!
//! Usage follows the week: an org that works from Monday to Friday uses nothing on Saturday, and a
//! plain average would have it run out on the wrong day. So each weekday has a rate of its own:
//! the mean of that weekday over the last four weeks, or over as many of them as there is history.
//! With less than a week of it there is a weekday that nobody knows, and no forecast. Where each of
//! four weeks used more than the one before, or each less, that is no chance: the pace is that of
//! the last of them. docs/forecasts.md compares this with simpler rates.
//!
//! Never: a forecast from less than a week; a clock.

pub mod backtest;

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

/// What will have been used by an instant, at three paces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub at: Instant,
    /// At the pace of the slowest week that was looked back at.
    pub low: Quantity,
    /// At the current pace, as [`forecast`] goes by.
    pub likely: Quantity,
    /// At the pace of the quickest of these weeks.
    pub high: Quantity,
}

/// Goes on at the current pace from `used` at the window's end to `until`. `None` with less than
/// a week of history, beyond the range of quantities, or in a period that never ends.
pub fn forecast(
    window: &Window,
    history: &History,
    used: Quantity,
    allowance: Quantity,
    until: Instant,
) -> Option<Forecast> {
    if until == Instant::NEVER {
        return None;
    }
    let rates = rates(window, history)?;
    ahead(window, &rates, used, allowance, until).ok().flatten()
}

/// The way there: what will have been used by the end of each day, the last one at `until`. Like
/// [`forecast`], whose expectation is the last of these.
pub fn course(
    window: &Window,
    history: &History,
    used: Quantity,
    until: Instant,
) -> Option<Vec<Expected>> {
    if until == Instant::NEVER {
        return None;
    }
    let rates = rates(window, history)?;
    let (slowest, quickest) = weeks(history, &rates)?;
    let week = rates.iter().sum::<i128>();
    let [mut low, mut likely, mut high] = [used.millionths(); 3];
    let days = days_ahead(window, &rates, until).ok()?.into_iter().map(|day| {
        low += scaled(day.more, slowest, week);
        likely += day.more;
        high += scaled(day.more, quickest, week);
        let [low, likely, high] = [low, likely, high].map(Quantity::from_millionths);
        Some(Expected { at: day.end, low: low.ok()?, likely: likely.ok()?, high: high.ok()? })
    });
    days.collect()
}

/// What the slowest and the quickest of the complete weeks used; never more, and never less, than a
/// week at the current pace does.
fn weeks(history: &History, rates: &Rates) -> Option<(i128, i128)> {
    let days = history.days.get(first_day(history)?..DAYS)?;
    let sum = |week: &[Quantity]| week.iter().map(|day| day.millionths()).sum::<i128>().max(0);
    let weeks = days.rchunks_exact(FEWEST_DAYS).map(sum);
    let usual = rates.iter().sum::<i128>();
    Some(weeks.fold((usual, usual), |(low, high), week| (low.min(week), high.max(week))))
}

/// `amount` times `part` of `whole`.
fn scaled(amount: i128, part: i128, whole: i128) -> i128 {
    let whole = whole.max(1);
    // A day is a part of its week: only beyond any usage there is no number for the product.
    amount.checked_mul(part).map_or_else(|| amount / whole * part, |product| product / whole)
}

/// Millionths per weekday, Monday first.
type Rates = [i128; 7];

/// The place of the first day that says something of the pace; `None` where that is too little.
fn first_day(history: &History) -> Option<usize> {
    let days = history.days.get(..DAYS)?;
    let first = if history.is_older { 0 } else { days.iter().position(|day| !day.is_zero())? };
    (DAYS - first >= FEWEST_DAYS).then_some(first)
}

fn rates(window: &Window, history: &History) -> Option<Rates> {
    let first = first_day(history)?;
    let days = history.days.get(..DAYS)?;
    let (mut sums, mut counts) = (Rates::default(), Rates::default());
    for (place, day) in days.iter().enumerate().skip(first) {
        let weekday = index(window.weekday(place));
        sums[weekday] += day.millionths();
        counts[weekday] += 1;
    }
    // A week of corrections is no pace.
    let rates: Rates =
        std::array::from_fn(|weekday| (sums[weekday] / counts[weekday].max(1)).max(0));
    Some(match last_of_a_trend(&days[first..]) {
        None => rates,
        Some(last) => rates.map(|rate| scaled(rate, last, rates.iter().sum())),
    })
}

/// What the last of four complete weeks used, in millionths, where all of them rose or all fell.
fn last_of_a_trend(days: &[Quantity]) -> Option<i128> {
    let sum = |week: &[Quantity]| week.iter().map(|day| day.millionths()).sum::<i128>();
    let weeks: Vec<i128> = days.rchunks_exact(FEWEST_DAYS).map(sum).collect();
    let rose = weeks.is_sorted_by(|later, earlier| later > earlier);
    let fell = weeks.is_sorted_by(|later, earlier| later < earlier);
    let last = *weeks.first()?;
    (weeks.len() * FEWEST_DAYS == DAYS && (rose || fell) && last >= 0).then_some(last)
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
    for day in days_ahead(window, rates, until)? {
        expected += day.more;
        let is_over = expected >= allowance.millionths() && used < allowance;
        if used_up_on.is_none() && is_over {
            used_up_on = Some(day.date);
        }
    }
    let expected: Result<Quantity, Overflow> = Quantity::from_millionths(expected);
    Ok(expected.ok().map(|expected_at_end| Forecast { used_up_on, expected_at_end }))
}

/// A day to come, or the rest of today.
struct Ahead {
    date: LocalDate,
    /// Its end, or that of all.
    end: Instant,
    /// What is used on it at the current pace, in millionths.
    more: i128,
}

/// The days from the window's end to `until`.
fn days_ahead(window: &Window, rates: &Rates, until: Instant) -> Result<Vec<Ahead>, OutOfRange> {
    let mut days = Vec::new();
    let (mut date, mut start) = (window.today, window.starts[DAYS]);
    while start < until {
        let tomorrow = LocalDate(date.0.tomorrow().map_err(|_| OutOfRange)?);
        let end = window.zone.first_instant(tomorrow)?;
        let (from, to) = (start.max(window.now), end.min(until));
        let whole = end.since(start).as_secs();
        let more = if whole > 0 && from < to {
            let part = i128::from(to.since(from).as_secs());
            rates[index(date.0.weekday())] * part / i128::from(whole)
        } else {
            0
        };
        days.push(Ahead { date, end: to, more });
        (date, start) = (tomorrow, end);
    }
    Ok(days)
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
    fn the_way_there_ends_where_the_forecast_does_between_the_slowest_and_the_quickest_week() {
        let window = Window::before(at("2026-05-04T06:00:00Z"), &zone("Europe/Berlin")).unwrap();
        let until = at("2026-05-31T22:00:00Z");
        let mut history = working_days(&window, 20, DAYS);
        let way = |history: &History| course(&window, history, units(400), until).unwrap();
        let even = way(&history);
        assert_eq!(even.len(), 28, "the rest of today, and each day to the end of the month");
        assert!(even.iter().all(|day| day.low == day.likely && day.high == day.likely));
        // One week twice as busy as the others.
        history.days[..7].iter_mut().for_each(|day| *day = day.plus(*day).unwrap());
        let wide = way(&history);
        let last = wide.last().unwrap();
        let expected = forecast(&window, &history, units(400), units(900), until).unwrap();
        assert_eq!((last.at, last.likely), (until, expected.expected_at_end));
        assert!(last.low < last.likely && last.likely < last.high, "{last:?}");
        // Each day is cut to the millionth.
        let cents = |quantity: Quantity| quantity.rounded(2).unwrap();
        let usual = even.last().unwrap().likely;
        assert_eq!(cents(last.low), cents(usual), "as in the three usual weeks");
        assert!(wide.is_sorted_by_key(|day| day.high));
        assert_eq!(course(&window, &History::default(), units(1), until), None);
    }

    #[test]
    fn four_weeks_that_all_rise_go_on_as_the_last_and_chance_does_not() {
        let window = Window::before(at("2026-05-04T00:00:00Z"), &zone("UTC")).unwrap();
        let weeks = |each: [i64; 4]| {
            let days = each.iter().flat_map(|units| [Quantity::units(*units); 7]).collect();
            let history = History { days, is_older: true };
            let until = at("2026-05-11T00:00:00Z");
            let found = forecast(&window, &history, Quantity::ZERO, units(1_000), until);
            found.unwrap().expected_at_end
        };
        assert_eq!(weeks([10, 12, 14, 16]), units(7 * 16));
        assert_eq!(weeks([16, 14, 12, 10]), units(7 * 10));
        assert_eq!(weeks([10, 14, 12, 16]), units(7 * 13), "the mean");
        assert_eq!(weeks([10, 10, 10, 14]), units(7 * 11), "the mean");
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
