//! `periodd export`: rows for others, each once for a consumer that keeps the cursor.
//!
//! Never: a list that is held; a file under its name before it is whole.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::{Receiver, channel};

use self::csv::Csv;
use self::json_lines::JsonLines;
use self::parquet::Parquet;
use super::output::{Escaping, Format, Screen};
use super::session::{Schema, Session, with_session};
use super::whole_file::to_file;
use super::{Exit, Failure, Global};
use crate::command::Command;
use crate::jobs::export::cursor::Cursor;
use crate::jobs::export::lines::{Lines, columns};
use crate::jobs::export::{self, Export, Part, Request};
use crate::store::exports::Kind;

mod csv;
mod json_lines;
mod parquet;

const NOTES: &str = "\
Lines come in the order in which rows were inserted. The first column is the cursor: keep that of
the last line that you have stored, and pass it as --since to continue there, also after a consumer
or an export was killed. No line is missed and none is repeated: before it begins, an export waits
up to 30 s for open transactions that may still add rows before others.

Closes have a line for each feature (one without a feature where nothing was used); an empty
`included` is unlimited. Packs are as they were sold; the ledger says what became of them. Times are
UTC, amounts are in hundredths of the currency.

--hand-over NAME gives everything that was not handed over before to NAME, at once, and exports it.
A repeated NAME exports the same lines again, so that an invoice run that was killed is repeated by
its name. Two names never get the same row. A run that finds nothing new is recorded as well: its
name stays empty.

Formats: csv (default), jsonl, parquet.

Examples:
  periodd export closes > closes.csv
  periodd export closes --since 1042#3 >> closes.csv
  periodd export ledger --format parquet --output ledger.parquet
  periodd export closes --hand-over invoices-2026-11 --format jsonl";

/// What `periodd export` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// closes, packs, ledger or adjustments
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: Kind,
    /// Export what comes after this line [default: everything]
    #[arg(long, value_name = "CURSOR")]
    since: Option<Cursor>,
    /// Hand new rows over to this name, once, and export those of the name
    #[arg(long, value_name = "NAME", value_parser = name)]
    hand_over: Option<String>,
    /// File to write, which appears when it is complete [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("unknown; use one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

/// The longest name of a hand-over.
const NAME_LENGTH: usize = 200;

fn name(text: &str) -> Result<String, String> {
    let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if is_line && text.chars().count() <= NAME_LENGTH {
        return Ok(text.to_owned());
    }
    Err(format!("use one line of text with at most {NAME_LENGTH} characters"))
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
    Parquet,
}

/// Pages that wait to be written.
const PAGES_AHEAD: usize = 1;

/// Runs the command.
pub(super) fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let form = match global.format {
        Format::Jsonl => Form::JsonLines,
        Format::Parquet => Form::Parquet,
        Format::Json => return Err(Failure::usage("use --format jsonl: an object on each line")),
        _ => Form::Csv,
    };
    if form == Form::Parquet && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage("a terminal cannot show Parquet; name a file with --output"));
    }
    with_session(global, Schema::Current, async move |session| export(session, args, form).await)
}

async fn export(session: &Session, args: Args, form: Form) -> Result<Exit, Failure> {
    let now = session.believed_now().await?;
    let Args { kind, since, hand_over, output } = args;
    let request = Request { kind, since, hand_over };
    let export = export::begin(&session.database, &request, now).await?;
    let (to, parts) = channel(PAGES_AHEAD);
    let writer = Writer { kind, form, since: export.since(), screen: session.screen.clone() };
    let written = tokio::task::spawn_blocking(move || match &output {
        None => writer.print(parts),
        Some(file) => writer.save(file, parts),
    });
    let read = export.read(&session.database, to).await;
    let written = written.await;
    // Whoever writes knows nothing of the database: its error comes first.
    read?;
    let written = written.map_err(|error| Failure::failed(format!("a task failed: {error}")))??;
    note(session, &export, written);
    Ok(Exit::Done)
}

/// What was written, and how it goes on.
fn note(session: &Session, export: &Export, (lines, last): (u64, Cursor)) {
    let kind = export.kind().name();
    let plural = if lines == 1 { "" } else { "s" };
    let what = match &export.hand_over {
        Some(taken) if taken.is_empty() => {
            format!("no new {kind}; {} is recorded as an empty hand-over", taken.name)
        }
        Some(taken) => format!("{lines} line{plural} handed over to {}", taken.name),
        None => {
            let last = last.to_string();
            let next = Command::periodd(["export", kind, "--since", &last]);
            format!("{lines} line{plural}; continue with: {next}")
        }
    };
    session.screen.note(&what);
}

/// Writes what is read, in a thread of its own: a consumer may be slow.
struct Writer {
    kind: Kind,
    form: Form,
    since: Cursor,
    screen: Screen,
}

impl Writer {
    fn print(self, parts: Receiver<Part>) -> Result<(u64, Cursor), Failure> {
        let mut written = (0, self.since);
        self.screen.write(|stdout| self.write(stdout, parts, &mut written))?;
        Ok(written)
    }

    fn save(self, path: &Path, parts: Receiver<Part>) -> Result<(u64, Cursor), Failure> {
        let mut written = (0, self.since);
        to_file(path, |file| self.write(file, parts, &mut written))?;
        Ok(written)
    }

    fn write(
        &self,
        to: &mut dyn Write,
        mut parts: Receiver<Part>,
        written: &mut (u64, Cursor),
    ) -> io::Result<()> {
        let columns = columns(self.kind);
        let mut escaping;
        let mut lines: Box<dyn Lines + '_> = match self.form {
            Form::Csv => Box::new(Csv::new(to, &columns)?),
            Form::JsonLines => {
                escaping = Escaping(to);
                Box::new(JsonLines::new(&mut escaping, &columns))
            }
            Form::Parquet => Box::new(Parquet::new(to, &columns)?),
        };
        loop {
            match parts.blocking_recv() {
                Some(Part::Page(page)) => {
                    if let Some((count, last)) = page.write(self.since, &mut *lines)? {
                        *written = (written.0 + count, last);
                    }
                }
                Some(Part::End) => return lines.finish(),
                None => return Err(io::Error::other("the export failed before its end")),
            }
        }
    }
}
