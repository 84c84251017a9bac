//! `periodd packs move`: what is left of a pack goes to another org.

use uuid::Uuid;

use super::super::orgs::remove::first;
use super::super::output::{Cell, Output, Page, Table};
use super::super::session::Session;
use super::super::{Exit, Failure};
use super::refund::Which;
use crate::billing::Quantity;
use crate::jobs::orgs::departures;
use crate::store::orgs;

const NOTES: &str = "\
Usage above the included quantity claims its part of the pack, and that part stays. The pack keeps
its dates and its reference; the ledgers of both orgs record the move. A reference that is granted
again in either org grants nothing.

Examples:
  periodd packs move --org acme --reference inv-1042 --into bolt --dry-run
  periodd packs move --org acme --reference inv-1042 --into bolt";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// Slug or id of the org that has the pack
    #[arg(long, value_name = "ORG")]
    org: String,
    #[command(flatten)]
    which: Which,
    /// Slug or id of the org that gets it
    #[arg(long, value_name = "ORG")]
    into: String,
    /// Show what would be moved and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let into = orgs::find(&session.database, &args.into).await?;
    let pack = args.which.id(&session.database, org).await?;
    let asked = session.asked(args.dry_run).await?;
    let moved = departures::move_pack(&session.database, (org, pack), into, asked).await;
    let moved = moved.map_err(|error| {
        let hint = match &error {
            departures::Error::Open(open) => first(&args.org, open),
            _ => None,
        };
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let failure = Failure::from(error);
        Failure { message: format!("{}: {}{hint}", args.org, failure.message), ..failure }
    })?;
    session.screen.show(&Answer {
        org: args.org.clone(),
        into: args.into.clone(),
        pack: moved.pack,
        feature: moved.feature,
        quantity: moved.quantity,
        dry_run: args.dry_run,
    })?;
    Ok(if args.dry_run { Exit::Found } else { Exit::Done })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    /// The org that had the pack.
    org: String,
    /// The org that has it now.
    into: String,
    /// The pack there; in a dry run the pack that would be moved.
    pack: Uuid,
    feature: String,
    /// What moved, or would.
    quantity: Quantity,
    /// Nothing was written: this is what the command would do.
    dry_run: bool,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let moved = if self.dry_run { "would move" } else { "moved" };
        let mut table = Table::new(["from", "into", "pack", "feature", moved]);
        table.row([
            Cell::text(&self.org),
            Cell::text(&self.into),
            Cell::whole(self.pack),
            Cell::text(&self.feature),
            Cell::number(self.quantity),
        ]);
        table.into()
    }
}
