//! The last closes: who paid for what in each period, a bar each.

use super::axis::{Plot, TIMES_HEIGHT, values};
use super::canvas::{Canvas, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::hatch;
use super::numbers::{counted, grouped};
use super::scale::{Scale, px};
use super::shapes::Area;
use super::when::When;
use crate::billing::{Period, Quantity};

/// The most bars: a year of months.
pub const MOST: usize = 12;

/// Closed periods of a feature.
#[derive(Clone, Debug)]
pub struct Closes {
    pub feature: String,
    /// Oldest first; of more than [`MOST`] the last ones are shown.
    pub closes: Vec<Close>,
}

/// What was used in a period, by who paid for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    pub period: Period,
    /// What was used of what is included.
    pub included: Quantity,
    /// What packs paid.
    pub drawn: Quantity,
    /// What nobody paid for.
    pub uncovered: Quantity,
    /// What came to light after the close, beside the other three.
    pub late: Quantity,
}

impl Close {
    fn parts(&self) -> [Quantity; 4] {
        [self.included, self.drawn, self.uncovered, self.late].map(Quantity::or_zero)
    }

    fn used(&self) -> Quantity {
        Quantity::sum(self.parts()).unwrap_or(self.included)
    }
}

const CLASSES: [&str; 4] = ["c-included", "c-drawn", "c-uncovered", "c-late"];

impl Closes {
    fn shown(&self) -> &[Close] {
        &self.closes[self.closes.len().saturating_sub(MOST)..]
    }

    /// The chart.
    pub fn chart(&self, width: Width, when: &When) -> Chart {
        let title = format!("Closed periods of {}", self.feature);
        let finding = self.finding(when);
        let head =
            ["Period from", "To", "Used#", "Included#", "From packs#", "Uncovered#", "Late#"];
        let mut table = Table::new(&title, &head);
        for close in self.shown() {
            let [included, drawn, uncovered, late] = close.parts().map(grouped);
            let [start, end] = [close.period.start, close.period.end].map(|at| when.at(at));
            table.row([start, end, grouped(close.used()), included, drawn, uncovered, late]);
        }
        let svg = width
            .of_at_least(0)
            .filter(|_| !self.closes.is_empty())
            .map(|wide| self.draw(wide, when).finish(&title, &finding));
        Chart { svg, title, finding, table }
    }

    fn finding(&self, when: &When) -> String {
        let closes = self.shown();
        let is_uncovered = |close: &&Close| close.uncovered.is_positive();
        let uncovered = closes.iter().filter(is_uncovered);
        let Some(last) = closes.last() else { return "No period is closed yet.".to_owned() };
        let periods = counted(closes.len().try_into().unwrap_or(u64::MAX), "period");
        let most = closes.iter().max_by_key(|close| close.used()).unwrap_or(last);
        let most = format!("most {} in {}", grouped(most.used()), name(most.period, when));
        match uncovered.clone().count() {
            0 => format!("Everything was covered in {periods}; {most}."),
            some => {
                let sum = uncovered.map(|close| close.uncovered);
                let sum = Quantity::sum(sum).map_or_else(|_| String::new(), grouped);
                format!("{sum} uncovered in {some} of {periods}; {most}.")
            }
        }
    }

    fn draw(&self, wide: f64, when: &When) -> Canvas {
        let closes = self.shown();
        let has = |part: usize| closes.iter().any(|close| close.parts()[part].is_positive());
        let names = ["included", "drawn from packs", "uncovered", "late"];
        let signs = [Sign::Box, Sign::Box, Sign::Hatched, Sign::Box];
        let legend: Vec<(Sign, &str, String)> = (0..4)
            .filter(|part| *part < 3 || has(*part))
            .map(|part| (signs[part], CLASSES[part], names[part].to_owned()))
            .collect();
        let top = closes.iter().map(Close::used).max().unwrap_or_default();
        let (levels, left) = values(top, 4);
        let begin = legend_height(wide, &legend) + 24.0;
        let high = (wide * 0.28).clamp(130.0, 220.0);
        let plot = Plot { left, top: begin, right: wide - 2.0, bottom: begin + high };
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
        canvas.legend(0.0, &legend);
        let highest = levels.last().copied().unwrap_or(top).millionths();
        let y = Scale::new([0, highest], [plot.bottom, plot.top]);
        plot.values(&mut canvas, &levels, &y);
        // Few bars are not wider than many.
        let slots = closes.len().max(6);
        let slot = (plot.right - plot.left) / px(slots);
        let gap = (slot * 0.22).min(16.0);
        let (mut name_row, mut spots) = (Vec::new(), Vec::new());
        for (number, close) in closes.iter().enumerate() {
            let left = plot.left + slot * px(number);
            let (left, right) = (left + gap / 2.0, left + slot - gap / 2.0);
            let middle = f64::midpoint(left, right);
            let mut low = Quantity::ZERO;
            canvas.group(&said(close, when), |canvas| {
                for (part, class) in close.parts().into_iter().zip(CLASSES) {
                    if !part.is_positive() {
                        continue;
                    }
                    let upper = low.plus(part).unwrap_or(low);
                    let (top, bottom) = (y.at(upper.millionths()), y.at(low.millionths()));
                    // However little it is, it is seen.
                    let area = Area { left, top: top.min(bottom - 1.5), right, bottom };
                    canvas.rect(class, area);
                    if class == "c-uncovered" {
                        canvas.path("hatch loud-hatch", &hatch::of_area(area));
                    }
                    low = upper;
                }
            });
            spots.push((grouped(close.used()), Spot::middle(middle, y.at(low.millionths()) - 5.0)));
            name_row.push((name(close.period, when), middle));
        }
        // All of them or none: a number above one bar alone would look as if it meant more.
        let fits = |class: &str| {
            let mut trial = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
            spots.iter().all(|(text, spot)| trial.label(class, text, &[*spot]).is_some())
        };
        if fits("") {
            for (text, spot) in &spots {
                canvas.label("", text, &[*spot]);
            }
        }
        let widest = name_row.iter().map(|(name, _)| super::measure::width(name, false));
        let every = (1..=closes.len())
            .find(|every| widest.clone().all(|wide| wide + 6.0 <= slot * px(*every)))
            .unwrap_or(1);
        // From the last one back: that is the one that is looked for.
        for (name, middle) in name_row.iter().rev().step_by(every) {
            plot.below(&mut canvas, *middle, name, 1);
        }
        let said = when.said();
        canvas.cut_label("tick", &said, wide, &[Spot::end(plot.right, plot.bottom + 36.0)]);
        canvas
    }
}

fn said(close: &Close, when: &When) -> String {
    let [included, drawn, uncovered, late] = close.parts();
    let mut said = format!("{}: {} included", name(close.period, when), grouped(included));
    for (part, word) in [(drawn, "drawn from packs"), (uncovered, "uncovered"), (late, "late")] {
        if part.is_positive() {
            said = format!("{said}, {} {word}", grouped(part));
        }
    }
    said
}

/// A period by its month, where it is one or longer: else by its first day.
fn name(period: Period, when: &When) -> String {
    let days = period.end.since(period.start).as_hours() / 24;
    let starts = when.zone().date(period.start).0;
    match days {
        300.. => starts.strftime("%Y").to_string(),
        26.. if starts.day() == 1 => starts.strftime("%b").to_string(),
        _ => when.day(period.start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(month: &str, next: &str, included: i64, drawn: i64, uncovered: i64) -> Close {
        let at = |text: &str| format!("2026-{text}T00:00:00Z").parse().unwrap();
        let [included, drawn, uncovered] = [included, drawn, uncovered].map(Quantity::units);
        let period = Period { start: at(month), end: at(next) };
        Close { period, included, drawn, uncovered, late: Quantity::ZERO }
    }

    #[test]
    fn what_nobody_paid_for_is_said_first() {
        let mut closes = Closes { feature: "minutes".to_owned(), closes: Vec::new() };
        assert_eq!(closes.finding(&When::utc()), "No period is closed yet.");
        closes.closes.push(close("08-01", "09-01", 3_000, 180, 0));
        closes.closes.push(close("09-01", "10-01", 2_900, 0, 0));
        let said = "Everything was covered in 2 periods; most 3,180 in Aug.";
        assert_eq!(closes.finding(&When::utc()), said);
        closes.closes.push(close("10-01", "11-01", 3_000, 300, 180));
        let said = "180 uncovered in 1 of 3 periods; most 3,480 in Oct.";
        assert_eq!(closes.finding(&When::utc()), said);
        assert_eq!(name(close("10-15", "11-15", 1, 0, 0).period, &When::utc()), "Oct 15");
    }
}
