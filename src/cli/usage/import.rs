//! `periodd usage import`: usage from a file.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::output::{Cell, Output, Page, Screen, Table, Tone};
use super::super::session::Session;
use super::super::sync::standing_request;
use super::super::{Exit, Failure};
use crate::command::Command;
use crate::jobs::rollover::Parked;
use crate::jobs::sync;
use crate::jobs::usage::file::{
    self as usage_file, Mapping, Naming, Observer, Progress, Request, UsageImportReport,
};

const NOTES: &str = "\
The file starts with a header line that names its columns:

  org         slug or id
  feature     name of the feature, in any case of letters
  quantity    greater than zero, with at most 6 decimals
  used_at     time of use: RFC 3339, or a date, which stands for midday in the org's time zone
  user        optional: email of the user
  key         optional: idempotency key; a repeated key counts once
  correction  optional: yes subtracts the quantity

  org,feature,quantity,used_at,user,key
  acme,minutes_transcribed,12.5,2026-05-01T09:30:00Z,ann@acme.example,call-4711

Commas, semicolons, tabs and bars separate fields, as the header does; the text is UTF-8 or, with a
byte order mark, UTF-16. Empty rows are skipped.

The whole file is checked before anything is written. A key that was used for something else is a
bad line. A line without a key is known by its contents: the same line is imported once, from
whatever file it comes, and a line that stands in a file twice is imported twice. So a corrected
file can be imported again. The metrics are counted at once.

Examples:
  periodd usage import may.csv --dry-run
  periodd usage import may.csv
  periodd usage import may.csv --skip-bad
  periodd usage import export.csv --map org=Customer --map used_at=date --ignore-columns
  psql -c '\\copy (select …) to stdout csv header' | periodd usage import -";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// File to import; `-` reads the standard input
    #[arg(value_name = "FILE.csv", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Column under another name, such as org=Customer; may be repeated
    #[arg(long, value_name = "COLUMN=NAME")]
    map: Vec<Mapping>,
    /// Ignore columns with unknown names
    #[arg(long)]
    ignore_columns: bool,
    /// Accept negative quantities, which are subtracted
    #[arg(long)]
    correction: bool,
    /// Skip lines that cannot be imported instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
    /// Check the file and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Opens the file, before the process becomes the user that the state belongs to.
pub(super) fn open(args: &Args) -> Result<File, Failure> {
    Ok(usage_file::open(&args.file)?)
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args, opened: File) -> Result<Exit, Failure> {
    let bytes = opened.metadata().map_or(0, |file| file.len());
    let stop = session.stop_between_batches();
    let request = Request {
        file: args.file.clone(),
        opened,
        naming: Naming { mapped: args.map.clone(), ignores_others: args.ignore_columns },
        takes_negative: args.correction,
        skip_bad: args.skip_bad,
        dry_run: args.dry_run,
        tz: session.tz.clone(),
        now: if args.dry_run { session.now().await? } else { session.believed_now().await? },
        sync: sync::Request {
            at: session.business_time(args.dry_run).await?,
            stop: stop.clone(),
            ..standing_request(session).await?
        },
        stop,
    };
    let report =
        usage_file::run(&session.database, &request, observer(&session.screen, bytes)).await?;
    let refused = report.bad > 0 && !args.skip_bad;
    let exit = match (report.bad > 0, refused, args.dry_run) {
        (true, _, true) => Exit::Found,
        (true, true, false) => Exit::Failed,
        (true, false, false) => Exit::Partly,
        (false, ..) if !report.parked.is_empty() => Exit::Partly,
        (false, ..) => Exit::Done,
    };
    if !report.ignored_columns.is_empty() {
        let columns = report.ignored_columns.join(", ");
        session.screen.note(&format!("ignored columns: {columns}"));
    }
    session.screen.show(&Answer {
        dry_run: args.dry_run,
        written: !refused && !args.dry_run,
        report,
    })?;
    if refused && !args.dry_run {
        session.screen.note("nothing was imported; correct the lines, or add --skip-bad");
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
            Progress::Counted(_) => bar.set_message("counting "),
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
            Progress::Counted(metrics) => {
                return screen.note(&format!("import: {metrics} metrics counted"));
            }
        };
        screen.note(&format!("import: {} % {verb}", position.min(bytes) * 100 / bytes));
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    dry_run: bool,
    /// Whether anything was to be written.
    written: bool,
    #[serde(flatten)]
    report: UsageImportReport,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let UsageImportReport {
            lines,
            imported,
            known,
            bad,
            faults,
            counted,
            uncounted,
            parked,
            ..
        } = &self.report;
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
        let imported = format!("{imported} imported, {known} already known, {bad} bad");
        page = page.line(format!("{lines} lines: {imported}"));
        page = page.line(match (counted, uncounted) {
            (counted, 0) => format!("{counted} metrics counted"),
            (counted, waiting) => format!(
                "{counted} metrics counted, {waiting} not counted yet: their orgs have no open \
                 period, or are parked; `{}` shows which",
                Command::periodd(["status"])
            ),
        });
        for Parked { slug, reason, .. } in parked {
            page = page.line(format!("{slug} was parked: {reason}"));
        }
        page
    }
}
