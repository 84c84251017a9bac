//! The wave: the ends of periods of a day, by time and by zone.
//!
//! Time runs to the right, zones lie below each other by what their clocks show now. So local
//! midnights lie on one diagonal line, and a circle beside it is a zone whose clocks change before
//! its midnight, a midnight that does not exist, or a period that ends at another time of day.

use std::cmp::Reverse;

use jiff::SignedDuration;

use super::axis::{Plot, TIMES_HEIGHT, ticks};
use super::canvas::{Canvas, LINE, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::numbers::{count, counted, late};
use super::scale::{Scale, px, share};
use super::shapes::Area;
use super::when::When;
use crate::billing::when::amount;
use crate::billing::{Instant, Zone};

/// How far back and ahead the wave shows, in hours.
pub const HOURS: [i64; 2] = [3, 24];

/// A narrower place gets the table: the list by time.
const NARROWEST: u16 = 560;
const DAY: i64 = 86_400;

/// The ends of periods between three hours ago and a day ahead.
#[derive(Clone, Debug)]
pub struct Wave {
    pub now: Instant,
    pub ends: Vec<End>,
}

/// The orgs of some zones whose periods end at one instant.
#[derive(Clone, Debug)]
pub struct End {
    pub at: Instant,
    /// What the zones' clocks show now beside UTC, in seconds east of it.
    pub offset: i32,
    /// Names of the zones, the one with most orgs first.
    pub zones: Vec<String>,
    pub orgs: u64,
    pub state: State,
    /// Why this is beside the diagonal, where that is known.
    pub odd: Option<Odd>,
}

/// How an end went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Closed, so late at most.
    Closed { late: SignedDuration },
    /// Passed, and still not closed.
    Overdue,
    /// It is ahead.
    Ahead,
}

/// Why an end is not at the midnight that clocks show now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Odd {
    /// Clocks go forward between now and then.
    Forward,
    /// Clocks go back between now and then.
    Back,
    /// Clocks skip midnight: the day begins later.
    NoMidnight,
    /// The period ends at another time of day.
    OtherTime,
}

impl End {
    /// The end of periods in one zone.
    pub fn of(zone: &Zone, at: Instant, now: Instant, orgs: u64, state: State) -> Self {
        let offset = |at: Instant| zone.rules().to_offset(at.timestamp()).seconds();
        let skipped = || {
            let before = Instant::from_microseconds(at.microseconds() - 1).ok()?;
            let (moved_by, second) = (offset(at) - offset(before), local_second(at, offset(at)));
            Some(second != 0 && second <= i64::from(moved_by))
        };
        let odd = if skipped() == Some(true) {
            Some(Odd::NoMidnight)
        } else if local_second(at, offset(at)) != 0 {
            Some(Odd::OtherTime)
        } else {
            // What the clocks show later of the two.
            let [before, after] = [now.min(at), now.max(at)].map(offset);
            match after - before {
                0 => None,
                1.. => Some(Odd::Forward),
                _ => Some(Odd::Back),
            }
        };
        Self { at, offset: offset(now), zones: vec![zone.name().to_owned()], orgs, state, odd }
    }
}

/// The second of the local day.
fn local_second(at: Instant, offset: i32) -> i64 {
    (at.microseconds().div_euclid(1_000_000) + i64::from(offset)).rem_euclid(DAY)
}

/// What ends at one instant at one offset.
#[derive(Debug)]
struct Circle {
    at: Instant,
    offset: i32,
    /// The one that names the circle first.
    zones: Vec<Part>,
    orgs: u64,
    overdue: u64,
    ahead: u64,
    /// Of those that are closed, how late the last one was.
    late: SignedDuration,
    /// Why zones of it are beside the diagonal.
    odd: Vec<(Odd, Vec<String>)>,
}

/// A zone's part of a circle.
#[derive(Debug)]
struct Part {
    name: String,
    orgs: u64,
    is_overdue: bool,
}

impl Circle {
    fn add(&mut self, name: &str, orgs: u64, is_overdue: bool) {
        match self.zones.iter_mut().find(|part| part.name == name) {
            Some(part) => {
                part.orgs += orgs;
                part.is_overdue |= is_overdue;
            }
            None => self.zones.push(Part { name: name.to_owned(), orgs, is_overdue }),
        }
    }

    fn closed(&self) -> u64 {
        self.orgs - self.overdue - self.ahead
    }

    /// `Tokyo`, or with how many zones there are beside it.
    fn place(&self) -> String {
        let city = city(self.zones.first().map_or("", |part| &part.name));
        match self.zones.len() {
            0 | 1 => city,
            zones => format!("{city} +{}", zones - 1),
        }
    }

    fn state(&self, now: Instant) -> String {
        let overdue = || format!("overdue for {}", ago(now.since(self.at)));
        match (self.overdue, self.closed(), self.ahead) {
            (0, 0, _) => "to come".to_owned(),
            (0, _, 0) => format!("closed, {} late", late(self.late)),
            (0, closed, _) => format!("{} closed", counted(closed, "org")),
            (some, 0, 0) => format!("{}, {}", counted(some, "org"), overdue()),
            (some, closed, _) => format!(
                "{}, {}; {} closed",
                counted(some, "org"),
                overdue(),
                counted(closed, "org")
            ),
        }
    }

    /// Why it is beside the diagonal, if it is.
    fn oddity(&self) -> Option<String> {
        let shows = local_second(self.at, self.offset);
        let clock = || format!("{:02}:{:02}", shows / 3_600, shows / 60 % 60);
        let Some((odd, _)) = self.odd.first() else {
            return (shows != 0).then(|| format!("at {} there", clock()));
        };
        let why = match odd {
            Odd::Forward => "clocks go forward".to_owned(),
            Odd::Back => "clocks go back".to_owned(),
            Odd::NoMidnight => "midnight skipped".to_owned(),
            Odd::OtherTime => format!("ends at {}", clock()),
        };
        let of_it: Vec<&String> =
            self.odd.iter().filter(|(one, _)| one == odd).flat_map(|(_, zones)| zones).collect();
        match of_it.first() {
            Some(zone) if of_it.len() < self.zones.len() => {
                Some(format!("{why} in {}", city(zone)))
            }
            _ => Some(why),
        }
    }
}

/// The last part of a zone's name, as it is said.
fn city(zone: &str) -> String {
    zone.rsplit('/').next().unwrap_or(zone).replace('_', " ")
}

/// The two largest units of a span.
fn ago(span: SignedDuration) -> String {
    amount(u64::try_from(span.as_secs()).unwrap_or_default())
}

/// `UTC+9`, `UTC-3:30`.
fn offset_name(seconds: i32) -> String {
    let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() / 60 % 60);
    let sign = if seconds < 0 { '-' } else { '+' };
    match (hours, minutes) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

impl Wave {
    /// What is shown: from when to when.
    fn span(&self) -> [Instant; 2] {
        let moved = |hours: i64| self.now.plus(SignedDuration::from_hours(hours));
        [moved(-HOURS[0]), moved(HOURS[1])].map(|at| at.unwrap_or(self.now))
    }

    /// What there is to draw, by time: an instant and an offset is one circle. What was before the
    /// first three hours is not shown, unless it is overdue: then it is at their beginning.
    fn circles(&self) -> Vec<Circle> {
        let [from, to] = self.span();
        let mut circles: Vec<Circle> = Vec::new();
        for end in &self.ends {
            let is_shown = from <= end.at || end.state == State::Overdue;
            if !is_shown || end.at > to || end.orgs == 0 {
                continue;
            }
            let same = |circle: &Circle| (circle.at, circle.offset) == (end.at, end.offset);
            let place = circles.iter().position(same).unwrap_or_else(|| {
                circles.push(Circle {
                    at: end.at,
                    offset: end.offset,
                    zones: Vec::new(),
                    orgs: 0,
                    overdue: 0,
                    ahead: 0,
                    late: SignedDuration::ZERO,
                    odd: Vec::new(),
                });
                circles.len() - 1
            });
            let circle = &mut circles[place];
            circle.orgs += end.orgs;
            match end.state {
                State::Closed { late } => circle.late = circle.late.max(late),
                State::Overdue => circle.overdue += end.orgs,
                State::Ahead => circle.ahead += end.orgs,
            }
            for (number, name) in end.zones.iter().enumerate() {
                // Of several zones only the first is known to have many.
                let orgs = if number == 0 { end.orgs } else { 0 };
                circle.add(name, orgs, end.state == State::Overdue);
            }
            circle.odd.extend(end.odd.map(|odd| (odd, end.zones.clone())));
        }
        for circle in &mut circles {
            circle.zones.sort_by_key(|part| (!part.is_overdue, Reverse(part.orgs)));
        }
        circles.sort_by_key(|circle| (circle.at, Reverse(circle.offset)));
        circles
    }

    /// The chart.
    pub fn chart(&self, width: Width, when: &When) -> Chart {
        let circles = self.circles();
        let title = "Period ends of the next 24 hours".to_owned();
        let finding = self.finding(&circles, when);
        let table = self.table(&circles, when);
        let svg = width
            .of_at_least(NARROWEST)
            .filter(|_| !circles.is_empty())
            .map(|wide| self.draw(wide, when, &circles).finish(&title, &finding));
        Chart { svg, title, finding, table }
    }

    fn finding(&self, circles: &[Circle], when: &When) -> String {
        let at = |circle: &Circle| when.clock_in_zone(circle.at);
        let mut said = Vec::new();
        let overdue = circles.iter().filter(|circle| circle.overdue > 0);
        let orgs: u64 = overdue.clone().map(|circle| circle.overdue).sum();
        if let Some(first) = overdue.min_by_key(|circle| circle.at) {
            let since = ago(self.now.since(first.at));
            let have = if orgs == 1 { "has" } else { "have" };
            said.push(format!(
                "{} {have} been overdue for up to {since}, first in {}",
                counted(orgs, "org"),
                first.place()
            ));
        }
        let ahead = || circles.iter().filter(|circle| circle.ahead > 0);
        if let Some(next) = ahead().next() {
            let orgs = counted(next.ahead, "org");
            said.push(format!("Next: {orgs} in {} at {}", next.place(), at(next)));
        }
        let next = ahead().next().map_or(0, |next| next.ahead);
        let most = ahead().max_by_key(|circle| circle.ahead);
        if let Some(most) = most.filter(|most| most.ahead > next) {
            let orgs = counted(most.ahead, "org");
            said.push(format!("Most: {orgs} in {} at {}", most.place(), at(most)));
        }
        if said.is_empty() {
            said.push("No period ends in the next 24 hours".to_owned());
        }
        format!("{}.", said.join(". "))
    }

    fn table(&self, circles: &[Circle], when: &When) -> Table {
        let head = ["Time", "Offset", "Zones", "Orgs#", "State", "Remark"];
        let caption = format!("Period ends by time, as of {}", when.at(self.now));
        let mut table = Table::new(caption, &head);
        for circle in circles {
            let names: Vec<&str> = circle.zones.iter().map(|part| part.name.as_str()).collect();
            let names = names.join(", ");
            let zones = match circle.zones.len() {
                0 | 1 => names,
                number => format!("{} ({number} zones): {names}", circle.place()),
            };
            table.row([
                when.at(circle.at),
                offset_name(circle.offset),
                zones,
                count(circle.orgs),
                circle.state(self.now),
                circle.oddity().unwrap_or_default(),
            ]);
        }
        table
    }

    fn draw(&self, wide: f64, when: &When, circles: &[Circle]) -> Canvas {
        let legend = [
            (Sign::Circle, "ahead", "to come, as large as its orgs".to_owned()),
            (Sign::Circle, "done", "closed".to_owned()),
            (Sign::Diamond, "loud", "overdue".to_owned()),
            (Sign::Line, "diagonal", "local midnight".to_owned()),
        ];
        let legend_room = legend_height(wide, &legend) + 8.0;
        let offsets = || circles.iter().map(|circle| i64::from(circle.offset));
        let highest = offsets().max().unwrap_or_default().max(10_800);
        let lowest = offsets().min().unwrap_or_default().min(-10_800);
        // Every hour gets as much room, so that the diagonal is as steep for few zones as for all.
        let hour = (wide * 0.014).clamp(10.0, 15.0);
        let margins = 72.0;
        let one_hour = (wide - margins) / px(29);
        let largest = (one_hour.hypot(hour) * 0.62).min(26.0);
        let high = share(i128::from(highest - lowest), 3_600 * 40) * 40.0 * hour;
        let high = high + 2.0 * largest + 4.0;
        let plot = Plot {
            left: margins - 12.0,
            top: legend_room + LINE + 4.0,
            right: wide - 12.0,
            bottom: legend_room + LINE + 4.0 + high,
        };
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
        canvas.legend(0.0, &legend);
        // The largest circle is inside of the frame wherever it is.
        let inset = largest + 2.0;
        let x = Scale::of_time(self.span(), [plot.left + inset, plot.right - inset]);
        let ends = [plot.top + inset, plot.bottom - inset];
        let y = Scale::new([highest, lowest].map(i128::from), ends);
        self.frame(&mut canvas, &plot, when, &x, &y, [lowest, highest]);

        let most = circles.iter().map(|circle| circle.orgs).max().unwrap_or(1);
        let place = |circle: &Circle| [x.of(circle.at), y.at(circle.offset.into())];
        let radius = |circle: &Circle| radius(circle.orgs, most, largest);
        let mut by_size: Vec<&Circle> = circles.iter().collect();
        by_size.sort_by_key(|circle| Reverse(circle.orgs));
        for circle in &by_size {
            let ([cx, cy], r) = (place(circle), radius(circle));
            let said = format!(
                "{} at {}: {}. {}",
                circle.place(),
                when.clock_in_zone(circle.at),
                counted(circle.orgs, "org"),
                circle.state(self.now)
            );
            canvas.group(&said, |canvas| {
                let class = if circle.ahead > 0 { "ahead" } else { "done" };
                if circle.overdue < circle.orgs {
                    canvas.circle(class, [cx, cy], r);
                }
                if circle.overdue > 0 {
                    let reach = self::radius(circle.overdue, most, largest).max(5.0) * 1.25;
                    canvas.diamond("loud", [cx, cy], reach);
                }
            });
            let r = r.max(if circle.overdue > 0 { 8.0 } else { 0.0 });
            canvas.avoid(Area { left: cx - r, top: cy - r, right: cx + r, bottom: cy + r });
        }
        // The loud ones first, then the odd ones, then by size.
        by_size.sort_by_key(|circle| (circle.overdue == 0, circle.oddity().is_none()));
        for circle in by_size {
            self.name(&mut canvas, circle, place(circle), radius(circle));
        }
        canvas
    }

    /// Everything behind the circles.
    fn frame(
        &self,
        canvas: &mut Canvas,
        plot: &Plot,
        when: &When,
        x: &Scale,
        y: &Scale,
        [lowest, highest]: [i64; 2],
    ) {
        let [from, to] = self.span();
        let now = x.of(self.now);
        let past = Area { left: plot.left, top: plot.top, right: now, bottom: plot.bottom };
        canvas.rect("past", past);
        let hours = (highest - lowest) / 3_600;
        for step in 0..=hours {
            let offset = lowest + step * 3_600;
            if offset % 10_800 == 0 {
                let level = y.at(offset.into());
                canvas.line("grid", [plot.left, level], [plot.right, level]);
                let name = offset_name(i32::try_from(offset).unwrap_or_default());
                canvas.label("tick", &name, &[Spot::end(plot.left - 8.0, level + 4.0)]);
            }
        }
        let marks = ticks(when, from, to, x);
        for tick in &marks {
            let at = x.of(tick.at);
            canvas.line("grid", [at, plot.top], [at, plot.bottom]);
        }
        plot.times(canvas, when, &marks, x);
        for [[t1, o1], [t2, o2]] in diagonals([from, to], [lowest, highest]) {
            let at = |seconds: i64, offset: i64| {
                [x.at(i128::from(seconds) * 1_000_000), y.at(offset.into())]
            };
            canvas.line("diagonal", at(t1, o1), at(t2, o2));
        }
        // Labels may cross it: beside it there is often no room.
        canvas.line("now", [now, plot.top], [now, plot.bottom]);
        let said = format!("now {}", when.clock_in_zone(self.now));
        let above = plot.top - 6.0;
        let spots = [Spot::middle(now, above), Spot::start(plot.left, above)];
        canvas.label("b", &said, &spots);
    }

    /// Writes what a circle is, beside it or above it at the end of a thin line.
    fn name(&self, canvas: &mut Canvas, circle: &Circle, [cx, cy]: [f64; 2], r: f64) {
        let orgs = count(circle.orgs);
        let mut said = format!("{} {orgs}", circle.place());
        let mut class = "";
        if circle.overdue > 0 {
            let (overdue, since) = (count(circle.overdue), ago(self.now.since(circle.at)));
            said = format!("{}: {overdue} overdue, {since}", circle.place());
            class = "b loud-text";
        } else if circle.ahead == 0 {
            said = format!("{said}, {} late", late(circle.late));
        }
        if let Some(odd) = circle.oddity() {
            said = format!("{said}, {odd}");
        }
        let reach = r.max(if circle.overdue > 0 { 8.0 } else { 0.0 });
        let near = [
            Spot::start(cx + reach + 4.0, cy - 2.0),
            Spot::start(cx + reach * 0.7 + 3.0, cy - reach * 0.7 - 3.0),
            Spot::end(cx - reach - 4.0, cy + 9.0),
            Spot::end(cx - reach * 0.7 - 3.0, cy + reach * 0.7 + 10.0),
            Spot::start(cx + reach + 4.0, cy + 9.0),
            Spot::end(cx - reach - 4.0, cy - 2.0),
        ];
        if let Some(spot) = canvas.clear(class, &said, &near) {
            canvas.put(class, &said, spot);
            return;
        }
        // A flag: up to the right of its circle, or down to the left of it.
        for step in 1..=7 {
            let far = reach + 4.0 + 13.0 * px(step);
            for (spot, ends) in [
                (Spot::start(cx - 1.0, cy - far), [cy - far + 4.0, cy - reach]),
                (Spot::end(cx + 1.0, cy + far + 8.0), [cy + reach, cy + far - 3.0]),
            ] {
                let pole = Area { left: cx - 1.0, top: ends[0], right: cx + 1.0, bottom: ends[1] };
                if canvas.is_empty(&pole) && canvas.clear(class, &said, &[spot]).is_some() {
                    canvas.line("pole", [cx, ends[0]], [cx, ends[1]]);
                    canvas.avoid(pole);
                    canvas.put(class, &said, spot);
                    return;
                }
            }
        }
        // What is loud is said in any case, where texts leave room for it.
        if circle.overdue > 0 {
            let lines = (0..20).map(|step: usize| {
                let far = 7.0 * px(step.div_ceil(2));
                cy + 4.0 + if step.is_multiple_of(2) { far } else { -far }
            });
            let sides = lines
                .flat_map(|y| [Spot::start(cx + reach + 4.0, y), Spot::end(cx - reach - 4.0, y)]);
            canvas.label(class, &said, &sides.collect::<Vec<Spot>>());
        }
    }
}

/// The radius of a circle whose area says how many.
fn radius(orgs: u64, most: u64, largest: f64) -> f64 {
    (share(orgs.into(), most.into()).sqrt() * largest).max(2.5)
}

/// The lines on which clocks show midnight: pieces from `[second, offset]` to the same.
fn diagonals([from, to]: [Instant; 2], [lowest, highest]: [i64; 2]) -> Vec<[[i64; 2]; 2]> {
    let [from, to] = [from, to].map(|at| at.microseconds().div_euclid(1_000_000));
    // Local midnight of a day is at `day * DAY - offset`.
    let first = (from + lowest).div_euclid(DAY);
    let last = (to + highest).div_euclid(DAY);
    let piece = |day: i64| {
        let start = (day * DAY - highest).max(from);
        let end = (day * DAY - lowest).min(to);
        (start < end).then(|| [[start, day * DAY - start], [end, day * DAY - end]])
    };
    (first..=last).filter_map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> Zone {
        Zone::new(name, TimeZoneDatabase::bundled().get(name).unwrap())
    }

    fn odd(name: &str, end: &str, now: &str) -> (i32, Option<Odd>) {
        let end = End::of(&zone(name), at(end), at(now), 1, State::Ahead);
        (end.offset / 60, end.odd)
    }

    #[test]
    fn what_is_beside_the_diagonal_says_why() {
        let now = "2026-03-28T12:00:00Z";
        assert_eq!(odd("Asia/Tokyo", "2026-03-28T15:00:00Z", now), (540, None));
        // Berlin's clocks go forward on the 29th, Beirut's at its midnight, which does not exist.
        assert_eq!(odd("Europe/Berlin", "2026-03-28T23:00:00Z", now), (60, None));
        let evening = "2026-03-29T00:30:00Z";
        let next = odd("Europe/Berlin", "2026-03-29T22:00:00Z", evening);
        assert_eq!(next, (60, Some(Odd::Forward)));
        let beirut = odd("Asia/Beirut", "2026-03-28T22:00:00Z", now);
        assert_eq!(beirut, (120, Some(Odd::NoMidnight)));
        let autumn = "2026-10-25T00:30:00Z";
        let back = odd("Europe/Berlin", "2026-10-25T23:00:00Z", autumn);
        assert_eq!(back, (120, Some(Odd::Back)));
        let paid = odd("Asia/Tokyo", "2026-03-28T19:20:00Z", now);
        assert_eq!(paid, (540, Some(Odd::OtherTime)));
    }

    #[test]
    fn an_instant_and_an_offset_are_one_circle() {
        let now = at("2026-11-23T12:40:00Z");
        let end = |zone: &str, offset, orgs, state| End {
            at: at("2026-11-23T11:00:00Z"),
            offset,
            zones: vec![zone.to_owned()],
            orgs,
            state,
            odd: None,
        };
        let late = |tenths: i64| State::Closed { late: SignedDuration::from_millis(tenths * 100) };
        let wave = Wave {
            now,
            ends: vec![
                end("Antarctica/McMurdo", 46_800, 1, late(9)),
                end("Pacific/Auckland", 46_800, 212, late(4)),
                end("Pacific/Apia", 46_800, 6, State::Overdue),
                end("Pacific/Tongatapu", 50_400, 2, late(1)),
            ],
        };
        let circles = wave.circles();
        assert_eq!(circles.len(), 2);
        let apia = circles.iter().find(|circle| circle.offset == 46_800).unwrap();
        assert_eq!((apia.orgs, apia.overdue, apia.closed()), (219, 6, 213));
        assert_eq!(apia.place(), "Apia +2", "the loud one is named");
        let names: Vec<&str> = apia.zones.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names[1..], ["Pacific/Auckland", "Antarctica/McMurdo"], "then the largest");
        assert_eq!(apia.state(now), "6 orgs, overdue for 1 h 40 min; 213 orgs closed");
        let chart = wave.chart(Width::px(720), &When::utc());
        assert_eq!(
            chart.finding,
            "6 orgs have been overdue for up to 1 h 40 min, first in Apia +2."
        );
        assert_eq!(chart.table.rows.len(), 2);
        // Of several zones at one offset, one may skip its midnight.
        let mut odd = end("Pacific/Tongatapu", 50_400, 2, late(1));
        odd.odd = Some(Odd::NoMidnight);
        let ends = vec![end("Pacific/Kiritimati", 50_400, 9, late(1)), odd];
        let circles = Wave { now, ends }.circles();
        assert_eq!(circles[0].oddity().as_deref(), Some("midnight skipped in Tongatapu"));
        assert!(wave.chart(Width::px(375), &When::utc()).svg.is_none(), "a list on a phone");
    }

    #[test]
    fn local_midnights_lie_on_the_diagonals() {
        let span = [at("2026-11-23T09:40:00Z"), at("2026-11-24T12:40:00Z")];
        let pieces = diagonals(span, [-43_200, 50_400]);
        assert_eq!(pieces.len(), 3, "yesterday, today and tomorrow: {pieces:?}");
        for [second, offset] in pieces.into_iter().flatten() {
            assert_eq!((second + offset).rem_euclid(DAY), 0);
        }
    }
}
