//! `periodd schedule`: when jobs run, and keeping them from it.

use super::output::{Cell, Output, Page, Table, Tone};
use super::runs::jobs;
use super::session::{Schema, Session, with_session};
use super::times::{Local, Times};
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::jobs::catalogue::Job;
use crate::jobs::{pause_job, resume_job};
use crate::schedule::{Scheduled, Timetable, due_at};
use crate::store::rollover::claim::{self, ZoneBoundary};
use crate::store::runs::schedules::{self, Row, Trigger};

const NOTES: &str = "Examples:
  periodd schedule next
  periodd schedule pause rollover --reason 'moving the database'
  periodd schedule resume rollover";

/// Occurrences shown of each job.
const SHOWN: usize = 5;

/// What `periodd schedule` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the jobs with schedule and state
    #[command(after_help = "Examples:\n  periodd schedule list")]
    List,
    /// Show the next boundary of every time zone in use, and the next runs of each job
    #[command(after_help = "Examples:\n  periodd schedule next")]
    Next,
    /// Pause a job until it is resumed; occurrences meanwhile are recorded as skipped
    #[command(after_help = "Examples:\n\
        \x20 periodd schedule pause rollover --reason 'moving the database'")]
    Pause {
        /// The job
        #[arg(value_name = "JOB", value_parser = jobs())]
        job: Job,
        /// Reason, shown to others
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Resume a paused job
    #[command(after_help = "Examples:\n  periodd schedule resume rollover")]
    Resume {
        /// The job
        #[arg(value_name = "JOB", value_parser = jobs())]
        job: Job,
    },
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List)
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let times = session.times().await?;
        match &args.command {
            Command::List => {
                let jobs = views(session, &rows(session).await?)?;
                session.screen.show(&List { jobs, times: times.utc() })?;
            }
            Command::Next => {
                if let Some(doubt) = session.database.look_at_clock().await?.doubt() {
                    session.screen.note(&format!("no run starts meanwhile: {doubt}"));
                }
                session.screen.show(&next(session, times).await?)?;
            }
            Command::Pause { job, reason } => {
                pause(session, *job, reason).await?;
                let jobs = of(*job, views(session, &rows(session).await?)?);
                session.screen.show(&List { jobs, times: times.utc() })?;
            }
            Command::Resume { job } => {
                if !resume_job(&session.database, *job).await? {
                    session.screen.note(&format!("{job} is not paused"));
                }
                let jobs = of(*job, views(session, &rows(session).await?)?);
                session.screen.show(&List { jobs, times: times.utc() })?;
            }
        }
        Ok(Exit::Done)
    })
}

async fn rows(session: &Session) -> Result<Vec<Row>, Failure> {
    let mut connection = session.database.connection().await?;
    Ok(schedules::all(&mut connection).await?)
}

async fn pause(session: &Session, job: Job, reason: &str) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::usage("--reason must not be empty"));
    }
    Ok(pause_job(&session.database, job, reason).await?)
}

/// How a job stands.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ScheduleView {
    job: &'static str,
    cron: String,
    time_zone: String,
    words: String,
    enabled: bool,
    paused_at: Option<Instant>,
    pause_reason: Option<String>,
    /// The occurrence that is running, if one is.
    running: Option<Instant>,
    /// By which process.
    replica: Option<String>,
}

fn views(session: &Session, rows: &[Row]) -> Result<Vec<ScheduleView>, Failure> {
    Job::ALL.into_iter().map(|job| view(session, rows, job)).collect()
}

fn view(session: &Session, rows: &[Row], job: Job) -> Result<ScheduleView, Failure> {
    let schedule = job.schedule(&session.config);
    let of_job = |row: &&Row| row.job == job.name();
    let row = rows.iter().filter(of_job).find(|row| row.trigger == Trigger::Schedule);
    let at_work = rows.iter().filter(of_job).find(|row| row.running.is_some());
    let zone = session.tz.zone(schedule.time_zone.as_str()).map_err(Failure::configuration)?;
    let timetable = Timetable::new(&schedule.cron, zone);
    Ok(ScheduleView {
        job: job.name(),
        cron: schedule.cron.as_str().to_owned(),
        time_zone: schedule.time_zone.as_str().to_owned(),
        words: timetable.words(),
        enabled: schedule.enabled,
        paused_at: row.and_then(|row| row.paused_at),
        pause_reason: row.and_then(|row| row.pause_reason.clone()),
        running: at_work.and_then(|row| row.running),
        replica: at_work.and_then(|row| row.replica.clone()),
    })
}

fn of(job: Job, views: Vec<ScheduleView>) -> Vec<ScheduleView> {
    views.into_iter().filter(|view| view.job == job.name()).collect()
}

impl ScheduleView {
    fn state(&self, times: &Local) -> Cell {
        match (&self.pause_reason, self.running, self.enabled) {
            (Some(reason), _, _) => {
                let since = self.paused_at.map(|at| format!(" {}", times.relative(at)));
                let since = since.unwrap_or_default();
                Cell::text(format!("paused{since}: {reason}")).tone(Tone::Warning)
            }
            (None, _, false) => Cell::text("switched off").tone(Tone::Faint),
            (None, Some(occurrence), true) => {
                let by = self.replica.as_deref().unwrap_or_default();
                let since = times.at(occurrence);
                Cell::text(format!("running since {since} on {by}")).tone(Tone::Good)
            }
            (None, None, true) => Cell::text("waiting"),
        }
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List {
    jobs: Vec<ScheduleView>,
    #[serde(skip)]
    times: Local,
}

impl Output for List {
    fn page(&self) -> Page {
        let mut table = Table::new(["job", "cron", "time zone", "in words", "state"]);
        for standing in &self.jobs {
            table.row([
                Cell::text(standing.job),
                Cell::text(&standing.cron),
                Cell::text(&standing.time_zone),
                Cell::text(&standing.words),
                standing.state(&self.times),
            ]);
        }
        table.into()
    }
}

/// What comes next.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Next {
    boundaries: Vec<Boundary>,
    jobs: Vec<Upcoming>,
    #[serde(skip)]
    times: Times,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Boundary {
    time_zone: String,
    local: String,
    at: Instant,
    orgs: i64,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Upcoming {
    #[serde(flatten)]
    view: ScheduleView,
    /// Its next occurrences, in its zone; none while it is switched off.
    next: Vec<Occurrence>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Occurrence {
    local: String,
    at: Instant,
    /// When it begins: later than `at` by the jitter drawn for it.
    due_at: Instant,
}

async fn next(session: &Session, times: Times) -> Result<Next, Failure> {
    let now = session.now().await?;
    let rows = rows(session).await?;
    let mut connection = session.database.connection().await?;
    let boundaries = claim::zone_boundaries(&mut connection).await?.into_iter().map(|boundary| {
        let ZoneBoundary { time_zone, at, orgs } = boundary;
        // A zone that nobody knows: its orgs are parked by the next rollover, and named there.
        let zone = session.tz.zone(&time_zone);
        let local = zone.map_or_else(|_| "unknown zone".to_owned(), |zone| zone.local(at));
        Boundary { time_zone, local, at, orgs }
    });
    let boundaries = boundaries.collect();
    let jobs = Job::ALL.into_iter().map(|job| upcoming(session, &rows, job, now));
    Ok(Next { boundaries, jobs: jobs.collect::<Result<_, _>>()?, times })
}

fn upcoming(session: &Session, rows: &[Row], job: Job, now: Instant) -> Result<Upcoming, Failure> {
    let view = view(session, rows, job)?;
    let scheduled = Scheduled::of(job, &session.config, &session.tz);
    let scheduled = scheduled.map_err(Failure::configuration)?;
    let seed = rows
        .iter()
        .find(|row| row.job == job.name() && row.trigger == Trigger::Schedule)
        .map_or(0, |row| row.seed);
    let next = scheduled.timetable.iter().flat_map(|timetable| {
        timetable.after(now).take(SHOWN).map(|at| Occurrence {
            local: timetable.zone().local(at),
            at,
            due_at: due_at(at, scheduled.policy.jitter, seed),
        })
    });
    Ok(Upcoming { view, next: next.collect() })
}

impl Output for Next {
    fn page(&self) -> Page {
        let mut page = Page::new();
        if self.boundaries.is_empty() {
            page = page.line("no org has an open period");
        } else {
            let mut table = Table::new(["time zone", "next boundary", "", "orgs"]);
            for boundary in &self.boundaries {
                let times = self.times.local(&boundary.time_zone);
                table.row([
                    Cell::text(&boundary.time_zone),
                    Cell::whole(times.at(boundary.at)),
                    Cell::text(times.relative(boundary.at)).tone(Tone::Faint),
                    Cell::number(boundary.orgs),
                ]);
            }
            page = page.table(table);
        }
        let mut table = Table::new(["job", "in words", "next", ""]);
        for job in &self.jobs {
            let times = self.times.local(&job.view.time_zone);
            let row = |at: Instant| {
                [Cell::whole(times.at(at)), Cell::text(times.relative(at)).tone(Tone::Faint)]
            };
            let words = format!("{} ({})", job.view.words, job.view.time_zone);
            let next = match &job.view.pause_reason {
                Some(_) => None,
                None => job.next.first().map(|first| row(first.at)),
            };
            let state = || [job.view.state(&times), Cell::text("")];
            let [next, relative] = next.unwrap_or_else(state);
            table.row([Cell::text(job.view.job), Cell::text(words), next, relative]);
            let is_paused = job.view.pause_reason.is_some();
            for later in job.next.iter().skip(1).filter(|_| !is_paused) {
                let [at, relative] = row(later.at);
                table.row([Cell::text(""), Cell::text(""), at.tone(Tone::Faint), relative]);
            }
        }
        page.line("").table(table)
    }
}
