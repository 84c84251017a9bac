//! `periodd users limits`: what single users are warned by.

use std::collections::BTreeMap;
use std::str::FromStr;

use uuid::Uuid;

use super::super::output::{Cell, Format, Output, Page, Table};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::Quantity;
use crate::command::Command as Proposed;
use crate::jobs::limits::{self, OfUser};
use crate::store::orgs;
use crate::store::orgs::user_limits::{self, Member, OwnLimit};

const NOTES: &str = "\
A user is warned by email at the thresholds of [notices.user_limit]. Nothing is refused by these
limits: increments go by the org's limits alone.

Examples:
  periodd users limits --org acme
  periodd users limits ann@acme.example --set scrapes=500
  periodd users limits ann@acme.example --remove scrapes";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// Address or id of a user [default: all users with limits]
    #[arg(value_name = "EMAIL|ID")]
    who: Option<String>,
    /// The user's org (slug or id)
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Limit per period; may be repeated
    #[arg(long, value_name = "FEATURE=QUANTITY", requires = "who")]
    set: Vec<Limit>,
    /// Feature whose limit is removed; may be repeated
    #[arg(long, value_name = "FEATURE", requires = "who")]
    remove: Vec<String>,
    /// Maximum number to show [default: 100 in a table, otherwise all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// `FEATURE=QUANTITY`.
#[derive(Debug, Clone)]
struct Limit(String, Quantity);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let missing = || format!("invalid `{text}`; write FEATURE=QUANTITY, such as scrapes=500");
        let (feature, quantity) = text.split_once('=').ok_or_else(missing)?;
        let quantity: Quantity =
            quantity.parse().map_err(|why| format!("invalid `{text}`: {why}"))?;
        if quantity.is_negative() {
            return Err(format!("the limit {quantity} must not be negative"));
        }
        Ok(Self(feature.to_lowercase(), quantity))
    }
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let org = match &args.org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let member = match &args.who {
        Some(who) => Some(find(session, who, org).await?),
        None => None,
    };
    if let Some(member) = member.filter(|_| !args.answers_with_a_list()) {
        let set: BTreeMap<String, Quantity> =
            args.set.iter().map(|Limit(feature, quantity)| (feature.clone(), *quantity)).collect();
        let removed = args.remove.iter().map(|feature| feature.to_lowercase()).collect();
        let change = OfUser { member, set: set.into_iter().collect(), removed };
        limits::change_of_user(&session.database, &change).await?;
    }
    let shown = (session.screen.format() == Format::Table).then_some(super::SHOWN);
    let limit = args.limit.or(shown);
    let (org, user) = match member {
        Some(Member { org, user }) => (Some(org), Some(user)),
        None => (org, None),
    };
    let mut connection = session.database.connection().await?;
    let found = user_limits::list(&mut connection, org, user, limit.map(i64::from)).await?;
    if limit.is_some_and(|limit| found.len() >= usize::try_from(limit).unwrap_or(usize::MAX)) {
        session.screen.note("there may be more: show them with a larger --limit");
    }
    session.screen.show(&Answer(found))?;
    Ok(Exit::Done)
}

async fn find(session: &Session, who: &str, org: Option<Uuid>) -> Result<Member, Failure> {
    let id = who.parse::<Uuid>().ok();
    let mut connection = session.database.connection().await?;
    let found = user_limits::members(&mut connection, who, id, org).await?;
    match &found[..] {
        [one] => Ok(*one),
        [] if org.is_some() => Err(Failure::usage(format!("{who} is not a user of that org"))),
        [] => {
            let list = Proposed::periodd(["users", "list"]);
            Err(Failure::usage(format!("unknown user `{who}`; `{list}` shows all")))
        }
        _ => Err(Failure::usage(format!(
            "`{who}` names several users; choose one with --org or by its id"
        ))),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(in crate::cli) struct Answer(Vec<OwnLimit>);

impl Output for Answer {
    fn page(&self) -> Page {
        if self.0.is_empty() {
            return Page::new().line("no limits of users");
        }
        table(&self.0).into()
    }
}

/// Limits of users, with what these have used.
pub(in crate::cli) fn table(limits: &[OwnLimit]) -> Table {
    let mut table = Table::new(["org", "user", "feature", "used", "of"]);
    for limit in limits {
        table.row([
            Cell::text(&limit.org),
            Cell::text(&limit.email),
            Cell::text(&limit.feature),
            Cell::number(limit.used),
            Cell::number(limit.included),
        ]);
    }
    table
}
