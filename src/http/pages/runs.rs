//! `/runs`: what ran when, and what was left out?

use jiff::SignedDuration;
use serde::Serialize;

use super::clock::{Clock, Moment};
use super::frame::{Frame, html};
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Table, Tone, grouped, said};
use crate::billing::when::millis;
use crate::command::Command;
use crate::config::Config;
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::problem::{Code, Problem};
use crate::jobs::catalogue::Job;
use crate::jobs::counts::{RunCounts, did};
use crate::jobs::status::{Status, is_alive};
use crate::schedule::{Scheduled, due_at};
use crate::store::runs::schedules::{self, Row, Trigger};
use crate::store::runs::{self, Filter, Outcome, Run};
use crate::tz::TzData;

const SPAN: Parameter = Parameter {
    name: "span",
    meaning: "How far back: `day` or `week`.",
    example: "week",
    kind: Kind::Text,
    is_required: false,
};

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    page(
        "/runs",
        Sees::All,
        "What ran when, what was late, failed or skipped, and what comes next.",
        &[SPAN],
        |call| Box::pin(list(call)),
    ),
    page("/runs/{run}", Sees::All, "One run in full.", &[], |call| Box::pin(one(call))),
];

/// Runs that are read.
const MOST: i64 = 5_000;
/// Runs of a job that are listed.
const LISTED: usize = 15;
/// Occurrences of a job that are shown.
const COMING: usize = 5;
/// A run that begins later than this is late.
pub(super) const LATE_MS: i64 = 2_000;

#[derive(Serialize)]
struct Runs {
    is_week: bool,
    lanes: Block<Vec<Lane>>,
    /// Since when the runs were read, where they are too many.
    only_since: Block<Option<Moment>>,
    schedules: Block<Vec<Lined>>,
}

/// The runs of a job.
#[derive(Serialize)]
struct Lane {
    job: &'static str,
    /// How many there were, in words.
    counts: Vec<String>,
    /// Those that did something, were late, failed or were left out.
    runs: Table,
    /// How many more of these there are, and the command that lists them.
    more: usize,
    command: String,
}

/// A job with its schedule.
#[derive(Serialize)]
struct Lined {
    job: &'static str,
    words: String,
    cron: String,
    zone: String,
    state: String,
    tone: Tone,
    next: Vec<Moment>,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let is_week = match call.parameter("span") {
        None | Some("day") => false,
        Some("week") => true,
        Some(_) => {
            let detail = "the parameter `span`: write day or week";
            return Err(Problem::new(Code::Invalid, detail));
        }
    };
    let shared = &call.shared;
    let now = shared.now().await?;
    let clock = Clock::utc(now);
    let days = if is_week { 7 } else { 1 };
    let since = clock.before(SignedDuration::from_hours(24 * days));
    let turns = &shared.turns;
    let ended = block(turns, async |look| runs::ended_since(look, since, MOST).await).await;
    let rows = block(turns, schedules::all).await;
    let (config, tz) = ((shared.around.config)(), (shared.around.tz)());
    let view = Runs {
        is_week,
        lanes: Block::of(&ended, |runs| lanes(runs, &clock)),
        only_since: Block::of(&ended, |runs| {
            let is_cut = i64::try_from(runs.len()).is_ok_and(|read| read >= MOST);
            let last = runs.last().filter(|_| is_cut).and_then(|run| run.finished_at);
            last.map(|at| clock.moment(at))
        }),
        schedules: Block::of(&rows, |rows| {
            Job::ALL.into_iter().map(|job| lined(job, rows, &config, &tz, &clock)).collect()
        }),
    };
    html("runs.html", &frame(&call, "Runs", &clock), &view)
}

fn frame(call: &Call, title: &str, clock: &Clock) -> Frame {
    let visitor = call.token.as_deref().map(Into::into);
    let as_of = Some(clock.moment(clock.now));
    Frame { title: title.to_owned(), here: "runs", visitor, as_of }
}

fn lanes(runs: &[Run], clock: &Clock) -> Vec<Lane> {
    Job::ALL.into_iter().map(|job| lane(job, runs, clock)).collect()
}

fn lane(job: Job, runs: &[Run], clock: &Clock) -> Lane {
    let of_job: Vec<&Run> = runs.iter().filter(|run| run.job == job.name()).collect();
    let count = |is: fn(&Run) -> bool| of_job.iter().filter(|run| is(run)).count();
    let ran = count(|run| run.outcome != Outcome::Skipped);
    let mut counts = vec![match ran {
        0 => "did not run".to_owned(),
        1 => "1 run".to_owned(),
        ran => format!("{} runs", grouped(&ran.to_string())),
    }];
    for (count, what) in [
        (count(|run| run.outcome == Outcome::Failed), "failed"),
        (count(is_late), "late"),
        (count(|run| run.outcome == Outcome::Skipped), "skipped"),
    ] {
        if count > 0 {
            counts.push(format!("{count} {what}"));
        }
    }
    let head = ["Due", "From now", "Began", "Late#", "Took#", "Outcome", "What"];
    let mut table = Table::new(job.name(), &head);
    let notable: Vec<&Run> = of_job.into_iter().filter(|run| !is_quiet(run)).collect();
    for run in notable.iter().take(LISTED) {
        table.row(row(run, clock));
    }
    let more = notable.len().saturating_sub(LISTED);
    let command = Command::periodd(["runs", "list", "--job", job.name()]).to_string();
    Lane { job: job.name(), counts, runs: table, more, command }
}

fn is_late(run: &Run) -> bool {
    run.lateness_ms.is_some_and(|late| late > LATE_MS)
}

/// Has it ended well and in time, without anything to do?
fn is_quiet(run: &Run) -> bool {
    run.outcome == Outcome::Done
        && run.error.is_none()
        && !is_late(run)
        && RunCounts::of(run).is_some_and(|counts| counts.words().is_empty())
}

fn outcome(run: &Run) -> Cell {
    let tone = match run.outcome {
        Outcome::Done => Tone::Good,
        Outcome::Failed => Tone::Bad,
        Outcome::Running => Tone::Plain,
        Outcome::Skipped => Tone::Warning,
    };
    Cell::text(run.outcome_in_words()).tone(tone)
}

fn row(run: &Run, clock: &Clock) -> Vec<Cell> {
    let due = run.occurrence.or(run.started_at).or(run.finished_at);
    let relative = due.map_or_else(String::new, |at| clock.relative(at));
    let late = Cell::number(run.lateness_ms.map_or_else(String::new, millis));
    let what = run.error.clone().or_else(|| did(run)).unwrap_or_default();
    vec![
        Cell::at_or(due.map(|at| clock.moment(at)), "").link(format!("/runs/{}", run.id)),
        Cell::text(relative).tone(Tone::Soft),
        Cell::at_or(run.started_at.map(|at| clock.moment(at)), "never"),
        if is_late(run) { late.tone(Tone::Warning) } else { late },
        Cell::number(run.took_ms().map_or_else(String::new, millis)),
        outcome(run),
        Cell::text(what),
    ]
}

fn lined(job: Job, rows: &[Row], config: &Config, tz: &TzData, clock: &Clock) -> Lined {
    let schedule = job.schedule(config);
    let of_job = || rows.iter().filter(|row| row.job == job.name());
    let row = of_job().find(|row| row.trigger == Trigger::Schedule);
    let running = of_job().find(|row| row.running.is_some());
    let scheduled = Scheduled::of(job, config, tz).ok();
    let timetable = scheduled.as_ref().and_then(|job| job.timetable.as_ref());
    let paused = row.and_then(|row| Some((row.paused_at?, row.pause_reason.as_deref())));
    let (state, tone) = match (paused, running) {
        (Some((at, reason)), _) => {
            let reason = said(reason.unwrap_or("no reason was given"));
            (format!("paused {}: {reason}", clock.relative(at)), Tone::Warning)
        }
        (None, Some(row)) => {
            let by = said(row.replica.as_deref().unwrap_or("an unknown process"));
            let lease = match row.lease_left() {
                Some(left) => format!("its lease lasts {} s more", left.as_secs()),
                None => "its lease has run out".to_owned(),
            };
            let tone = if row.is_abandoned() { Tone::Bad } else { Tone::Good };
            (format!("running on {by}; {lease}"), tone)
        }
        (None, None) if timetable.is_none() => ("switched off".to_owned(), Tone::Soft),
        (None, None) => ("waiting".to_owned(), Tone::Plain),
    };
    let seed = row.map_or(0, |row| row.seed);
    let jitter = scheduled.as_ref().map(|job| job.policy.jitter).unwrap_or_default();
    let next = timetable.filter(|_| paused.is_none()).map_or_else(Vec::new, |timetable| {
        let own = Clock::of(timetable.zone().clone(), clock.now);
        let coming = timetable.after(clock.now).take(COMING);
        coming.map(|at| own.moment(due_at(at, jitter, seed))).collect()
    });
    Lined {
        job: job.name(),
        words: timetable.map(crate::schedule::Timetable::words).unwrap_or_default(),
        cron: schedule.cron.as_str().to_owned(),
        zone: schedule.time_zone.as_str().to_owned(),
        state,
        tone,
        next,
    }
}

/// The daemons that were seen last.
pub(super) fn daemons(status: &Status, clock: &Clock) -> Table {
    let head = ["Daemon", "Version", "Started", "Last heartbeat", "From now", "State"];
    let mut table = Table::new("Daemons", &head);
    for daemon in &status.daemons {
        let state = match daemon.stopped_at {
            Some(_) => Cell::text("stopped").tone(Tone::Soft),
            None if is_alive(daemon, status.clock) => Cell::text("running").tone(Tone::Good),
            None => Cell::text("disappeared").tone(Tone::Bad),
        };
        table.row([
            Cell::text(&daemon.replica),
            Cell::text(&daemon.version),
            Cell::at(clock.moment(daemon.started_at)),
            Cell::at(clock.moment(daemon.seen_at)),
            Cell::text(clock.relative(daemon.seen_at)).tone(Tone::Soft),
            state,
        ]);
    }
    table
}

#[derive(Serialize)]
struct One {
    id: i64,
    facts: Vec<(&'static str, Cell)>,
    error: Option<String>,
}

async fn one(call: Call) -> Result<Answer, Problem> {
    let unknown = || Problem::new(Code::NotFound, "no run has that number; /runs shows the last");
    let id: i64 = call.part("run").parse().map_err(|_| unknown())?;
    let now = call.shared.now().await?;
    let mut turn = call.turn().await?;
    let filter = Filter { id: Some(id), ..Filter::default() };
    let run = runs::list(&mut turn, &filter, 1).await?.pop().ok_or_else(unknown)?;
    drop(turn);
    let clock = Clock::utc(now);
    let at = |at| Cell::at(clock.moment(at));
    let mut facts =
        vec![("Job", Cell::text(&run.job)), ("Started by", Cell::text(run.trigger.words()))];
    let mut add = |name, cell: Option<Cell>| facts.extend(cell.map(|cell| (name, cell)));
    add("Due", run.occurrence.map(at));
    add("Until", run.last_occurrence.map(at));
    add("Began", run.started_at.map(at));
    add("Late", run.lateness_ms.map(|late| Cell::text(millis(late))));
    add("Ended", run.finished_at.map(at));
    add("Took", run.took_ms().map(|took| Cell::text(millis(took))));
    add("Outcome", Some(outcome(&run)));
    add("By", Some(Cell::text(&run.replica)));
    add("Attempts", (run.attempts > 1).then(|| Cell::number(run.attempts)));
    add("Did", did(&run).map(Cell::text));
    let error = run.error.as_deref().map(crate::text::visible_lines);
    html("run.html", &frame(&call, &format!("Run {id}"), &clock), &One { id, facts, error })
}
