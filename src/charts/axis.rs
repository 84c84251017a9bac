//! Axes: round values, and the hours, days, months or years of a zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::AmbiguousOffset;

use super::canvas::{Canvas, LINE, Spot};
use super::measure::width;
use super::numbers::{compact, rounds};
use super::scale::Scale;
use super::when::When;
use crate::billing::{Instant, LocalDate, Quantity, Zone};

/// Free room between two labels of an axis.
const APART: f64 = 10.0;

/// How far apart the marks of a time axis are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hours(i8),
    Days(i32),
    Months(i32),
    Years(i32),
}

const STEPS: [Step; 18] = [
    Step::Hours(1),
    Step::Hours(2),
    Step::Hours(3),
    Step::Hours(6),
    Step::Hours(12),
    Step::Days(1),
    Step::Days(2),
    Step::Days(3),
    Step::Days(5),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Years(1),
    Step::Years(10),
    Step::Years(100),
];

impl Step {
    fn hours(self) -> i64 {
        match self {
            Self::Hours(hours) => hours.into(),
            Self::Days(days) => i64::from(days) * 24,
            Self::Months(months) => i64::from(months) * 24 * 30,
            Self::Years(years) => i64::from(years) * 24 * 365,
        }
    }
}

/// A mark of an axis.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tick {
    pub(super) at: Instant,
    pub(super) label: String,
}

/// The finest marks whose labels have room on that scale.
pub(super) fn ticks(when: &When, from: Instant, to: Instant, scale: &Scale) -> Vec<Tick> {
    let hours = to.since(from).as_hours();
    let fit = STEPS.iter().filter(|step| hours / step.hours() < 120).map(|step| {
        let ticks = of(*step, when, from, to);
        let ends: Vec<[f64; 2]> = ticks
            .iter()
            .map(|tick| {
                let (x, half) = (scale.of(tick.at), width(&tick.label, false) / 2.0);
                [x - half, x + half]
            })
            .collect();
        let has_room = ends.windows(2).all(|pair| pair[0][1] + APART <= pair[1][0]);
        (has_room, ticks)
    });
    fit.into_iter().find(|(has_room, _)| *has_room).map(|(_, ticks)| ticks).unwrap_or_default()
}

fn of(step: Step, when: &When, from: Instant, to: Instant) -> Vec<Tick> {
    let zone = when.zone();
    let first = zone.date(from).0;
    let mut ticks = Vec::new();
    let mut push = |at: Option<Instant>, label: String| {
        let inside = at.filter(|at| from <= *at && *at <= to);
        let last = ticks.last().map(|tick: &Tick| tick.at);
        ticks.extend(inside.filter(|at| Some(*at) > last).map(|at| Tick { at, label }));
    };
    let mut date = match step {
        Step::Hours(_) | Step::Days(_) => Some(first),
        Step::Months(_) => Date::new(first.year(), first.month(), 1).ok(),
        Step::Years(years) => {
            let years = i16::try_from(years).unwrap_or(1);
            Date::new((first.year() / years * years).max(1), 1, 1).ok()
        }
    };
    while let Some(day) = date {
        let midnight = zone.first_instant(LocalDate(day)).ok();
        if midnight.is_none_or(|midnight| midnight > to) {
            break;
        }
        match step {
            Step::Hours(step) => {
                push(midnight, super::when::day(LocalDate(day)));
                for hour in (step..24).step_by(usize::try_from(step).unwrap_or(1)) {
                    push(at_hour(zone, day, hour), format!("{hour:02}:00"));
                }
            }
            Step::Days(_) => push(midnight, super::when::day(LocalDate(day))),
            Step::Months(_) if day.month() > 1 => push(midnight, day.strftime("%b").to_string()),
            Step::Months(_) | Step::Years(_) => push(midnight, day.strftime("%Y").to_string()),
        }
        let span = match step {
            Step::Hours(_) => jiff::Span::new().days(1),
            Step::Days(days) => jiff::Span::new().days(days),
            Step::Months(months) => jiff::Span::new().months(months),
            Step::Years(years) => jiff::Span::new().years(years),
        };
        date = day.checked_add(span).ok();
    }
    ticks
}

/// A full hour of a day; `None` where clocks leave it out, the first where they show it twice.
fn at_hour(zone: &Zone, day: Date, hour: i8) -> Option<Instant> {
    let wall = DateTime::from_parts(day, Time::new(hour, 0, 0, 0).ok()?);
    let offset = match zone.rules().to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { .. } => return None,
    };
    offset.to_timestamp(wall).ok().map(Instant::from)
}

/// The frame of a plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Plot {
    /// The values to the left of a plot, with a line across it at each.
    pub(super) fn values(&self, canvas: &mut Canvas, values: &[Quantity], scale: &Scale) {
        for value in values {
            let y = scale.at(value.millionths());
            let class = if value.is_zero() { "base" } else { "grid" };
            canvas.line(class, [self.left, y], [self.right, y]);
            canvas.label("tick", &compact(*value), &[Spot::end(self.left - 6.0, y + 4.0)]);
        }
    }

    /// The times below a plot, with a mark at each, and below them the zone.
    pub(super) fn times(&self, canvas: &mut Canvas, when: &When, ticks: &[Tick], scale: &Scale) {
        for tick in ticks {
            let x = scale.of(tick.at);
            canvas.line("grid", [x, self.bottom], [x, self.bottom + 4.0]);
            self.below(canvas, x, &tick.label, 1);
        }
        let room = self.right - self.left;
        let spot = Spot::end(self.right, self.bottom + 36.0);
        canvas.cut_label("tick", &when.said(), room, &[spot]);
    }

    /// A label in a row below a plot, moved inside the canvas where it stands at an end.
    pub(super) fn below(&self, canvas: &mut Canvas, x: f64, label: &str, row: u8) -> bool {
        let y = self.bottom + LOWER + LINE * f64::from(row);
        let spots = [Spot::middle(x, y), Spot::end(self.right + 2.0, y), Spot::start(x - 8.0, y)];
        let near = if x > self.right - 24.0 { &spots[..2] } else { &spots[..1] };
        canvas.label("tick", label, near).is_some()
    }
}

/// The values of an axis up to `top`, and the room to the left that their labels need.
pub(super) fn values(top: Quantity, most: usize) -> (Vec<Quantity>, f64) {
    let values = rounds(top, most);
    let widest = values.iter().map(|value| width(&compact(*value), false)).fold(0.0, f64::max);
    (values, widest + 8.0)
}

/// How high the labels below a plot are, the zone's line among them.
pub(super) const TIMES_HEIGHT: f64 = 41.0;
/// How high labels in one row below a plot are.
pub(super) const ROW_HEIGHT: f64 = 25.0;
/// How far labels below a plot are from the zero to the left of it.
const LOWER: f64 = 4.0;
