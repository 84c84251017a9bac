//! How well forecasts did: closed periods are replayed, and at three moments of each the forecast
//! of then is compared with what came.
//!
//! Beside it stand two forecasts that need no thought: what was used so far goes on evenly, and the
//! period ends as the last one did. A forecast is worth its words where it beats both.

use jiff::ToSpan;

use super::{DAYS, Forecast, History, Window, forecast, scaled};
use crate::billing::instant::{Instant, LocalDate, OutOfRange};
use crate::billing::period::{Period, Zone};
use crate::billing::quantity::{Overflow, Quantity};

/// Where the allowance of a period runs out, and where it ends, is asked at these quarters of it.
const QUARTERS: [i64; 3] = [1, 2, 3];

/// How a forecast is made.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By the rate of each weekday, as emails and pages do.
    Weekdays,
    /// What was used so far in the period goes on evenly.
    StraightLine,
    /// The period ends as the last one did.
    LastPeriod,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Weekdays, Self::StraightLine, Self::LastPeriod];
}

/// One feature of a closed period, with the four weeks before it.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    pub zone: &'a Zone,
    pub period: Period,
    /// What was included; `None`: nothing limited it.
    pub included: Option<Quantity>,
    /// Where days begin, from four weeks before the period to its end: [`days_of`].
    pub boundaries: &'a [Instant],
    /// What was used between each two of them.
    pub used: &'a [Quantity],
    /// Was anything used before the first of them?
    pub is_older: bool,
    /// What was used in the period before, in all; `None` where that is unknown.
    pub last: Option<Quantity>,
}

/// A forecast, and what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// A quarter, a half or three quarters of the period: 25, 50, 75.
    pub percent: u8,
    pub method: Method,
    /// How far the total was off, in tenths of a percent of what came.
    pub total_error: u64,
    pub run_out: RunOut,
}

/// What a forecast said of the day on which the included quantity is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOut {
    /// It said that there is none, and there was none; or it was used up before.
    None,
    /// There was one, so many days before or after the day that was said.
    Off(u64),
    /// There was one, and nobody was warned.
    Missed,
    /// There was none.
    FalseAlarm,
}

/// Between which instants usage is asked for: the local days of a period and of the four weeks
/// before it, cut where the period begins and ends.
///
/// # Errors
/// [`OutOfRange`] at the very ends of the calendar.
pub fn days_of(zone: &Zone, period: Period) -> Result<Vec<Instant>, OutOfRange> {
    let back = i64::try_from(DAYS + 1).unwrap_or_default();
    let first = zone.date(period.start).0.checked_sub(back.days()).map_err(|_| OutOfRange)?;
    let mut days = zone.days(LocalDate(first), zone.date(period.end))?;
    days.extend([period.start, period.end]);
    days.retain(|day| *day <= period.end);
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

/// Compares the forecasts of one period with what came. Nothing of a period in which nothing was
/// used, and nothing of a moment at which there was no forecast by weekdays: what cannot be said
/// then is compared with nothing.
pub fn compare(replay: &Replay<'_>) -> Vec<Comparison> {
    let total = replay.between(replay.period.start, replay.period.end);
    if total <= 0 {
        return Vec::new();
    }
    QUARTERS.into_iter().filter_map(|quarter| replay.at(quarter, total)).flatten().collect()
}

impl Replay<'_> {
    /// What was used in the period.
    ///
    /// # Errors
    /// [`Overflow`] beyond the range of quantities.
    pub fn total(&self) -> Result<Quantity, Overflow> {
        Quantity::from_millionths(self.between(self.period.start, self.period.end))
    }

    /// What was used in [from, until), in millionths; both are boundaries.
    fn between(&self, from: Instant, until: Instant) -> i128 {
        let days = self.boundaries.iter().zip(self.used);
        days.filter(|(day, _)| **day >= from && **day < until)
            .map(|(_, used)| used.millionths())
            .sum()
    }

    /// The last local midnight before a quarter of the period is over.
    fn moment(&self, quarter: i64) -> Option<Instant> {
        let Period { start, end } = self.period;
        let nominal = start.plus(end.since(start) * i32::try_from(quarter).ok()? / 4).ok()?;
        let moment = self.zone.first_instant(self.zone.date(nominal)).ok()?;
        (moment > start).then_some(moment)
    }

    fn at(&self, quarter: i64, total: i128) -> Option<Vec<Comparison>> {
        let moment = self.moment(quarter)?;
        let used = Quantity::from_millionths(self.between(self.period.start, moment)).ok()?;
        let came = self.used_up_on(used, moment);
        let percent = u8::try_from(25 * quarter).ok()?;
        let compared = |method, said: Forecast| {
            let off = (said.expected_at_end.millionths() - total).unsigned_abs();
            let total_error = off.saturating_mul(1_000) / total.unsigned_abs();
            Comparison {
                percent,
                method,
                total_error: u64::try_from(total_error).unwrap_or(u64::MAX),
                run_out: RunOut::of(said.used_up_on, came),
            }
        };
        let mut all = vec![compared(Method::Weekdays, self.by_weekdays(moment, used)?)];
        let elapsed = i128::from(moment.since(self.period.start).as_secs());
        let whole = i128::from(self.period.end.since(self.period.start).as_secs());
        let evenly = scaled(used.millionths(), whole, elapsed);
        all.extend(
            self.even(moment, used, evenly).map(|said| compared(Method::StraightLine, said)),
        );
        let last = self.last.map(|last| last.millionths().max(used.millionths()));
        let last = last.and_then(|last| self.even(moment, used, last));
        all.extend(last.map(|said| compared(Method::LastPeriod, said)));
        Some(all)
    }

    /// As [`forecast`] would have said at a moment.
    fn by_weekdays(&self, moment: Instant, used: Quantity) -> Option<Forecast> {
        let window = Window::before(moment, self.zone).ok()?;
        let days = window.boundaries().windows(2).map(|day| self.between(day[0], day[1]));
        let days: Option<Vec<_>> = days.map(|day| Quantity::from_millionths(day).ok()).collect();
        let first = *window.boundaries().first()?;
        let is_older = self.is_older || self.between(*self.boundaries.first()?, first) > 0;
        let history = History { days: days?, is_older };
        // What nothing limits is never used up.
        let limit = self.included.unwrap_or_default();
        let said = forecast(&window, &history, used, limit, self.period.end)?;
        Some(Forecast { used_up_on: said.used_up_on.filter(|_| self.included.is_some()), ..said })
    }

    /// Goes on evenly to what is expected at the end.
    fn even(&self, moment: Instant, used: Quantity, expected: i128) -> Option<Forecast> {
        let left = self.period.end.since(moment);
        let rest = expected - used.millionths();
        let used_up_on = self.included.filter(|included| *included > used).and_then(|included| {
            let short = included.millionths() - used.millionths();
            let secs = (short <= rest && rest > 0)
                .then(|| scaled(i128::from(left.as_secs()), short, rest))?;
            let at =
                moment.plus(jiff::SignedDuration::from_secs(i64::try_from(secs).ok()?)).ok()?;
            // What lasts until the end is not used up in the period.
            (at < self.period.end).then(|| self.zone.date(at))
        });
        let expected_at_end = Quantity::from_millionths(expected).ok()?;
        Some(Forecast { used_up_on, expected_at_end })
    }

    /// The day after `moment` on which the included quantity was used up.
    fn used_up_on(&self, used: Quantity, moment: Instant) -> Option<LocalDate> {
        let included = self.included.filter(|included| *included > used)?;
        let mut sum = used.millionths();
        let days = self.boundaries.iter().zip(self.used).filter(|(day, _)| **day >= moment);
        for (day, used) in days {
            sum += used.millionths();
            if sum >= included.millionths() {
                return Some(self.zone.date(*day));
            }
        }
        None
    }
}

impl RunOut {
    fn of(said: Option<LocalDate>, came: Option<LocalDate>) -> Self {
        match (said, came) {
            (None, None) => Self::None,
            (Some(_), None) => Self::FalseAlarm,
            (None, Some(_)) => Self::Missed,
            (Some(said), Some(came)) => {
                let days = said.0.since(came.0).map_or(0, |span| span.get_days());
                Self::Off(u64::from(days.unsigned_abs()))
            }
        }
    }
}

/// What many comparisons of one method at one moment come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Forecasts that were compared.
    pub forecasts: usize,
    /// The median of how far totals were off, in tenths of a percent of what came.
    pub total_error: u64,
    /// Days that were foreseen, on whatever day.
    pub foreseen: usize,
    /// The median of how many days these were off.
    pub days_off: u64,
    pub missed: usize,
    pub false_alarms: usize,
}

impl Figures {
    /// Of the comparisons of one method at one moment.
    pub fn of<'a>(all: impl Iterator<Item = &'a Comparison>) -> Self {
        let (mut errors, mut days, mut figures) = (Vec::new(), Vec::new(), Self::default());
        for compared in all {
            errors.push(compared.total_error);
            match compared.run_out {
                RunOut::None => {}
                RunOut::Off(off) => days.push(off),
                RunOut::Missed => figures.missed += 1,
                RunOut::FalseAlarm => figures.false_alarms += 1,
            }
        }
        figures.forecasts = errors.len();
        figures.foreseen = days.len();
        Self { total_error: median(errors), days_off: median(days), ..figures }
    }
}

/// The one in the middle; of two, the lower one.
fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;
    use std::fmt::Write;

    /// Numbers that look random, and are the same each time (Knuth's MMIX constants).
    struct Random(u64);

    impl Random {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }
    }

    /// Units of one day: its number since the beginning, and its weekday (Monday is 0).
    type Shape = fn(&mut Random, u64, u64) -> u64;

    /// Weekdays of about 100, hardly anything at weekends.
    fn office(random: &mut Random, _: u64, weekday: u64) -> u64 {
        if weekday < 5 { 80 + random.below(41) } else { random.below(5) }
    }

    /// Little each day, and on one day of a week, whichever, thirty times as much.
    fn bursts(random: &mut Random, _: u64, _: u64) -> u64 {
        if random.below(7) == 0 { 200 + random.below(201) } else { random.below(20) }
    }

    /// Six percent more each week, every day alike.
    fn growth(random: &mut Random, day: u64, _: u64) -> u64 {
        let usual = (0..day / 7).fold(50_000, |usual, _| usual * 106 / 100) / 1_000;
        usual * (90 + random.below(21)) / 100
    }

    /// Compares a year of months of fifty orgs of a shape.
    fn year(shape: Shape) -> Vec<Comparison> {
        let zone =
            Zone::new("Europe/Berlin", TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap());
        let first: LocalDate = "2025-01-01".parse().unwrap();
        let mut all = Vec::new();
        for org in 0..50 {
            let mut random = Random(org);
            let mut months: Vec<(LocalDate, Vec<u64>)> = Vec::new();
            let (mut date, mut number) = (first, 0);
            while date.0.year() == 2025 {
                let weekday = u64::try_from(date.0.weekday().to_monday_zero_offset()).unwrap();
                let units = shape(&mut random, number, weekday);
                if date.0.day() == 1 {
                    months.push((date, Vec::new()));
                }
                months.last_mut().unwrap().1.push(units);
                (date, number) = (LocalDate(date.0.tomorrow().unwrap()), number + 1);
            }
            let days: Vec<(Instant, u64)> = months
                .iter()
                .flat_map(|(month, days)| {
                    days.iter().enumerate().map(|(n, units)| {
                        let date = LocalDate(
                            month.0.checked_add(i64::try_from(n).unwrap().days()).unwrap(),
                        );
                        (zone.first_instant(date).unwrap(), *units)
                    })
                })
                .collect();
            let sum = |days: &[u64]| days.iter().sum::<u64>();
            for pair in months.windows(2).skip(1) {
                let (last, (month, own)) = (sum(&pair[0].1), &pair[1]);
                let next = LocalDate(month.0.checked_add(1.month()).unwrap());
                let period = Period {
                    start: zone.first_instant(*month).unwrap(),
                    end: zone.first_instant(next).unwrap(),
                };
                let boundaries = days_of(&zone, period).unwrap();
                let used: Vec<Quantity> = boundaries[..boundaries.len() - 1]
                    .iter()
                    .map(|day| {
                        let found = days.iter().find(|(at, _)| at == day);
                        Quantity::units(
                            i64::try_from(found.map_or(0, |(_, units)| *units)).unwrap(),
                        )
                    })
                    .collect();
                // A little less than what came, a little more, or about as much.
                let included = sum(own) * (80 + 10 * random.below(4)) / 100;
                all.extend(compare(&Replay {
                    zone: &zone,
                    period,
                    included: Some(Quantity::units(i64::try_from(included).unwrap())),
                    boundaries: &boundaries,
                    used: &used,
                    is_older: true,
                    last: Some(Quantity::units(i64::try_from(last).unwrap())),
                }));
            }
        }
        all
    }

    fn figures(all: &[Comparison], percent: u8, method: Method) -> Figures {
        Figures::of(all.iter().filter(|one| one.percent == percent && one.method == method))
    }

    const SHAPES: [(&str, Shape); 3] =
        [("weekday office", office), ("bursts", bursts), ("growth", growth)];

    /// The table of docs/forecasts.md.
    fn table() -> String {
        let mut text = String::from(
            "| shape | after | forecast | error | foreseen | days off | missed | false |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for (name, shape) in SHAPES {
            let all = year(shape);
            for percent in [25, 50, 75] {
                for method in Method::ALL {
                    let of = figures(&all, percent, method);
                    let name_of = match method {
                        Method::Weekdays => "by weekdays",
                        Method::StraightLine => "straight line",
                        Method::LastPeriod => "last period",
                    };
                    writeln!(
                        text,
                        "| {name} | {percent} % | {name_of} | {}.{} % | {} | {} | {} | {} |",
                        of.total_error / 10,
                        of.total_error % 10,
                        of.foreseen,
                        of.days_off,
                        of.missed,
                        of.false_alarms
                    )
                    .unwrap();
                }
            }
        }
        text
    }

    #[test]
    fn the_rate_by_weekdays_is_nowhere_further_off_than_what_needs_no_thought() {
        for (name, shape) in SHAPES {
            let all = year(shape);
            for percent in [25, 50, 75] {
                let own = figures(&all, percent, Method::Weekdays);
                assert_eq!(own.forecasts, 500);
                for simple in [Method::StraightLine, Method::LastPeriod] {
                    let simple = figures(&all, percent, simple);
                    // In tenths of a percent: half a percent is nothing.
                    let most = simple.total_error + 5;
                    assert!(own.total_error <= most, "{name} {percent}: {own:?}, {simple:?}");
                }
            }
        }
    }

    #[test]
    fn the_documentation_has_these_figures() {
        let page = include_str!("../../../docs/forecasts.md");
        assert!(page.contains(&table()), "write into docs/forecasts.md:\n{}", table());
    }

    fn replay_of(zone: &Zone, daily: &[i64], included: i64) -> Vec<Comparison> {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let period = Period { start: at("2026-06-01T00:00:00Z"), end: at("2026-07-01T00:00:00Z") };
        let boundaries = days_of(zone, period).unwrap();
        let before = boundaries.iter().filter(|day| **day < period.start).count();
        let used: Vec<Quantity> = (0..boundaries.len() - 1)
            .map(|place| match place.checked_sub(before) {
                None => Quantity::units(10),
                Some(day) => Quantity::units(daily[day % daily.len()]),
            })
            .collect();
        compare(&Replay {
            zone,
            period,
            included: Some(Quantity::units(included)),
            boundaries: &boundaries,
            used: &used,
            is_older: true,
            last: Some(Quantity::units(150)),
        })
    }

    #[test]
    fn what_was_said_is_compared_with_what_came() {
        let of = |all: &[Comparison], percent, method| {
            let one = all.iter().find(|one| (one.percent, one.method) == (percent, method));
            let one = one.unwrap();
            (one.total_error, one.run_out)
        };
        // Ten a day, as before: 300 in all, and 200 were used up on the twentieth day.
        let even = replay_of(&Zone::utc(), &[10], 200);
        assert_eq!(of(&even, 50, Method::Weekdays), (0, RunOut::Off(0)));
        assert_eq!(of(&even, 50, Method::StraightLine), (0, RunOut::Off(1)), "at its very end");
        // The last period used half as much, which is what has been used by then.
        assert_eq!(of(&even, 50, Method::LastPeriod), (500, RunOut::Missed));
        assert_eq!(of(&even, 75, Method::Weekdays), (0, RunOut::None), "it was used up before");
        // Twice as much as before: half of it is foreseen at first.
        let more = replay_of(&Zone::utc(), &[20], 610);
        assert_eq!(of(&more, 25, Method::StraightLine), (0, RunOut::None));
        let (error, _) = of(&more, 25, Method::Weekdays);
        assert!((1..500).contains(&error), "{error}");
        // All of it in the first half.
        let mut early = [0; 30];
        early[..15].fill(20);
        let early = replay_of(&Zone::utc(), &early, 400);
        assert_eq!(of(&early, 50, Method::StraightLine), (1_000, RunOut::FalseAlarm));
        assert!(replay_of(&Zone::utc(), &[0], 10).is_empty(), "nothing came");
    }
}
