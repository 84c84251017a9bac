//! `periodd doctor`: deep checks that change nothing.

use super::findings::findings;
use super::output::{Cell, Output, Page, Tone};
use super::session::{Schema, Session, with_session};
use super::status::surroundings;
use super::{Exit, Failure, Global};
use crate::jobs::doctor::{self, Context, Diagnosis};
use crate::jobs::status::Surroundings;
use crate::store::db::migrate;
use crate::store::runs::schedules;

const NOTES: &str = "\
Some checks read all of the data, which takes minutes on a large database but does not block it.
Exits with 0 if there are no problems and with 3 otherwise.

Examples:
  periodd doctor
  periodd doctor --format json";

/// What `periodd doctor` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {}

/// Runs the command.
pub(super) fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Any, async |session| {
        let now = session.now().await?;
        let (database, config, tz) = (&session.database, &session.config, &session.tz);
        let spinner = session.screen.spinner();
        let observer = |asked: &'static str| spinner.set_message(asked);
        let around = around(session).await?;
        let context = Context { database, config, tz, now, around };
        let diagnosis = doctor::examine(&context, &observer).await?;
        spinner.finish_and_clear();
        let exit = if diagnosis.found_something() { Exit::Found } else { Exit::Done };
        session.screen.show(&Answer(diagnosis))?;
        Ok(exit)
    })
}

/// What is known besides the database, as `status` sees it.
async fn around(session: &Session) -> Result<Surroundings, Failure> {
    if !migrate::is_complete(&session.database).await? {
        return Ok(Surroundings::default());
    }
    let mut connection = session.database.connection().await?;
    let rows = schedules::all(&mut connection).await?;
    drop(connection);
    Ok(surroundings(session, &rows).await)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer(Diagnosis);

impl Output for Answer {
    fn page(&self) -> Page {
        let mut page = Page::new();
        for check in &self.0.checks {
            let (mark, tone) = match (check.looked, check.findings.is_empty()) {
                (true, true) => ("✓ ", Tone::Good),
                (_, false) => ("✗ ", Tone::Warning),
                (false, true) => ("? ", Tone::Warning),
            };
            let mut parts = vec![Cell::text(mark).tone(tone), Cell::text(check.asked)];
            if !check.looked {
                parts.push(Cell::text(" (not checked)").tone(Tone::Warning));
            }
            page = page.parts(parts);
        }
        let all: Vec<_> = self.0.checks.iter().flat_map(|check| check.findings.clone()).collect();
        if all.is_empty() && !self.0.is_whole() {
            return page.line("").line("no problems found in what was checked");
        }
        findings(page, &all)
    }
}
