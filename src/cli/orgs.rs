//! `periodd orgs`: adding, showing and changing orgs.

use uuid::Uuid;

use super::output::{Cell, Output, Page, Table, Tone};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::{Instant, Quantity};
use crate::jobs;
use crate::store::orgs::{self, ClosedView, CounterView, OrgView};

pub(super) mod park;
pub(super) mod set;

/// Closed periods that `orgs show` shows.
const PERIODS_SHOWN: i64 = 6;

const NOTES: &str = "Examples:
  periodd orgs add acme --name 'Acme GmbH' --zone Europe/Berlin --anchor-day 31 --tier pro
  periodd orgs list
  periodd orgs show acme --format json";

/// What `periodd orgs` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Add an org and open its first period
    Add(Box<Add>),
    /// List all orgs
    #[command(after_help = "Example:\n  periodd orgs list")]
    List,
    /// Show one org: period, usage, packs, last closes
    #[command(after_help = "Example:\n  periodd orgs show acme --format json")]
    Show {
        /// Slug or id
        #[arg(value_name = "ORG")]
        org: String,
    },
    /// Change an org's name, calendar, tier or contacts
    Set(Box<set::Set>),
    /// Set an org aside: passes leave it alone
    Park(park::Park),
    /// Take an org back that was set aside
    Unpark(park::Unpark),
}

const ADD_NOTES: &str = "Examples:
  periodd orgs add acme --name 'Acme GmbH' --zone Europe/Berlin
  periodd orgs add nippon --name Nippon --zone Asia/Tokyo --cycle yearly --anchor-month 4 \\
    --tier business --period-start 2026-04-01T00:00:00+09:00";

#[derive(clap::Args, Debug)]
#[command(after_help = ADD_NOTES)]
struct Add {
    /// Short name, unique
    slug: String,
    /// Name for people
    #[arg(long, value_name = "N")]
    name: String,
    /// Time zone as Area/Location, or UTC
    #[arg(long, value_name = "ZONE")]
    zone: String,
    /// How often a period ends
    #[arg(long, value_name = "C", default_value = "monthly")]
    #[arg(value_parser = ["monthly", "yearly", "weekly", "daily"])]
    cycle: String,
    /// Day of the month, 1 to 31 (a short month uses its last day); weekly: 1 Monday to 7 Sunday
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    anchor_day: i16,
    /// Month of a yearly cycle, 1 to 12
    #[arg(long, value_name = "M", default_value_t = 1, allow_negative_numbers = true)]
    anchor_month: i16,
    /// Tier
    #[arg(long, value_name = "TIER", default_value = "free")]
    tier: String,
    /// The org's id in your application
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// Where the first period starts; what is past is due then
    #[arg(long, value_name = "T")]
    period_start: Option<Instant>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        match &args.command {
            Command::Add(add) => {
                let id = add_org(session, add).await?;
                show(session, id).await?;
            }
            Command::List => {
                let list = orgs::list(&session.database, None).await?;
                session.screen.show(&List(list))?;
            }
            Command::Show { org } => {
                let id = orgs::find(&session.database, org).await?;
                show(session, id).await?;
            }
            Command::Set(args) => return set::run(session, args).await,
            Command::Park(args) => return park::park(session, args).await,
            Command::Unpark(args) => return park::unpark(session, args).await,
        }
        Ok(Exit::Done)
    })
}

async fn add_org(session: &Session, add: &Add) -> Result<Uuid, Failure> {
    let request = jobs::orgs::Request {
        id: add.id,
        slug: add.slug.clone(),
        name: add.name.clone(),
        zone: add.zone.clone(),
        cycle: add.cycle.clone(),
        anchor_day: add.anchor_day,
        anchor_month: add.anchor_month,
        tier: add.tier.clone(),
        period_start: add.period_start,
    };
    let now = session.now().await?;
    Ok(jobs::orgs::add(&session.database, &session.tz, &request, now).await?)
}

async fn show(session: &Session, id: Uuid) -> Result<(), Failure> {
    let mut found = orgs::list(&session.database, Some(id)).await?;
    let Some(org) = found.pop() else {
        return Err(Failure::usage(format!("the org {id} has just gone")));
    };
    let usage = orgs::counters(&session.database, id).await?;
    let closed = orgs::closed(&session.database, id, PERIODS_SHOWN).await?;
    let zone = session.tz.zone(&org.time_zone).ok();
    let local = |at: Option<Instant>| {
        at.map(|at| zone.as_ref().map_or_else(|| at.to_string(), |zone| zone.local(at)))
    };
    let start_local = local(org.current_period_start);
    let end_local = local(org.current_period_end);
    session.screen.show(&Shown {
        org,
        current_period_start_local: start_local,
        current_period_end_local: end_local,
        usage,
        closed,
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct List(Vec<OrgView>);

impl Output for List {
    fn page(&self) -> Page {
        let mut table = Table::new(["org", "zone", "cycle", "tier", "period ends", "closed"]);
        for org in &self.0 {
            let ends = match (&org.parked_reason, org.current_period_end) {
                (Some(_), _) => Cell::text("parked").tone(Tone::Bad),
                (None, Some(end)) => Cell::text(end),
                (None, None) => Cell::text("not open yet").tone(Tone::Warning),
            };
            table.row([
                Cell::text(&org.slug),
                Cell::text(&org.time_zone),
                Cell::text(cycle(org)),
                Cell::text(&org.subscription_tier),
                ends,
                Cell::number(org.periods_closed),
            ]);
        }
        table.into()
    }
}

/// The cycle with its anchor: `monthly 31`, `yearly 2-29`, `weekly 1`, `daily`.
fn cycle(org: &OrgView) -> String {
    match org.cycle.as_str() {
        "daily" => "daily".to_owned(),
        "yearly" => format!("yearly {}-{}", org.anchor_month, org.anchor_day),
        other => format!("{other} {}", org.anchor_day),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Shown {
    #[serde(flatten)]
    org: OrgView,
    current_period_start_local: Option<String>,
    current_period_end_local: Option<String>,
    usage: Vec<CounterView>,
    closed: Vec<ClosedView>,
}

impl Output for Shown {
    fn page(&self) -> Page {
        let org = &self.org;
        let title = format!("{} ({}), tier {}", org.name, org.slug, org.subscription_tier);
        let mut page = Page::new().line(Cell::text(title).tone(Tone::Title));
        page = page.line(format!("id      {}", org.id));
        page = page.line(format!("cycle   {} in {}", cycle(org), org.time_zone));
        page = match (&self.current_period_start_local, &self.current_period_end_local) {
            (Some(start), Some(end)) => page.line(format!("period  {start} to {end}")),
            _ => page.line("period  not open yet: the next rollover opens it"),
        };
        if let (Some(at), Some(reason)) = (org.parked_at, &org.parked_reason) {
            let parked = format!("parked since {at}: {reason}");
            page = page.line(Cell::text(parked).tone(Tone::Bad));
        }
        if !self.usage.is_empty() {
            page = page.line("").table(usage(&self.usage));
        }
        if !self.closed.is_empty() {
            page = page.line("").table(closed(&self.closed));
        }
        page
    }
}

fn usage(rows: &[CounterView]) -> Table {
    let mut table = Table::new(["open period", "used", "included", "drawn", "left in packs"]);
    for row in rows {
        table.row([
            Cell::text(&row.feature),
            Cell::number(row.used),
            Cell::number(or_unlimited(row.included)),
            Cell::number(row.drawn),
            Cell::number(row.in_packs),
        ]);
    }
    table
}

fn closed(rows: &[ClosedView]) -> Table {
    let mut table =
        Table::new(["closed", "ended", "feature", "used", "included", "drawn", "uncovered"]);
    let quantity = |value: Option<Quantity>| {
        Cell::number(value.map_or_else(String::new, |value| value.to_string()))
    };
    for row in rows {
        let included =
            if row.feature.is_some() { or_unlimited(row.included) } else { String::new() };
        table.row([
            Cell::text(row.start),
            Cell::text(row.end),
            Cell::text(row.feature.as_deref().unwrap_or("no usage")),
            quantity(row.used),
            Cell::number(included),
            quantity(row.drawn),
            quantity(row.uncovered),
        ]);
    }
    table
}

/// An included quantity in words.
pub(super) fn or_unlimited(included: Option<Quantity>) -> String {
    included.map_or_else(|| "unlimited".to_owned(), |included| included.to_string())
}
