//! `periodd statements`: closed periods as finance reads them.
//!
//! Never: an amount that is not the sum of its lines; a document that fetches something.

use std::path::PathBuf;

use uuid::Uuid;

use super::output::{Cell, Format, Output, Page, Table, counted};
use super::session::{Schema, Session, with_session};
use super::whole_file::to_file;
use super::{Exit, Failure, Global};
use crate::billing::price::said;
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, Quantity, When, Zone};
use crate::jobs::statements::{self, Amounts, Statement, cost, refunded};
use crate::store::orgs;
use crate::store::reports::statement::{Keys, Scope, keys};
use crate::text::thousands_apart;
use month::Month;

mod document;
mod lines;
mod month;
mod pdf;

const NOTES: &str = "\
A statement is made from a closed period, its adjustments, the packs that were bought or refunded in
it and the ledger of what packs paid. Dates are local to the org. Amounts are rounded by line;
totals are the sums of the lines, by currency: uncovered usage at the prices that the close kept
([[tiers]] uncovered_price_cents), and packs at the price that they were sold for. A refund takes
its share of that price off the period in which it was made. The price of the tier is not in it.

Formats: table, json, csv (a row for each line), html (one document that prints on A4), pdf (the
same, printed by Chromium).

Examples:
  periodd statements --period 2026-11
  periodd statements --org acme --format html --output acme.html
  periodd statements --org acme --period 2026-11 --format pdf --output acme.pdf
  periodd statements --closed-since 2026-12-01 --format csv > statements.csv";

/// The most statements of one answer: all of it is held.
const MOST: usize = 10_000;

/// What `periodd statements` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
#[command(group = clap::ArgGroup::new("scope").args(["org", "period", "closed_since"])
    .required(true).multiple(true))]
pub struct Args {
    /// Slug or id [default: all orgs]
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Periods that begin in this month, local to the org
    #[arg(long, value_name = "YYYY-MM", conflicts_with = "closed_since")]
    period: Option<Month>,
    /// Periods that were closed from this time on
    #[arg(long, value_name = "T")]
    closed_since: Option<When>,
    /// File to write, which appears when it is complete [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Chromium or Chrome, which prints PDF [default: the first one on PATH]
    #[arg(long, value_name = "PROGRAM", value_hint = clap::ValueHint::ExecutablePath)]
    chromium: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let is_document = matches!(global.format, Format::Html | Format::Pdf);
    if args.output.is_some() && !is_document {
        return Err(Failure::usage("--output is for --format html and pdf"));
    }
    let chromium = match global.format {
        Format::Pdf => Some(pdf::browser(args.chromium.as_deref(), args.output.is_some())?),
        _ => None,
    };
    with_session(global, Schema::Current, async |session| {
        let answer = read(session, args).await?;
        match session.screen.format() {
            Format::Csv => {
                session.screen.show(&lines::Lines::of(&answer.statements))?;
            }
            Format::Html | Format::Pdf => {
                let mut bytes = document::render(&answer)?.into_bytes();
                if let Some(chromium) = &chromium {
                    bytes = pdf::print(chromium, &bytes).await?;
                }
                match &args.output {
                    Some(path) => to_file(path, |to| to.write_all(&bytes))?,
                    None => session.screen.write(|stdout| stdout.write_all(&bytes))?,
                }
                session.screen.note(&counted(answer.statements.len(), "statement"));
            }
            _ => session.screen.show(&answer)?,
        }
        Ok(Exit::Done)
    })
}

async fn read(session: &Session, args: &Args) -> Result<Answer, Failure> {
    let org = match &args.org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let closed_since = match (args.closed_since, org) {
        (None, _) => Instant::MIN,
        (Some(when), Some(org)) => session.instant(when, org).await?,
        (Some(when), None) => session.instant_in(when, "UTC").await?,
    };
    let now = session.now().await?;
    let (from, before) = match args.period {
        None => (Instant::MIN, now),
        // A day more on either side: the month is that of each org.
        Some(month) => month.around().map_err(Failure::usage)?,
    };
    let scope = Scope { org, from, before, closed_since };
    let mut connection = session.database.connection().await?;
    let limit = i64::try_from(MOST).unwrap_or(i64::MAX).saturating_add(1);
    let keys: Keys = keys(&mut connection, scope, limit).await?;
    if keys.len() > MOST {
        return Err(Failure::usage(format!(
            "more than {MOST} statements; name fewer with --org, --period or --closed-since, or \
             use `export closes`"
        )));
    }
    let mut found = statements::read(&mut connection, &keys).await?;
    found.sort_by(|one, other| {
        (&one.period.slug, one.period.start).cmp(&(&other.period.slug, other.period.start))
    });
    let shown = found.into_iter().filter_map(|statement| {
        let known = session.tz.zone(&statement.period.time_zone);
        let zone = known.unwrap_or_else(|_| Zone::utc());
        let is_wanted =
            args.period.is_none_or(|month| month.contains(&zone, statement.period.start));
        is_wanted.then(|| Shown::of(statement, &zone))
    });
    let statements = shown.collect::<Result<Vec<_>, _>>()?;
    let totals = statements.iter().flat_map(|shown| shown.totals.clone());
    let totals = statements::sum(totals)?;
    Ok(Answer { statements, totals })
}

impl From<Overflow> for Failure {
    fn from(overflow: Overflow) -> Self {
        Self::failed(overflow)
    }
}

/// All statements.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    statements: Vec<Shown>,
    /// The sums over all statements, by currency.
    totals: Vec<Amounts>,
}

/// A statement.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Shown {
    org: String,
    org_id: Uuid,
    name: String,
    period_start: Instant,
    period_end: Instant,
    time_zone: String,
    /// First day, local to the org.
    first_day: String,
    /// Last day, local to the org.
    last_day: String,
    tier: String,
    closed_at: Instant,
    /// Currency of the prices that the close kept; null: nothing had a price.
    currency: Option<String>,
    usage: Vec<Usage>,
    adjustments: Vec<Later>,
    /// Packs that were bought in the period.
    packs_bought: Vec<Purchase>,
    /// What was refunded of packs in the period.
    packs_refunded: Vec<Returned>,
    /// What packs paid for the period.
    packs_drawn: Vec<Drawn>,
    /// Whether the ledger of the packs says what the period and its adjustments say.
    agrees_with_ledger: bool,
    /// The sums of the lines, by currency.
    totals: Vec<Amounts>,
    /// When it was closed, local to the org.
    #[serde(skip)]
    closed: String,
}

/// Usage of a feature.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Usage {
    feature: String,
    unit: String,
    used: Quantity,
    /// Null: unlimited.
    included: Option<Quantity>,
    drawn: Quantity,
    uncovered: Quantity,
    /// Price of an uncovered unit.
    price_cents: Option<Quantity>,
    amount_cents: Option<Quantity>,
}

/// Usage that came after the close.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Later {
    feature: String,
    kind: String,
    used: Quantity,
    drawn: Quantity,
    uncovered: Quantity,
    /// Price of an uncovered unit.
    price_cents: Option<Quantity>,
    amount_cents: Option<Quantity>,
    /// Currency of the price.
    currency: Option<String>,
    decided_at: Instant,
    reason: Option<String>,
}

/// A pack that was bought.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Purchase {
    pack: Uuid,
    reference: Option<String>,
    feature: String,
    quantity: Quantity,
    price_cents: Option<i64>,
    currency: Option<String>,
    purchased_at: Instant,
    /// Local to the org.
    #[serde(skip)]
    day: String,
}

/// A refund of a pack.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Returned {
    pack: Uuid,
    reference: Option<String>,
    feature: String,
    quantity: Quantity,
    /// Its share of the price of the pack, negative; null: that is unknown.
    amount_cents: Option<Quantity>,
    currency: Option<String>,
    refunded_at: Instant,
    /// Local to the org.
    #[serde(skip)]
    day: String,
}

/// What a pack paid.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Drawn {
    pack: Uuid,
    reference: Option<String>,
    feature: String,
    quantity: Quantity,
    /// What the pack held afterwards.
    remaining: Quantity,
}

/// The last moment of a period.
const MOMENT: i64 = 1;

impl Shown {
    fn of(statement: Statement, zone: &Zone) -> Result<Self, Overflow> {
        let (totals, agrees_with_ledger) = (statement.totals()?, statement.agrees_with_ledger());
        let Statement { period, usage, adjustments, bought, refunds, paid } = statement;
        let last = Instant::from_microseconds(period.end.microseconds() - MOMENT);
        let usage = usage.into_iter().map(|row| {
            Ok(Usage {
                amount_cents: cost(row.uncovered, row.price)?,
                feature: row.feature,
                unit: row.unit,
                used: row.used,
                included: row.included,
                drawn: row.drawn,
                uncovered: row.uncovered,
                price_cents: row.price,
            })
        });
        let adjustments = adjustments.into_iter().map(|row| {
            Ok(Later {
                amount_cents: cost(row.uncovered, row.price)?,
                feature: row.feature,
                kind: row.kind,
                used: row.used,
                drawn: row.drawn,
                uncovered: row.uncovered,
                price_cents: row.price,
                currency: row.currency,
                decided_at: row.decided_at,
                reason: row.reason,
            })
        });
        let bought = bought.into_iter().map(|row| Purchase {
            day: zone.date(row.purchased_at).to_string(),
            pack: row.pack,
            reference: row.reference,
            feature: row.feature,
            quantity: row.quantity,
            price_cents: row.price_cents,
            currency: row.currency,
            purchased_at: row.purchased_at,
        });
        let refunds = refunds.into_iter().map(|row| {
            Ok(Returned {
                amount_cents: refunded(&row)?,
                day: zone.date(row.refunded_at).to_string(),
                pack: row.pack,
                reference: row.reference,
                feature: row.feature,
                quantity: row.quantity,
                currency: row.currency,
                refunded_at: row.refunded_at,
            })
        });
        let drawn = paid.into_iter().map(|row| Drawn {
            pack: row.pack,
            reference: row.reference,
            feature: row.feature,
            quantity: row.quantity,
            remaining: row.remaining,
        });
        Ok(Self {
            first_day: zone.date(period.start).to_string(),
            last_day: zone.date(last.unwrap_or(period.end)).to_string(),
            closed: crate::billing::when::shown(zone, period.closed_at),
            org: period.slug,
            org_id: period.org,
            name: period.name,
            period_start: period.start,
            period_end: period.end,
            time_zone: period.time_zone,
            tier: period.tier,
            closed_at: period.closed_at,
            currency: period.currency,
            usage: usage.collect::<Result<_, _>>()?,
            adjustments: adjustments.collect::<Result<_, _>>()?,
            packs_bought: bought.collect(),
            packs_refunded: refunds.collect::<Result<_, _>>()?,
            packs_drawn: drawn.collect(),
            agrees_with_ledger,
            totals,
        })
    }

    fn days(&self) -> String {
        format!("{} to {}", self.first_day, self.last_day)
    }

    /// An amount in the currency of the close; nothing where there is none.
    fn amount(&self, cents: Option<Quantity>) -> String {
        said_or_nothing(cents, self.currency.as_deref())
    }
}

impl Later {
    /// Its amount; nothing where there is none.
    fn amount(&self) -> String {
        said_or_nothing(self.amount_cents, self.currency.as_deref())
    }
}

fn said_or_nothing(cents: Option<Quantity>, currency: Option<&str>) -> String {
    let both = cents.zip(currency);
    both.map_or_else(String::new, |(cents, currency)| said(cents, currency))
}

/// The reference of a pack, or its id.
fn name(reference: Option<&String>, pack: Uuid) -> String {
    reference.map_or_else(|| pack.to_string(), String::clone)
}

impl Returned {
    /// Its amount; nothing where there is none.
    fn amount(&self) -> String {
        said_or_nothing(self.amount_cents, self.currency.as_deref())
    }
}

impl Purchase {
    fn price(&self) -> String {
        said_or_nothing(self.price_cents.map(Quantity::units), self.currency.as_deref())
    }
}

/// A quantity with its thousands apart.
fn apart(quantity: Quantity) -> String {
    thousands_apart(&quantity.to_string(), '-')
}

fn apart_or_unlimited(quantity: Option<Quantity>) -> String {
    quantity.map_or_else(|| "unlimited".to_owned(), apart)
}

impl Output for Answer {
    fn page(&self) -> Page {
        if self.statements.is_empty() {
            return Page::new().line("no closed periods");
        }
        let mut table = Table::new([
            "org",
            "period",
            "line",
            "used",
            "included",
            "from packs",
            "uncovered",
            "amount",
        ]);
        for shown in &self.statements {
            shown.rows(&mut table);
        }
        let mut page = Page::from(table);
        for total in &self.totals {
            page = page.line(said_total(total));
        }
        for shown in self.statements.iter().filter(|shown| !shown.agrees_with_ledger) {
            let days = shown.days();
            page = page.line(format!(
                "{}, {days}: the ledger of the packs says something else; was it imported?",
                shown.org
            ));
        }
        page
    }
}

/// `total 12.50 USD: usage 2.50 USD, adjustments 0.00 USD, packs 15.00 USD, refunds -5.00 USD`.
fn said_total(total: &Amounts) -> String {
    let of = |cents| said(cents, &total.currency);
    format!(
        "total {}: usage {}, adjustments {}, packs {}, refunds {}",
        of(total.total_cents),
        of(total.usage_cents),
        of(total.adjustments_cents),
        of(total.packs_cents),
        of(total.refunds_cents)
    )
}

impl Shown {
    fn rows(&self, table: &mut Table) {
        // An org and a period are named once, above their lines.
        let mut lead = [self.org.clone(), self.days()];
        let mut row = |cells: [String; 6]| {
            let [org, days] = std::mem::take(&mut lead).map(Cell::whole);
            let [line, used, included, drawn, uncovered, amount] = cells;
            let numbers = [used, included, drawn, uncovered, amount].map(Cell::number);
            table.row([org, days, Cell::text(line)].into_iter().chain(numbers));
        };
        for usage in &self.usage {
            row([
                usage.feature.clone(),
                apart(usage.used),
                apart_or_unlimited(usage.included),
                apart(usage.drawn),
                apart(usage.uncovered),
                self.amount(usage.amount_cents),
            ]);
        }
        for later in &self.adjustments {
            row([
                format!("{}, {}", later.feature, later.kind.replace('_', " ")),
                apart(later.used),
                String::new(),
                apart(later.drawn),
                apart(later.uncovered),
                later.amount(),
            ]);
        }
        for pack in &self.packs_bought {
            let name = name(pack.reference.as_ref(), pack.pack);
            let line = format!("pack {name}: {} {}", apart(pack.quantity), pack.feature);
            let none = String::new;
            row([line, none(), none(), none(), none(), pack.price()]);
        }
        for refund in &self.packs_refunded {
            let name = name(refund.reference.as_ref(), refund.pack);
            let line = format!("refund of {name}: {} {}", apart(refund.quantity), refund.feature);
            let none = String::new;
            row([line, none(), none(), none(), none(), refund.amount()]);
        }
        let is_empty = [
            self.usage.is_empty(),
            self.adjustments.is_empty(),
            self.packs_bought.is_empty(),
            self.packs_refunded.is_empty(),
        ];
        if is_empty.into_iter().all(|is_empty| is_empty) {
            row([
                "nothing was used".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
    }
}
