//! `periodd doctor`: deep checks that change nothing.

use super::explain::findings;
use super::output::{Cell, Output, Page, Tone};
use super::session::{Schema, with_session};
use super::{Exit, Failure, Global};
use crate::jobs::doctor::{self, Diagnosis, Patient};

const NOTES: &str = "\
Goes over all of the data where it has to: minutes on a large database, beside its work. Exits with
0 where all is well and with 3 where something is wrong.

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
        let patient = Patient { database, config, tz, now };
        let diagnosis = doctor::examine(&patient, &observer).await?;
        spinner.finish_and_clear();
        let exit = if diagnosis.found_something() { Exit::Found } else { Exit::Done };
        session.screen.show(&Answer(diagnosis))?;
        Ok(exit)
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer(Diagnosis);

impl Output for Answer {
    fn page(&self) -> Page {
        let mut page = Page::new();
        for check in &self.0.checks {
            let well = check.findings.is_empty();
            let (mark, tone) = if well { ("✓ ", Tone::Good) } else { ("! ", Tone::Warning) };
            page = page.parts([Cell::text(mark).tone(tone), Cell::text(check.asked)]);
        }
        let all: Vec<_> = self.0.checks.iter().flat_map(|check| check.findings.clone()).collect();
        findings(page, &all)
    }
}
