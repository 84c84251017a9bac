//! How much of their allowance orgs have used: orgs by tenths of it.

use super::axis::{Plot, ROW_HEIGHT, values};
use super::canvas::{Canvas, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::measure::width as measured;
use super::numbers::{count, counted, units};
use super::path;
use super::scale::{Scale, px};
use super::shapes::Area;
use crate::billing::Quantity;

/// Tenths below the allowance, two above it, and everything beyond those.
pub const PARTS: usize = 13;
/// The shares at which emails are sent, as numbers of parts.
const MARKS: [usize; 3] = [8, 9, 10];

/// Orgs by the share of their allowance that they have used.
#[derive(Clone, Debug)]
pub struct Tenths {
    pub feature: String,
    /// Orgs below a tenth of it, below two tenths, and so on; the last number is of 120 % and more.
    pub orgs: [u64; PARTS],
    /// The same at an earlier time.
    pub before: Option<Before>,
}

/// How it was.
#[derive(Clone, Debug)]
pub struct Before {
    /// When, as it is said: `a month ago`.
    pub when: String,
    pub orgs: [u64; PARTS],
}

/// `80 to 90 %`.
fn name(part: usize) -> String {
    if part + 1 == PARTS {
        return format!("{} % and more", part * 10);
    }
    format!("{} to {} %", part * 10, part * 10 + 10)
}

impl Tenths {
    /// The chart.
    pub fn chart(&self, width: Width) -> Chart {
        let title = format!("Orgs by share of {} used", self.feature);
        let finding = self.finding();
        let svg = width
            .of_at_least(0)
            .filter(|_| self.orgs.iter().any(|orgs| *orgs > 0))
            .map(|wide| self.draw(wide).finish(&title, &finding));
        Chart { svg, finding, table: self.table(&title), title }
    }

    fn above(&self, part: usize) -> u64 {
        self.orgs[part..].iter().sum()
    }

    fn finding(&self) -> String {
        let all = self.above(0);
        let [over_80, over_90, over_100] = MARKS.map(|part| count(self.above(part)));
        let has = if self.above(MARKS[0]) == 1 { "has" } else { "have" };
        format!(
            "Of {}, {over_80} {has} used 80 % or more of the allowance: {over_90} of them 90 % or \
             more, {over_100} all of it.",
            counted(all, "org")
        )
    }

    fn table(&self, title: &str) -> Table {
        let then = self.before.as_ref().map(|before| format!("{}#", capital(&before.when)));
        let head: Vec<&str> = ["Share used", "Orgs#"].into_iter().chain(then.as_deref()).collect();
        let mut table = Table::new(title, &head);
        for (part, orgs) in self.orgs.iter().enumerate() {
            match &self.before {
                Some(before) => table.row([name(part), count(*orgs), count(before.orgs[part])]),
                None => table.row([name(part), count(*orgs)]),
            }
        }
        for part in MARKS {
            let share = format!("{} % or more", part * 10);
            let then = self.before.as_ref().map(|before| before.orgs[part..].iter().sum());
            match then {
                Some(then) => table.row([share, count(self.above(part)), count(then)]),
                None => table.row([share, count(self.above(part))]),
            }
        }
        table
    }

    fn draw(&self, wide: f64) -> Canvas {
        let mut legend = vec![(Sign::Box, "use", "orgs".to_owned())];
        legend.push((Sign::Hatched, "full", "allowance used up".to_owned()));
        if let Some(before) = &self.before {
            legend.push((Sign::Line, "before", before.when.clone()));
        }
        let before = self.before.iter().flat_map(|before| before.orgs);
        let top = self.orgs.iter().copied().chain(before).max().unwrap_or(1);
        let (levels, left) = values(units(top), 4);
        let begin = legend_height(wide, &legend) + 40.0;
        let high = (wide * 0.25).clamp(120.0, 200.0);
        let plot = Plot { left, top: begin, right: wide - 8.0, bottom: begin + high };
        let mut canvas = Canvas::new(wide, plot.bottom + ROW_HEIGHT);
        canvas.legend(0.0, &legend);
        let highest = levels.last().copied().unwrap_or(Quantity::units(1)).millionths();
        let y = Scale::new([0, highest], [plot.bottom, plot.top]);
        plot.values(&mut canvas, &levels, &y);
        let slot = (plot.right - plot.left) / px(PARTS);
        let at = |part: usize| plot.left + slot * px(part);
        let mut numbers = Vec::new();
        for (part, orgs) in self.orgs.iter().enumerate() {
            let area = Area {
                left: at(part) + 1.5,
                // One org is seen beside a million.
                top: y
                    .at(units(*orgs).millionths())
                    .min(plot.bottom - if *orgs > 0 { 2.0 } else { 0.0 }),
                right: at(part + 1) - 1.5,
                bottom: plot.bottom,
            };
            let is_full = part >= 10;
            canvas.group(&format!("{}: {}", name(part), counted(*orgs, "org")), |canvas| {
                canvas.rect(
                    if is_full {
                        "full"
                    } else if part >= 8 {
                        "near"
                    } else {
                        "use"
                    },
                    area,
                );
                if is_full {
                    canvas.path("hatch loud-hatch", &super::hatch::of_area(area));
                }
            });
            let above = Spot::middle(f64::midpoint(area.left, area.right), area.top - 5.0);
            numbers.push((part, count(*orgs), above));
        }
        for part in MARKS {
            let x = at(part);
            canvas.line("threshold", [x, plot.top - 6.0], [x, plot.bottom]);
        }
        if let Some(before) = &self.before {
            let mut line = Vec::new();
            for (part, orgs) in before.orgs.iter().enumerate() {
                let level = y.at(units(*orgs).millionths());
                line.extend([[at(part), level], [at(part + 1), level]]);
            }
            canvas.path("before-halo", &path::line(&line));
            canvas.path("before", &path::line(&line));
            canvas.avoid_line(&line);
        }
        self.marks(&mut canvas, &plot, slot);
        // Those that matter first.
        for (_, text, spot) in numbers.into_iter().rev() {
            if let Some(spot) = canvas.clear("", &text, &[spot]) {
                canvas.put("", &text, spot);
            }
        }
        let last = format!("{} %", PARTS * 10 - 10);
        let every = if measured(&last, false) + 8.0 <= slot { 1 } else { 2 };
        for part in (0..PARTS).step_by(every) {
            plot.below(&mut canvas, at(part), &format!("{} %", part * 10), 1);
        }
        canvas
    }

    /// How many orgs are above each of the marks.
    fn marks(&self, canvas: &mut Canvas, plot: &Plot, slot: f64) {
        // From the left end of the canvas to the right: the last one to the right of its line.
        let mut row = 0.0;
        for part in MARKS {
            let x = plot.left + slot * px(part);
            let said = format!("{} % or more: {}", part * 10, count(self.above(part)));
            let y = plot.top - 10.0 - 16.0 * (1.0 - row);
            let spots =
                [Spot::end(x - 4.0, y), Spot::start(x + 4.0, y), Spot::end(x - 4.0, y - 0.1)];
            let spots = if part == 10 { [spots[1], spots[0], spots[0]] } else { spots };
            canvas.label("soft", &said, &spots);
            row = if row > 0.0 { 0.0 } else { 1.0 };
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_adds_up_what_is_above_each_mark() {
        let orgs = [410, 300, 200, 150, 120, 90, 80, 70, 41, 26, 19, 11, 4];
        let tenths = Tenths { feature: "minutes".to_owned(), orgs, before: None };
        assert_eq!(
            tenths.finding(),
            "Of 1,521 orgs, 101 have used 80 % or more of the allowance: 60 of them 90 % or more, \
             34 all of it."
        );
        let chart = tenths.chart(Width::px(335));
        assert_eq!(chart.table.rows[12], ["120 % and more", "4"]);
        assert!(chart.svg.is_some());
    }
}
