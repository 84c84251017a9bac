//! `periodd events`: the event table, in the order of its cursors.

use super::output::{Cell, Format, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::times::Times;
use super::{Exit, Failure, Global};
use crate::billing::events::Kind;
use crate::config::webhooks::EventKind;
use crate::jobs::events::{Asked, Error, EventsPage, PAGE, read};
use crate::store::orgs;

const NOTES: &str = "\
Events are written where [events] enabled is set. What is listed is final: no event comes later with
a cursor before `next`. Programs read the same by GET /api/v1/events.

Examples:
  periodd events list
  periodd events list --after 1042 --kind period.closed --format json";

/// What `periodd events` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List events in their order
    #[command(after_help = NOTES)]
    List(List),
}

#[derive(clap::Args, Debug)]
struct List {
    /// Only events after this cursor
    #[arg(long, value_name = "CURSOR", default_value_t = 0,
          value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// Only events of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<EventKind>,
    /// Only this org (slug or id)
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Maximum number to show
    #[arg(long, value_name = "N", default_value_t = PAGE,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
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
    let kinds: Vec<Kind> = args.kinds.iter().map(|kind| kind.0).collect();
    let asked = Asked { after: args.after, org, kinds, limit: args.limit };
    let mut connection = session.database.connection().await?;
    let found = match read(&mut connection, &asked).await {
        Ok(found) => found,
        Err(error @ Error::Cursor { .. }) => return Err(Failure::usage(error)),
        Err(Error::Store(error)) => return Err(error.into()),
    };
    if found.has_more && session.screen.format() != Format::Json {
        session.screen.note(&format!("there are more: show them with --after {}", found.next));
    }
    session.screen.show(&Answer { found, times: session.times().await? })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Answer {
    found: EventsPage,
    #[serde(skip)]
    times: Times,
}

impl Output for Answer {
    fn page(&self) -> Page {
        if self.found.events.is_empty() {
            return Page::new().line(format!("no events; next cursor: {}", self.found.next));
        }
        let times = self.times.utc();
        let mut table = Table::new(["cursor", "at", "kind", "data"]);
        for event in &self.found.events {
            table.row([
                Cell::number(event.cursor),
                Cell::whole(times.at(event.timestamp)),
                Cell::text(&event.kind),
                Cell::text(event.data.get()),
            ]);
        }
        table.into()
    }
}
