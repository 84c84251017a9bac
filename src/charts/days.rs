//! Usage by day: thirty days beside the thirty before them.

use super::axis::{Plot, ROW_HEIGHT, values};
use super::canvas::{Canvas, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::measure::width as measured;
use super::numbers::{counted, grouped};
use super::path;
use super::scale::{Scale, px};
use super::shapes::Area;
use super::when::day;
use crate::billing::{LocalDate, Quantity};

/// Usage of a feature by day.
#[derive(Clone, Debug)]
pub struct Days {
    pub feature: String,
    /// Oldest first, without a gap.
    pub days: Vec<Day>,
    /// From how many orgs the numbers are estimated; `None`: they are exact.
    pub sample: Option<u64>,
}

/// A day, and the one that is as many days before it as there are days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Day {
    pub date: LocalDate,
    pub used: Quantity,
    /// What was used on the earlier day; `None`: nothing is known of it.
    pub before: Option<Quantity>,
}

impl Days {
    fn sums(&self) -> [Quantity; 2] {
        let sum =
            |used: &mut dyn Iterator<Item = Quantity>| Quantity::sum(used).unwrap_or_default();
        [
            sum(&mut self.days.iter().map(|day| day.used)),
            sum(&mut self.days.iter().filter_map(|day| day.before)),
        ]
    }

    fn earlier(&self, date: LocalDate) -> Option<LocalDate> {
        let days = i64::try_from(self.days.len()).ok()?;
        date.0.checked_sub(jiff::Span::new().days(days)).ok().map(LocalDate)
    }

    /// The chart. Days are those of the usage, whatever zone instants are shown in.
    pub fn chart(&self, width: Width) -> Chart {
        let title = format!("{} by day", self.feature);
        let finding = self.finding();
        let table = self.table(&title);
        let svg = width
            .of_at_least(0)
            .filter(|_| !self.days.is_empty())
            .map(|wide| self.draw(wide).finish(&title, &finding));
        Chart { svg, title, finding, table }
    }

    fn finding(&self) -> String {
        let [now, before] = self.sums();
        let days = counted(self.days.len().try_into().unwrap_or(u64::MAX), "day");
        let mut said = format!("{} in {days}", grouped(now));
        // A month of which a part is unknown is not compared.
        match self.days.iter().filter(|day| day.before.is_some()).count() {
            0 => {}
            known if known == self.days.len() => {
                let change = change(now, before);
                said = format!("{said}, {change}{} in the {days} before", grouped(before));
            }
            known => said = format!("{said}; of the {days} before, {known} are known"),
        }
        if let Some(orgs) = self.sample {
            said = format!("{said}; estimated from {}", counted(orgs, "org"));
        }
        format!("{said}.")
    }

    fn table(&self, title: &str) -> Table {
        let days = counted(self.days.len().try_into().unwrap_or(u64::MAX), "day");
        let caption = format!("{title}: {days}, and as many before them");
        let mut table = Table::new(caption, &["Day", "Used#", "Earlier day", "Used then#"]);
        for one in &self.days {
            let earlier = self.earlier(one.date).filter(|_| one.before.is_some());
            table.row([
                format!("{} ({})", day(one.date), one.date),
                grouped(one.used),
                earlier.map_or_else(String::new, |date| format!("{} ({date})", day(date))),
                one.before.map_or_else(String::new, grouped),
            ]);
        }
        let [now, before] = self.sums().map(grouped);
        table.row(["All".to_owned(), now, String::new(), before]);
        table
    }

    fn draw(&self, wide: f64) -> Canvas {
        let count = self.days.len();
        let estimated = if self.sample.is_some() { ", estimated" } else { "" };
        let has_before = self.days.iter().any(|day| day.before.is_some());
        let mut legend = vec![(Sign::Box, "use", format!("these {count} days{estimated}"))];
        if has_before {
            legend.push((Sign::Line, "before", format!("the {count} days before")));
        }
        let most = |day: &Day| day.used.max(day.before.unwrap_or_default());
        let top = self.days.iter().map(most).max().unwrap_or_default();
        let (levels, left) = values(top, 4);
        let begin = legend_height(wide, &legend) + 12.0;
        let high = (wide * 0.25).clamp(120.0, 200.0);
        let plot = Plot { left, top: begin, right: wide - 4.0, bottom: begin + high };
        let mut canvas = Canvas::new(wide, plot.bottom + ROW_HEIGHT);
        canvas.legend(0.0, &legend);
        let highest = levels.last().copied().unwrap_or(top).millionths();
        let y = Scale::new([0, highest], [plot.bottom, plot.top]);
        plot.values(&mut canvas, &levels, &y);
        let slot = (plot.right - plot.left) / px(count);
        let gap = (slot * 0.2).min(6.0);
        let at = |number: usize| plot.left + slot * px(number);
        for (number, day) in self.days.iter().enumerate() {
            let then =
                day.before.map_or_else(String::new, |before| format!("; {} then", grouped(before)));
            let said = format!("{}: {}{then}", self::day(day.date), grouped(day.used));
            let (left, right) = (at(number) + gap / 2.0, at(number + 1) - gap / 2.0);
            let top = y.at(day.used.millionths());
            canvas.group(&said, |canvas| {
                canvas.rect("use", Area { left, top, right, bottom: plot.bottom });
            });
        }
        let mut line = Vec::new();
        for (number, day) in self.days.iter().enumerate() {
            let level = day.before.map(|before| y.at(before.millionths()));
            line.extend(level.into_iter().flat_map(|y| [[at(number), y], [at(number + 1), y]]));
        }
        canvas.path("before-halo", &path::line(&line));
        canvas.path("before", &path::line(&line));
        let widest =
            self.days.iter().map(|one| measured(&day(one.date), false)).fold(0.0, f64::max);
        let every = (1..=count).find(|every| widest + 8.0 <= slot * px(*every)).unwrap_or(count);
        for (number, one) in self.days.iter().enumerate().rev().step_by(every.max(1)) {
            let middle = at(number) + slot / 2.0;
            canvas.line("grid", [middle, plot.bottom], [middle, plot.bottom + 4.0]);
            let spots = [
                Spot::middle(middle, plot.bottom + 20.0),
                Spot::end(plot.right + 2.0, plot.bottom + 20.0),
            ];
            canvas.label("tick", &day(one.date), &spots);
        }
        canvas
    }
}

/// `12.5 % more than `.
fn change(now: Quantity, before: Quantity) -> String {
    let (more, less) = (now.minus(before), before.minus(now));
    let (span, word) = match (more, less) {
        (Ok(more), _) if more.is_positive() => (more, "more"),
        (_, Ok(less)) if less.is_positive() => (less, "less"),
        _ => return "the same as ".to_owned(),
    };
    match super::numbers::percent(span, before) {
        Some(percent) => format!("{percent} {word} than "),
        None => "after ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_compares_both_months() {
        let day = |date: &str, used, before: Option<i64>| Day {
            date: date.parse().unwrap(),
            used: Quantity::units(used),
            before: before.map(Quantity::units),
        };
        let mut days = Days {
            feature: "minutes".to_owned(),
            days: vec![day("2026-11-01", 60, Some(40)), day("2026-11-02", 30, Some(40))],
            sample: Some(10_000),
        };
        let said = "90 in 2 days, 12.5 % more than 80 in the 2 days before; estimated from 10,000 \
                    orgs.";
        assert_eq!(days.finding(), said);
        days.sample = None;
        days.days[0].used = Quantity::units(10);
        assert_eq!(days.finding(), "40 in 2 days, 50 % less than 80 in the 2 days before.");
        days.days[0].before = None;
        assert_eq!(days.finding(), "40 in 2 days; of the 2 days before, 1 are known.");
        days.days = vec![day("2026-11-01", 5, None)];
        assert_eq!(days.finding(), "5 in 1 day.");
        assert_eq!(days.chart(Width::px(335)).table.rows[0][0], "Nov 1 (2026-11-01)");
    }
}
