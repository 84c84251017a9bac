//! `periodd schedule`: when jobs run, and keeping them from it.

use super::output::{Cell, Output, Page, Table, Tone};
use super::runs::jobs;
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::daemon::scheduled;
use crate::daemon::work::Job;
use crate::schedule::due_at;
use crate::store::claim::{self, ZoneBoundary};
use crate::store::schedules::{self, Row, Trigger};

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
    /// List the jobs, their cron lines, and how they stand
    #[command(after_help = "Examples:\n  periodd schedule list")]
    List,
    /// Show what comes next: the boundary of every time zone in use, and the jobs' next occurrences
    #[command(after_help = "Examples:\n  periodd schedule next")]
    Next,
    /// Keep a job from running until it is resumed; what falls due meanwhile is recorded as skipped
    #[command(after_help = "Examples:\n\
        \x20 periodd schedule pause rollover --reason 'moving the database'")]
    Pause {
        /// The job
        #[arg(value_name = "JOB", value_parser = jobs())]
        job: String,
        /// Why: for whoever finds it paused
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let a paused job run again
    #[command(after_help = "Examples:\n  periodd schedule resume rollover")]
    Resume {
        /// The job
        #[arg(value_name = "JOB", value_parser = jobs())]
        job: String,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let mut connection = session.database.connection().await?;
        match &args.command {
            Command::List => {
                let rows = schedules::all(&mut connection).await?;
                session.screen.show(&List(standings(session, &rows)?))?;
            }
            Command::Next => {
                let rows = schedules::all(&mut connection).await?;
                let boundaries = claim::zone_boundaries(&mut connection).await?;
                session.screen.show(&next(session, &rows, boundaries).await?)?;
            }
            Command::Pause { job, reason } => {
                if reason.trim().is_empty() {
                    return Err(Failure::usage("--reason must say something"));
                }
                let now = session.database.now().await?;
                let triggers: &[Trigger] = if job == Job::Rollover.name() {
                    &[Trigger::Schedule, Trigger::Boundary]
                } else {
                    &[Trigger::Schedule]
                };
                let seed = schedules::draw_seed();
                schedules::pause(&mut connection, job, triggers, reason, seed, now).await?;
                let rows = schedules::all(&mut connection).await?;
                session.screen.show(&List(of(job, standings(session, &rows)?)))?;
            }
            Command::Resume { job } => {
                if !schedules::resume(&mut connection, job).await? {
                    session.screen.note(&format!("{job} is not paused"));
                }
                let rows = schedules::all(&mut connection).await?;
                session.screen.show(&List(of(job, standings(session, &rows)?)))?;
            }
        }
        Ok(Exit::Done)
    })
}

/// How a job stands.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Standing {
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

fn standings(session: &Session, rows: &[Row]) -> Result<Vec<Standing>, Failure> {
    Job::ALL.into_iter().map(|job| standing(session, rows, job)).collect()
}

fn standing(session: &Session, rows: &[Row], job: Job) -> Result<Standing, Failure> {
    let schedule = job.schedule(&session.config);
    let of_job = |row: &&Row| row.job == job.name();
    let row = rows.iter().filter(of_job).find(|row| row.trigger == Trigger::Schedule.name());
    let at_work = rows.iter().filter(of_job).find(|row| row.running.is_some());
    let zone = session.tz.zone(schedule.time_zone.as_str()).map_err(Failure::configuration)?;
    let timetable = crate::schedule::Timetable::new(&schedule.cron, zone);
    Ok(Standing {
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

fn of(job: &str, standings: Vec<Standing>) -> Vec<Standing> {
    standings.into_iter().filter(|standing| standing.job == job).collect()
}

impl Standing {
    fn state(&self) -> Cell {
        match (&self.pause_reason, self.running, self.enabled) {
            (Some(reason), _, _) => Cell::text(format!("paused: {reason}")).tone(Tone::Warning),
            (None, _, false) => Cell::text("switched off").tone(Tone::Faint),
            (None, Some(occurrence), true) => {
                let by = self.replica.as_deref().unwrap_or_default();
                Cell::text(format!("running since {occurrence} on {by}")).tone(Tone::Good)
            }
            (None, None, true) => Cell::text("waiting"),
        }
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List(Vec<Standing>);

impl Output for List {
    fn page(&self) -> Page {
        let mut table = Table::new(["job", "cron", "time zone", "in words", "state"]);
        for standing in &self.0 {
            table.row([
                Cell::text(standing.job),
                Cell::text(&standing.cron),
                Cell::text(&standing.time_zone),
                Cell::text(&standing.words),
                standing.state(),
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
    standing: Standing,
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

async fn next(
    session: &Session,
    rows: &[Row],
    boundaries: Vec<ZoneBoundary>,
) -> Result<Next, Failure> {
    let boundaries = boundaries.into_iter().map(|boundary| {
        let ZoneBoundary { time_zone, at, orgs } = boundary;
        // A zone that nobody knows: its orgs are parked by the next rollover, and named there.
        let zone = session.tz.zone(&time_zone);
        let local = zone.map_or_else(|_| "unknown zone".to_owned(), |zone| zone.local(at));
        Boundary { time_zone, local, at, orgs }
    });
    let boundaries = boundaries.collect();
    let now = session.now().await?;
    let jobs = Job::ALL.into_iter().map(|job| upcoming(session, rows, job, now));
    Ok(Next { boundaries, jobs: jobs.collect::<Result<_, _>>()? })
}

fn upcoming(session: &Session, rows: &[Row], job: Job, now: Instant) -> Result<Upcoming, Failure> {
    let standing = standing(session, rows, job)?;
    let scheduled = scheduled(job, &session.config, &session.tz).map_err(Failure::configuration)?;
    let seed = rows
        .iter()
        .find(|row| row.job == job.name() && row.trigger == Trigger::Schedule.name())
        .map_or(0, |row| row.seed);
    let next = scheduled.timetable.iter().flat_map(|timetable| {
        timetable.after(now).take(SHOWN).map(|at| Occurrence {
            local: timetable.zone().local(at),
            at,
            due_at: due_at(at, scheduled.policy.jitter, seed),
        })
    });
    Ok(Upcoming { standing, next: next.collect() })
}

impl Output for Next {
    fn page(&self) -> Page {
        let mut page = Page::new();
        if self.boundaries.is_empty() {
            page = page.line("no org has a period that ends");
        } else {
            let mut table = Table::new(["time zone", "next boundary", "in UTC", "orgs"]);
            for boundary in &self.boundaries {
                table.row([
                    Cell::text(&boundary.time_zone),
                    Cell::text(&boundary.local),
                    Cell::text(boundary.at),
                    Cell::number(boundary.orgs),
                ]);
            }
            page = page.table(table);
        }
        let mut table = Table::new(["job", "in words", "next"]);
        for job in &self.jobs {
            let words = format!("{} ({})", job.standing.words, job.standing.time_zone);
            let next = match &job.standing.pause_reason {
                Some(_) => None,
                None => job.next.first().map(|first| Cell::text(&first.local)),
            };
            let next = next.unwrap_or_else(|| job.standing.state());
            table.row([Cell::text(job.standing.job), Cell::text(words), next]);
            let is_paused = job.standing.pause_reason.is_some();
            for later in job.next.iter().skip(1).filter(|_| !is_paused) {
                let local = Cell::text(&later.local);
                table.row([Cell::text(""), Cell::text(""), local.tone(Tone::Faint)]);
            }
        }
        page.line("").table(table)
    }
}
