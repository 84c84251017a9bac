//! Importing usage from a file: read all of it first, then write it batch by batch, then count it.
//!
//! The file is read twice. The first time every line is checked, and nothing is written as long as
//! one of them is bad. The second time the lines become metrics, thousands at a time. Every metric
//! has an idempotency key, its own or one made of what its line says, so that an import may be
//! interrupted and repeated, whatever somebody has done to the file meanwhile: what is there
//! already is passed over.
//!
//! Never: a metric without a key; a line that is written before all lines were read.

mod heading;
mod lines;
mod names;
mod text;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::billing::Instant;
use crate::command::Command;
use crate::files;
use crate::jobs::rollover::Parked;
use crate::jobs::stop::Stop;
use crate::jobs::sync::{self, Scope};
use crate::store::usage::NewUsage;
use crate::store::usage::batch::{self, Terms, Verdict};
use crate::store::{Connection, Database, StoreError, usage::usage_file as rows};
use crate::tz::TzData;
pub use heading::{Mapping, Naming};
use lines::{Keyed, Line, Lines, Rules, Seen};
use names::Names;

/// Lines that are looked up and written together.
const BATCH: usize = 10_000;
/// Lines without a key have one of periodd's own.
const TERMS: Terms = Terms { is_partial: true, is_internal: true };
/// Bad lines that are told one by one.
const FAULTS_TOLD: usize = 20;

/// An import that was asked for.
pub struct Request {
    /// The file, by the name that it is called by in sentences.
    pub file: PathBuf,
    /// The file, opened: the user that this process becomes may not be able to.
    pub opened: File,
    /// Which column is what.
    pub naming: Naming,
    /// Negative quantities are corrections, without a column that says so.
    pub takes_negative: bool,
    /// Pass over bad lines instead of refusing the file.
    pub skip_bad: bool,
    pub dry_run: bool,
    /// Where dates without a time begin.
    pub tz: TzData,
    /// Business time: nothing is used after it.
    pub now: Instant,
    /// How what was imported is counted: a sync, for the orgs that turn up in the file.
    pub sync: sync::Request,
    /// Who may ask for a stop between two batches.
    pub stop: Stop,
}

/// A line that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Fault {
    /// Its number in the file, from 1 on.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// How an import ended.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct UsageImportReport {
    /// Lines with usage, good and bad.
    pub lines: u64,
    /// Metrics that were written.
    pub imported: u64,
    /// Metrics that were there already, by their key.
    pub known: u64,
    /// Lines that cannot be imported.
    pub bad: u64,
    /// The first of them.
    pub faults: Vec<Fault>,
    /// Columns of the file that were passed over.
    pub ignored_columns: Vec<String>,
    /// Metrics of these orgs that were counted.
    pub counted: u64,
    /// Metrics of these orgs that are not counted yet: they have no open period, are parked, or
    /// their rows are locked.
    pub uncounted: u64,
    /// Orgs that were parked, because what they hold cannot be counted.
    pub parked: Vec<Parked>,
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// So many bytes were checked.
    Checked(u64),
    /// So many bytes were imported.
    Imported(u64),
    /// So many metrics were counted.
    Counted(u64),
}

/// Who is told how far an import is, after every batch.
pub type Observer = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The heading is not what it should be.
    #[error("{0}")]
    Heading(String),
    /// The lines were imported, and could not be counted.
    #[error(
        "{imported} lines were imported, but their counters were not synced: {why}; sync them: {}",
        Command::periodd(["sync"])
    )]
    Counting {
        /// How many.
        imported: u64,
        /// Why.
        why: sync::Error,
    },
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Imports a file. With bad lines in it, and without `skip_bad`, nothing is written.
///
/// # Errors
/// [`Error`]. Bad lines are none: they are in the report.
pub async fn run(
    database: &Database,
    request: &Request,
    observer: Observer,
) -> Result<UsageImportReport, Error> {
    let mut connection = database.connection().await?;
    let names = Names::new(request.tz.clone(), rows::features(&mut connection).await?);
    let mut import =
        Import { request, names, report: UsageImportReport::default(), bad: Vec::new() };
    if !import.check(&mut connection, &observer).await? {
        return Ok(import.report);
    }
    if request.dry_run || (import.report.bad > 0 && !request.skip_bad) {
        return Ok(import.report);
    }
    let orgs = import.write(&mut connection, &observer).await?;
    drop(connection);
    if !request.stop.is_set() {
        import.count(database, orgs, observer).await?;
    }
    Ok(import.report)
}

struct Import<'a> {
    request: &'a Request,
    names: Names,
    report: UsageImportReport,
    /// The numbers of bad lines, in order.
    bad: Vec<u64>,
}

impl<'a> Import<'a> {
    /// Checks every line; false where it was asked to stop.
    async fn check(
        &mut self,
        connection: &mut Connection,
        observer: &Observer,
    ) -> Result<bool, Error> {
        let mut lines = self.lines()?;
        lines.ignored().clone_into(&mut self.report.ignored_columns);
        let mut seen = Seen::default();
        let mut read = Vec::with_capacity(BATCH);
        while lines.fill(&mut read, BATCH).map_err(|why| self.unreadable(&why))? {
            if self.request.stop.is_set() {
                return Ok(false);
            }
            let named: Vec<_> = read.iter().filter_map(Line::named).collect();
            self.names.learn(connection, &named).await?;
            self.report.lines += read.len() as u64;
            let (mut good, mut faults) = (Vec::with_capacity(read.len()), Vec::new());
            for line in &read {
                match self.read(line, &mut seen) {
                    Ok(keyed) => good.push(keyed),
                    Err(why) => faults.push(Fault { line: line.number(), why }),
                }
            }
            faults.extend(reused(connection, &good).await?);
            faults.sort_by_key(|fault| fault.line);
            self.note(faults);
            observer(Progress::Checked(self.position()));
        }
        Ok(true)
    }

    /// Writes every good line, and returns the orgs that they are of.
    async fn write(
        &mut self,
        connection: &mut Connection,
        observer: &Observer,
    ) -> Result<BTreeSet<Uuid>, Error> {
        let mut from = &self.request.opened;
        from.seek(SeekFrom::Start(0)).map_err(|why| self.unreadable(&why))?;
        let mut lines = self.lines()?;
        let (mut orgs, mut seen) = (BTreeSet::new(), Seen::default());
        let mut read = Vec::with_capacity(BATCH);
        while lines.fill(&mut read, BATCH).map_err(|why| self.unreadable(&why))? {
            if self.request.stop.is_set() {
                break;
            }
            let good = read.iter().filter(|line| self.bad.binary_search(&line.number()).is_err());
            let good: Vec<Keyed> =
                good.filter_map(|line| self.read(line, &mut seen).ok()).collect();
            let usage: Vec<NewUsage> = good.iter().map(|keyed| keyed.usage.clone()).collect();
            let verdicts = batch::record(connection, &usage, TERMS).await?;
            let mut faults = Vec::new();
            for (Keyed { line, .. }, verdict) in good.iter().zip(verdicts) {
                match verdict {
                    Verdict::Recorded { is_counted } => {
                        self.report.imported += 1;
                        self.report.counted += u64::from(is_counted);
                    }
                    Verdict::Duplicate => self.report.known += 1,
                    // Somebody used its key, say, since it was checked.
                    Verdict::Refused { sentence, .. } => {
                        faults.push(Fault { line: *line, why: sentence });
                    }
                }
            }
            self.note(faults);
            orgs.extend(usage.iter().map(|usage| usage.org));
            observer(Progress::Imported(self.position()));
        }
        Ok(orgs)
    }

    /// Counts what was imported, and whatever else is not counted yet of these orgs.
    async fn count(
        &mut self,
        database: &Database,
        orgs: BTreeSet<Uuid>,
        observer: Observer,
    ) -> Result<(), Error> {
        let orgs: Vec<Uuid> = orgs.into_iter().collect();
        let scope = Scope::Orgs(orgs.clone());
        let request = sync::Request { scope, ..self.request.sync.clone() };
        let told: sync::Observer =
            Arc::new(move |report| observer(Progress::Counted(report.metrics_counted)));
        let imported = self.report.imported;
        let counted = sync::count(database, &request, told).await;
        let counted = counted.map_err(|why| Error::Counting { imported, why })?;
        self.report.counted += counted.metrics_counted;
        self.report.parked = counted.parked;
        let mut connection = database.connection().await?;
        self.report.uncounted = rows::uncounted(&mut connection, &orgs).await?;
        Ok(())
    }

    fn read(&self, line: &Line, seen: &mut Seen) -> Result<Keyed, String> {
        let Request { now, takes_negative, .. } = *self.request;
        let said = line.said(&self.names, Rules { now, takes_negative })?;
        seen.keyed(said, line.number())
    }

    fn note(&mut self, faults: Vec<Fault>) {
        self.report.bad += faults.len() as u64;
        self.bad.extend(faults.iter().map(|fault| fault.line));
        let room = FAULTS_TOLD.saturating_sub(self.report.faults.len());
        self.report.faults.extend(faults.into_iter().take(room));
    }

    fn lines(&self) -> Result<Lines<&'a File>, Error> {
        let request = self.request;
        let file = request.file.display();
        Lines::of(&request.opened, &request.naming).map_err(|why| match why {
            lines::Unusable::Io(why) => self.unreadable(&why),
            lines::Unusable::Heading(why) => Error::Heading(format!("{file}: {why}")),
        })
    }

    /// How many bytes of the file have been read.
    fn position(&self) -> u64 {
        let mut file = &self.request.opened;
        file.stream_position().unwrap_or_default()
    }

    fn unreadable(&self, why: &io::Error) -> Error {
        unreadable(&self.request.file, why)
    }
}

/// Lines that name a key that was used before, for something else.
async fn reused(connection: &mut Connection, good: &[Keyed]) -> Result<Vec<Fault>, StoreError> {
    let named: Vec<&Keyed> = good.iter().filter(|keyed| keyed.is_named).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let (orgs, keys): (Vec<Uuid>, Vec<&str>) =
        named.iter().copied().filter_map(lines::place_of).unzip();
    let mut faults = Vec::new();
    for (place, before) in rows::keyed(connection, &orgs, &keys).await? {
        let (Some(Keyed { line, usage, .. }), Some(key)) = (named.get(place), keys.get(place))
        else {
            continue;
        };
        let rows::Keyed { feature, quantity, user, recorded_at } = before;
        if (&feature, quantity, user) == (&usage.feature, usage.quantity, usage.user) {
            continue;
        }
        let other = if user == usage.user { "" } else { " by another user" };
        let why = format!(
            "the key `{key}` was used before for {quantity} {feature}{other}, recorded at \
             {recorded_at}"
        );
        faults.push(Fault { line: *line, why });
    }
    // A key that was used twice, after retention had removed its metric, is one fault.
    faults.sort_by_key(|fault| fault.line);
    faults.dedup_by_key(|fault| fault.line);
    Ok(faults)
}

/// The name of the standard input, where a file is asked for.
const STANDARD_INPUT: &str = "-";

/// Opens a file that is to be imported. What comes from the standard input is kept in a file
/// without a name until it has been read twice.
pub fn open(file: &Path) -> Result<File, Error> {
    let opened = if file == Path::new(STANDARD_INPUT) { spooled() } else { regular(file) };
    opened.map_err(|why| unreadable(file, &why))
}

fn regular(file: &Path) -> io::Result<File> {
    files::open_regular(file).map_err(|why| match file.metadata() {
        Ok(kind) if !kind.is_file() && !kind.is_dir() => {
            io::Error::other(format!("{why}; to read from a pipe, give `-` as the file"))
        }
        _ => why,
    })
}

fn spooled() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn unreadable(file: &Path, why: &io::Error) -> Error {
    Error::File { file: file.to_owned(), why: why.to_string() }
}
