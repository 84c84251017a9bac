//! How late rollovers begin, over a day, against what is promised.

use jiff::SignedDuration;

use super::axis::{Plot, TIMES_HEIGHT, ticks, values};
use super::canvas::{Canvas, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::numbers::{count, counted, late};
use super::scale::Scale;
use super::shapes::Area;
use super::when::When;
use crate::billing::{Instant, Quantity};

/// A bar higher than so many times the promise is cut.
const HIGHEST: i128 = 2;

/// The lateness of rollovers.
#[derive(Clone, Debug)]
pub struct Lateness {
    pub from: Instant,
    pub now: Instant,
    /// Oldest first.
    pub boundaries: Vec<Boundary>,
    pub promised: SignedDuration,
}

/// Periods that ended at one instant and are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boundary {
    pub at: Instant,
    pub orgs: u64,
    /// How late the last of them was closed.
    pub late: SignedDuration,
}

impl Lateness {
    fn is_broken(&self, boundary: &Boundary) -> bool {
        boundary.late > self.promised
    }

    /// The chart.
    pub fn chart(&self, width: Width, when: &When) -> Chart {
        let title = "Lateness of rollovers".to_owned();
        let finding = self.finding(when);
        let mut table = Table::new(&title, &["Period end", "Orgs#", "Late by#", "Promise"]);
        for boundary in &self.boundaries {
            let kept = if self.is_broken(boundary) { "broken" } else { "kept" };
            let promise = format!("{kept} ({})", late(self.promised));
            let orgs = count(boundary.orgs);
            table.row([when.at(boundary.at), orgs, late(boundary.late), promise]);
        }
        let svg = width
            .of_at_least(0)
            .filter(|_| !self.boundaries.is_empty())
            .map(|wide| self.draw(wide, when).finish(&title, &finding));
        Chart { svg, title, finding, table }
    }

    fn finding(&self, when: &When) -> String {
        let promised = late(self.promised);
        let Some(worst) = self.boundaries.iter().max_by_key(|boundary| boundary.late) else {
            return "No period ended in this time.".to_owned();
        };
        let all = u64::try_from(self.boundaries.len()).unwrap_or(u64::MAX);
        let broken = self.boundaries.iter().filter(|one| self.is_broken(one)).count();
        let ends = counted(all, "period end");
        let most = format!("at most {} at {}", late(worst.late), when.clock_in_zone(worst.at));
        match broken {
            0 if all == 1 => format!("The one period end was closed within {promised}: {most}."),
            0 => format!("All of {ends} were closed within {promised}: {most}."),
            1 => format!("1 of {ends} was closed later than {promised}: {most}."),
            broken => format!("{broken} of {ends} were closed later than {promised}: {most}."),
        }
    }

    fn draw(&self, wide: f64, when: &When) -> Canvas {
        let promised = late(self.promised);
        let legend = [
            (Sign::Box, "use", format!("within {promised}")),
            (Sign::Hatched, "full", format!("later than {promised}")),
        ];
        let begin = legend_height(wide, &legend) + 24.0;
        let high = (wide * 0.2).clamp(100.0, 150.0);
        let seconds = |span: SignedDuration| {
            let microseconds = span.as_micros().max(0);
            Quantity::from_millionths(microseconds).unwrap_or_default()
        };
        let promise = seconds(self.promised);
        let worst = self.boundaries.iter().map(|one| seconds(one.late)).max().unwrap_or_default();
        let limit = promise.millionths().max(1) * HIGHEST;
        let top = worst.max(promise).millionths().min(limit);
        let (levels, left) = values(Quantity::from_millionths(top).unwrap_or(promise), 4);
        let left = left + super::measure::width(" s", false);
        let plot = Plot { left, top: begin, right: wide - 6.0, bottom: begin + high };
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
        canvas.legend(0.0, &legend);
        let x = Scale::of_time([self.from, self.now], [plot.left, plot.right]);
        let highest = levels.last().copied().unwrap_or(promise).millionths();
        let y = Scale::new([0, highest], [plot.bottom, plot.top]);
        for level in &levels {
            let at = y.at(level.millionths());
            let class = if level.is_zero() { "base" } else { "grid" };
            canvas.line(class, [plot.left, at], [plot.right, at]);
            canvas.label("tick", &format!("{level} s"), &[Spot::end(plot.left - 6.0, at + 4.0)]);
        }
        plot.times(&mut canvas, when, &ticks(when, self.from, self.now, &x), &x);
        let line = y.at(promise.millionths());
        canvas.line("limit", [plot.left, line], [plot.right, line]);
        let mut broken: Vec<(&Boundary, f64)> = Vec::new();
        for boundary in &self.boundaries {
            let (at, value) = (x.of(boundary.at), seconds(boundary.late).millionths());
            let top = y.at(value).min(plot.bottom - 1.5);
            let half = 1.5;
            let area = Area { left: at - half, top, right: at + half, bottom: plot.bottom };
            let is_broken = self.is_broken(boundary);
            let said = format!(
                "{}: {}, {} late",
                when.clock_in_zone(boundary.at),
                counted(boundary.orgs, "org"),
                late(boundary.late)
            );
            canvas.group(&said, |canvas| {
                if is_broken {
                    let area = Area { left: at - 2.5, right: at + 2.5, ..area };
                    canvas.rect("full", area);
                    canvas.path("hatch loud-hatch", &super::hatch::of_area(area));
                    // Higher than the picture.
                    if value > highest {
                        canvas.triangle("full", [at, plot.top - 4.0], 5.0);
                    }
                } else {
                    canvas.rect("use", area);
                }
            });
            canvas.avoid(Area {
                left: at - 3.0,
                top: top - 9.0,
                right: at + 3.0,
                bottom: plot.bottom,
            });
            if is_broken {
                broken.push((boundary, at));
            }
        }
        broken.sort_by_key(|(boundary, _)| std::cmp::Reverse(boundary.late));
        for (boundary, at) in broken {
            let said = late(boundary.late);
            let top = y.at(seconds(boundary.late).millionths());
            let spots = [
                Spot::start(at + 8.0, top + 8.0),
                Spot::end(at - 8.0, top + 8.0),
                Spot::middle(at, top - 12.0),
            ];
            if let Some(spot) = canvas.clear("b loud-text", &said, &spots) {
                canvas.put("b loud-text", &said, spot);
            }
        }
        let spots =
            [plot.right, plot.right - 90.0, plot.right - 180.0].map(|x| Spot::end(x, line - 4.0));
        canvas.label("soft", &format!("promised: {promised}"), &spots);
        canvas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_counts_what_was_later_than_promised() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let boundary = |text: &str, milliseconds| Boundary {
            at: at(text),
            orgs: 940,
            late: SignedDuration::from_millis(milliseconds),
        };
        let mut lateness = Lateness {
            from: at("2026-11-22T12:40:00Z"),
            now: at("2026-11-23T12:40:00Z"),
            boundaries: vec![boundary("2026-11-22T15:00:00Z", 400)],
            promised: SignedDuration::from_secs(2),
        };
        assert_eq!(
            lateness.finding(&When::utc()),
            "The one period end was closed within 2 s: at most 0.4 s at 15:00 UTC."
        );
        lateness.boundaries.push(boundary("2026-11-22T23:00:00Z", 9_480_000));
        assert_eq!(
            lateness.finding(&When::utc()),
            "1 of 2 period ends was closed later than 2 s: at most 2 h 38 min at 23:00 UTC."
        );
    }
}
