//! `periodd runs`: what ran, and what was left out.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use uuid::Uuid;

use super::output::{Cell, Format, Output, Page, Screen, Table, Tone};
use super::session::{Schema, Session, with_session};
use super::times::Local;
use super::watch::Watch;
use super::{Exit, Failure, Global};
use crate::billing::when::millis;
use crate::billing::{Instant, When};
use crate::command::Command as Proposed;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::{RunCounts, did};
use crate::store::orgs;
use crate::store::rollover::snapshot::slugs;
use crate::store::runs::{self, Filter, Outcome, Run};

const NOTES: &str = "Examples:
  periodd runs list --job rollover
  periodd runs list --failed --since '2h ago'
  periodd runs show 812";

/// Rows that are read at a time, and at most, to find as many as are shown.
const PAGE: i64 = 500;
const LOOKED_AT: usize = 10_000;

/// What `periodd runs` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List runs and skipped occurrences, newest first
    List(ListArgs),
    /// Show one run in full
    #[command(after_help = "Examples:\n  periodd runs show 812")]
    Show {
        /// Run number
        #[arg(value_name = "RUN")]
        run: i64,
    },
}

const LIST_NOTES: &str = "\
Consecutive runs that had nothing to do are shown as one line, unless --all is given. With
--format json or csv every run is listed.

Examples:
  periodd runs list --job rollover
  periodd runs list --failed --since yesterday
  periodd runs list --org acme
  periodd runs list --watch";

#[derive(clap::Args, Debug)]
#[command(after_help = LIST_NOTES)]
struct ListArgs {
    /// Only runs of this job
    #[arg(long, value_name = "JOB", value_parser = jobs())]
    job: Option<Job>,
    /// Only runs with this outcome
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes())]
    outcome: Option<Outcome>,
    /// Only failed runs
    #[arg(long, conflicts_with = "outcome")]
    failed: bool,
    /// Only runs about this org alone (slug or id)
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only runs since T (dates in UTC)
    #[arg(long, value_name = "T")]
    since: Option<When>,
    /// Show every run, also those that had nothing to do
    #[arg(long)]
    all: bool,
    /// Maximum number to show
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    watch: Watch,
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List(_))
    }
}

/// The jobs as arguments: a misspelt one is answered with the names that there are.
pub(super) fn jobs() -> impl TypedValueParser<Value = Job> {
    PossibleValuesParser::new(Job::ALL.into_iter().map(Job::name)).try_map(|name| name.parse())
}

fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let named = |name: String| Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    let names = PossibleValuesParser::new(Outcome::ALL.map(Outcome::name));
    names.try_map(move |name| named(name).ok_or("there is no outcome of this name"))
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::List(args) => {
            args.watch.repeat(session, async |screen| list(session, args, screen).await).await
        }
        Command::Show { run } => show(session, *run).await,
    })
}

async fn list(session: &Session, args: &ListArgs, screen: &Screen) -> Result<Exit, Failure> {
    let since = match args.since {
        Some(when) => Some(session.instant_in(when, "UTC").await?),
        None => None,
    };
    let outcome = if args.failed { Some(Outcome::Failed) } else { args.outcome };
    let job = args.job.map(|job| job.name().to_owned());
    let org = match &args.org {
        Some(named) => Some(orgs::find(&session.database, named).await?),
        None => None,
    };
    let mut filter = Filter { job, outcome, org, since, ..Filter::default() };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let folds = !args.all && screen.format() == Format::Table;
    let mut connection = session.database.connection().await?;
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let page = if folds { PAGE } else { i64::from(args.limit) };
        let more = runs::list(&mut connection, &filter, page).await?;
        let is_last = more.len() < usize::try_from(page).unwrap_or(usize::MAX);
        filter.before = more.last().map(|run| run.id);
        runs.extend(more);
        // One line more than asked for: the last one may go on.
        if !folds || is_last || runs.len() >= LOOKED_AT || fold(&runs).len() > limit {
            break;
        }
    }
    if folds {
        let kept: usize = fold(&runs).into_iter().take(limit).map(<[Run]>::len).sum();
        runs.truncate(kept);
    }
    drop(connection);
    screen.show(&List { runs, folds, times: session.times().await?.utc() })?;
    Ok(Exit::Done)
}

async fn show(session: &Session, run: i64) -> Result<Exit, Failure> {
    let filter = Filter { id: Some(run), ..Filter::default() };
    let mut connection = session.database.connection().await?;
    let found = runs::list(&mut connection, &filter, 1).await?.pop();
    let Some(found) = found else {
        let list = Proposed::periodd(["runs", "list"]);
        return Err(Failure::usage(format!("no run {run}; `{list}` shows the newest")));
    };
    let of: Vec<Uuid> = found.org_id.into_iter().collect();
    let org = slugs(&mut connection, &of).await?.into_values().next();
    drop(connection);
    session.screen.show(&One { run: found, org, times: session.times().await?.utc() })?;
    Ok(Exit::Done)
}

/// The runs in lines: each for itself, and those that had nothing to do together with their
/// neighbours.
fn fold(runs: &[Run]) -> Vec<&[Run]> {
    runs.chunk_by(|one, next| is_quiet(one) && is_quiet(next)).collect()
}

/// Has it ended well, without anything to do?
fn is_quiet(run: &Run) -> bool {
    run.outcome == Outcome::Done
        && run.error.is_none()
        && RunCounts::of(run).is_some_and(|counts| counts.words().is_empty())
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List {
    runs: Vec<Run>,
    /// Are runs that had nothing to do one line?
    #[serde(skip)]
    folds: bool,
    #[serde(skip)]
    times: Local,
}

impl Output for List {
    fn page(&self) -> Page {
        if self.runs.is_empty() {
            return Page::new().line("no runs");
        }
        let mut table = Table::new(["run", "job", "began", "", "took", "outcome", "what"]);
        let lines = if self.folds { fold(&self.runs) } else { self.runs.chunks(1).collect() };
        for line in lines {
            match line {
                [run] => {
                    let at = run.began();
                    let ago = at.map_or_else(String::new, |at| self.times.relative(at));
                    table.row([
                        Cell::number(run.id),
                        Cell::text(&run.job),
                        Cell::whole(at.map_or_else(String::new, |at| self.times.at(at))),
                        Cell::text(ago).tone(Tone::Faint),
                        Cell::number(run.took_ms().map_or_else(String::new, millis)),
                        outcome(run),
                        Cell::text(what(run)),
                    ]);
                }
                [newest, .., oldest] => {
                    let at = oldest.began();
                    let ago = at.map_or_else(String::new, |at| self.times.relative(at));
                    let faint = |text: String| Cell::text(text).tone(Tone::Faint);
                    table.row([
                        Cell::number(newest.id).tone(Tone::Faint),
                        faint(same(line.iter().map(|run| &run.job)).to_owned()),
                        Cell::whole(at.map_or_else(String::new, |at| self.times.at(at)))
                            .tone(Tone::Faint),
                        faint(ago),
                        Cell::number(""),
                        faint(Outcome::Done.name().to_owned()),
                        faint(format!("{} runs with nothing to do", line.len())),
                    ]);
                }
                [] => {}
            }
        }
        table.into()
    }
}

/// The name, where all are the same.
fn same<'a>(mut names: impl Iterator<Item = &'a String>) -> &'a str {
    let first = names.next().map_or("", String::as_str);
    if names.all(|name| name == first) { first } else { "several" }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct One {
    run: Run,
    /// Slug of its only org.
    #[serde(skip)]
    org: Option<String>,
    #[serde(skip)]
    times: Local,
}

impl Output for One {
    fn page(&self) -> Page {
        let run = &self.run;
        let mut lines =
            vec![("job", run.job.clone()), ("started by", run.trigger.words().to_owned())];
        let mut add = |name, text: Option<String>| {
            lines.extend(text.map(|text| (name, text)));
        };
        let beside = |at: Instant| self.times.beside(at);
        add("org", self.org.clone());
        add("due", self.due());
        add("began", run.started_at.map(beside));
        add("late", run.lateness_ms.map(millis));
        add("ended", run.finished_at.map(beside));
        add("took", run.took_ms().map(millis));
        add("outcome", Some(run.outcome_in_words()));
        add("by", Some(run.replica.clone()));
        add("asked by", run.asked_by.clone());
        add("attempts", (run.attempts > 1).then(|| run.attempts.to_string()));
        add("did", did(run));
        add("because", run.error.clone());
        let mut page = Page::new().line(Cell::text(format!("run {}", run.id)).tone(Tone::Title));
        for (name, text) in lines {
            page = page.line(format!("{name:<10} {text}"));
        }
        page
    }
}

impl One {
    /// When it was due; nothing for a command.
    fn due(&self) -> Option<String> {
        let first = self.times.at(self.run.occurrence?);
        let last = self.run.last_occurrence.map(|last| self.times.at(last));
        Some(last.map_or_else(|| first.clone(), |last| format!("{first} to {last}")))
    }
}

fn outcome(run: &Run) -> Cell {
    let tone = match run.outcome {
        Outcome::Done => Tone::Good,
        Outcome::Failed => Tone::Bad,
        Outcome::Running => Tone::Plain,
        Outcome::Skipped => Tone::Faint,
    };
    Cell::text(run.outcome_in_words()).tone(tone)
}

fn what(run: &Run) -> String {
    run.error.clone().or_else(|| did(run)).unwrap_or_default()
}
