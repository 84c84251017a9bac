//! `periodd drift`: what audits found wrong and repaired.

use super::output::{Cell, Format, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::times::Times;
use super::{Exit, Failure, Global};
use crate::billing::When;
use crate::store::audit::drift::{self, Line};
use crate::store::orgs;

const NOTES: &str = "\
The log of `sync --full` and `sync --org`: each counter and each stored copy that was found wrong,
with its value before and after.

Examples:
  periodd drift list --since yesterday
  periodd drift list --org acme --format csv";

/// What `periodd drift` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List repaired values, newest first
    #[command(after_help = NOTES)]
    List(List),
}

#[derive(clap::Args, Debug)]
struct List {
    /// Only this org (slug or id)
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only this feature
    #[arg(long, value_name = "F")]
    feature: Option<String>,
    /// Only values found since T (dates in UTC)
    #[arg(long, value_name = "T")]
    since: Option<When>,
    /// Maximum number to show
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let Command::List(args) = &args.command;
    with_session(global, Schema::Current, async |session| list(session, args).await)
}

async fn list(session: &Session, args: &List) -> Result<Exit, Failure> {
    let org = match &args.org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let since = match args.since {
        Some(when) => Some(session.instant_in(when, "UTC").await?),
        None => None,
    };
    let feature = args.feature.as_ref().map(|feature| feature.to_lowercase());
    let filter = drift::Filter { org, feature, since };
    let lines = drift::list(&session.database, &filter, i64::from(args.limit)).await?;
    let is_cut = lines.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX);
    if is_cut && session.screen.format() != Format::Json {
        session.screen.note("there may be more: show them with a larger --limit");
    }
    session.screen.show(&Answer { lines, times: session.times().await? })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Answer {
    lines: Vec<Line>,
    #[serde(skip)]
    times: Times,
}

impl Output for Answer {
    fn page(&self) -> Page {
        if self.lines.is_empty() {
            return Page::new().line("no drift");
        }
        let headings = ["found", "org", "feature", "period", "where", "before", "after", "because"];
        let mut table = Table::new(headings);
        for line in &self.lines {
            let times = self.times.local(&line.time_zone);
            let before = line.before.map_or_else(|| "nothing".to_owned(), |held| held.to_string());
            table.row([
                Cell::whole(times.at(line.found_at)),
                Cell::text(&line.org),
                Cell::text(&line.feature),
                Cell::whole(times.at(line.period_start)),
                Cell::text(&line.place),
                Cell::number(before),
                Cell::number(line.after),
                Cell::text(&line.reason),
            ]);
        }
        table.into()
    }
}
