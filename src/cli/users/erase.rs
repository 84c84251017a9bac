//! `periodd users erase`: a person goes, and the usage stays with the org.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Table, Tone};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::jobs::orgs::departures::{self, Asked};
use crate::store::orgs;
use crate::store::orgs::departures::{Erased, Person, What};

const NOTES: &str = "\
An address is erased in every org: accounts, contacts, emails and what is known of the address. An
id is one account, in its org. Metrics keep their quantity, without the person. With --org an
account can be erased whose row is gone already.

Examples:
  periodd users erase ann@acme.example --dry-run
  periodd users erase ann@acme.example --yes";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// Address, or id of one account
    #[arg(value_name = "EMAIL|ID")]
    who: String,
    /// The account's org (slug or id), for an id whose account is gone
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Show what would be erased and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let org = match &args.org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let person = match (args.who.parse::<Uuid>(), org) {
        (Ok(id), org) => Person::Account { id, org },
        (Err(_), None) if args.who.contains('@') => Person::Address(args.who.clone()),
        (Err(_), None) => {
            return Err(Failure::usage(format!("`{}` is neither an address nor an id", args.who)));
        }
        (Err(_), Some(_)) => {
            return Err(Failure::usage("--org goes with the id of an account"));
        }
    };
    let asked = session.asked(args.dry_run).await?;
    let failed = |error| {
        let failure = Failure::from(error);
        Failure { message: format!("{}: {}", args.who, failure.message), ..failure }
    };
    let plan = departures::erase(&session.database, &person, Asked { dry_run: true, ..asked });
    let plan = plan.await.map_err(failed)?;
    let erased = if args.dry_run {
        plan
    } else {
        session.confirm_name(&args.who, "erase").await?;
        departures::erase(&session.database, &person, asked).await.map_err(failed)?
    };
    session.screen.show(&Answer { dry_run: args.dry_run, who: args.who.clone(), erased })?;
    Ok(if args.dry_run { Exit::Found } else { Exit::Done })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    /// Nothing was written: this is what the command would do.
    dry_run: bool,
    #[serde(skip)]
    who: String,
    /// What was erased, or would be.
    erased: Vec<Erased>,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let would = if self.dry_run { "would be " } else { "" };
        let title = format!("{} {would}erased", self.who);
        let mut table = Table::new(["org", "what", "rows"]);
        for row in &self.erased {
            let what = match row.what {
                What::Users => "account deleted",
                What::Metrics => "metrics, which lose the user",
                What::Counters => "counters of the user deleted",
                What::Contacts => "contact deleted",
                What::Emails => "emails deleted",
                What::Suppressions => "suppression deleted",
                What::UnsubscribeLinks => "unsubscribe link deleted",
                _ => "other",
            };
            table.row([Cell::whole(row.org), Cell::text(what), Cell::number(row.quantity)]);
        }
        Page::new().line(Cell::text(title).tone(Tone::Title)).table(table)
    }
}
