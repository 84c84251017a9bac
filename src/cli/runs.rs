//! `periodd runs`: what ran, and what was left out.

use clap::builder::PossibleValuesParser;

use super::output::{Cell, Output, Page, Table, Tone};
use super::session::{Schema, with_session};
use super::{Exit, Failure, Global};
use crate::daemon::work::Job;
use crate::store::runs::{self, Filter, Run};

const NOTES: &str = "Examples:
  periodd runs list --job rollover
  periodd runs list --outcome failed
  periodd runs show 812";

/// What `periodd runs` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List runs and skipped occurrences, the newest first
    #[command(after_help = "Examples:\n\
        \x20 periodd runs list --job rollover\n\
        \x20 periodd runs list --outcome failed --limit 5")]
    List {
        /// Only those of this job
        #[arg(long, value_name = "JOB", value_parser = jobs())]
        job: Option<String>,
        /// Only those with this outcome
        #[arg(long, value_name = "OUTCOME",
              value_parser = PossibleValuesParser::new(["running", "done", "failed", "skipped"]))]
        outcome: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one of them in full
    #[command(after_help = "Examples:\n  periodd runs show 812")]
    Show {
        /// Its number
        #[arg(value_name = "RUN")]
        run: i64,
    },
}

/// The jobs as arguments: a misspelt one is answered with the names that there are.
pub(super) fn jobs() -> PossibleValuesParser {
    PossibleValuesParser::new(Job::ALL.into_iter().map(Job::name))
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let mut connection = session.database.connection().await?;
        match &args.command {
            Command::List { job, outcome, limit } => {
                let filter = Filter { job: job.clone(), outcome: outcome.clone(), id: None };
                let runs = runs::list(&mut connection, &filter, i64::from(*limit)).await?;
                session.screen.show(&List(runs))?;
            }
            Command::Show { run } => {
                let filter = Filter { id: Some(*run), ..Filter::default() };
                let found = runs::list(&mut connection, &filter, 1).await?.pop();
                let Some(found) = found else {
                    return Err(Failure::usage(format!(
                        "there is no run {run}; `periodd runs list` shows the newest"
                    )));
                };
                session.screen.show(&One(found))?;
            }
        }
        Ok(Exit::Done)
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List(Vec<Run>);

impl Output for List {
    fn page(&self) -> Page {
        if self.0.is_empty() {
            return Page::new().line("nothing has run");
        }
        let mut table = Table::new(["run", "job", "due", "late", "took", "outcome", "what"]);
        for run in &self.0 {
            table.row([
                Cell::number(run.id),
                Cell::text(&run.job),
                Cell::text(due(run)),
                Cell::number(run.lateness_ms.map_or_else(String::new, millis)),
                Cell::number(took(run).map_or_else(String::new, millis)),
                outcome(run),
                Cell::text(what(run)),
            ]);
        }
        table.into()
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct One(Run);

impl Output for One {
    fn page(&self) -> Page {
        let run = &self.0;
        let mut lines = vec![
            ("job", run.job.clone()),
            ("trigger", run.trigger.clone()),
            ("due", due(run)),
            ("outcome", outcome_text(run)),
        ];
        let mut add = |name, text: Option<String>| {
            lines.extend(text.map(|text| (name, text)));
        };
        add("began", run.started_at.map(|at| at.to_string()));
        add("late", run.lateness_ms.map(millis));
        add("ended", run.finished_at.map(|at| at.to_string()));
        add("took", took(run).map(millis));
        add("by", Some(run.replica.clone()));
        add("attempts", (run.attempts > 1).then(|| run.attempts.to_string()));
        add("counts", run.counts.as_deref().map(counts));
        add("because", run.error.clone());
        let mut page = Page::new().line(Cell::text(format!("run {}", run.id)).tone(Tone::Title));
        for (name, text) in lines {
            page = page.line(format!("{name:<9} {text}"));
        }
        page
    }
}

/// When it was due: by whom, for a command.
fn due(run: &Run) -> String {
    match (run.occurrence, run.last_occurrence) {
        (None, _) => "by command".to_owned(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (Some(at), None) if run.trigger == "boundary" => format!("{at} (boundary)"),
        (Some(at), None) => at.to_string(),
    }
}

fn took(run: &Run) -> Option<i64> {
    let took = run.finished_at?.since(run.started_at?);
    i64::try_from(took.as_millis()).ok()
}

/// Milliseconds as people read them: `93 ms`, `4.2 s`, `3 min 20 s`.
fn millis(millis: i64) -> String {
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

fn outcome_text(run: &Run) -> String {
    match &run.reason {
        Some(reason) if run.occurrences > 1 => {
            format!("skipped: {reason} ({} occurrences)", run.occurrences)
        }
        Some(reason) => format!("skipped: {reason}"),
        None => run.outcome.clone(),
    }
}

fn outcome(run: &Run) -> Cell {
    let tone = match run.outcome.as_str() {
        "done" => Tone::Good,
        "failed" => Tone::Bad,
        "running" => Tone::Plain,
        _ => Tone::Faint,
    };
    Cell::text(outcome_text(run)).tone(tone)
}

fn what(run: &Run) -> String {
    let counts = run.counts.as_deref().map(counts);
    run.error.clone().or(counts).unwrap_or_default()
}

/// The counts that are not zero: `orgs 412, periods closed 412`.
fn counts(json: &str) -> String {
    let counts: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).unwrap_or_default();
    let zero = serde_json::Value::from(0);
    let some = counts.iter().filter(|(_, count)| **count != zero);
    let some: Vec<_> =
        some.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect();
    if some.is_empty() { "nothing to do".to_owned() } else { some.join(", ") }
}
