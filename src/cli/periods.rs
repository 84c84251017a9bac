//! `periodd periods`: the boundaries of any schedule, from the tz database alone.

use serde::Serialize;

use super::output::{Cell, Output, Page, Table};
use super::{Exit, Failure, Global};
use crate::billing::instant::OutOfRange;
use crate::billing::{Boundary, Calendar, Cycle, Instant, Period, TimeOfDay, Zone};
use crate::tz::TzData;

mod batch;

const NOTES: &str = r#"Examples:
  periodd periods --zone Europe/Berlin --cycle monthly --anchor-day 31 --count 12
  periodd periods --zone America/Vancouver --cycle yearly --format json
  periodd periods --zone UTC --cycle quarterly --anchor-month 2 --anchor-time 14:32:10
  periodd periods --batch < questions.jsonl

With --batch every line of standard input is one JSON object with the keys zone, cycle and at, and
optionally anchor_day, anchor_month, anchor_time and count, such as
  {"zone":"Asia/Tokyo","cycle":"weekly","anchor_day":7,"at":"2026-05-01T00:00:00Z"}
Other keys are ignored, so that a line can carry a label. Each line gets one line of output: the
list that --format json prints. An invalid line ends the run with exit code 2 and an error with its
number, after the lines before it have been answered."#;

/// What `periodd periods` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Time zone as Area/Location, or UTC
    #[arg(long, value_name = "ZONE", required_unless_present = "batch")]
    zone: Option<String>,

    /// How often a period ends
    #[arg(long, value_name = "CYCLE", required_unless_present = "batch")]
    #[arg(value_parser = Cycle::NAMES)]
    cycle: Option<String>,

    /// Day of the month, 1 to 31 (a short month uses its last day); weekly: 1 Monday to 7 Sunday
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    anchor_day: i64,

    /// Month of a quarterly, semiannual or yearly cycle, 1 to 12
    #[arg(long, value_name = "M", default_value_t = 1, allow_negative_numbers = true)]
    anchor_month: i64,

    /// Local time of day at which a period ends: 14:32 or 14:32:10
    #[arg(long, value_name = "TIME", default_value_t)]
    anchor_time: TimeOfDay,

    /// How many periods to print
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    count: i64,

    /// Read queries from standard input, one JSON object per line
    #[arg(long)]
    #[arg(conflicts_with_all = [
        "zone", "cycle", "anchor_day", "anchor_month", "anchor_time", "count",
    ])]
    batch: bool,
}

/// Runs the command. `--at` may be any time here: nothing is due, so nothing can be too early.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let tz = TzData::newest();
    match (&args.zone, &args.cycle) {
        (Some(zone), Some(cycle)) if !args.batch => {
            let zone = tz.zone(zone).map_err(Failure::usage)?;
            let cycle = Cycle::new(cycle, args.anchor_day, args.anchor_month);
            let cycle = cycle.map_err(Failure::usage)?;
            let schedule = Schedule {
                at: global.at_or_now(&zone).map_err(Failure::usage)?,
                calendar: Calendar { zone, cycle, time: args.anchor_time },
                count: args.count,
            };
            global.screen().show(&schedule.list().map_err(Failure::usage)?)?;
        }
        _ if global.at.is_some() => {
            let sentence = "--at cannot be used with --batch; put an `at` in every line";
            return Err(Failure::usage(sentence));
        }
        _ => batch::run(&tz, &global.screen())?,
    }
    Ok(Exit::Done)
}

/// What is asked: the period that contains `at`, and the ones after it, `count` in all.
struct Schedule {
    calendar: Calendar,
    at: Instant,
    count: i64,
}

impl Schedule {
    fn list(&self) -> Result<List, InvalidSchedule> {
        if self.count < 1 {
            return Err(InvalidSchedule::Count(self.count));
        }
        let zone = &self.calendar.zone;
        let (first, date) = self.calendar.period_at(self.at)?;
        let mut rows = vec![Row::new(zone, first)];
        let mut last = Boundary { at: first.end, date };
        for _ in 1..self.count {
            if last == Boundary::NEVER {
                break;
            }
            let next = self.calendar.following(last)?;
            rows.push(Row::new(zone, Period { start: last.at, end: next.at }));
            last = next;
        }
        Ok(List(rows))
    }
}

/// Why there is no such list.
#[derive(Debug, thiserror::Error)]
enum InvalidSchedule {
    #[error("a count of {0} is too small; use 1 or more")]
    Count(i64),
    #[error("{0}; ask for an earlier time or for fewer periods")]
    OutOfRange(#[from] OutOfRange),
}

/// Consecutive periods.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List(Vec<Row>);

/// One period, in UTC and in local time.
#[derive(Serialize, schemars::JsonSchema)]
struct Row {
    start: Instant,
    end: Instant,
    start_local: String,
    end_local: String,
}

impl Row {
    fn new(zone: &Zone, period: Period) -> Self {
        let Period { start, end } = period;
        Self { start, end, start_local: zone.local(start), end_local: zone.local(end) }
    }
}

impl Output for List {
    fn page(&self) -> Page {
        let mut table = Table::new(["start", "end", "start (UTC)", "end (UTC)"]);
        for row in &self.0 {
            let cell = |at: Instant, text: &str| {
                Cell::text(if at == Instant::NEVER { "never".to_owned() } else { readable(text) })
            };
            let utc = |at: Instant| cell(at, &at.to_string());
            table.row([
                cell(row.start, &row.start_local),
                cell(row.end, &row.end_local),
                utc(row.start),
                utc(row.end),
            ]);
        }
        table.into()
    }
}

/// RFC 3339 as people read it, narrow enough for four of them on a line of 80 columns:
/// `2026-05-01T00:00:00+02:00` is `2026-05-01 00:00 +02`.
fn readable(rfc3339: &str) -> String {
    let (date, rest) = rfc3339.split_once('T').unwrap_or((rfc3339, ""));
    let (time, offset) = rest.split_at(rest.find(['+', '-', 'Z']).unwrap_or(rest.len()));
    let time = time.strip_suffix(":00").unwrap_or(time);
    match offset.strip_suffix(":00").unwrap_or(offset) {
        "Z" => format!("{date} {time}"),
        offset => format!("{date} {time} {offset}"),
    }
}
