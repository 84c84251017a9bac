//! `periodd packs`: overage that orgs bought.

use super::output::{Cell, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::times::Times;
use super::{Exit, Failure, Global};
use crate::billing::{Instant, Quantity, When};
use crate::config::values::Currency;
use crate::store::orgs::packs::{self, Grant, PackRow, Price};
use crate::store::{Readable, orgs};

pub(super) mod moving;
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
    /// Grant a pack; a repeated reference is granted once
    Grant(GrantArgs),
    /// List packs in drawing order
    #[command(after_help = "Examples:\n  periodd packs list\n  periodd packs list --org acme")]
    List {
        /// Slug or id; all orgs if not given
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Only packs of this feature
        #[arg(long, value_name = "F")]
        feature: Option<String>,
        /// Only packs with something left
        #[arg(long)]
        left: bool,
    },
    /// Refund the rest of a pack
    Refund(refund::Args),
    /// Move the rest of a pack to another org
    Move(moving::Args),
}

const GRANT_NOTES: &str = "Examples:
  periodd packs grant --org acme --feature minutes_transcribed --quantity 300 --reference inv-1042
  periodd packs grant --org acme --feature sms_sent --quantity 500 \\
    --expires-at 2027-01-01
  periodd packs grant --org acme --offer sms-500 --reference inv-1043";

#[derive(clap::Args, Debug)]
#[command(after_help = GRANT_NOTES)]
struct GrantArgs {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Offer on sale, which says feature and quantity
    #[arg(long, value_name = "CODE", conflicts_with_all = ["feature", "quantity"])]
    offer: Option<String>,
    /// Feature that the pack covers
    #[arg(long, value_name = "F", required_unless_present = "offer")]
    feature: Option<String>,
    /// Quantity, greater than zero, with at most 6 decimals
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    #[arg(required_unless_present = "offer")]
    quantity: Option<Quantity>,
    /// Start of validity [default: now]
    #[arg(long, value_name = "T")]
    purchased_at: Option<When>,
    /// End of validity [default: never]
    #[arg(long, value_name = "T")]
    expires_at: Option<When>,
    /// Price of the pack in hundredths of the currency [default: the offer's, else unknown]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    price_cents: Option<i64>,
    /// Currency of --price-cents [default: USD]
    #[arg(long, value_name = "CODE", requires = "price_cents")]
    currency: Option<Currency>,
    /// Your reference, such as an invoice number; each is granted once
    #[arg(long, value_name = "R")]
    reference: Option<String>,
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List { .. })
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        match &args.command {
            Command::Grant(grant) => grant_pack(session, grant).await?,
            Command::List { org, feature, left } => {
                let org = match org {
                    Some(org) => Some(orgs::find(&session.database, org).await?),
                    None => None,
                };
                let mut list = packs::list(&session.database, org).await?;
                let feature = feature.as_ref().map(|feature| feature.to_lowercase());
                list.retain(|pack| {
                    let is_empty = pack.remaining.value().is_some_and(Quantity::is_zero);
                    feature.as_ref().is_none_or(|feature| pack.feature == *feature)
                        && !(*left && is_empty)
                });
                let times = session.times().await?;
                session.screen.show(&List { packs: list, times })?;
            }
            Command::Refund(args) => return refund::run(session, args).await,
            Command::Move(args) => return moving::run(session, args).await,
        }
        Ok(Exit::Done)
    })
}

async fn grant_pack(session: &Session, args: &GrantArgs) -> Result<(), Failure> {
    if args.reference.as_deref() == Some("") {
        return Err(Failure::usage("--reference is empty; leave it out for a pack without one"));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let (feature, quantity, price) = match (&args.offer, &args.feature, args.quantity) {
        (Some(code), ..) => {
            let offer = packs::offer(&session.database, code).await?;
            (offer.feature, offer.quantity, Some(offer.price))
        }
        (None, Some(feature), Some(quantity)) => (feature.clone(), quantity, None),
        (None, ..) => return Err(Failure::usage("name --offer, or --feature and --quantity")),
    };
    let currency = args.currency.clone().unwrap_or_default();
    let asked = args.price_cents.map(|cents| Price { cents, currency: currency.as_str().into() });
    let now = session.believed_now().await?;
    let instant = async |when: Option<When>| match when {
        Some(when) => session.instant(when, org).await.map(Some),
        None => Ok(None),
    };
    let grant = Grant {
        org,
        feature,
        quantity,
        reference: args.reference.clone(),
        purchased_at: instant(args.purchased_at).await?.unwrap_or(now),
        expires_at: instant(args.expires_at).await?,
        price: asked.or(price),
    };
    let granted = packs::grant(&session.database, &grant).await?;
    let packs = packs::list(&session.database, Some(org)).await?;
    let of_grant = packs.into_iter().filter(|pack| pack.id == granted.pack);
    let already_granted_at = granted.before;
    let answer = of_grant.map(|pack| Granted { pack, already_granted_at }).collect();
    session.screen.show(&GrantAnswer { packs: answer, times: session.times().await? })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Granted {
    #[serde(flatten)]
    pack: PackRow,
    /// When an earlier call with the same reference granted it; null: this call did.
    already_granted_at: Option<Instant>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct GrantAnswer {
    packs: Vec<Granted>,
    #[serde(skip)]
    times: Times,
}

impl Output for GrantAnswer {
    fn page(&self) -> Page {
        let packs: Vec<&PackRow> = self.packs.iter().map(|granted| &granted.pack).collect();
        let mut page = packs_page(&packs, &self.times);
        for granted in &self.packs {
            let Some(before) = granted.already_granted_at else { continue };
            let before = self.times.local(&granted.pack.time_zone).at(before);
            page = page.line(format!("already granted at {before}; nothing changed"));
        }
        page
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List {
    packs: Vec<PackRow>,
    #[serde(skip)]
    times: Times,
}

impl Output for List {
    fn page(&self) -> Page {
        if self.packs.is_empty() {
            return Page::new().line("no packs");
        }
        packs_page(&self.packs.iter().collect::<Vec<_>>(), &self.times)
    }
}

/// Characters of an id that are shown, unless it takes more to tell two apart.
const ID_SHOWN: usize = 8;

/// How much of each id is shown, so that each stands for one pack.
fn id_length(packs: &[&PackRow]) -> usize {
    let mut ids: Vec<String> = packs.iter().map(|pack| pack.id.to_string()).collect();
    ids.sort_unstable();
    let shared = ids.windows(2).map(|pair| {
        pair[0].bytes().zip(pair[1].bytes()).take_while(|(one, other)| one == other).count()
    });
    shared.max().map_or(ID_SHOWN, |shared| ID_SHOWN.max(shared + 1))
}

fn packs_page(packs: &[&PackRow], times: &Times) -> Page {
    let mut table = Table::new([
        "id",
        "org",
        "feature",
        "left",
        "of",
        "drawn",
        "expired",
        "refunded",
        "purchased",
        "expires",
        "reference",
    ]);
    let length = id_length(packs);
    for pack in packs {
        let times = times.local(&pack.time_zone);
        let time =
            |at: Readable<Instant>| at.value().map_or_else(|| "?".to_owned(), |at| times.at(at));
        let expires = pack.expires_at.map_or_else(|| "never".to_owned(), time);
        let id = pack.id.to_string();
        table.row([
            Cell::text(id.get(..length).unwrap_or(&id)),
            Cell::text(&pack.org),
            Cell::text(&pack.feature),
            Cell::number(pack.remaining),
            Cell::number(pack.quantity),
            Cell::number(pack.drawn),
            Cell::number(pack.expired),
            Cell::number(pack.refunded),
            Cell::whole(time(pack.purchased_at)),
            Cell::whole(expires),
            Cell::text(pack.reference.as_deref().unwrap_or_default()),
        ]);
    }
    let mut page = Page::from(table);
    for pack in packs {
        if let Some(moved) = pack.moved.value().filter(|moved| moved.is_positive()) {
            let id = pack.id.to_string();
            let id = id.get(..length).unwrap_or(&id);
            page = page.line(format!("{moved} of pack {id} of {} moved to another org", pack.org));
        }
    }
    for pack in packs.iter().filter(|pack| !pack.unreadable.is_empty()) {
        let row = format!("pack {} of {}", pack.id, pack.org);
        page = page.line(super::orgs::unreadable(&row, &pack.unreadable));
    }
    page
}
