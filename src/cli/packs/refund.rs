//! `periodd packs refund`: what is left of a pack goes back to its buyer.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Table, counted};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::{Instant, Quantity};
use crate::jobs::refund;
use crate::store::orgs;
use crate::store::refund::Named;

const NOTES: &str = "\
At most what is purchased remaining goes back: what usage has claimed above the included quantity
stays. The money is yours to return; this takes the quantity out of the pack and writes it into the
pack's ledger.

Examples:
  periodd packs refund --org acme --reference inv-1042
  periodd packs refund --org acme --reference inv-1042 --quantity 100
  periodd packs refund --org acme --org bolt --reference spring-promotion --yes";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(super) struct Args {
    /// Slug or id; may be repeated, for packs of one reference in several orgs
    #[arg(long = "org", value_name = "ORG", required = true)]
    orgs: Vec<String>,
    /// The pack, by its reference
    #[arg(long, value_name = "R", group = "which")]
    reference: Option<String>,
    /// The pack, by its id
    #[arg(long, value_name = "UUID", group = "which")]
    pack: Option<Uuid>,
    /// How much of it; all that can go back if not given
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantity: Option<Quantity>,
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let named = match (&args.reference, args.pack) {
        (Some(reference), _) => Named::Reference(reference.clone()),
        (None, Some(pack)) => Named::Id(pack),
        (None, None) => return Err(Failure::usage("name the pack with --reference or --pack")),
    };
    if let Some(quantity) = args.quantity.filter(|quantity| !quantity.is_positive()) {
        return Err(Failure::usage(format!("--quantity {quantity} is not above zero")));
    }
    let mut ids: Vec<(Uuid, &str)> = Vec::with_capacity(args.orgs.len());
    for org in &args.orgs {
        let id = orgs::find(&session.database, org).await?;
        if !ids.iter().any(|(known, _)| *known == id) {
            ids.push((id, org));
        }
    }
    let now = session.now().await?;
    session.confirm(ids.len(), "refund packs").await?;
    let stop = session.stop_between_batches();
    let mut refunds = Vec::with_capacity(ids.len());
    for (id, org) in ids {
        if stop.is_set() {
            break;
        }
        let refund = refund::refund(&session.database, id, &named, args.quantity, now).await;
        let refund = refund.map_err(|error| said_of(org, error, refunds.len()))?;
        refunds.push(Refunded {
            org: org.to_owned(),
            pack: refund.pack,
            quantity: refund.quantity,
            remaining: refund.remaining,
            at: refund.at,
        });
    }
    session.screen.show(&Answer(refunds))?;
    Ok(session.exit(Exit::Done))
}

/// The error with the org that it is about, how to go on, and what is done already.
fn said_of(org: &str, error: refund::Error, done: usize) -> Failure {
    use crate::billing::refund::Refusal;
    let hint = match &error {
        refund::Error::Refused(Refusal::Due(_) | Refusal::Unopened) => {
            format!("; close what has ended first: periodd rollover --org {org}")
        }
        _ => String::new(),
    };
    let done = match done {
        0 => String::new(),
        done => format!(" ({} before it were refunded)", counted(done, "org")),
    };
    let failure = Failure::from(error);
    Failure { message: format!("{org}: {}{hint}{done}", failure.message), ..failure }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Refunded {
    org: String,
    pack: Uuid,
    quantity: Quantity,
    remaining: Quantity,
    at: Instant,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer(Vec<Refunded>);

impl Output for Answer {
    fn page(&self) -> Page {
        let mut table = Table::new(["org", "pack", "refunded", "left in it"]);
        for row in &self.0 {
            table.row([
                Cell::text(&row.org),
                Cell::text(row.pack),
                Cell::number(row.quantity),
                Cell::number(row.remaining),
            ]);
        }
        table.into()
    }
}
