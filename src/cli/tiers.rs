//! `periodd tiers`: what is metered and sold.

use super::orgs::or_unlimited;
use super::output::{Cell, Output, Page, Table, Tone};
use super::session::{Schema, with_session};
use super::{Exit, Failure, Global};
use crate::billing::Quantity;
use crate::billing::catalogue::{Catalogue, Deed, Kind, Step, price};
use crate::jobs::tiers;

const NOTES: &str = "Examples:
  periodd tiers list
  periodd tiers apply --dry-run";

const APPLY_NOTES: &str = "\
Writes [[features]], [[tiers]] and [[packs]] of the configuration into the tables, in one
transaction; done twice, it changes nothing the second time. What the configuration does not name
stays as it is. With --prune it goes: packs on sale, limits of the tiers that are named, and tiers
that no org is on or goes to. What a tier includes is read when a period closes, so a change holds
for the open period too.

Examples:
  periodd tiers apply --dry-run
  periodd tiers apply
  periodd tiers apply --prune --dry-run";

/// What `periodd tiers` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List tiers with what they include, and packs on sale, as the tables say
    #[command(after_help = "Example:\n  periodd tiers list --format json")]
    #[command(after_help = "Examples:\n  periodd tiers list\n  periodd tiers list --format json")]
    List,
    /// Bring the tables to what the configuration says
    Apply(Apply),
}

#[derive(clap::Args, Debug)]
#[command(after_help = APPLY_NOTES)]
struct Apply {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove what the configuration does not name and no org uses
    #[arg(long)]
    prune: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::List => {
            let catalogue = tiers::list(&session.database).await?;
            session.screen.show(&List::from(catalogue))?;
            Ok(Exit::Done)
        }
        Command::Apply(apply) => {
            let Apply { dry_run, prune } = *apply;
            let applied = tiers::apply(&session.database, &session.config, prune, dry_run).await;
            let answer = Steps { dry_run, steps: applied? };
            session.screen.show(&answer)?;
            let found = dry_run && answer.steps.iter().any(|step| step.deed != Deed::Keep);
            Ok(if found { Exit::Found } else { Exit::Done })
        }
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct List {
    features: Vec<Feature>,
    tiers: Vec<Tier>,
    packs: Vec<Pack>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Feature {
    name: String,
    unit: Option<String>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Tier {
    code: String,
    name: String,
    monthly_price_cents: i64,
    currency: String,
    limits: Vec<Limit>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Limit {
    feature: String,
    included: Option<Quantity>,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Pack {
    code: String,
    feature: String,
    quantity: Quantity,
    price_cents: i64,
    currency: String,
}

impl From<Catalogue> for List {
    fn from(catalogue: Catalogue) -> Self {
        let features = catalogue.features.into_iter();
        let tiers = catalogue.tiers.into_iter().map(|(code, tier)| Tier {
            code,
            name: tier.name,
            monthly_price_cents: tier.price_cents,
            currency: tier.currency,
            limits: (tier.limits.into_iter())
                .map(|(feature, included)| Limit { feature, included: included.column() })
                .collect(),
        });
        let mut tiers: Vec<Tier> = tiers.collect();
        tiers.sort_by_key(|tier| tier.monthly_price_cents);
        let packs = catalogue.offers.into_iter().map(|(code, offer)| Pack {
            code,
            feature: offer.feature,
            quantity: offer.quantity,
            price_cents: offer.price_cents,
            currency: offer.currency,
        });
        Self {
            features: features.map(|(name, unit)| Feature { name, unit }).collect(),
            tiers,
            packs: packs.collect(),
        }
    }
}

impl Output for List {
    fn page(&self) -> Page {
        let mut tiers = Table::new(["tier", "name", "per month", "feature", "included"]);
        for tier in &self.tiers {
            let price = price(tier.monthly_price_cents, &tier.currency);
            let mut lead = [tier.code.clone(), tier.name.clone(), price];
            if tier.limits.is_empty() {
                let [code, name, price] = lead.map(Cell::text);
                tiers.row([
                    code,
                    name,
                    price,
                    Cell::text("nothing").tone(Tone::Faint),
                    Cell::number(""),
                ]);
                continue;
            }
            for limit in &tier.limits {
                let [code, name, price] = lead.map(Cell::text);
                let included = Cell::number(or_unlimited(limit.included));
                tiers.row([code, name, price, Cell::text(&limit.feature), included]);
                // A tier is named once, above what it includes.
                lead = Default::default();
            }
        }
        let mut page = Page::from(tiers).line("");
        if self.packs.is_empty() {
            return page.line("no packs are on sale");
        }
        let mut packs = Table::new(["pack", "feature", "quantity", "price"]);
        for pack in &self.packs {
            packs.row([
                Cell::text(&pack.code),
                Cell::text(&pack.feature),
                Cell::number(pack.quantity),
                Cell::number(price(pack.price_cents, &pack.currency)),
            ]);
        }
        page = page.table(packs);
        page
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Steps {
    dry_run: bool,
    steps: Vec<Step>,
}

impl Output for Steps {
    fn page(&self) -> Page {
        if self.steps.is_empty() {
            return Page::new().line("the tables are what the configuration says");
        }
        let mut table = Table::new(["", "what", "name", "before", "after"]);
        for step in &self.steps {
            let deed = match step.deed {
                Deed::Add => Cell::text("add").tone(Tone::Good),
                Deed::Change => Cell::text("change").tone(Tone::Warning),
                Deed::Remove => Cell::text("remove").tone(Tone::Bad),
                Deed::Keep => Cell::text("keep").tone(Tone::Faint),
            };
            let kind = match step.kind {
                Kind::Feature => "feature",
                Kind::Tier => "tier",
                Kind::Limit => "limit",
                Kind::Offer => "pack",
            };
            let text = |value: &Option<String>, none| Cell::text(value.as_deref().unwrap_or(none));
            let before = text(&step.before, "");
            let after = text(&step.after, "not in the configuration");
            table.row([deed, Cell::text(kind), Cell::text(&step.name), before, after]);
        }
        let page = Page::from(table);
        if self.dry_run { page.line("nothing was changed: this is a dry run") } else { page }
    }
}
