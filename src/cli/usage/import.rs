//! `periodd usage import`: usage from a file.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::output::{Cell, Output, Page, Screen, Table, Tone};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::jobs::usage_file::{self, Observer, Progress, Report, Request};

const NOTES: &str = "\
The file begins with a heading that names its columns: org, feature, quantity, used_at, and if you
like user (an email) and key. An org is a slug or an id, used_at is RFC 3339, and a negative
quantity is a correction:

  org,feature,quantity,used_at,user,key
  acme,minutes_transcribed,12.5,2026-05-01T09:30:00Z,ann@acme.example,call-4711

All of it is checked before anything is written. A repeated key counts once, and a line without a
key gets one from the file's contents and its number, so that the same file may be imported again
after an interruption. The metrics are counted by the next sync or rollover.

Examples:
  periodd usage import may.csv --dry-run
  periodd usage import may.csv
  periodd usage import may.csv --skip-bad";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// The file
    #[arg(value_name = "FILE.csv", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Pass over lines that cannot be imported, instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
    /// Check the file, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let request = Request {
        file: args.file.clone(),
        skip_bad: args.skip_bad,
        dry_run: args.dry_run,
        now: session.now().await?,
        stop: session.stop_between_batches(),
    };
    let bytes = std::fs::metadata(&args.file).map_or(0, |file| file.len());
    let report =
        usage_file::run(&session.database, &request, observer(&session.screen, bytes)).await?;
    let refused = report.bad > 0 && !args.skip_bad;
    let exit = match (report.bad > 0, refused, args.dry_run) {
        (true, _, true) => Exit::Found,
        (true, true, false) => Exit::Failed,
        (true, false, false) => Exit::Partly,
        (false, ..) => Exit::Done,
    };
    session.screen.show(&Answer {
        dry_run: args.dry_run,
        written: !refused && !args.dry_run,
        report,
    })?;
    if refused && !args.dry_run {
        session.screen.note("nothing was imported; mend the lines, or add --skip-bad");
    }
    Ok(session.exit(exit))
}

/// A bar on a terminal, a line every ten seconds elsewhere.
fn observer(screen: &Screen, bytes: u64) -> Observer {
    const INTERVAL: u64 = 10;
    let bytes = bytes.max(1);
    if std::io::stderr().is_terminal() {
        let bar = screen.progress(bytes, "checking ");
        return Arc::new(move |progress| match progress {
            Progress::Checked(position) => bar.set_position(position),
            Progress::Imported(position) => {
                bar.set_message("importing");
                bar.set_position(position);
            }
        });
    }
    let screen = screen.clone();
    let (started, said) = (Instant::now(), AtomicU64::new(0));
    Arc::new(move |progress| {
        let elapsed = started.elapsed().as_secs();
        if elapsed < said.load(Ordering::Relaxed) + INTERVAL {
            return;
        }
        said.store(elapsed, Ordering::Relaxed);
        let (verb, position) = match progress {
            Progress::Checked(position) => ("checked", position),
            Progress::Imported(position) => ("imported", position),
        };
        screen.note(&format!("import: {} % {verb}", position.min(bytes) * 100 / bytes));
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    dry_run: bool,
    /// Was anything to be written at all?
    written: bool,
    #[serde(flatten)]
    report: Report,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Report { lines, imported, known, bad, faults } = &self.report;
        let mut page = Page::new();
        if !faults.is_empty() {
            let mut table = Table::new(["line", "cannot be imported because"]);
            for fault in faults {
                table.row([Cell::number(fault.line), Cell::text(&fault.why).tone(Tone::Bad)]);
            }
            let more = *bad - faults.len() as u64;
            page = page.table(table);
            if more > 0 {
                page = page.line(format!("and {more} lines more"));
            }
            page = page.line("");
        }
        let good = lines - bad;
        if !self.written {
            return page.line(format!("{lines} lines: {good} can be imported, {bad} cannot"));
        }
        page.line(format!("{lines} lines: {imported} imported, {known} known already, {bad} bad"))
    }
}
