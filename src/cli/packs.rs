//! `periodd packs`: overage that orgs bought.

use super::output::{Cell, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::{Instant, Quantity};
use crate::store::orgs;
use crate::store::packs::{self, Grant, PackRow};

pub(super) mod refund;

const NOTES: &str = "Examples:
  periodd packs grant --org acme --feature minutes_transcribed --quantity 300 --reference inv-1042
  periodd packs list --org acme";

/// What `periodd packs` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Grant a pack; a repeated reference grants once
    Grant(GrantArgs),
    /// List packs in the order in which they are drawn
    #[command(after_help = "Examples:\n  periodd packs list\n  periodd packs list --org acme")]
    List {
        /// Slug or id; all orgs if not given
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
    /// Refund what is left of a pack
    Refund(refund::Args),
}

const GRANT_NOTES: &str = "Examples:
  periodd packs grant --org acme --feature minutes_transcribed --quantity 300 --reference inv-1042
  periodd packs grant --org acme --feature sms_sent --quantity 500 \\
    --expires-at 2027-01-01T00:00:00Z";

#[derive(clap::Args, Debug)]
#[command(after_help = GRANT_NOTES)]
struct GrantArgs {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// What the pack pays for
    #[arg(long, value_name = "F")]
    feature: String,
    /// How much of it, above zero, with at most 6 decimals
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantity: Quantity,
    /// From when it is usable; now if not given
    #[arg(long, value_name = "T")]
    purchased_at: Option<Instant>,
    /// Until when it is usable; for ever if not given
    #[arg(long, value_name = "T")]
    expires_at: Option<Instant>,
    /// Your reference, such as an invoice number; the same one grants once
    #[arg(long, value_name = "R")]
    reference: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        match &args.command {
            Command::Grant(grant) => grant_pack(session, grant).await?,
            Command::List { org } => {
                let org = match org {
                    Some(org) => Some(orgs::find(&session.database, org).await?),
                    None => None,
                };
                let list = packs::list(&session.database, org).await?;
                session.screen.show(&List(list))?;
            }
            Command::Refund(args) => return refund::run(session, args).await,
        }
        Ok(Exit::Done)
    })
}

async fn grant_pack(session: &Session, args: &GrantArgs) -> Result<(), Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let grant = Grant {
        org,
        feature: args.feature.clone(),
        quantity: args.quantity,
        reference: args.reference.clone(),
        purchased_at: args.purchased_at.unwrap_or(now),
        expires_at: args.expires_at,
    };
    let id = packs::grant(&session.database, &grant).await?;
    let granted = packs::list(&session.database, Some(org)).await?;
    session.screen.show(&List(granted.into_iter().filter(|pack| pack.id == id).collect()))
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct List(Vec<PackRow>);

impl Output for List {
    fn page(&self) -> Page {
        let mut table = Table::new([
            "org",
            "feature",
            "left",
            "of",
            "drawn",
            "expired",
            "purchased",
            "expires",
            "reference",
        ]);
        for pack in &self.0 {
            let expires = pack.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            table.row([
                Cell::text(&pack.org),
                Cell::text(&pack.feature),
                Cell::number(pack.remaining),
                Cell::number(pack.quantity),
                Cell::number(pack.drawn),
                Cell::number(pack.expired),
                Cell::text(pack.purchased_at),
                Cell::text(expires),
                Cell::text(pack.reference.as_deref().unwrap_or_default()),
            ]);
        }
        table.into()
    }
}
