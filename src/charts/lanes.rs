//! Lanes of runs: what each job did in a day or a week.

use std::fmt::Write;

use super::axis::{Plot, TIMES_HEIGHT, ticks};
use super::canvas::{Canvas, LINE, Sign, Spot, legend_height};
use super::chart::{Chart, Table, Width};
use super::hatch;
use super::numbers::{count, counted, late};
use super::scale::{Scale, px};
use super::shapes::{Area, Short};
use super::when::When;
use crate::billing::Instant;

/// Narrower than this, the name of a job stands above its lane.
const WITH_NAMES: f64 = 560.0;
const HIGH: f64 = 22.0;
const APART: f64 = 8.0;
/// How far the largest mark reaches from its place.
const REACH: f64 = 7.0;
/// Ticks that are closer than this are one.
const CLOSEST: f64 = 3.0;
/// The most lines of the table for single runs.
const LISTED: usize = 100;

/// What jobs did between two instants.
#[derive(Clone, Debug)]
pub struct Lanes {
    pub from: Instant,
    pub now: Instant,
    pub jobs: Vec<Job>,
    pub changes: Vec<ClockChange>,
}

/// A job and its runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    pub name: String,
    /// Oldest first.
    pub runs: Vec<Run>,
    pub pauses: Vec<Pause>,
}

/// An occurrence of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub due: Instant,
    /// When it began; `None`: never.
    pub began: Option<Instant>,
    pub outcome: Outcome,
    /// The error, or why it was skipped.
    pub reason: String,
}

/// How a run went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    Failed,
    Skipped,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A time in which a job was paused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    pub from: Instant,
    /// `None`: it still is.
    pub until: Option<Instant>,
    /// Who paused it and why.
    pub said: String,
}

/// An hour that the clocks of the schedules show twice, or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClockChange {
    /// When the clocks are moved.
    pub at: Instant,
    pub is_repeated: bool,
    /// The hour, as it is said: `02:00 to 03:00 in Europe/Berlin`.
    pub hour: String,
}

impl Run {
    fn at(&self) -> Instant {
        self.began.unwrap_or(self.due)
    }

    fn late(&self) -> jiff::SignedDuration {
        self.at().since(self.due).max(jiff::SignedDuration::ZERO)
    }

    /// Is it worth a line of its own?
    fn is_special(&self) -> bool {
        self.outcome != Outcome::Done || self.late() >= jiff::SignedDuration::from_mins(1)
    }
}

impl Lanes {
    /// The chart.
    pub fn chart(&self, width: Width, when: &When) -> Chart {
        let hours = self.now.since(self.from).as_hours();
        let span = match hours {
            0..48 => counted(hours.unsigned_abs(), "hour"),
            hours => counted(hours.unsigned_abs() / 24, "day"),
        };
        let title = format!("Runs of the last {span}");
        let finding = self.finding(&span);
        let svg = width
            .of_at_least(0)
            .filter(|_| !self.jobs.is_empty())
            .map(|wide| self.draw(wide, when).finish(&title, &finding));
        Chart { svg, finding, table: self.table(&title, when), title }
    }

    fn finding(&self, span: &str) -> String {
        let runs = || self.jobs.iter().flat_map(|job| &job.runs);
        let number = |outcome| runs().filter(|run| run.outcome == outcome).count();
        let [done, failed, skipped] =
            [Outcome::Done, Outcome::Failed, Outcome::Skipped].map(number).map(as_count);
        let mut said = format!("{} done in {span}", counted(done, "run"));
        for (number, word) in [(failed, "failed"), (skipped, "skipped")] {
            if number > 0 {
                said = format!("{said}, {} {word}", count(number));
            }
        }
        let paused: Vec<&str> = self
            .jobs
            .iter()
            .filter(|job| job.pauses.iter().any(|pause| pause.until.is_none()))
            .map(|job| job.name.as_str())
            .collect();
        match &paused[..] {
            [] => format!("{said}."),
            jobs => format!("{said}. Paused now: {}.", jobs.join(", ")),
        }
    }

    fn table(&self, title: &str, when: &When) -> Table {
        let mut table = Table::new(title, &["Job", "Due", "Began", "State", "Detail"]);
        for job in &self.jobs {
            let number = |outcome| {
                count(as_count(job.runs.iter().filter(|run| run.outcome == outcome).count()))
            };
            let [done, failed, skipped] =
                [Outcome::Done, Outcome::Failed, Outcome::Skipped].map(number);
            let most = job.runs.iter().map(Run::late).max().unwrap_or_default();
            table.row([
                job.name.clone(),
                "all".to_owned(),
                String::new(),
                format!("{done} done, {failed} failed, {skipped} skipped"),
                format!("at most {} late", late(most)),
            ]);
            for pause in &job.pauses {
                let until = pause.until.map_or_else(|| "still".to_owned(), |at| when.at(at));
                table.row([
                    job.name.clone(),
                    when.at(pause.from),
                    until,
                    "paused".to_owned(),
                    pause.said.clone(),
                ]);
            }
        }
        let special = || {
            let runs = self.jobs.iter().flat_map(|job| job.runs.iter().map(move |run| (job, run)));
            runs.filter(|(_, run)| run.is_special())
        };
        for (job, run) in special().take(LISTED) {
            let late = format!("{} late", late(run.late()));
            let detail = if run.reason.is_empty() { late } else { run.reason.clone() };
            table.row([
                job.name.clone(),
                when.at(run.due),
                run.began.map_or_else(String::new, |began| when.at(began)),
                run.outcome.name().to_owned(),
                detail,
            ]);
        }
        let more = special().count().saturating_sub(LISTED);
        if more > 0 {
            let said = format!("{} more failed, skipped or late", counted(as_count(more), "run"));
            table.row([said, String::new(), String::new(), String::new(), String::new()]);
        }
        for change in &self.changes {
            let state = if change.is_repeated { "hour repeated" } else { "hour dropped" };
            let at = when.at(change.at);
            table.row([String::new(), at, String::new(), state.to_owned(), change.hour.clone()]);
        }
        table
    }

    fn draw(&self, wide: f64, when: &When) -> Canvas {
        let mut legend = vec![
            (Sign::Tick, "run", "run, where it began".to_owned()),
            (Sign::Line, "shift", "from due to late".to_owned()),
            (Sign::Triangle, "failed", "failed".to_owned()),
            (Sign::Circle, "skipped", "skipped".to_owned()),
        ];
        if self.jobs.iter().any(|job| !job.pauses.is_empty()) {
            legend.push((Sign::Hatched, "paused", "paused".to_owned()));
        }
        let has_names = wide >= WITH_NAMES;
        let widest = self.jobs.iter().map(|job| super::measure::width(&job.name, false));
        let left = if has_names { widest.fold(0.0, f64::max).min(130.0) + 12.0 } else { 2.0 };
        let row = HIGH + APART + if has_names { 0.0 } else { LINE };
        let begin = legend_height(wide, &legend) + LINE + 12.0;
        let bottom = begin + row * px(self.jobs.len());
        let plot = Plot { left, top: begin, right: wide - 2.0, bottom };
        let mut canvas = Canvas::new(wide, plot.bottom + TIMES_HEIGHT);
        canvas.legend(0.0, &legend);
        // A mark at either end is inside of the picture.
        let ends = [plot.left + REACH + 1.0, plot.right - REACH - 1.0];
        let x = Scale::of_time([self.from, self.now], ends);
        let marks = ticks(when, self.from, self.now, &x);
        for tick in &marks {
            canvas.line("grid", [x.of(tick.at), plot.top], [x.of(tick.at), plot.bottom]);
        }
        canvas.line("base", [plot.left, plot.bottom], [plot.right, plot.bottom]);
        plot.times(&mut canvas, when, &marks, &x);
        for change in &self.changes {
            let at = x.of(change.at);
            let hour = jiff::SignedDuration::from_hours(1);
            let [from, to] = [-hour, hour].map(|by| change.at.plus(by).unwrap_or(change.at));
            if change.is_repeated {
                let [left, right] = [x.of(from), x.of(to)];
                canvas.rect("twice", Area { left, top: plot.top, right, bottom: plot.bottom });
            }
            canvas.line("change", [at, plot.top - 3.0], [at, plot.bottom]);
            let said = if change.is_repeated { "hour repeated" } else { "hour dropped" };
            let above = plot.top - 7.0;
            let spots = [
                Spot::middle(at, above),
                Spot::end(plot.right, above),
                Spot::start(plot.left, above),
            ];
            canvas.label("soft", said, &spots);
        }
        for (number, job) in self.jobs.iter().enumerate() {
            let top = plot.top + row * px(number);
            let spot = if has_names {
                Spot::start(0.0, top + APART / 2.0 + HIGH / 2.0 + 4.0)
            } else {
                Spot::start(plot.left, top + 14.0)
            };
            let room = if has_names { left - 8.0 } else { plot.right - plot.left };
            canvas.cut_label("", &job.name, room, &[spot]);
            let top = top + APART / 2.0 + if has_names { 0.0 } else { LINE };
            self.lane(&mut canvas, job, top, &x);
        }
        canvas
    }

    fn lane(&self, canvas: &mut Canvas, job: &Job, top: f64, x: &Scale) {
        let bottom = top + HIGH;
        let [from, to] = [self.from, self.now].map(|at| x.of(at));
        canvas.line("lane", [from, bottom], [to, bottom]);
        for pause in &job.pauses {
            let until = pause.until.unwrap_or(self.now);
            let [left, right] = [x.of(pause.from), x.of(until)];
            let area = Area { left, top: top + 2.0, right: right.max(left + 2.0), bottom };
            canvas.group(&pause.said, |canvas| {
                canvas.rect("paused", area);
                canvas.path("hatch", &hatch::of_area(area));
            });
            let said = format!("paused: {}", pause.said);
            let middle = Spot::start(left + 4.0, top + HIGH / 2.0 + 5.0);
            if super::measure::width(&said, false) + 8.0 <= right - left {
                canvas.label("", &said, &[middle]);
            } else if super::measure::width("paused", false) + 8.0 <= right - left {
                canvas.label("", "paused", &[middle]);
            }
        }
        // Runs that went well are one path: there may be thousands.
        let (mut done, mut shifts) = (String::new(), String::new());
        let mut last = f64::NEG_INFINITY;
        let inside = |run: &&Run| self.from <= run.at() && run.at() <= self.now;
        for run in job.runs.iter().filter(inside) {
            let [due, at] = [run.due, run.at()].map(|at| x.of(at));
            if at - due >= CLOSEST && shifts.len() < 8_000 {
                // Writing to a string does not fail.
                let [low, high] = [bottom - 5.0, bottom - 7.0].map(Short);
                let (due, at) = (Short(due), Short(at));
                let _ = write!(shifts, "M{due} {low}H{at}M{due} {high}v4");
            }
            if run.outcome == Outcome::Done && at - last >= CLOSEST {
                let _ = write!(done, "M{} {}V{}", Short(at), Short(top + 5.0), Short(bottom));
                last = at;
            }
        }
        canvas.path("shift", &shifts);
        canvas.path("run", &done);
        let mut last = [f64::NEG_INFINITY; 2];
        for run in job.runs.iter().filter(inside) {
            let at = x.of(run.at());
            let kind = match run.outcome {
                Outcome::Done => continue,
                Outcome::Failed => 0,
                Outcome::Skipped => 1,
            };
            if at - last[kind] < CLOSEST {
                continue;
            }
            last[kind] = at;
            let said = format!("{} {}: {}", job.name, run.outcome.name(), run.reason);
            canvas.group(&said, |canvas| match run.outcome {
                Outcome::Failed => canvas.triangle("failed", [at, top + 10.0], REACH),
                _ => canvas.circle("skipped", [at, top + 11.0], 4.0),
            });
        }
    }
}

fn as_count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_counts_what_did_not_go_well() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let run = |text: &str, outcome| Run {
            due: at(text),
            began: (outcome != Outcome::Skipped).then(|| at(text)),
            outcome,
            reason: String::new(),
        };
        let job = Job {
            name: "sync".to_owned(),
            runs: vec![
                run("2026-11-23T01:00:00Z", Outcome::Done),
                run("2026-11-23T02:00:00Z", Outcome::Failed),
                run("2026-11-23T03:00:00Z", Outcome::Skipped),
            ],
            pauses: vec![Pause {
                from: at("2026-11-23T02:30:00Z"),
                until: None,
                said: "by ann: migration".to_owned(),
            }],
        };
        let mut lanes = Lanes {
            from: at("2026-11-22T12:00:00Z"),
            now: at("2026-11-23T12:00:00Z"),
            jobs: vec![job],
            changes: Vec::new(),
        };
        let chart = lanes.chart(Width::px(335), &When::utc());
        assert_eq!(chart.finding, "1 run done in 24 hours, 1 failed, 1 skipped. Paused now: sync.");
        assert_eq!(chart.title, "Runs of the last 24 hours");
        assert_eq!(chart.table.rows.len(), 4);
        // However much goes wrong, picture and table have an end.
        let second = |second| Instant::from_microseconds(second * 1_000_000).unwrap();
        let begin = at("2026-11-22T12:00:00Z").microseconds() / 1_000_000;
        let failed = |number: i64| Run {
            due: second(begin + number * 8),
            began: Some(second(begin + number * 8 + 3_600)),
            outcome: Outcome::Failed,
            reason: "x".repeat(50),
        };
        lanes.jobs[0].runs = (0..10_000).map(failed).collect();
        let chart = lanes.chart(Width::px(1100), &When::utc());
        assert_eq!(chart.table.rows.len(), 2 + LISTED + 1);
        assert!(chart.svg.unwrap().len() < 100_000);
    }
}
