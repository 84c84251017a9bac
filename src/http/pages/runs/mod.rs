//! `/runs`: what ran when, and what was left out?
//!
//! Never: a run that is left out of the picture and the lists without a word.

mod picture;

use jiff::SignedDuration;
use serde::Serialize;
use uuid::Uuid;

use crate::billing::when::millis;
use crate::billing::{Instant, Zone};
use crate::command::Command;
use crate::config::Config;
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::pages::button::Button;
use crate::http::pages::clock::{Clock, Moment};
use crate::http::pages::frame::{Frame, html};
use crate::http::pages::overview::block;
use crate::http::pages::page;
use crate::http::pages::parts::{Block, Cell, Table, Tone, grouped, said};
use crate::http::pages::picture::Picture;
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::jobs::catalogue::Job;
use crate::jobs::counts::{RunCounts, did};
use crate::jobs::status::{Status, is_alive};
use crate::jobs::{ByHand, Done};
use crate::schedule::{Scheduled, due_at};
use crate::store::rollover::snapshot::slugs;
use crate::store::runs::daemons::{self as replicas, Daemon};
use crate::store::runs::schedules::{self, Row, Trigger};
use crate::store::runs::{self, Filter, Outcome, Run};
use crate::text::url_part;
use crate::tz::TzData;
use picture::Seen;

const SPAN: Parameter = Parameter {
    name: "span",
    meaning: "How far back: `day` or `week`.",
    example: "week",
    kind: Kind::Text,
    is_required: false,
};

/// The routes of this file.
pub(in crate::http::pages) const ROUTES: [Route; 2] = [
    page(
        "/runs",
        Sees::All,
        "What ran when, what was late, failed or skipped, and what comes next.",
        &[SPAN],
        |call| Box::pin(list(call)),
    ),
    page("/runs/{run}", Sees::All, "One run in full.", &[], |call| Box::pin(one(call))),
];

/// Runs that are read: about as many as there are in a day.
const MOST: i64 = 10_000;
/// Pauses that are read, to know who paused a job.
const PAUSES: i64 = 50;
/// Runs of a job that are listed.
const LISTED: usize = 15;
/// Occurrences of a job that are shown.
const COMING: usize = 5;
/// What no schedule starts.
const BY_HAND: &str = "by hand";
/// A run that begins later than this is late.
pub(in crate::http::pages) const LATE_MS: i64 = 2_000;

#[derive(Serialize)]
struct Runs {
    is_week: bool,
    picture: Block<Picture>,
    lanes: Block<Vec<Lane>>,
    /// Since when the runs were read, where they are too many.
    only_since: Block<Option<Moment>>,
    schedules: Block<Vec<Lined>>,
    replicas: Block<Table>,
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
    /// What pauses it, or lets it go on.
    act: Button,
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
    let clock = times::clock(&call, Zone::utc(), now);
    let days = if is_week { 7 } else { 1 };
    let since = clock.before(SignedDuration::from_hours(24 * days));
    let turns = &shared.turns;
    let ended = block(turns, async |look| runs::ended_since(look, since, MOST).await).await;
    let rows = block(turns, schedules::all).await;
    let by_hand = Filter { job: Some(ByHand::Pause.name().to_owned()), ..Filter::default() };
    let pauses = block(turns, async |look| runs::list(look, &by_hand, PAUSES).await).await;
    let both = match (&ended, &rows) {
        (Ok(runs), Ok(rows)) => Ok((runs, rows)),
        (Err(unread), _) | (_, Err(unread)) => Err(unread.clone()),
    };
    let seen = block(turns, replicas::all).await;
    let (config, tz) = ((shared.around.config)(), (shared.around.tz)());
    let view = Runs {
        is_week,
        picture: Block::of(&both, |(runs, rows)| {
            Seen { runs, rows, config: &config, tz: &tz, from: since }.picture(&clock)
        }),
        lanes: Block::of(&ended, |runs| lanes(runs, &clock)),
        only_since: Block::of(&ended, |runs| {
            let is_cut = i64::try_from(runs.len()).is_ok_and(|read| read >= MOST);
            let last = runs.last().filter(|_| is_cut).and_then(|run| run.finished_at);
            last.map(|at| clock.moment(at))
        }),
        schedules: Block::of(&rows, |rows| {
            let pauses = pauses.as_ref().ok().map(Vec::as_slice);
            let line = |job| Line { job, rows, pauses, config: &config, tz: &tz };
            Job::ALL.into_iter().map(|job| line(job).lined(&call, &clock)).collect()
        }),
        replicas: Block::of(&seen, |all| daemons_table(all, now, &clock)),
    };
    html("runs.html", &frame(&call, "Runs", &clock), &view)
}

fn frame(call: &Call, title: &str, clock: &Clock) -> Frame {
    times::framed(call, title.to_owned(), "runs", clock)
}

fn lanes(runs: &[Run], clock: &Clock) -> Vec<Lane> {
    let of_jobs = Job::ALL.into_iter().map(|job| {
        let list = Command::periodd(["runs", "list", "--job", job.name()]);
        let of_job = runs.iter().filter(|run| run.job == job.name()).collect();
        lane(job.name(), of_job, &list, clock)
    });
    let of_people = runs.iter().filter(|run| run.job.parse::<ByHand>().is_ok()).collect();
    let of_people = lane(BY_HAND, of_people, &Command::periodd(["runs", "list"]), clock);
    let has_acted = !of_people.runs.is_empty();
    of_jobs.chain(has_acted.then_some(of_people)).collect()
}

fn lane(job: &'static str, of_job: Vec<&Run>, list: &Command, clock: &Clock) -> Lane {
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
    let mut table = Table::new(job, &HEAD);
    let notable: Vec<&Run> = of_job.into_iter().filter(|run| !is_quiet(run)).collect();
    for run in notable.iter().take(LISTED) {
        table.row(row(run, clock));
    }
    let more = notable.len().saturating_sub(LISTED);
    Lane { job, counts, runs: table, more, command: list.to_string() }
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

/// The columns of [`row`].
const HEAD: [&str; 7] = ["Due", "From now", "Began", "Late#", "Took#", "Outcome", "What"];

/// What people set off for an org alone, the newest first.
pub(in crate::http::pages) fn by_hand(runs: &[Run], clock: &Clock) -> Table {
    let head = ["When", "From now", "Job", "Asked by", "Took#", "Outcome", "What"];
    let mut table = Table::new("Runs for this org alone", &head);
    for run in runs {
        let at = run.began();
        let asked_by = run.asked_by.as_ref();
        table.row([
            Cell::at_or(at.map(|at| clock.moment(at)), "").link(format!("/runs/{}", run.id)),
            Cell::text(at.map_or_else(String::new, |at| clock.relative(at))).tone(Tone::Soft),
            Cell::text(&run.job),
            asked_by.map_or_else(|| Cell::text("a command").tone(Tone::Soft), Cell::text),
            Cell::number(run.took_ms().map_or_else(String::new, millis)),
            outcome(run),
            Cell::text(what(run)),
        ]);
    }
    table
}

/// Why it failed, or what it did.
fn what(run: &Run) -> String {
    run.error.clone().or_else(|| did(run)).unwrap_or_default()
}

fn row(run: &Run, clock: &Clock) -> Vec<Cell> {
    let due = run.occurrence.or(run.started_at).or(run.finished_at);
    let relative = due.map_or_else(String::new, |at| clock.relative(at));
    let late = Cell::number(run.lateness_ms.map_or_else(String::new, millis));
    vec![
        Cell::at_or(due.map(|at| clock.moment(at)), "").link(format!("/runs/{}", run.id)),
        Cell::text(relative).tone(Tone::Soft),
        Cell::at_or(run.started_at.map(|at| clock.moment(at)), "never"),
        if is_late(run) { late.tone(Tone::Warning) } else { late },
        Cell::number(run.took_ms().map_or_else(String::new, millis)),
        outcome(run),
        Cell::text(what(run)),
    ]
}

/// What is known of a job and its schedule.
struct Line<'a> {
    job: Job,
    rows: &'a [Row],
    /// The last pauses by a button, the newest first; `None`: they could not be read.
    pauses: Option<&'a [Run]>,
    config: &'a Config,
    tz: &'a TzData,
}

impl Line<'_> {
    /// Who paused the job with that reason, where the ledger has it.
    fn by(&self, reason: &str) -> String {
        let Some(pauses) = self.pauses else { return " (by whom is not known)".to_owned() };
        let of_job = pauses.iter().find(|run| {
            let done = Done::of(run);
            done.is_some_and(|done| {
                done.of == self.job.name() && done.why.as_deref() == Some(reason)
            })
        });
        let by = of_job.and_then(|run| run.asked_by.as_deref());
        by.map(|by| format!(" by {}", said(by))).unwrap_or_default()
    }

    fn lined(&self, call: &Call, clock: &Clock) -> Lined {
        let Self { job, rows, config, tz, .. } = *self;
        let schedule = job.schedule(config);
        let of_job = || rows.iter().filter(|row| row.job == job.name());
        let row = of_job().find(|row| row.trigger == Trigger::Schedule);
        let running = of_job().find(|row| row.running.is_some());
        let scheduled = Scheduled::of(job, config, tz).ok();
        let timetable = scheduled.as_ref().and_then(|job| job.timetable.as_ref());
        let paused = row.and_then(|row| Some((row.paused_at?, row.pause_reason.as_deref())));
        let (state, tone) = match (paused, running) {
            (Some((at, reason)), _) => {
                let by = reason.map(|reason| self.by(reason)).unwrap_or_default();
                let reason = said(reason.unwrap_or("no reason was given"));
                (format!("paused {}{by}: {reason}", clock.relative(at)), Tone::Warning)
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
            let own = times::clock(call, timetable.zone().clone(), clock.now);
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
            act: Button::of_job(job, paused.is_some()),
        }
    }
}

/// The daemons that were seen last.
pub(in crate::http::pages) fn daemons(status: &Status, clock: &Clock) -> Table {
    daemons_table(&status.daemons, status.clock, clock)
}

fn daemons_table(all: &[Daemon], now: Instant, clock: &Clock) -> Table {
    let head = ["Daemon", "Version", "Started", "Last heartbeat", "From now", "State"];
    let mut table = Table::new("Daemons", &head);
    for daemon in all {
        let state = match daemon.stopped_at {
            Some(_) => Cell::text("stopped").tone(Tone::Soft),
            None if is_alive(daemon, now) => Cell::text("running").tone(Tone::Good),
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
    let of: Vec<Uuid> = run.org_id.into_iter().collect();
    let slug = slugs(&mut turn, &of).await?.into_values().next();
    drop(turn);
    let clock = times::clock(&call, Zone::utc(), now);
    let at = |at| Cell::at(clock.moment(at));
    let mut facts =
        vec![("Job", Cell::text(&run.job)), ("Started by", Cell::text(run.trigger.words()))];
    let mut add = |name, cell: Option<Cell>| facts.extend(cell.map(|cell| (name, cell)));
    add("Org", slug.map(|slug| Cell::text(&slug).link(format!("/orgs/{}", url_part(&slug)))));
    add("Due", run.occurrence.map(at));
    add("Until", run.last_occurrence.map(at));
    add("Began", run.started_at.map(at));
    add("Late", run.lateness_ms.map(|late| Cell::text(millis(late))));
    add("Ended", run.finished_at.map(at));
    add("Took", run.took_ms().map(|took| Cell::text(millis(took))));
    add("Outcome", Some(outcome(&run)));
    add("Asked by", run.asked_by.as_ref().map(Cell::text));
    add("By", Some(Cell::text(&run.replica)));
    add("Attempts", (run.attempts > 1).then(|| Cell::number(run.attempts)));
    add("Did", did(&run).map(Cell::text));
    let error = run.error.as_deref().map(crate::text::visible_lines);
    html("run.html", &frame(&call, &format!("Run {id}"), &clock), &One { id, facts, error })
}
