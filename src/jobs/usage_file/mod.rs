//! Importing usage from a file: read all of it first, then write it batch by batch.
//!
//! The file is read twice. The first time every line is checked, and nothing is written as long as
//! one of them is bad. The second time the lines become metrics, thousands at a time. Every metric
//! has an idempotency key, its own or one made of the file's digest and the line, so that an import
//! may be interrupted and repeated: what is there already is passed over.

mod lines;
mod names;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::billing::Instant;
use crate::jobs::stop::Stop;
use crate::store::usage::NewUsage;
use crate::store::{Database, StoreError, usage_file as rows};
use lines::{Digested, Lines};
use names::Names;

/// Lines that are looked up and written together.
const BATCH: usize = 10_000;
/// Bad lines that are told one by one.
const FAULTS_TOLD: usize = 20;

/// An import that was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file.
    pub file: PathBuf,
    /// Pass over bad lines instead of refusing the file.
    pub skip_bad: bool,
    /// Check only.
    pub dry_run: bool,
    /// Business time: nothing is used after it.
    pub now: Instant,
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
pub struct Report {
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
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// So many bytes were checked.
    Checked(u64),
    /// So many bytes were imported.
    Imported(u64),
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
) -> Result<Report, Error> {
    let mut connection = database.connection().await?;
    let mut names = Names::new(rows::features(&mut connection).await?);
    let mut report = Report::default();

    let mut lines = open(&request.file)?;
    let mut batch = Vec::with_capacity(BATCH);
    while lines.fill(&mut batch, BATCH).map_err(|why| unreadable(&request.file, &why))? {
        if request.stop.is_set() {
            return Ok(report);
        }
        names.learn(&mut connection, &batch).await?;
        for line in &batch {
            report.lines += 1;
            if let Err(why) = line.usage(&names, request.now, "") {
                report.bad += 1;
                if report.faults.len() < FAULTS_TOLD {
                    report.faults.push(Fault { line: line.number(), why });
                }
            }
        }
        observer(Progress::Checked(lines.position()));
    }
    let digest = lines.digest();
    if request.dry_run || (report.bad > 0 && !request.skip_bad) {
        return Ok(report);
    }

    let mut lines = open(&request.file)?;
    while lines.fill(&mut batch, BATCH).map_err(|why| unreadable(&request.file, &why))? {
        if request.stop.is_set() {
            break;
        }
        let usage = batch.iter().filter_map(|line| line.usage(&names, request.now, &digest).ok());
        let usage: Vec<NewUsage> = usage.collect();
        let new = rows::write(&mut connection, &usage).await?;
        report.imported += new;
        report.known += usage.len() as u64 - new;
        observer(Progress::Imported(lines.position()));
    }
    Ok(report)
}

fn open(file: &Path) -> Result<Lines<Digested<File>>, Error> {
    let opened = File::open(file).map_err(|why| unreadable(file, &why))?;
    // A directory can be opened and says only then that it cannot be read.
    Lines::of(Digested::new(opened)).map_err(|why| match why {
        lines::Unusable::Io(why) => unreadable(file, &why),
        lines::Unusable::Heading(why) => Error::Heading(format!("{}: {why}", file.display())),
    })
}

fn unreadable(file: &Path, why: &impl ToString) -> Error {
    Error::File { file: file.to_owned(), why: why.to_string() }
}
