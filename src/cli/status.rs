//! `periodd status`: problems first, each with the command that mends it.

use super::findings::findings;
use super::output::{Cell, Output, Page, Screen, Table, Tone};
use super::session::{Schema, Session, with_session};
use super::times::Times;
use super::watch::Watch;
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::jobs::status::{self, Status, Surroundings, is_alive};
use crate::schedule::expected;
use crate::store::reports::status::{MANY, MANY_ENDING};
use crate::store::runs::Outcome;
use crate::store::runs::schedules::Row;

const NOTES: &str = "\
Exits with 0 if there are no problems and with 3 otherwise, for scripts and monitoring.
`periodd doctor` checks more.

Examples:
  periodd status
  periodd status --watch
  periodd status --format json";

/// What `periodd status` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(flatten)]
    watch: Watch,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        args.watch.repeat(session, async |screen| look(session, screen).await).await
    })
}

async fn look(session: &Session, screen: &Screen) -> Result<Exit, Failure> {
    let now = session.now().await?;
    let around = async |rows: &[Row]| surroundings(session, rows).await;
    let status = status::status(&session.database, around, now).await?;
    let exit = if status.found_something() { Exit::Found } else { Exit::Done };
    screen.show(&Answer { status, times: session.times().await? })?;
    Ok(exit)
}

/// What is known besides the database.
pub(super) async fn surroundings(session: &Session, rows: &[Row]) -> Surroundings {
    let Session { database, config, tz, has_unit, .. } = session;
    Surroundings::look(database, config, tz, expected(config, tz, rows), *has_unit).await
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Answer {
    status: Status,
    #[serde(skip)]
    times: Times,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Status { findings: found, queues, boundaries, runs, .. } = &self.status;
        let mut page = findings(Page::new(), found).line("");
        let utc = self.times.utc();
        let time = |at: Option<Instant>| at.map_or_else(String::new, |at| utc.at(at));
        let ago = |at: Option<Instant>| {
            let ago = at.map_or_else(String::new, |at| utc.relative(at));
            Cell::text(ago).tone(Tone::Faint)
        };
        let mut table = Table::new(["waiting", "", "since", ""]);
        for (what, queue) in [
            ("orgs that are due", &queues.due),
            ("orgs without a period", &queues.unopened),
            ("orgs that are parked", &queues.parked),
            ("metrics to count", &queues.uncounted),
            ("metrics with a future date", &queues.ahead),
            ("counters to copy", &queues.pending),
            ("emails to send", &queues.emails),
            ("alerts without a recipient", &queues.waiting),
            ("unknown addresses", &queues.dead),
        ] {
            let since = Cell::whole(time(queue.oldest));
            table.row([
                Cell::text(what),
                Cell::number(length(queue.length)),
                since,
                ago(queue.oldest),
            ]);
        }
        page = page.table(table);
        if let Some(next) = queues.next_attempt {
            page = page.line(format!("the next email is tried at {}", utc.beside(next)));
        }
        page = self.daemons(page);
        if !boundaries.is_empty() {
            let mut table = Table::new(["next ends", "", "zone", "orgs"]);
            for boundary in boundaries {
                let of_instant = boundaries.iter().filter(|other| other.at == boundary.at);
                let orgs = match of_instant.map(|other| other.orgs).sum::<i64>() {
                    MANY_ENDING.. => format!("{} or more", boundary.orgs),
                    _ => boundary.orgs.to_string(),
                };
                table.row([
                    Cell::whole(self.times.local(&boundary.time_zone).at(boundary.at)),
                    ago(Some(boundary.at)),
                    Cell::text(&boundary.time_zone),
                    Cell::number(orgs),
                ]);
            }
            page = page.line("").table(table);
        }
        if !runs.is_empty() {
            let mut table = Table::new(["last run of", "began", "", "outcome", "by", "number"]);
            for run in runs {
                let tone = match run.outcome {
                    Outcome::Failed => Tone::Bad,
                    Outcome::Done => Tone::Good,
                    _ => Tone::Plain,
                };
                table.row([
                    Cell::text(&run.job),
                    Cell::whole(time(run.started_at)),
                    ago(run.started_at),
                    Cell::text(run.outcome.name()).tone(tone),
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
    /// A line for each daemon that runs, or was seen last.
    fn daemons(&self, page: Page) -> Page {
        if self.status.daemons.is_empty() {
            return page;
        }
        let utc = self.times.utc();
        let any_listens = self.status.daemons.iter().any(|daemon| !daemon.listening.is_empty());
        let headings = ["daemon", "version", "started", "last heartbeat", "", ""];
        let mut table = Table::new(headings.into_iter().chain(any_listens.then_some("HTTP")));
        for daemon in &self.status.daemons {
            let state = match daemon.stopped_at {
                Some(_) => Cell::text("stopped"),
                None if is_alive(daemon, self.status.clock) => {
                    Cell::text("running").tone(Tone::Good)
                }
                None => Cell::text("disappeared").tone(Tone::Bad),
            };
            let cells = [
                Cell::text(&daemon.replica),
                Cell::text(&daemon.version),
                Cell::whole(utc.at(daemon.started_at)),
                Cell::whole(utc.at(daemon.seen_at)),
                Cell::text(utc.relative(daemon.seen_at)).tone(Tone::Faint),
                state,
            ];
            let http = any_listens.then(|| Cell::text(daemon.listening.join(", ")));
            table.row(cells.into_iter().chain(http));
        }
        page.line("").table(table)
    }
}

/// A length that counting may have ended at.
pub(super) fn length(length: i64) -> String {
    match length {
        MANY.. => format!("{MANY} or more"),
        length => length.to_string(),
    }
}
