//! `periodd orgs`: adding, showing and changing orgs.

use uuid::Uuid;

use super::findings::findings;
use super::output::{Cell, Format, Output, Page, Table, Tone, or_unlimited};
use super::session::{Schema, Session, with_session};
use super::times::{Local, Times};
use super::{Exit, Failure, Global};
use crate::billing::parking::ParkedCode;
use crate::billing::period::cycle_words;
use crate::billing::{Cycle, Instant, Quantity, TimeOfDay, When};
use crate::command::Command as Proposed;
use crate::jobs;
use crate::jobs::cells;
use crate::jobs::finding::Finding;
use crate::jobs::settings::{self, Outlook};
use crate::store::orgs::{self, ClosedView, OrgView};
use crate::store::usage::limits::{self, Limit};
use crate::store::usage::ranges::Scope;
use crate::store::{Readable, StoreError};

pub(crate) mod park;
pub(crate) mod pause;
pub(in crate::cli) mod remove;
pub(crate) mod set;

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
    /// List orgs
    List(ListArgs),
    /// Show one org: period, usage, packs, last closed periods
    #[command(after_help = "Example:\n  periodd orgs show acme --format json")]
    Show {
        /// Slug or id
        #[arg(value_name = "ORG")]
        org: String,
    },
    /// Change an org's name, calendar, tier or contacts
    Set(Box<set::Set>),
    /// Exclude an org from rollovers, syncs and alerts
    Park(park::Park),
    /// Include a parked org again
    Unpark(park::Unpark),
    /// Pause an org: nothing is used, included or drawn until it resumes
    Pause(pause::PauseArgs),
    /// End the pause of an org
    Resume(pause::ResumeArgs),
    /// Merge an org into another
    Merge(remove::Merge),
    /// Remove an org
    Remove(remove::Remove),
}

const LIST_NOTES: &str = "\
A page ends with the command that shows the next one.

Examples:
  periodd orgs list --tier pro --due
  periodd orgs list --sort end --limit 20
  periodd orgs list --format csv > orgs.csv";

#[derive(clap::Args, Debug)]
#[command(after_help = LIST_NOTES)]
struct ListArgs {
    /// Only orgs on this tier
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Only orgs in this time zone
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Only parked orgs
    #[arg(long, conflicts_with = "due")]
    parked: bool,
    /// Only orgs whose period has ended and is not closed yet
    #[arg(long)]
    due: bool,
    /// Order: by slug, or by the end of the open period
    #[arg(long, value_name = "ORDER", default_value = "slug", value_parser = ["slug", "end"])]
    sort: String,
    /// Maximum number to show [default: 100 in a table, otherwise all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Start behind this slug
    #[arg(long, value_name = "SLUG")]
    after: Option<String>,
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List(_))
    }
}

const ADD_NOTES: &str = "Examples:
  periodd orgs add acme --name 'Acme GmbH' --zone Europe/Berlin
  periodd orgs add nippon --name Nippon --zone Asia/Tokyo --cycle yearly --anchor-month 4 \\
    --tier business --period-start 2026-04-01 --contact keiri@nippon.example
  periodd orgs add trial --name Trial --zone Europe/Berlin --period-end +14d";

#[derive(clap::Args, Debug)]
#[command(after_help = ADD_NOTES)]
struct Add {
    /// Short name, unique
    slug: String,
    /// Display name
    #[arg(long, value_name = "N")]
    name: String,
    /// Time zone as Area/Location, or UTC
    #[arg(long, value_name = "ZONE")]
    zone: String,
    /// How often a period ends
    #[arg(long, value_name = "C", default_value = "monthly")]
    #[arg(value_parser = Cycle::NAMES)]
    cycle: String,
    /// Day of the month, 1 to 31 (a short month uses its last day); weekly: 1 Monday to 7 Sunday
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle, 1 to 12
    #[arg(long, value_name = "M", default_value_t = 1, allow_negative_numbers = true)]
    anchor_month: i16,
    /// Local time of day at which periods end: 14:32 or 14:32:10
    #[arg(long, value_name = "TIME", default_value_t)]
    anchor_time: TimeOfDay,
    /// Tier
    #[arg(long, value_name = "TIER", default_value = "free")]
    tier: String,
    /// The org's id in your application
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// Start of the first period; periods that ended since are then due
    #[arg(long, value_name = "T")]
    period_start: Option<When>,
    /// End of the first period, such as that of a trial; it starts now unless its start is given
    #[arg(long, value_name = "T")]
    period_end: Option<When>,
    /// Add an email recipient; may be repeated
    #[arg(long = "contact", value_name = "EMAIL")]
    contacts: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        match &args.command {
            Command::Add(add) => {
                let id = add_org(session, add).await?;
                show(session, id).await?;
            }
            Command::List(args) => list(session, args).await?,
            Command::Show { org } => {
                let id = orgs::find(&session.database, org).await?;
                show(session, id).await?;
            }
            Command::Set(args) => return set::run(session, args).await,
            Command::Park(args) => return park::park(session, args).await,
            Command::Unpark(args) => return park::unpark(session, args).await,
            Command::Pause(args) => return pause::pause(session, args).await,
            Command::Resume(args) => return pause::resume(session, args).await,
            Command::Merge(args) => return remove::merge(session, args).await,
            Command::Remove(args) => return remove::remove(session, args).await,
        }
        Ok(Exit::Done)
    })
}

/// Orgs that a table shows at most, unless a number is asked for.
const ORGS_SHOWN: u32 = 100;

async fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let by_end = args.sort == "end";
    if by_end && args.after.is_some() {
        return Err(Failure::usage("--after starts behind a slug and needs --sort slug"));
    }
    if let Some(tier) = &args.tier {
        let known = settings::tiers(&session.database).await?;
        if !known.contains(tier) {
            let known = known.join(", ");
            return Err(Failure::usage(format!("unknown tier `{tier}`; known tiers: {known}")));
        }
    }
    let zone = match &args.zone {
        Some(zone) => Some(session.tz.zone(zone).map_err(Failure::usage)?.name().to_owned()),
        None => None,
    };
    let shown = (session.screen.format() == Format::Table).then_some(ORGS_SHOWN);
    let limit = args.limit.or(shown);
    let filter = orgs::Filter {
        only: None,
        tier: args.tier.clone(),
        zone,
        parked: args.parked,
        due: if args.due { Some(session.now().await?) } else { None },
        after: args.after.clone(),
        by_end,
        from: None,
        name_has: None,
        // One more tells whether there are more.
        limit: limit.map(|limit| i64::from(limit) + 1),
    };
    let mut connection = session.database.connection().await?;
    let mut found = orgs::list(&mut connection, &filter).await?;
    drop(connection);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| args.next_page(&last.slug));
    if let (Some(next), true) = (&next, shown.is_none()) {
        session.screen.note(&format!("there are more: {next}"));
    }
    let times = session.times().await?;
    session.screen.show(&List { orgs: found, next, times })
}

impl ListArgs {
    /// The command that shows what comes behind that slug; in another order, all of it.
    fn next_page(&self, slug: &str) -> String {
        let mut words = vec!["orgs".to_owned(), "list".to_owned()];
        let mut add = |flag: &str, value: Option<&String>| {
            if let Some(value) = value {
                words.extend([flag.to_owned(), value.clone()]);
            }
        };
        add("--tier", self.tier.as_ref());
        add("--zone", self.zone.as_ref());
        let (by_slug, limit) = (self.sort == "slug", self.limit.unwrap_or(ORGS_SHOWN));
        let limit = if by_slug { limit } else { limit.saturating_mul(2) };
        add("--limit", Some(&limit.to_string()));
        add("--after", Some(&slug.to_owned()).filter(|_| by_slug));
        add("--sort", Some(&self.sort).filter(|_| !by_slug));
        let flags = [("--parked", self.parked), ("--due", self.due)].into_iter();
        words.extend(flags.filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.to_owned()));
        Proposed::periodd(words.iter().map(String::as_str)).to_string()
    }
}

async fn add_org(session: &Session, add: &Add) -> Result<Uuid, Failure> {
    let instant = async |when: Option<When>| match when {
        Some(when) => session.instant_in(when, &add.zone).await.map(Some),
        None => Ok(None),
    };
    let period_start = instant(add.period_start).await?;
    let period_end = instant(add.period_end).await?;
    let request = jobs::orgs::Request {
        id: add.id,
        slug: add.slug.clone(),
        name: add.name.clone(),
        zone: add.zone.clone(),
        cycle: add.cycle.clone(),
        anchor_day: add.anchor_day,
        anchor_month: add.anchor_month,
        anchor_time: add.anchor_time,
        tier: add.tier.clone(),
        period_start,
        period_end,
        contacts: add.contacts.clone(),
    };
    let now = session.believed_now().await?;
    Ok(jobs::orgs::add(&session.database, &session.tz, &request, now).await?)
}

async fn show(session: &Session, id: Uuid) -> Result<(), Failure> {
    let Some(org) = orgs::view(&session.database, id).await? else {
        return Err(Failure::usage(format!("org {id} was deleted meanwhile")));
    };
    let now = session.now().await?;
    let mut connection = session.database.connection().await?;
    let usage = if_readable(limits::of(&mut connection, id, None, now).await)?;
    let closed = if_readable(orgs::closed(&mut connection, id, PERIODS_SHOWN).await)?;
    let unreadable = cells::unreadable(&mut connection, Scope::Org(id)).await?;
    let outlook = match settings::outlook(&mut connection, &session.tz, id).await {
        Ok(outlook) => outlook,
        // What cannot be read is named among the findings.
        Err(jobs::orgs::Error::Store(error)) if error.may_concern_one_row() => Outlook::default(),
        Err(error) => return Err(error.into()),
    };
    drop(connection);
    let zone = session.tz.zone(&org.time_zone).ok();
    let local = |at: Option<Readable<Instant>>| {
        at.and_then(Readable::value)
            .map(|at| zone.as_ref().map_or_else(|| at.to_string(), |zone| zone.local(at)))
    };
    let start_local = local(org.current_period_start);
    let end_local = local(org.current_period_end);
    let times = session.times().await?.local(&org.time_zone);
    session.screen.show(&Shown {
        org,
        current_period_start_local: start_local,
        current_period_end_local: end_local,
        outlook,
        usage: usage.unwrap_or_default(),
        closed: closed.unwrap_or_default(),
        findings: unreadable,
        times,
        ended_tier: session.config.rollover.ended_tier.clone(),
    })
}

/// What was read; nothing where a value in it cannot be, which is told beside it.
fn if_readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error) if error.may_concern_one_row() => Ok(None),
        read => read.map(Some),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(crate) struct List {
    orgs: Vec<OrgView>,
    /// The command that shows more.
    #[serde(skip)]
    next: Option<String>,
    #[serde(skip)]
    times: Times,
}

impl Output for List {
    fn page(&self) -> Page {
        if self.orgs.is_empty() {
            return Page::new().line("no orgs");
        }
        let mut table = Table::new(["org", "zone", "cycle", "tier", "period ends", "", "closed"]);
        for org in &self.orgs {
            let times = self.times.local(&org.time_zone);
            let end = org.current_period_end.map(Readable::value);
            let ends = match (org.parked_at, end) {
                (Some(_), _) if org.parked_code.as_deref() == Some(ParkedCode::Removed.name()) => {
                    Cell::text("removed").tone(Tone::Faint)
                }
                (Some(_), _) => Cell::text("parked").tone(Tone::Bad),
                (None, Some(Some(end))) => Cell::whole(times.at(end)),
                (None, Some(None)) => Cell::text("?").tone(Tone::Bad),
                (None, None) => Cell::text("not open yet").tone(Tone::Warning),
            };
            let is_due_once = |end: &Instant| org.parked_at.is_none() && *end != Instant::NEVER;
            let relative = end.flatten().filter(is_due_once);
            let relative = relative.map_or_else(String::new, |end| times.relative(end));
            table.row([
                Cell::whole(&org.slug),
                Cell::text(&org.time_zone),
                Cell::text(cycle(org)),
                Cell::text(&org.subscription_tier),
                ends,
                Cell::text(relative).tone(Tone::Faint),
                Cell::number(org.periods_closed),
            ]);
        }
        let mut page = Page::from(table);
        for org in self.orgs.iter().filter(|org| !org.unreadable.is_empty()) {
            page = page.line(unreadable(&org.slug, &org.unreadable));
        }
        match &self.next {
            Some(next) => page.line(format!("there are more: {next}")),
            None => page,
        }
    }
}

/// What of a row is shown as `?`.
pub(crate) fn unreadable(row: &str, columns: &[String]) -> Cell {
    let columns = columns.join(", ");
    let doctor = Proposed::periodd(["doctor"]);
    let what = format!("{row}: {columns} cannot be read; `{doctor}` shows how to repair it");
    Cell::text(what).tone(Tone::Warning)
}

fn cycle(org: &OrgView) -> String {
    cycle_words(&org.cycle, org.anchor_day, org.anchor_month, org.anchor_time)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Shown {
    #[serde(flatten)]
    org: OrgView,
    current_period_start_local: Option<String>,
    current_period_end_local: Option<String>,
    #[serde(flatten)]
    outlook: Outlook,
    usage: Vec<Limit>,
    closed: Vec<ClosedView>,
    /// Values of the org that cannot be read, with what repairs each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    #[serde(skip)]
    times: Local,
    #[serde(skip)]
    ended_tier: String,
}

impl Output for Shown {
    fn page(&self) -> Page {
        let org = &self.org;
        let status = org.subscription_status.as_ref().map(|status| format!(", {status}"));
        let status = status.unwrap_or_default();
        let title = format!("{} ({}), tier {}{status}", org.name, org.slug, org.subscription_tier);
        let mut page = Page::new().line(Cell::text(title).tone(Tone::Title));
        page = page.line(format!("id      {}", org.id));
        page = page.line(format!("cycle   {} in {}", cycle(org), org.time_zone));
        if let Some(locale) = &org.locale {
            page = page.line(format!("locale  {locale}"));
        }
        let instant = |at: Option<Readable<Instant>>| at.and_then(Readable::value);
        page = match (instant(org.current_period_start), instant(org.current_period_end)) {
            (Some(start), Some(end)) if end == Instant::NEVER => {
                page.line(format!("period  {}, without an end", self.times.at(start)))
            }
            (Some(start), Some(end)) => {
                let (start, end) = (self.times.at(start), self.times.beside(end));
                page.line(format!("period  {start} to {end}"))
            }
            (start, end) if org.current_period_start.or(org.current_period_end).is_some() => {
                let text = |at: Option<Instant>, stored: Option<Readable<Instant>>| {
                    let unreadable = if stored.is_some() { "?" } else { "not set" };
                    at.map_or_else(|| unreadable.to_owned(), |at| self.times.at(at))
                };
                let start = text(start, org.current_period_start);
                let end = text(end, org.current_period_end);
                page.line(format!("period  {start} to {end}"))
            }
            _ => page.line("period  not open yet; the next rollover opens it"),
        };
        if let Some(from) = instant(org.paused_from) {
            let until = instant(org.paused_until).map(|until| self.times.beside(until));
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            let reason = org.pause_reason.as_deref().unwrap_or("no reason was given");
            page = page.line(format!("paused  from {}{until}: {reason}", self.times.at(from)));
        }
        page = set::outlook(page, org, &self.outlook, &self.times, &self.ended_tier);
        if let Some(levels) = &self.outlook.thresholds {
            let levels = levels.iter().map(|level| format!("{level} %")).collect::<Vec<_>>();
            let levels = if levels.is_empty() { "none".to_owned() } else { levels.join(", ") };
            page = page.line(format!("alerts  {levels}"));
        }
        let allows_nothing = |limit: &Limit| limit.effective_limit.is_some_and(Quantity::is_zero);
        if self.findings.is_empty() && self.usage.iter().all(allows_nothing) {
            let line = format!(
                "tier {} includes nothing: every increment is refused until it has limits \
                 ({})",
                org.subscription_tier,
                Proposed::periodd(["tiers", "list"])
            );
            page = page.line(Cell::text(line).tone(Tone::Warning));
        }
        if let (Some(at), Some(reason)) = (org.parked_at, &org.parked_reason) {
            let since =
                instant(Some(at)).map_or_else(|| "?".to_owned(), |at| self.times.beside(at));
            let parked = format!("parked since {since}: {reason}");
            page = page.line(Cell::text(parked).tone(Tone::Bad));
        }
        if !self.findings.is_empty() {
            page = findings(page, &self.findings);
        }
        if !self.usage.is_empty() {
            page = page.line("").table(usage(&self.usage));
        }
        if !self.closed.is_empty() {
            page = page.line("").table(closed(&self.closed, &self.times));
        }
        page
    }
}

fn usage(rows: &[Limit]) -> Table {
    let mut table = Table::new(["open period", "used", "included", "drawn", "left in packs"]);
    for row in rows {
        table.row([
            Cell::text(&row.feature),
            Cell::number(row.used),
            Cell::number(or_unlimited(row.included)),
            Cell::number(row.drawn),
            Cell::number(row.usable),
        ]);
    }
    table
}

fn closed(rows: &[ClosedView], times: &Local) -> Table {
    let mut table =
        Table::new(["closed", "ended", "feature", "used", "included", "drawn", "uncovered"]);
    let quantity = |value: Option<Quantity>| {
        Cell::number(value.map_or_else(String::new, |value| value.to_string()))
    };
    for row in rows {
        let included =
            if row.feature.is_some() { or_unlimited(row.included) } else { String::new() };
        table.row([
            Cell::whole(times.at(row.start)),
            Cell::whole(times.at(row.end)),
            Cell::text(row.feature.as_deref().unwrap_or("no usage")),
            quantity(row.used),
            Cell::number(included),
            quantity(row.drawn),
            quantity(row.uncovered),
        ]);
    }
    table
}
