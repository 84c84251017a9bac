//! `periodd tiers`: what is metered and sold.

use std::collections::BTreeSet;

use super::output::{Cell, Format, Output, Page, Table, Tone, counted, or_unlimited};
use super::session::{Schema, with_session};
use super::{Exit, Failure, Global};
use crate::billing::Quantity;
use crate::billing::catalogue::{Catalogue, Deed, price};
use crate::billing::quota::level::FeatureKind;
use crate::jobs::tiers::{self, Applied};

mod export;

const NOTES: &str = "Examples:
  periodd tiers list
  periodd tiers apply --dry-run
  periodd tiers export > catalogue.toml";

const APPLY_NOTES: &str = "\
Writes [[features]], [[tiers]] and [[packs]] of the configuration to the tables, in one transaction.
Safe to repeat. Rows that the configuration does not name are kept, unless --prune is given: it
removes packs on sale, limits of configured tiers, and tiers that no org is on or will move to.
Limits are read when a period closes, so a change applies to the open period too; what had been used
within a higher limit stays included in that period.

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
    /// List the tiers with their limits, and the packs on sale
    #[command(after_help = "Examples:\n  periodd tiers list\n  periodd tiers list --format json")]
    List,
    /// Write the configured features, tiers and packs to the database
    Apply(Apply),
    /// Print features, tiers and packs of the database as configuration
    #[command(after_help = "Examples:\n  periodd tiers export > catalogue.toml")]
    Export,
}

#[derive(clap::Args, Debug)]
#[command(after_help = APPLY_NOTES)]
struct Apply {
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove unused rows that the configuration does not name
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
            let now = session.now().await?;
            let (database, config) = (&session.database, &session.config);
            let applied = tiers::apply(database, config, prune, dry_run, now).await?;
            let answer = Steps { dry_run, applied };
            session.screen.show(&answer)?;
            let found = dry_run && answer.changes() > 0;
            Ok(if found { Exit::Found } else { Exit::Done })
        }
        Command::Export => {
            let catalogue = tiers::list(&session.database).await?;
            if session.screen.format() == Format::Json {
                session.screen.show(&List::from(catalogue))?;
            } else {
                let text = export::toml(&catalogue);
                session.screen.write(|stdout| stdout.write_all(text.as_bytes()))?;
            }
            Ok(Exit::Done)
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
    /// How it is counted.
    kind: FeatureKind,
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
    /// Price of an uncovered unit, in hundredths of the currency.
    uncovered_price_cents: Option<Quantity>,
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
                .map(|(feature, included)| {
                    let uncovered_price_cents = tier.prices.get(&feature).copied();
                    Limit { feature, included: included.column(), uncovered_price_cents }
                })
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
            features: features
                .map(|(name, feature)| {
                    let kind = feature.kind.unwrap_or_default();
                    Feature { name, unit: feature.unit, kind }
                })
                .collect(),
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
            return page.line("no packs on sale");
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
    #[serde(flatten)]
    applied: Applied,
}

impl Steps {
    /// How many steps change something.
    fn changes(&self) -> usize {
        self.applied.steps.iter().filter(|step| step.deed != Deed::Keep).count()
    }
}

/// Orgs over a limit that are shown by name.
const OVER_SHOWN: usize = 20;

impl Output for Steps {
    fn page(&self) -> Page {
        let Applied { steps, newly_over } = &self.applied;
        if steps.is_empty() {
            return Page::new().line("the tables match the configuration");
        }
        let mut table = Table::new(["", "what", "name", "before", "after"]);
        for step in steps {
            let deed = match step.deed {
                Deed::Add => Cell::text("add").tone(Tone::Good),
                Deed::Change => Cell::text("change").tone(Tone::Warning),
                Deed::Remove => Cell::text("remove").tone(Tone::Bad),
                Deed::Keep => Cell::text("keep").tone(Tone::Faint),
            };
            let text = |value: &Option<String>, none| Cell::text(value.as_deref().unwrap_or(none));
            let before = text(&step.before, "");
            let after = text(&step.after, "not in the configuration");
            table.row([deed, Cell::text(step.kind), Cell::text(&step.name), before, after]);
        }
        let mut page = Page::from(table);
        if !newly_over.is_empty() {
            let orgs: BTreeSet<&str> = newly_over.iter().map(|over| over.org.as_str()).collect();
            let orgs = counted(orgs.len(), "org");
            let verb = match (self.dry_run, newly_over.len()) {
                (true, _) => "would be",
                (false, 1) => "is",
                (false, _) => "are",
            };
            let line = format!("{orgs} {verb} over a limit in the open period:");
            page = page.line(Cell::text(line).tone(Tone::Warning));
            let mut table = Table::new(["org", "tier", "feature", "used", "allowed"]);
            for over in newly_over.iter().take(OVER_SHOWN) {
                table.row([
                    Cell::text(&over.org),
                    Cell::text(&over.tier),
                    Cell::text(&over.feature),
                    Cell::number(over.used),
                    Cell::number(over.allowance),
                ]);
            }
            page = page.table(table);
            if newly_over.len() > OVER_SHOWN {
                page = page.line(format!("and {} more", newly_over.len() - OVER_SHOWN));
            }
        }
        match (self.dry_run, self.changes()) {
            (true, _) => page.line("dry run; nothing was changed"),
            (false, 0) => page.line("nothing was changed"),
            (false, changes) => page.line(format!("{} made", counted(changes, "change"))),
        }
    }
}
