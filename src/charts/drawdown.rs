//! Packs as a drawdown: what was left of each, step by step.
//!
//! Each pack has a row of its own, as high as all that was granted of it: rows are read beside
//! each other in time, and their numbers stand above them.

use super::axis::{Plot, TIMES_HEIGHT, ticks};
use super::canvas::{Canvas, LINE, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::measure::{fitted, width};
use super::numbers::{counted, grouped};
use super::scale::{Scale, px, share};
use super::shapes::Area;
use super::when::When;
use super::{hatch, path};
use crate::billing::{Instant, Quantity};
use crate::text;

/// The most rows; further packs are in the table.
const ROWS: usize = 8;
const HIGH: f64 = 34.0;
const APART: f64 = 12.0;

/// The packs of a feature.
#[derive(Clone, Debug)]
pub struct Drawdown {
    pub feature: String,
    pub from: Instant,
    pub now: Instant,
    /// Until when it is shown: the reset.
    pub to: Instant,
    pub packs: Vec<Pack>,
}

/// A pack by its ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pack {
    /// Its reference, or the beginning of its id.
    pub name: String,
    pub granted: Quantity,
    pub expires_at: Option<Instant>,
    /// The entries of its ledger, oldest first.
    pub steps: Vec<Step>,
    /// What usage of the open period has reached of it: drawn at the close or the expiry.
    pub claimed: Quantity,
}

/// An entry of a pack's ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub at: Instant,
    pub kind: Kind,
    /// What was left afterwards.
    pub remaining: Quantity,
}

/// What happened to a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Granted,
    Drawn,
    /// A draw was given back.
    Returned,
    Expired,
    Refunded,
    /// It went on to another org.
    Moved,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Drawn => "drawn",
            Self::Returned => "returned",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
            Self::Moved => "moved",
        }
    }
}

impl Pack {
    fn left(&self) -> Quantity {
        self.steps.last().map_or(self.granted, |step| step.remaining)
    }

    /// What there is to say of it, the most important first.
    fn facts(&self, now: Instant, when: &When) -> Vec<String> {
        let (left, granted) = (grouped(self.left()), grouped(self.granted));
        let mut facts = vec![format!("{left} of {granted} left")];
        if self.claimed.is_positive() {
            facts.push(format!("{} claimed", grouped(self.claimed)));
        }
        facts.extend(self.expires_at.map(|at| {
            let word = if at <= now { "expired" } else { "expires" };
            format!("{word} {}", when.day_of_year(at))
        }));
        facts
    }
}

impl Drawdown {
    /// The chart.
    pub fn chart(&self, place: Width, when: &When) -> Chart {
        let title = format!("Packs of {}", self.feature);
        let finding = self.finding();
        let svg = place
            .of_at_least(0)
            .filter(|_| !self.packs.is_empty())
            .map(|wide| self.draw(wide, when).finish(&title, &finding));
        Chart { svg, finding, table: self.table(&title, when), title }
    }

    fn finding(&self) -> String {
        let holding = self.packs.iter().filter(|pack| pack.left().is_positive());
        let left = Quantity::sum(holding.clone().map(Pack::left)).unwrap_or_default();
        let claimed = Quantity::sum(self.packs.iter().map(|pack| pack.claimed)).unwrap_or_default();
        let packs = counted(u64::try_from(holding.count()).unwrap_or(u64::MAX), "pack");
        if self.packs.is_empty() {
            return "No packs.".to_owned();
        }
        if !left.is_positive() {
            return "Nothing is left in packs.".to_owned();
        }
        let after = left.minus(claimed).unwrap_or_default().or_zero();
        if claimed.is_positive() {
            let (claimed, after) = (grouped(claimed), grouped(after));
            return format!(
                "{} left in {packs}; {claimed} of it claimed by this period, {after} after that.",
                grouped(left)
            );
        }
        format!("{} left in {packs}.", grouped(left))
    }

    fn table(&self, title: &str, when: &When) -> Table {
        let mut table = Table::new(title, &["Pack", "When", "What", "Moved#", "Left#"]);
        for pack in &self.packs {
            let granted = grouped(pack.granted);
            let mut before = Quantity::ZERO;
            for step in &pack.steps {
                let moved = step.remaining.minus(before).unwrap_or_default();
                let sign = if moved.is_positive() { "+" } else { "" };
                table.row([
                    pack.name.clone(),
                    format!("{} ({})", when.at(step.at), when.day_of_year(step.at)),
                    step.kind.name().to_owned(),
                    format!("{sign}{}", grouped(moved)),
                    grouped(step.remaining),
                ]);
                before = step.remaining;
            }
            if pack.claimed.is_positive() {
                let left = before.minus(pack.claimed).unwrap_or_default();
                let moved = format!("-{}", grouped(pack.claimed));
                let at = "at the close".to_owned();
                table.row([pack.name.clone(), at, "claimed".to_owned(), moved, grouped(left)]);
            }
            let until = pack.expires_at.map_or_else(
                || "never expires".to_owned(),
                |at| format!("expires {}", when.day_of_year(at)),
            );
            let left = grouped(pack.left());
            table.row([pack.name.clone(), until, "in all".to_owned(), granted, left]);
        }
        table
    }

    fn draw(&self, wide: f64, when: &When) -> Canvas {
        let has = |kind: Kind| {
            let mut steps = self.packs.iter().flat_map(|pack| &pack.steps);
            steps.any(|step| step.kind == kind)
        };
        let mut legend = vec![(Sign::Box, "left", "left, as a share of the pack".to_owned())];
        legend.push((Sign::Triangle, "mark", "granted".to_owned()));
        for (kind, sign) in [
            (Kind::Drawn, Sign::Tick),
            (Kind::Returned, Sign::Circle),
            (Kind::Refunded, Sign::Diamond),
            (Kind::Moved, Sign::Diamond),
            (Kind::Expired, Sign::Cross),
        ] {
            if has(kind) {
                legend.push((sign, "mark", kind.name().to_owned()));
            }
        }
        if self.packs.iter().any(|pack| pack.claimed.is_positive()) {
            legend.push((Sign::Hatched, "left", "claimed".to_owned()));
        }
        let rows = self.packs.len().min(ROWS);
        let more = self.packs.len() - rows;
        let begin = legend_height(wide, &legend) + LINE + 10.0;
        let row = LINE + HIGH + APART;
        let bottom = begin + row * px(rows) + if more > 0 { LINE } else { 0.0 };
        let plot = Plot { left: 0.0, top: begin, right: wide, bottom };
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
        canvas.legend(0.0, &legend);
        let x = Scale::of_time([self.from, self.to], [plot.left + 6.0, plot.right - 6.0]);
        let marks = ticks(when, self.from, self.to, &x);
        for tick in &marks {
            canvas.line("grid", [x.of(tick.at), plot.top], [x.of(tick.at), plot.bottom]);
        }
        canvas.line("base", [plot.left, plot.bottom], [plot.right, plot.bottom]);
        plot.times(&mut canvas, when, &marks, &x);
        let now = x.of(self.now);
        canvas.line("now", [now, plot.top - 2.0], [now, plot.bottom]);
        let above = plot.top - 6.0;
        let spots =
            [Spot::middle(now, above), Spot::end(plot.right, above), Spot::start(0.0, above)];
        canvas.label("b", "now", &spots);
        for (number, pack) in self.packs.iter().take(rows).enumerate() {
            let top = plot.top + row * px(number);
            let facts = pack.facts(self.now, when);
            let said = format!("{}: {}", pack.name, facts.join(", "));
            let room = plot.right - plot.left;
            let shown = with_facts(&pack.name, &facts, room);
            canvas.cut_label("", &shown, room, &[Spot::start(plot.left, top + 12.0)]);
            canvas.group(&said, |canvas| self.row(canvas, pack, top + LINE + 1.0, &x));
        }
        if more > 0 {
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            let said = format!("{} more in the table", counted(more, "pack"));
            canvas.label("tick", &said, &[Spot::start(plot.left, plot.bottom - 5.0)]);
        }
        canvas
    }

    fn row(&self, canvas: &mut Canvas, pack: &Pack, top: f64, x: &Scale) {
        let bottom = top + HIGH;
        let y = |quantity: Quantity| {
            bottom - share(quantity.millionths(), pack.granted.millionths()) * HIGH
        };
        let mut line: Vec<[f64; 2]> =
            pack.steps.iter().map(|step| [x.of(step.at), y(step.remaining)]).collect();
        let (now, end) = (x.of(self.now), x.of(self.to));
        let left = pack.left();
        if left.is_positive() {
            line.push([now, y(left)]);
        }
        let line = path::steps(&line);
        let ends = [line.first(), line.last()].into_iter().flatten();
        let base: Vec<[f64; 2]> = ends.map(|[x, _]| [*x, bottom]).collect();
        canvas.path("left", &path::between(&line, &base));
        canvas.line("grid", [x.of(self.from), bottom], [end, bottom]);
        // What is to come is not drawn yet: it is an outline.
        let stop = pack.expires_at.map_or(end, |at| x.of(at));
        if left.is_positive() && stop > now {
            let after = left.minus(pack.claimed).unwrap_or_default().or_zero();
            canvas.path("to-come", &path::line(&[[now, y(left)], [stop, y(left)], [stop, bottom]]));
            if pack.claimed.is_positive() {
                let (top, bottom) = (y(left), y(after));
                let area = Area { left: now, top, right: stop, bottom };
                canvas.path("hatch", &hatch::of_area(area));
                canvas.line("to-come", [now, bottom], [stop, bottom]);
            }
        }
        let mut before = Quantity::ZERO;
        for step in &pack.steps {
            // A mark is where the step begins; beside those at the same place it is seen, too.
            let at = [x.of(step.at), y(step.remaining.max(before))];
            match step.kind {
                Kind::Granted => canvas.triangle("mark", [at[0], bottom - 5.0], 5.0),
                Kind::Drawn => {
                    canvas.line("mark", at, [at[0], y(step.remaining)]);
                }
                Kind::Returned => canvas.circle("mark", at, 4.0),
                Kind::Refunded | Kind::Moved => {
                    canvas.diamond("mark", [at[0], y(step.remaining)], 5.0);
                }
                Kind::Expired => canvas.cross("mark", [at[0], bottom - 5.0], 4.0),
            }
            before = step.remaining;
        }
        if let Some(at) = pack.expires_at.filter(|at| *at > self.now && *at <= self.to) {
            canvas.cross("mark", [x.of(at), bottom - 5.0], 4.0);
        }
    }
}

/// A name and as many facts as there is room for; the name is cut before a fact is left out.
fn with_facts(name: &str, facts: &[String], room: f64) -> String {
    let least = room.min(60.0);
    let said = (1..=facts.len()).rev().map(|number| format!(": {}", facts[..number].join(", ")));
    let mut fitting = said.filter(|said| width(said, false) + least <= room);
    let said = fitting.next().unwrap_or_default();
    let name = text::visible(name);
    format!("{}{said}", fitted(&name, false, room - width(&said, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_open_period_claims_is_said_apart() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let units = Quantity::units;
        let step = |text: &str, kind, left| Step { at: at(text), kind, remaining: units(left) };
        let pack = Pack {
            name: "order-9".to_owned(),
            granted: units(900),
            expires_at: None,
            steps: vec![
                step("2026-11-10T00:00:00Z", Kind::Granted, 900),
                step("2026-11-12T00:00:00Z", Kind::Refunded, 800),
            ],
            claimed: units(80),
        };
        let mut drawdown = Drawdown {
            feature: "minutes".to_owned(),
            from: at("2026-08-01T00:00:00Z"),
            now: at("2026-11-23T00:00:00Z"),
            to: at("2026-12-01T00:00:00Z"),
            packs: vec![pack],
        };
        let said = "800 left in 1 pack; 80 of it claimed by this period, 720 after that.";
        assert_eq!(drawdown.finding(), said);
        let rows = drawdown.chart(Width::px(335), &When::utc()).table.rows;
        assert_eq!(rows[1][2..], ["refunded", "-100", "800"]);
        assert_eq!(rows[2][1..], ["at the close", "claimed", "-80", "720"]);
        drawdown.packs[0].steps.push(step("2026-11-20T00:00:00Z", Kind::Expired, 0));
        assert_eq!(drawdown.finding(), "Nothing is left in packs.");
        drawdown.packs.clear();
        assert_eq!(drawdown.finding(), "No packs.");
    }
}
