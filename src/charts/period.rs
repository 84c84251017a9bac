//! The picture of a period: what is used, over who pays for it.
//!
//! Above it time and usage as two bars of one length. The upper one ends where now is in the
//! picture below.

use super::axis::{Plot, TIMES_HEIGHT, Tick, ticks, values};
pub use super::bands::Pack;
use super::bands::{Band, stack};
use super::canvas::{Canvas, LINE, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::measure::fitted;
use super::numbers::{grouped, percent};
use super::scale::{Scale, share};
use super::shapes::Area;
use super::when::{When, day};
use super::{hatch, path};
use crate::billing::quota::Included;
use crate::billing::{Instant, LocalDate, Period, Quantity};
use crate::text;

/// Narrower than this, labels stand inside the plot alone.
const WITH_MARGIN: f64 = 560.0;
/// The most bands that have a label; more packs than that are in the table.
const NAMED: usize = 12;

/// The most bands in a legend: there are no more colours than that.
const IN_LEGEND: usize = 4;
/// How much of a pack's name is shown beside its numbers, in pixels.
const LONGEST_NAME: f64 = 110.0;

/// The course of a feature's period.
#[derive(Clone, Debug)]
pub struct Course {
    pub feature: String,
    pub period: Period,
    pub now: Instant,
    /// What had been used by some instants, oldest first, up to now.
    pub points: Vec<Point>,
    pub included: Included,
    /// Packs with what they hold for this period, in the order in which they pay.
    pub packs: Vec<Pack>,
    /// All that may be used now; `None`: unlimited.
    pub allowance: Option<Quantity>,
    pub thresholds: Vec<Threshold>,
    pub forecast: Option<Forecast>,
}

/// What had been used by an instant, since the period's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    pub at: Instant,
    /// What is counted, without what came late.
    pub counted: Quantity,
    /// What came to light after the period was closed.
    pub late: Quantity,
    /// What is recorded and not counted yet.
    pub uncounted: Quantity,
}

impl Point {
    fn used(&self) -> Quantity {
        self.counted.plus(self.late).unwrap_or(self.counted)
    }

    fn all(&self) -> Quantity {
        self.used().plus(self.uncounted).unwrap_or(self.counted)
    }
}

/// A share of the allowance at which an email is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threshold {
    pub percent: u8,
    /// The usage at which it is crossed.
    pub level: Quantity,
    /// When it was found crossed.
    pub crossed: Option<Instant>,
    /// When its email was sent.
    pub sent: Option<Instant>,
}

/// Where usage is heading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// From now to the reset, soonest first: the last one is at the reset.
    pub points: Vec<Expected>,
    /// The day on which the allowance is used up; `None`: not in this period, or already.
    pub used_up_on: Option<LocalDate>,
    /// What will be missing at the reset; `None`: nothing.
    pub short: Option<Quantity>,
}

/// What will have been used by an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    pub at: Instant,
    pub low: Quantity,
    pub likely: Quantity,
    pub high: Quantity,
}

/// A label that goes into a legend where it has no room beside what it names.
struct Named {
    sign: Sign,
    class: &'static str,
    text: String,
    spots: Vec<Spot>,
}

impl Course {
    fn last(&self) -> Option<&Point> {
        self.points.last()
    }

    fn used(&self) -> Quantity {
        self.last().map(Point::used).unwrap_or_default()
    }

    fn uncounted(&self) -> Quantity {
        self.last().map(|point| point.uncounted).unwrap_or_default()
    }

    fn is_running(&self) -> bool {
        self.period.contains(self.now)
    }

    /// What has been used by an instant, or will have been.
    fn used_by(&self, at: Instant) -> Quantity {
        let past = self.points.iter().map(|point| (point.at, point.used()));
        let ahead = self.forecast.iter().flat_map(|ahead| &ahead.points);
        let ahead = ahead.map(|point| (point.at, point.likely));
        let all: Vec<(Instant, Quantity)> = past.chain(ahead).collect();
        let after = all.iter().position(|(other, _)| *other >= at);
        match after {
            None => all.last().map(|(_, used)| *used).unwrap_or_default(),
            Some(0) => all[0].1,
            Some(next) => {
                let ((t1, u1), (t2, u2)) = (all[next - 1], all[next]);
                let [part, whole] = [at.since(t1), t2.since(t1)].map(|span| span.as_micros());
                let [low, high] = [u1, u2].map(Quantity::millionths);
                // Millionths times microseconds may be more than there are numbers for.
                let grown = (high - low) / whole.max(1) * part
                    + (high - low) % whole.max(1) * part / whole.max(1);
                Quantity::from_millionths(low + grown).unwrap_or(u2)
            }
        }
    }

    /// What is included, if that is limited.
    fn limited(&self) -> Option<Quantity> {
        self.included.column()
    }

    fn bands(&self) -> Vec<Band> {
        match self.limited() {
            Some(included) => stack(self.period, included, &self.packs, |at| self.used_by(at)),
            None => Vec::new(),
        }
    }

    fn passed(&self) -> i128 {
        let length = self.period.end.since(self.period.start).as_micros().max(1);
        self.now.since(self.period.start).as_micros().clamp(0, length) * 100 / length
    }

    fn at_end(&self) -> Option<&Expected> {
        self.forecast.as_ref().and_then(|ahead| ahead.points.last())
    }

    /// The chart.
    pub fn chart(&self, width: Width, when: &When) -> Chart {
        let title = format!("{} in this period", self.feature);
        let bands = self.bands();
        let finding = self.finding();
        let table = self.table(&title, &bands, when);
        let svg = width.of_at_least(0).filter(|_| !self.points.is_empty()).map(|wide| {
            let (canvas, left_out) = self.draw(wide, when, &bands, &[]);
            let canvas = if left_out.is_empty() {
                canvas
            } else {
                self.draw(wide, when, &bands, &left_out).0
            };
            canvas.finish(&title, &finding)
        });
        Chart { svg, title, finding, table }
    }

    fn finding(&self) -> String {
        let used = grouped(self.used());
        let mut said = match self.allowance {
            None => format!("{used} used, without a limit"),
            Some(Quantity::ZERO) => format!("{used} used, and nothing is granted"),
            Some(allowance) => {
                let share = percent(self.used(), allowance);
                let share = share.map_or_else(String::new, |share| format!(" ({share})"));
                format!("{used} of {} used{share}", grouped(allowance))
            }
        };
        if self.is_running() {
            said = format!("{said}, with {} % of the period passed", self.passed());
        }
        if self.uncounted().is_positive() {
            said = format!("{said}, and {} not counted yet", grouped(self.uncounted()));
        }
        let mut said = vec![said];
        if let Some(ahead) = &self.forecast {
            if let Some(day_up) = ahead.used_up_on {
                said.push(format!("At this pace it is used up on {}", day(day_up)));
            }
            match (ahead.short, self.at_end()) {
                (Some(short), _) if short.is_positive() => {
                    said.push(format!("{} short by the reset", grouped(short)));
                }
                (_, Some(end)) => {
                    said.push(format!("About {} by the reset", grouped(end.likely)));
                }
                _ => {}
            }
        } else if self.is_running() {
            said.push("Too little usage for a forecast".to_owned());
        }
        format!("{}.", said.join(". "))
    }

    fn band_name(&self, number: usize, when: &When) -> String {
        let Some(pack) = number.checked_sub(1).and_then(|pack| self.packs.get(pack)) else {
            return format!("included {}", self.limited().map(grouped).unwrap_or_default());
        };
        let until = match pack.until {
            Some(at) if at <= self.now => format!(", expired {}", when.day(at)),
            Some(at) if at < self.period.end => format!(", ends {}", when.day(at)),
            _ => String::new(),
        };
        let name = text::visible(&pack.name);
        let name = fitted(&name, false, LONGEST_NAME);
        format!("pack {name}: {}{until}", grouped(pack.quantity))
    }

    /// What usage has reached of a band by now.
    fn claim(&self, band: &Band) -> Quantity {
        let at = self.now.min(self.period.end);
        band.at(at).map_or(Quantity::ZERO, |piece| {
            let reached = self.used().minus(piece.low).unwrap_or_default().or_zero();
            reached.min(piece.high.minus(piece.low).unwrap_or_default())
        })
    }

    /// What usage has reached of each pack by now, in their order: in the open period a claim,
    /// because packs pay at the close or at their expiry.
    pub fn claims(&self) -> Vec<Quantity> {
        let bands = self.bands();
        let mut claims: Vec<Quantity> = bands.iter().skip(1).map(|band| self.claim(band)).collect();
        claims.resize(self.packs.len(), Quantity::ZERO);
        claims
    }

    fn table(&self, title: &str, bands: &[Band], when: &When) -> Table {
        let mut table = Table::new(title, &["What", "Amount#", "Detail"]);
        let mut row = |what: &str, amount: String, detail: String| {
            table.row([what.to_owned(), amount, detail]);
        };
        let (start, end) = (when.at(self.period.start), when.at(self.period.end));
        row("Time passed", format!("{} %", self.passed()), format!("{start} to {end}"));
        let as_of = format!("as of {}", when.at(self.now));
        row("Used", grouped(self.used()), as_of);
        let last = self.last().copied();
        if let Some(late) = last.map(|point| point.late).filter(|late| !late.is_zero()) {
            row("Late usage", grouped(late), "in what is used".to_owned());
        }
        if !self.uncounted().is_zero() {
            row("Not counted yet", grouped(self.uncounted()), "beside what is used".to_owned());
        }
        match self.allowance {
            None => row("Allowance", "unlimited".to_owned(), String::new()),
            Some(allowance) => {
                let share = percent(self.used(), allowance);
                let share = share.map_or_else(String::new, |share| format!("{share} used"));
                row("Allowance", grouped(allowance), share);
            }
        }
        for (number, band) in bands.iter().enumerate() {
            let claim = grouped(self.claim(band));
            let paid = match number {
                0 => format!("{claim} of it used"),
                // In the open period nothing is drawn before the close or the expiry.
                _ if self.is_running() => format!("{claim} of it claimed; drawn at the close"),
                _ => format!("{claim} of it used"),
            };
            let pack = number.checked_sub(1).and_then(|pack| self.packs.get(pack));
            let (name, amount) = pack.map_or_else(
                || ("Included".to_owned(), self.limited().unwrap_or_default()),
                |pack| (format!("Pack {}", pack.name), pack.quantity),
            );
            let span = pack.map_or_else(String::new, |pack| {
                let from = if pack.from > self.period.start {
                    format!("; bought {}", when.at(pack.from))
                } else {
                    String::new()
                };
                let until = pack.until.map_or_else(String::new, |until| {
                    let word = if until <= self.now { "expired" } else { "expires" };
                    format!("; {word} {}", when.at(until))
                });
                from + &until
            });
            row(&name, grouped(amount), paid + &span);
        }
        for threshold in &self.thresholds {
            let said =
                |word: &str, at: Instant| format!("{word} {} ({})", when.day(at), when.at(at));
            let crossed = threshold.crossed.map(|at| said("crossed", at));
            let crossed = crossed.unwrap_or_else(|| "not crossed".to_owned());
            let detail = match (threshold.crossed, threshold.sent) {
                (_, Some(sent)) => format!("{crossed}, {}", said("emailed", sent)),
                (Some(_), None) => format!("{crossed}, no email sent"),
                (None, None) => crossed,
            };
            row(&format!("Threshold {} %", threshold.percent), grouped(threshold.level), detail);
        }
        if let Some(ahead) = &self.forecast {
            if let Some(end) = self.at_end() {
                let between = format!("between {} and {}", grouped(end.low), grouped(end.high));
                row("Expected at the reset", grouped(end.likely), between);
            }
            if let Some(up) = ahead.used_up_on {
                row("Used up", String::new(), format!("on {} ({up})", day(up)));
            }
            if let Some(short) = ahead.short {
                row("Short by the reset", grouped(short), String::new());
            }
        }
        let mut before = Quantity::ZERO;
        for (name, point) in self.by_day(when) {
            let more = point.used().minus(before).unwrap_or_default();
            row(&name, grouped(point.used()), format!("{} more", grouped(more)));
            before = point.used();
        }
        table
    }

    /// The last point of each local day; all of them in a period of a day or two.
    fn by_day(&self, when: &When) -> Vec<(String, Point)> {
        let is_short = self.period.end.since(self.period.start).as_hours() < 49;
        let mut days: Vec<(String, Point)> = Vec::new();
        for point in &self.points {
            // What was used by midnight was used on the day before.
            let before = Instant::from_microseconds(point.at.microseconds() - 1);
            let name = if is_short {
                when.at(point.at)
            } else {
                when.day_of_year(before.unwrap_or(point.at))
            };
            if point.at == self.period.start {
                continue;
            }
            match days.last_mut().filter(|(day, _)| *day == name) {
                Some(last) => last.1 = *point,
                None => days.push((name, *point)),
            }
        }
        days
    }

    /// Draws, with a legend for the labels of those numbers; returns which labels found no room.
    fn draw(
        &self,
        wide: f64,
        when: &When,
        bands: &[Band],
        in_legend: &[usize],
    ) -> (Canvas, Vec<usize>) {
        let top = self.top(bands);
        let has_margin = wide >= WITH_MARGIN;
        let (levels, scale_room) = values(top, 5);
        let right = if has_margin { 150.0 } else { 56.0 };
        let (left, right) = (scale_room.max(44.0), wide - right);
        let high = (wide * 0.3).clamp(190.0, 300.0);
        let legend = |named: &[Named]| -> Vec<(Sign, &'static str, String)> {
            let kept = in_legend.iter().filter_map(|number| named.get(*number));
            let is_band = |named: &&Named| named.class.starts_with("band");
            let bands = kept.clone().filter(is_band).count();
            let kept = kept.filter(|named| bands <= IN_LEGEND || !is_band(named));
            let mut entries: Vec<(Sign, &'static str, String)> =
                kept.map(|named| (named.sign, named.class, named.text.clone())).collect();
            if bands > IN_LEGEND {
                let said = "packs, in the order in which they pay: see the table".to_owned();
                entries.insert(0, (Sign::Box, fill(1), said));
            }
            entries
        };
        // Labels have places on the plot, whose place depends on how many go into the legend.
        let place = |top: f64| Plot { left, top, right, bottom: top + high };
        let bars = if self.allowance.is_some_and(Quantity::is_positive) { 40.0 } else { 20.0 };
        let shown = [levels.first(), levels.last()].map(|level| level.copied().unwrap_or(top));
        let shown = shown.map(Quantity::millionths);
        let scales = |plot: &Plot| {
            let ends = [self.period.start, self.period.end];
            let x = Scale::of_time(ends, [plot.left, plot.right]);
            (x, Scale::new(shown, [plot.bottom, plot.top]))
        };
        let first = place(0.0);
        let (x, y) = scales(&first);
        let entries = legend(&self.named(bands, when, &first, &x, &y));
        let legend_room =
            if entries.is_empty() { 0.0 } else { legend_height(wide, &entries) + 6.0 };
        let plot = place(bars + legend_room + 22.0);
        let (x, y) = scales(&plot);
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT + 1.0);
        self.bars(&mut canvas, &plot);
        canvas.legend(bars + 4.0, &entries);

        ground(&mut canvas, bands, &plot, &x, &y);
        plot.values(&mut canvas, &levels, &y);
        let marks: Vec<Tick> = ticks(when, self.period.start, self.period.end, &x);
        plot.times(&mut canvas, when, &marks, &x);
        self.limits(&mut canvas, bands, &plot, &x, &y);
        self.usage(&mut canvas, &x, &y);
        self.ahead(&mut canvas, &x, &y);
        if self.is_running() {
            let now = x.of(self.now);
            canvas.line("now", [now, plot.top - 4.0], [now, plot.bottom]);
            canvas.avoid_line(&[[now, plot.top], [now, plot.bottom]]);
        }
        self.points_of_interest(&mut canvas, bands, &plot, &x, &y);
        let mut left_out = Vec::new();
        for (number, named) in self.named(bands, when, &plot, &x, &y).into_iter().enumerate() {
            if in_legend.contains(&number) {
                continue;
            }
            match canvas.clear("", &named.text, &named.spots) {
                Some(spot) => canvas.put("", &named.text, spot),
                None => left_out.push(number),
            }
        }
        self.margin(&mut canvas, when, bands, &plot, &y, has_margin);
        self.marks(&mut canvas, &x, &y);
        (canvas, left_out)
    }

    /// The highest value that is shown: a forecast's band may leave the picture.
    fn top(&self, bands: &[Band]) -> Quantity {
        let pieces = bands.iter().flat_map(|band| &band.pieces);
        let granted = pieces.map(|piece| piece.high).max().unwrap_or_default();
        let used = self.last().map(Point::all).unwrap_or_default();
        let likely = self.at_end().map(|end| end.likely).unwrap_or_default();
        let most = granted.max(used).max(likely);
        let high = self.at_end().map(|end| end.high).unwrap_or_default();
        let limit = Quantity::from_millionths(most.millionths() / 4 * 5).unwrap_or(most);
        let top = most.max(high.min(limit));
        if top.is_positive() { top } else { Quantity::units(1) }
    }

    fn bars(&self, canvas: &mut Canvas, plot: &Plot) {
        let mut bar = |row: f64, name: &str, class: &str, part: f64, value: &str| {
            let top = row * 20.0 + 1.0;
            let whole = Area { left: plot.left, top, right: plot.right, bottom: top + 14.0 };
            canvas.rect("bar", whole);
            let end = plot.left + (plot.right - plot.left) * part;
            canvas.rect(class, Area { right: end, ..whole });
            canvas.rect("bar-edge", whole);
            canvas.avoid(whole);
            canvas.label("", name, &[Spot::start(0.0, top + 11.0)]);
            canvas.label("b", value, &[Spot::start(plot.right + 6.0, top + 11.0)]);
        };
        let passed = self.passed();
        bar(0.0, "time", "time", share(passed, 100), &format!("{passed} %"));
        if let Some(allowance) = self.allowance.filter(|allowance| allowance.is_positive()) {
            let (part, whole) = (self.used().millionths(), allowance.millionths());
            let value = percent(self.used(), allowance).unwrap_or_default();
            let class = if part >= whole { "full" } else { "use" };
            bar(1.0, "used", class, share(part, whole), &value);
        }
    }

    /// The top of the allowance, and thresholds.
    fn limits(&self, canvas: &mut Canvas, bands: &[Band], plot: &Plot, x: &Scale, y: &Scale) {
        if let Some(highest) = bands.last() {
            let mut line = Vec::new();
            for piece in &highest.pieces {
                let level = y.at(piece.high.millionths());
                line.extend([[x.of(piece.from), level], [x.of(piece.to), level]]);
            }
            canvas.path("limit", &path::line(&line));
            canvas.avoid_line(&line);
        }
        for threshold in &self.thresholds {
            let level = y.at(threshold.level.millionths());
            canvas.line("threshold", [plot.left, level], [plot.right, level]);
        }
    }

    /// What is used, what came late and what is not counted yet.
    fn usage(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let line = |level: fn(&Point) -> Quantity| -> Vec<[f64; 2]> {
            let points = self.points.iter();
            points.map(|point| [x.of(point.at), y.at(level(point).millionths())]).collect()
        };
        let (counted, used, all) =
            (line(|point| point.counted), line(Point::used), line(Point::all));
        let ends = [counted.first(), counted.last()].into_iter().flatten();
        let base: Vec<[f64; 2]> = ends.map(|[x, _]| [*x, y.at(0)]).collect();
        canvas.path("area", &path::between(&counted, &base));
        if used != counted {
            canvas.path("area", &path::between(&used, &counted));
            canvas.path("hatch", &hatch::between(&used, &counted));
            canvas.path("curve thin", &path::line(&counted));
        }
        if all != used {
            canvas.path("uncounted-area", &path::between(&all, &used));
            canvas.path("uncounted", &path::line(&all));
            canvas.avoid_line(&all);
        }
        canvas.path("curve", &path::line(&used));
        canvas.avoid_line(&used);
    }

    /// The forecast's line, from what is used now.
    fn likely(&self, x: &Scale, y: &Scale) -> Vec<[f64; 2]> {
        self.ahead_line(x, y, |point| point.likely)
    }

    fn ahead_line(&self, x: &Scale, y: &Scale, level: fn(&Expected) -> Quantity) -> Vec<[f64; 2]> {
        let Some(ahead) = &self.forecast else { return Vec::new() };
        let from = [x.of(self.now), y.at(self.used().millionths())];
        let points =
            ahead.points.iter().map(|point| [x.of(point.at), y.at(level(point).millionths())]);
        std::iter::once(from).chain(points).collect()
    }

    fn ahead(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let high = self.ahead_line(x, y, |point| point.high);
        let low = self.ahead_line(x, y, |point| point.low);
        canvas.path("fan", &path::between(&high, &low));
        let likely = self.likely(x, y);
        canvas.path("forecast", &path::line(&likely));
        canvas.avoid_line(&likely);
    }

    /// Where the forecast meets the top of the allowance.
    fn crossing(&self, bands: &[Band], x: &Scale, y: &Scale) -> Option<[f64; 2]> {
        self.forecast.as_ref()?.used_up_on?;
        let line = self.likely(x, y);
        let top = bands.last()?;
        let piece = top.pieces.iter().rev().find(|piece| piece.to > self.now)?;
        let level = y.at(piece.high.millionths());
        // Upwards is towards zero.
        let pair = line.windows(2).find(|pair| pair[1][1] <= level && pair[0][1] >= level)?;
        let [[x1, y1], [x2, y2]] = [pair[0], pair[1]];
        let part = ((y1 - level) / (y1 - y2).max(f64::EPSILON)).clamp(0.0, 1.0);
        Some([x1 + (x2 - x1) * part, level])
    }

    /// Now and what is used, and the day on which the allowance is used up.
    fn points_of_interest(
        &self,
        canvas: &mut Canvas,
        bands: &[Band],
        plot: &Plot,
        x: &Scale,
        y: &Scale,
    ) {
        if self.is_running() {
            let now = x.of(self.now);
            let above = plot.top - 8.0;
            canvas.label("b", "now", &[Spot::middle(now, above), Spot::start(now - 8.0, above)]);
        }
        if let Some(last) = self.last() {
            let [cx, cy] = [x.of(last.at), y.at(last.used().millionths())];
            canvas.circle("dot", [cx, cy], 4.0);
            let spots = around([cx, cy], plot);
            let said = format!("{} used", grouped(last.used()));
            canvas.label("b", &said, &spots);
        }
        let up = self.forecast.as_ref().and_then(|ahead| ahead.used_up_on);
        if let Some((up, at)) = up.zip(self.crossing(bands, x, y)) {
            canvas.circle("up", at, 5.0);
            let [cx, cy] = at;
            canvas.avoid(Area { left: cx - 6.0, top: cy - 6.0, right: cx + 6.0, bottom: cy + 6.0 });
            // Below it nothing is drawn: the line leads to the day.
            canvas.line("drop", [cx, cy + 6.0], [cx, plot.bottom]);
            canvas.avoid_line(&[[cx, cy + 6.0], [cx, plot.bottom]]);
            let said = format!("used up on {}", day(up));
            let low = plot.bottom - 6.0;
            let spots = [
                Spot::start(cx + 5.0, low),
                Spot::end(cx - 5.0, low),
                Spot::start(cx + 5.0, low - 16.0),
                Spot::end(cx - 5.0, low - 16.0),
            ];
            canvas.label("b loud-text", &said, &spots);
        }
    }

    /// Names of what is drawn as an area.
    fn named(&self, bands: &[Band], when: &When, plot: &Plot, x: &Scale, y: &Scale) -> Vec<Named> {
        let mut named = Vec::new();
        for (number, band) in bands.iter().enumerate().take(NAMED) {
            let is_nothing = band.pieces.iter().all(|piece| piece.high == piece.low);
            if is_nothing {
                continue;
            }
            let mut spots = Vec::new();
            let open = band.pieces.iter().filter(|piece| piece.is_open && piece.high > piece.low);
            for piece in open {
                let [top, bottom] = [piece.high, piece.low].map(|level| y.at(level.millionths()));
                if bottom - top >= 16.0 {
                    let from = x.of(piece.from) + 6.0;
                    spots.push(Spot::start(from, top + 13.0));
                    spots.push(Spot::start(from, f64::midpoint(top, bottom) + 4.0));
                    spots.push(Spot::start(from, bottom - 5.0));
                    spots.push(Spot::end(plot.right - 6.0, bottom - 5.0));
                }
            }
            let text = self.band_name(number, when);
            named.push(Named { sign: Sign::Box, class: fill(number), text, spots });
        }
        let last = self.last().copied();
        let at = |level: Quantity| y.at(level.millionths());
        if let Some(point) = last.filter(|point| !point.late.is_zero()) {
            let middle = f64::midpoint(at(point.counted), at(point.used()));
            let spots = vec![Spot::end(x.of(point.at) - 8.0, middle + 4.0)];
            let text = format!("{} late", grouped(point.late));
            named.push(Named { sign: Sign::Hatched, class: "area", text, spots });
        }
        if let Some(point) = last.filter(|point| !point.uncounted.is_zero()) {
            let spots = around([x.of(point.at), at(point.all())], plot).to_vec();
            let text = format!("{} not counted yet", grouped(point.uncounted));
            named.push(Named { sign: Sign::Line, class: "uncounted", text, spots });
        }
        named
    }

    /// What lines mean, to the right of the plot where there is room for it.
    fn margin(
        &self,
        canvas: &mut Canvas,
        when: &When,
        bands: &[Band],
        plot: &Plot,
        y: &Scale,
        has_margin: bool,
    ) {
        let spots = |level: f64| -> Vec<Spot> {
            let mut spots = Vec::new();
            if has_margin {
                let beside = [0.0, -8.0, 8.0, -15.0, 15.0, -22.0, 22.0];
                spots.extend(beside.map(|by| Spot::start(plot.right + 6.0, level + 4.0 + by)));
            }
            spots.extend([
                Spot::end(plot.right - 4.0, level - 5.0),
                Spot::end(plot.right - 4.0, level + 14.0),
                Spot::start(plot.left + 6.0, level - 5.0),
            ]);
            spots
        };
        match (self.allowance, bands.last().and_then(|band| band.pieces.last())) {
            (None, _) => {
                let corner = Spot::start(plot.left + 6.0, plot.top + 13.0);
                canvas.label("b", "unlimited", &[corner]);
            }
            (Some(Quantity::ZERO), _) => {
                canvas.label("b", "nothing granted", &spots(plot.bottom));
            }
            (Some(allowance), Some(last)) => {
                // What is there now may not be there at the end.
                let now = bands.last().and_then(|band| band.at(self.now)).unwrap_or(last);
                let said = format!("{} in all", grouped(allowance));
                let level = y.at(now.high.millionths());
                let mut at = spots(level);
                if now.high != last.high {
                    at.retain(|spot| spot.x < plot.right);
                    at.reverse();
                }
                canvas.label("b", &said, &at);
            }
            (Some(_), None) => {}
        }
        if let Some(end) = self.at_end() {
            let level = y.at(end.likely.millionths());
            // What is to come is not written over what has been.
            let spots = |level: f64| -> Vec<Spot> {
                let above = Spot::end(plot.right - 4.0, level - 5.0 - LINE);
                let right = spots(level).into_iter().filter(|spot| spot.x > plot.left + 6.0);
                right.chain([above]).collect()
            };
            let said = format!("about {}", grouped(end.likely));
            let at = canvas.label("", &said, &spots(level));
            let short = self.forecast.as_ref().and_then(|ahead| ahead.short);
            if let Some(short) = short.filter(|short| short.is_positive()) {
                let said = format!("{} short", grouped(short));
                let above = at.map(|at| Spot { y: at.y - LINE, ..at });
                let spots: Vec<Spot> = above.into_iter().chain(spots(level - LINE)).collect();
                canvas.label("b loud-text", &said, &spots);
            }
        }
        for threshold in &self.thresholds {
            let level = y.at(threshold.level.millionths());
            let name = format!("{} %", threshold.percent);
            let sent = match (threshold.sent, threshold.crossed) {
                (Some(sent), _) => Some(format!("{name}, sent {}", when.day(sent))),
                (None, Some(crossed)) => Some(format!("{name}, crossed {}", when.day(crossed))),
                (None, None) => None,
            };
            // In the margin with its day, inside the plot only the share.
            let beside: Vec<Spot> =
                spots(level).into_iter().filter(|spot| spot.x > plot.right).collect();
            let inside = [
                Spot::end(plot.right - 4.0, level - 4.0),
                Spot::end(plot.right - 4.0, level + 13.0),
                Spot::start(plot.left + 4.0, level - 4.0),
            ];
            let is_said = sent
                .as_ref()
                .and_then(|said| canvas.clear("soft", said, &beside))
                .map(|spot| canvas.put("soft", sent.as_deref().unwrap_or_default(), spot));
            if is_said.is_none() {
                let spots = if beside.is_empty() { &inside[..] } else { &beside[..] };
                if let Some(spot) = canvas.clear("soft", &name, spots) {
                    canvas.put("soft", &name, spot);
                }
            }
        }
    }

    /// Marks where each threshold was crossed and its email was sent.
    fn marks(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        for threshold in &self.thresholds {
            let place = |at: Option<Instant>| {
                let at = at.filter(|at| self.period.contains(*at))?;
                Some([x.of(at), y.at(threshold.level.millionths())])
            };
            if let Some(at) = place(threshold.crossed) {
                canvas.circle("mark", at, 3.0);
            }
            if let Some(at) = place(threshold.sent) {
                canvas.triangle("sent", at, 5.0);
            }
        }
    }
}

/// The bands.
fn ground(canvas: &mut Canvas, bands: &[Band], plot: &Plot, x: &Scale, y: &Scale) {
    for (number, band) in bands.iter().enumerate() {
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for piece in &band.pieces {
            for at in [piece.from, piece.to] {
                upper.push([x.of(at), y.at(piece.high.millionths())]);
                lower.push([x.of(at), y.at(piece.low.millionths())]);
            }
        }
        canvas.path(fill(number), &path::between(&upper, &lower));
        let mut edges = String::new();
        for piece in band.pieces.iter().filter(|piece| piece.high > piece.low) {
            let level = y.at(piece.high.millionths());
            edges += &path::line(&[[x.of(piece.from), level], [x.of(piece.to), level]]);
        }
        canvas.path("edge", &edges);
        // Where a pack ends inside the period, its band does.
        for pair in band.pieces.windows(2).filter(|pair| pair[0].is_open && !pair[1].is_open) {
            let at = x.of(pair[0].to);
            let ends = [pair[0].high, pair[0].low].map(|level| y.at(level.millionths()));
            canvas.line("edge", [at, ends[0]], [at, ends[1]]);
        }
    }
    if bands.is_empty() {
        let area = Area { left: plot.left, top: plot.top, right: plot.right, bottom: plot.bottom };
        canvas.rect("band0", area);
    }
}

/// Places around a point, inside of the plot.
fn around([x, y]: [f64; 2], plot: &Plot) -> [Spot; 7] {
    let inside = |y: f64| y.clamp(plot.top + 12.0, plot.bottom - 5.0);
    [
        Spot::end(x - 8.0, inside(y - 8.0)),
        Spot::end(x - 8.0, inside(y + 16.0)),
        Spot::start(x + 8.0, inside(y + 18.0)),
        Spot::start(x + 8.0, inside(y - 8.0)),
        Spot::start(x + 8.0, inside(y - 22.0)),
        Spot::end(x - 8.0, inside(y + 30.0)),
        Spot::start(x + 8.0, inside(y + 34.0)),
    ]
}

/// The class of a band's area.
fn fill(number: usize) -> &'static str {
    const PACKS: [&str; 3] = ["band1", "band2", "band3"];
    number.checked_sub(1).map_or("band0", |pack| PACKS[pack % PACKS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn course() -> Course {
        let units = Quantity::units;
        let point = |at_text: &str, used| Point {
            at: at(at_text),
            counted: units(used),
            late: Quantity::ZERO,
            uncounted: Quantity::ZERO,
        };
        Course {
            feature: "minutes".to_owned(),
            period: Period { start: at("2026-11-01T00:00:00Z"), end: at("2026-12-01T00:00:00Z") },
            now: at("2026-11-23T00:00:00Z"),
            points: vec![point("2026-11-01T00:00:00Z", 0), point("2026-11-23T00:00:00Z", 2_200)],
            included: Included::Quantity(units(2_000)),
            packs: vec![Pack {
                name: "order-7".to_owned(),
                quantity: units(300),
                from: at("2026-10-01T00:00:00Z"),
                until: None,
            }],
            allowance: Some(units(2_300)),
            thresholds: vec![],
            forecast: None,
        }
    }

    #[test]
    fn the_sentence_says_how_far_and_what_is_short() {
        let mut course = course();
        assert_eq!(
            course.finding(),
            "2,200 of 2,300 used (95.6 %), with 73 % of the period passed. Too little usage for a \
             forecast."
        );
        let end = Quantity::units(2_510);
        course.forecast = Some(Forecast {
            points: vec![Expected { at: course.period.end, low: end, likely: end, high: end }],
            used_up_on: Some("2026-11-24".parse().unwrap()),
            short: Some(Quantity::units(210)),
        });
        assert!(course.finding().ends_with("used up on Nov 24. 210 short by the reset."));
        course.allowance = None;
        assert!(course.finding().starts_with("2,200 used, without a limit, with 73 %"));
        course.allowance = Some(Quantity::ZERO);
        assert!(course.finding().starts_with("2,200 used, and nothing is granted, with"));
    }

    #[test]
    fn a_draw_before_the_close_is_called_a_claim() {
        let mut course = course();
        assert_eq!(course.claims(), [Quantity::units(200)]);
        let chart = course.chart(Width::px(720), &When::utc());
        let row = chart.table.rows.iter().find(|row| row[0] == "Pack order-7").unwrap();
        assert_eq!(row[1..], ["300", "200 of it claimed; drawn at the close"]);
        course.now = course.period.end;
        let chart = course.chart(Width::px(720), &When::utc());
        let row = chart.table.rows.iter().find(|row| row[0] == "Pack order-7").unwrap();
        assert_eq!(row[1..], ["300", "200 of it used"]);
    }

    #[test]
    fn between_two_points_usage_is_in_proportion() {
        let course = course();
        assert_eq!(course.used_by(at("2026-11-12T00:00:00Z")), Quantity::units(1_100));
        assert_eq!(course.used_by(at("2026-10-12T00:00:00Z")), Quantity::ZERO);
        assert_eq!(course.used_by(at("2026-12-12T00:00:00Z")), Quantity::units(2_200));
    }
}
