//! `periodd users`: the people who use what an org pays for.

use uuid::Uuid;

use super::output::{Cell, Format, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::address;
use crate::store::orgs;
use crate::store::orgs::users::{self, UserRow};

pub(super) mod erase;
pub(super) mod limits;

const NOTES: &str = "Examples:
  periodd users add --org acme ann@acme.example
  periodd users list --org acme";

/// What `periodd users` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List users
    #[command(after_help = "Examples:\n  periodd users list --org acme")]
    List {
        /// Only users of this org (slug or id)
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Maximum number to show [default: 100 in a table, otherwise all]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Add a user to an org
    #[command(after_help = "Examples:\n  periodd users add --org acme ann@acme.example")]
    Add {
        /// Slug or id
        #[arg(long, value_name = "ORG")]
        org: String,
        /// Where the user is reached
        #[arg(value_name = "EMAIL")]
        email: String,
        /// The user's id in your application [default: random]
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// Set and list limits of users, at which they are warned
    Limits(limits::Args),
    /// Erase a person: account, contacts and emails
    Erase(erase::Args),
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        match &self.command {
            Command::List { .. } => true,
            Command::Limits(args) => args.answers_with_a_list(),
            Command::Add { .. } | Command::Erase(_) => false,
        }
    }
}

/// Users that a table shows at most, unless a number is asked for.
const SHOWN: u32 = 100;

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::List { org, limit } => list(session, org.as_deref(), *limit).await,
        Command::Add { org, email, id } => add(session, org, email, *id).await,
        Command::Limits(args) => limits::run(session, args).await,
        Command::Erase(args) => erase::run(session, args).await,
    })
}

async fn list(session: &Session, org: Option<&str>, limit: Option<u32>) -> Result<Exit, Failure> {
    let org = match org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let shown = (session.screen.format() == Format::Table).then_some(SHOWN);
    let limit = limit.or(shown);
    let mut connection = session.database.connection().await?;
    let found = users::list(&mut connection, org, limit.map(i64::from)).await?;
    if limit.is_some_and(|limit| found.len() >= usize::try_from(limit).unwrap_or(usize::MAX)) {
        session.screen.note("there may be more: show them with a larger --limit");
    }
    session.screen.show(&List(found))?;
    Ok(Exit::Done)
}

async fn add(session: &Session, org: &str, email: &str, id: Option<Uuid>) -> Result<Exit, Failure> {
    address::check(email).map_err(Failure::usage)?;
    let org = orgs::find(&session.database, org).await?;
    let id = id.unwrap_or_else(Uuid::new_v4);
    let mut connection = session.database.connection().await?;
    let known = users::list(&mut connection, Some(org), None).await?;
    if let Some(user) = known.iter().find(|user| user.email.eq_ignore_ascii_case(email)) {
        return Err(Failure::usage(format!("{email} is a user of that org already: {}", user.id)));
    }
    if users::add(&mut connection, org, id, email).await?.is_none() {
        return Err(Failure::usage(format!("the id {id} is already in use")));
    }
    let added = users::list(&mut connection, Some(org), None).await?;
    session.screen.show(&List(added.into_iter().filter(|user| user.id == id).collect()))?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List(Vec<UserRow>);

impl Output for List {
    fn page(&self) -> Page {
        if self.0.is_empty() {
            return Page::new().line("no users");
        }
        let mut table = Table::new(["id", "org", "email", "plan", "status", "scrapes"]);
        for user in &self.0 {
            table.row([
                Cell::whole(user.id),
                Cell::text(&user.org),
                Cell::text(&user.email),
                Cell::text(user.plan.as_deref().unwrap_or_default()),
                Cell::text(user.subscription_status.as_deref().unwrap_or_default()),
                Cell::number(user.usage_this_month),
            ]);
        }
        table.into()
    }
}
