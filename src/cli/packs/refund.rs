//! `periodd packs refund`: what is left of a pack goes back to its buyer.

use std::str::FromStr;

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Table, counted};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::usage::Key;
use crate::billing::when::shown_in_utc;
use crate::billing::{Instant, Quantity};
use crate::command::Command;
use crate::jobs::refund::{self, Asked};
use crate::store::orgs::packs;
use crate::store::{Database, orgs};

const NOTES: &str = "\
At most the unclaimed rest of the pack can be refunded: usage above the included quantity claims its
part. This takes the quantity out of the pack and records it in the pack's ledger; paying the money
back is up to you. A repeated --key refunds once: give it the id of the payment provider's refund.

Examples:
  periodd packs refund --org acme --reference inv-1042 --dry-run
  periodd packs refund --org acme --reference inv-1042 --quantity 100 --key re_77
  periodd packs refund --org acme --pack 4f65aa99
  periodd packs refund --org acme --org bolt --reference spring-promotion --yes";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// Slug or id; may be repeated, for packs with one reference in several orgs
    #[arg(long = "org", value_name = "ORG", required = true)]
    orgs: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Quantity to refund [default: all that can be refunded]
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantity: Option<Quantity>,
    /// Idempotency key; a repeated key refunds once
    #[arg(long, value_name = "K")]
    key: Option<Key>,
    /// Show what would be refunded and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which pack of an org.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Reference of the pack
    #[arg(long, value_name = "R")]
    reference: Option<String>,
    /// Id of the pack, or its beginning
    #[arg(long, value_name = "ID")]
    pack: Option<IdPrefix>,
}

impl Which {
    /// What names it: a reference, or an id as text.
    async fn pack(&self, database: &Database, org: Uuid) -> Result<String, Failure> {
        match (&self.reference, &self.pack) {
            (Some(reference), _) => Ok(reference.clone()),
            (None, Some(id)) => Ok(packs::find(database, org, &id.0).await?.to_string()),
            (None, None) => Err(Failure::usage("name the pack with --reference or --pack")),
        }
    }

    /// The id of the pack.
    pub(super) async fn id(&self, database: &Database, org: Uuid) -> Result<Uuid, Failure> {
        match (&self.reference, &self.pack) {
            (Some(reference), _) => {
                let known = packs::list(database, Some(org)).await?;
                let of = |pack: &packs::PackRow| pack.reference.as_ref() == Some(reference);
                let found = known.into_iter().find(of).map(|pack| pack.id);
                found.ok_or_else(|| {
                    Failure::usage(format!("the org has no pack with the reference `{reference}`"))
                })
            }
            (None, Some(id)) => Ok(packs::find(database, org, &id.0).await?),
            (None, None) => Err(Failure::usage("name the pack with --reference or --pack")),
        }
    }
}

/// An id, or as much of its beginning as tables show.
#[derive(Clone, Debug)]
struct IdPrefix(String);

/// Fewer characters are more likely a slip than an id.
const SHORTEST_PREFIX: usize = 4;

impl FromStr for IdPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !is_id || text.len() < SHORTEST_PREFIX {
            return Err(format!(
                "write an id as `packs list` shows it, or at least its first {SHORTEST_PREFIX} \
                 characters"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    if let Some(quantity) = args.quantity.filter(|quantity| !quantity.is_positive()) {
        return Err(Failure::usage(format!("--quantity {quantity} must be greater than zero")));
    }
    let mut requests: Vec<(Asked, &str)> = Vec::with_capacity(args.orgs.len());
    let now = if args.dry_run { session.now().await? } else { session.believed_now().await? };
    for name in &args.orgs {
        let org = orgs::find(&session.database, name).await?;
        if requests.iter().any(|(known, _)| known.org == org) {
            continue;
        }
        let pack = args.which.pack(&session.database, org).await?;
        let (quantity, key) = (args.quantity, args.key.clone());
        requests.push((Asked { org, pack, quantity, key, at: now }, name));
    }
    if !args.dry_run {
        session.confirm(requests.len(), "refund packs").await?;
    }
    let stop = session.stop_between_batches();
    let mut refunds = Vec::with_capacity(requests.len());
    for (request, org) in requests {
        if stop.is_set() {
            break;
        }
        let refunded = refund::refund(&session.database, &request, args.dry_run).await;
        let refunded = refunded.map_err(|error| said_of(org, error, refunds.len()))?;
        refunds.push(Refunded::of(org, refunded, args.dry_run));
    }
    let found = args.dry_run && !refunds.is_empty();
    session.screen.show(&Answer(refunds))?;
    Ok(session.exit(if found { Exit::Found } else { Exit::Done }))
}

/// The error with the org that it is about, how to go on, and what is done already.
fn said_of(org: &str, error: refund::Error, done: usize) -> Failure {
    let hint = match &error {
        refund::Error::NotClosed(_) => {
            let rollover = Command::periodd(["rollover", "--org", org]);
            format!("; close the ended periods first: {rollover}")
        }
        refund::Error::NoSuchPack(_) => {
            format!("; `{}` lists its packs", Command::periodd(["packs", "list", "--org", org]))
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
    feature: String,
    quantity: Quantity,
    remaining: Quantity,
    at: Instant,
    /// Nothing was written: this is what a refund would do.
    dry_run: bool,
    /// When an earlier call with the same key refunded it; null: this call did.
    already_refunded_at: Option<Instant>,
    /// The command that grants as much again.
    undo: String,
}

impl Refunded {
    fn of(org: &str, refunded: refund::Refunded, dry_run: bool) -> Self {
        let refund::Refunded { pack, feature, expires_at, quantity, remaining, seq, at, before } =
            refunded;
        let (amount, reference) = (quantity.to_string(), format!("undo-{pack}-{seq}"));
        let expires = expires_at.map(|at| at.to_string());
        let grant = ["packs", "grant", "--org", org, "--feature", &feature, "--quantity", &amount];
        let expires = expires.iter().flat_map(|at| ["--expires-at", at]);
        // Pasted twice, it grants once.
        let words = grant.into_iter().chain(expires).chain(["--reference", &reference]);
        let undo = Command::periodd(words).to_string();
        let org = org.to_owned();
        let already_refunded_at = before;
        Self { org, pack, feature, quantity, remaining, at, dry_run, already_refunded_at, undo }
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer(Vec<Refunded>);

impl Output for Answer {
    fn page(&self) -> Page {
        let is_dry = self.0.iter().any(|row| row.dry_run);
        let refunded = if is_dry { "would be refunded" } else { "refunded" };
        let mut table = Table::new(["org", "pack", "feature", refunded, "left in it"]);
        for row in &self.0 {
            table.row([
                Cell::text(&row.org),
                Cell::text(row.pack),
                Cell::text(&row.feature),
                Cell::number(row.quantity),
                Cell::number(row.remaining),
            ]);
        }
        let mut page = Page::from(table);
        for row in &self.0 {
            if let Some(before) = row.already_refunded_at {
                let (org, before) = (&row.org, shown_in_utc(before));
                page = page.line(format!("{org}: already refunded at {before}; nothing changed"));
            }
        }
        if is_dry {
            return page;
        }
        page = page.line("").line("to undo:");
        for row in &self.0 {
            page = page.line(format!("  {}", row.undo));
        }
        page
    }
}
