//! `periodd status`: problems first, each with the command that mends it.

use super::explain::findings;
use super::output::{Cell, Output, Page, Table, Tone};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::clock;
use crate::daemon::scheduled;
use crate::daemon::work::Job;
use crate::jobs::status::{self, Disk, Expected, Status, Surroundings};
use crate::store::schedules::{Row, Trigger};
use crate::store::status::{MANY, MANY_ENDING, Queue};
use crate::tzdata::TzData;

const NOTES: &str = "\
Exits with 0 where all is well and with 3 where something is wrong, for scripts and monitoring.
`periodd doctor` looks deeper.

Examples:
  periodd status
  periodd status --format json";

/// What `periodd status` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {}

/// Runs the command.
pub(super) fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let now = session.now().await?;
        let around = async |rows: &[Row]| surroundings(session, rows);
        let status = status::status(&session.database, around, now).await?;
        let exit = if status.found_something() { Exit::Found } else { Exit::Done };
        session.screen.show(&Answer { status, tz: session.tz.clone() })?;
        Ok(exit)
    })
}

/// What is known besides the database.
fn surroundings(session: &Session, rows: &[Row]) -> Surroundings {
    let directory = session.config.daemon.state_dir.as_path();
    Surroundings {
        tz_release: session.tz.release().to_owned(),
        host_clock: Some(clock::now()),
        disks: disk(directory).into_iter().collect(),
        jobs: Job::ALL.into_iter().map(|job| expected(session, rows, job)).collect(),
    }
}

/// How much room there is; nothing where the directory is not there yet.
pub(super) fn disk(directory: &std::path::Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    let path = directory.display().to_string();
    Some(Disk { path, free: stat.f_bavail * stat.f_frsize, size: stat.f_blocks * stat.f_frsize })
}

/// When a job's schedule should have run next, by what its row says was settled last.
fn expected(session: &Session, rows: &[Row], job: Job) -> Expected {
    let of_job = |row: &&Row| row.job == job.name() && row.trigger == Trigger::Schedule.name();
    let row = rows.iter().find(of_job);
    let timetable = scheduled(job, &session.config, &session.tz).ok().and_then(|job| job.timetable);
    let next = row.and_then(|row| timetable.as_ref()?.next_after(row.settled));
    // One that is running is not late, however long it takes.
    let is_running = row.is_some_and(|row| row.running.is_some() && !row.is_abandoned());
    Expected { job: job.name(), enabled: timetable.is_some() && !is_running, next }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Answer {
    status: Status,
    #[serde(skip)]
    tz: TzData,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Status { findings: found, queues, boundaries, runs, .. } = &self.status;
        let mut page = findings(Page::new(), found).line("");
        let mut table = Table::new(["what waits", "", "since"]);
        for (what, queue) in [
            ("orgs that are due", &queues.due),
            ("orgs without a period", &queues.unopened),
            ("orgs that are parked", &queues.parked),
            ("metrics to be counted", &queues.uncounted),
            ("counters to be copied", &queues.pending),
            ("emails to be sent", &queues.emails),
            ("alerts without a recipient", &queues.waiting),
        ] {
            let since = queue.oldest.map(|at| at.to_string()).unwrap_or_default();
            table.row([Cell::text(what), Cell::number(length(queue)), Cell::text(since)]);
        }
        page = page.table(table);
        if !boundaries.is_empty() {
            let mut table = Table::new(["next ends", "local time", "zone", "orgs"]);
            for boundary in boundaries {
                let of_instant = boundaries.iter().filter(|other| other.at == boundary.at);
                let orgs = match of_instant.map(|other| other.orgs).sum::<i64>() {
                    MANY_ENDING.. => format!("{} or more", boundary.orgs),
                    _ => boundary.orgs.to_string(),
                };
                table.row([
                    Cell::text(boundary.at),
                    Cell::text(self.local(&boundary.time_zone, boundary.at)),
                    Cell::text(&boundary.time_zone),
                    Cell::number(orgs),
                ]);
            }
            page = page.line("").table(table);
        }
        if !runs.is_empty() {
            let mut table =
                Table::new(["last run of", "began", "ended", "outcome", "by", "number"]);
            for run in runs {
                let text = |at: Option<Instant>| at.map(|at| at.to_string()).unwrap_or_default();
                let tone = match run.outcome.as_str() {
                    "failed" => Tone::Bad,
                    "done" => Tone::Good,
                    _ => Tone::Plain,
                };
                table.row([
                    Cell::text(&run.job),
                    Cell::text(text(run.started_at)),
                    Cell::text(text(run.finished_at)),
                    Cell::text(&run.outcome).tone(tone),
                    Cell::text(&run.replica),
                    Cell::number(run.id),
                ]);
            }
            page = page.line("").table(table);
        }
        page
    }
}

impl Answer {
    fn local(&self, zone: &str, at: Instant) -> String {
        let zone = self.tz.zone(zone).ok();
        zone.map_or_else(|| "unknown zone".to_owned(), |zone| zone.local_as(at, "%b %d %H:%M %Z"))
    }
}

fn length(queue: &Queue) -> String {
    match queue.length {
        MANY.. => format!("{MANY} or more"),
        length => length.to_string(),
    }
}
