//! `/orgs/SLUG/periods/START`: the statement of a closed period. It is read, printed and taken
//! along as CSV; nothing on it can be changed.

use std::collections::BTreeMap;

use jiff::ToSpan;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::course::named;
use super::packs;
use crate::billing::{Instant, LocalDate, Period, Quantity, Zone};
use crate::charts::days::{Day, Days};
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::file::csv;
use crate::http::pages::clock::{Clock, Moment};
use crate::http::pages::frame::html;
use crate::http::pages::overview::block;
use crate::http::pages::parts::{Block, Cell, Table, Tone, Unread, said};
use crate::http::pages::picture::Picture;
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::jobs::statements::{self, Statement};
use crate::store::reports::explain::{self, Stretch};
use crate::store::reports::overview::Entry;
use crate::store::reports::statement::{self, ClosedPeriod, Keys, UsageRow};
use crate::store::{Connection, StoreError};
use crate::text::{url_part, visible};
use crate::tz::TzData;

const CSV: &str = "text/csv";
pub(super) const FORMAT: [Parameter; 1] =
    [Parameter::optional("format", "`csv`: the same as a file.", "csv", Kind::Text)];

/// Rows that a page shows of each kind; a file has all that is read.
const FEATURES: usize = 60;
const ROWS: usize = 40;
const DAY_ROWS: usize = 100;
/// Features whose days are drawn, and the most days that are.
const DRAWN: usize = 2;
const DRAWN_DAYS: usize = 62;

/// The statement, and the zone that the org had at the close: days are those of it.
struct Figures {
    statement: Statement,
    zone: Zone,
}

/// Usage by local day.
struct ByDay {
    dates: Vec<LocalDate>,
    metrics: Vec<Stretch>,
}

#[derive(Serialize)]
struct Whole {
    title: String,
    /// The page of the org, and what it is called.
    org: (String, String),
    csv: String,
    figures: Block<Shown>,
    drawn: Block<Table>,
    ledger: Block<Table>,
    days: Block<Table>,
    pictures: Block<Vec<Picture>>,
    /// Why the days do not add up to the figures.
    incomplete: Option<&'static str>,
}

#[derive(Serialize)]
struct Shown {
    start: Moment,
    end: Moment,
    closed: Moment,
    tier: String,
    time_zone: String,
    usage: Table,
    adjustments: Table,
}

pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let is_file = match call.parameter("format") {
        None => call.accepts(CSV),
        Some("csv") => true,
        Some(_) => return Err(Problem::new(Code::Invalid, "the parameter `format`: write csv")),
    };
    let mut turn = call.turn().await?;
    let org = call.org_named(&mut turn, call.part("org")).await?;
    drop(turn);
    let now = call.shared.now().await?;
    let none = || {
        let (org, start) = (visible(call.part("org")), visible(call.part("start")));
        let detail = format!("no closed period of `{org}` begins at `{start}`");
        Problem::new(Code::NotFound, detail)
    };
    let start: Instant = call.part("start").parse().map_err(|_| none())?;
    let tz = (call.shared.around.tz)();
    let turns = &call.shared.turns;
    let figures = block(turns, async |look| figures(look, &tz, org, start).await).await;
    let figures = match figures {
        Ok(None) => return Err(none()),
        Ok(Some(figures)) => Ok(figures),
        Err(unread) => Err(unread),
    };
    let (ledger, days) = match &figures {
        Ok(found) => {
            let period = &found.statement.period;
            let ledger = block(turns, async |look| statement::entries(look, period).await).await;
            let zone = &found.zone;
            let days = block(turns, async |look| by_day(look, org, period, zone).await).await;
            (ledger, days)
        }
        Err(unread) => (Err(unread.clone()), Err(unread.clone())),
    };
    if is_file {
        return file(figures, ledger, days);
    }
    page(&call, now, &figures, &ledger, &days)
}

async fn figures(
    look: &mut Connection,
    tz: &TzData,
    org: Uuid,
    start: Instant,
) -> Result<Option<Figures>, StoreError> {
    let Some(statement) = statements::read(look, &Keys::one(org, start)).await?.pop() else {
        return Ok(None);
    };
    let zone = tz.zone(&statement.period.time_zone).unwrap_or_else(|_| Zone::utc());
    Ok(Some(Figures { statement, zone }))
}

async fn by_day(
    look: &mut Connection,
    org: Uuid,
    period: &ClosedPeriod,
    zone: &Zone,
) -> Result<ByDay, StoreError> {
    let (first, last) = (zone.date(period.start), zone.date(period.end));
    let inside = |at: &Instant| period.start < *at && *at < period.end;
    let starts = zone.days(first, last).unwrap_or_default();
    let starts: Vec<Instant> =
        std::iter::once(period.start).chain(starts.into_iter().filter(inside)).collect();
    let dates = first.0.series(1.day()).take(starts.len()).map(LocalDate).collect();
    let whole = Period { start: period.start, end: period.end };
    let metrics = explain::metrics(look, org, None, whole, &starts, true).await?;
    Ok(ByDay { dates, metrics })
}

impl ByDay {
    /// By date and feature, where anything was used.
    fn used(&self) -> impl Iterator<Item = (LocalDate, &str, Quantity)> {
        let mut used: Vec<(LocalDate, &str, Quantity)> = self
            .metrics
            .iter()
            .filter_map(|stretch| {
                let place = usize::try_from(stretch.number).ok()?.checked_sub(1)?;
                let used = stretch.counted.plus(stretch.uncounted).unwrap_or(stretch.counted);
                Some((*self.dates.get(place)?, stretch.feature.as_str(), used))
            })
            .collect();
        used.sort_unstable_by_key(|(date, feature, _)| (date.0, *feature));
        used.into_iter()
    }

    /// With what a level carried over at the start, which is of no day.
    fn sum(&self, feature: &str) -> Quantity {
        let of_it = self.metrics.iter().filter(|stretch| stretch.feature == feature);
        let used = of_it.flat_map(|stretch| [stretch.counted, stretch.uncounted]);
        Quantity::sum(used).unwrap_or_default()
    }

    /// The days of a feature, for a picture.
    fn days(&self, feature: &str) -> Days {
        let used: BTreeMap<jiff::civil::Date, Quantity> = self
            .used()
            .filter(|(_, name, _)| *name == feature)
            .map(|(date, _, used)| (date.0, used))
            .collect();
        let day = |date: &LocalDate| Day {
            date: *date,
            used: used.get(&date.0).copied().unwrap_or_default(),
            before: None,
        };
        let days = self.dates.iter().map(day).collect();
        Days { feature: said(feature), days, sample: None }
    }
}

fn page(
    call: &Call,
    now: Instant,
    figures: &Result<Figures, Unread>,
    ledger: &Result<Vec<Entry>, Unread>,
    days: &Result<ByDay, Unread>,
) -> Result<Answer, Problem> {
    let zone = figures.as_ref().map_or_else(|_| Zone::utc(), |found| found.zone.clone());
    let clock = times::clock(call, zone, now);
    let slug = figures.as_ref().map_or(call.part("org"), |found| &found.statement.period.slug);
    let name = figures.as_ref().map_or(call.part("org"), |found| &found.statement.period.name);
    let href = format!("/orgs/{}", url_part(slug));
    let title = format!("Statement of {}", said(name));
    let start = url_part(call.part("start"));
    let whole = Whole {
        title: title.clone(),
        csv: format!("{href}/periods/{start}?format=csv"),
        org: (href, said(name)),
        figures: Block::of(figures, |found| shown(found, &clock)),
        drawn: Block::of(figures, |found| drawn(&found.statement)),
        ledger: Block::of(ledger, |entries| packs::table(entries, &clock).first(ROWS)),
        days: Block::of(days, by_day_table),
        pictures: Block::of(days, |days| pictures(figures, days)),
        incomplete: figures.as_ref().ok().zip(days.as_ref().ok()).and_then(incomplete),
    };
    let frame = times::framed(call, title, "orgs", &clock);
    html("statement.html", &frame, &whole)
}

fn shown(found: &Figures, clock: &Clock) -> Shown {
    let head = ["Feature", "Unit", "Used#", "Included#", "From packs#", "Uncovered#"];
    let mut usage = Table::new("Usage, and who paid for it", &head);
    for row in &found.statement.usage {
        let uncovered = Cell::number(row.uncovered);
        usage.row([
            Cell::text(&row.feature),
            Cell::text(&row.unit),
            Cell::number(row.used),
            Cell::limit(row.included),
            Cell::number(row.drawn),
            if row.uncovered.is_zero() { uncovered } else { uncovered.tone(Tone::Bad) },
        ]);
    }
    let head = ["Feature", "Kind", "Used#", "From packs#", "Uncovered#", "Decided", "Reason"];
    let mut adjustments = Table::new("Adjustments: usage that came after the close", &head);
    for row in &found.statement.adjustments {
        adjustments.row([
            Cell::text(&row.feature),
            Cell::text(row.kind.replace('_', " ")),
            Cell::number(row.used),
            Cell::number(row.drawn),
            Cell::number(row.uncovered),
            Cell::at(clock.moment(row.decided_at)),
            Cell::text(row.reason.as_deref().unwrap_or_default()),
        ]);
    }
    Shown {
        start: clock.moment(found.statement.period.start),
        end: clock.moment(found.statement.period.end),
        closed: clock.moment(found.statement.period.closed_at),
        tier: said(&found.statement.period.tier),
        time_zone: found.zone.name().to_owned(),
        usage: usage.first(FEATURES),
        adjustments: adjustments.first(ROWS),
    }
}

/// What each pack paid for the period.
fn drawn(statement: &Statement) -> Table {
    let mut table = Table::new("Packs drawn", &["Pack", "Feature", "Paid#", "Left afterwards#"]);
    for paid in &statement.paid {
        table.row([
            Cell::text(named(paid.reference.as_deref(), paid.pack)),
            Cell::text(&paid.feature),
            Cell::number(paid.quantity),
            Cell::number(paid.remaining),
        ]);
    }
    table.first(ROWS)
}

fn by_day_table(days: &ByDay) -> Table {
    let mut table = Table::new("Usage by day", &["Day", "Feature", "Used#"]);
    for (date, feature, used) in days.used().filter(|(.., used)| !used.is_zero()) {
        table.row([Cell::text(date), Cell::text(feature), Cell::number(used)]);
    }
    table.first(DAY_ROWS)
}

fn pictures(figures: &Result<Figures, Unread>, days: &ByDay) -> Vec<Picture> {
    let is_drawn = (2..=DRAWN_DAYS).contains(&days.dates.len());
    let Some(found) = figures.as_ref().ok().filter(|_| is_drawn) else { return Vec::new() };
    let used = found.statement.usage.iter().filter(|row| !days.sum(&row.feature).is_zero());
    let picture = |row: &UsageRow| {
        let days = days.days(&row.feature);
        Picture::of(|width| days.chart(width))
    };
    used.take(DRAWN).map(picture).collect()
}

/// Why the days do not add up to the figures; `None`: they do.
fn incomplete((found, days): (&Figures, &ByDay)) -> Option<&'static str> {
    let late = |feature: &str| {
        let of_it = found.statement.adjustments.iter().filter(|row| row.feature == feature);
        Quantity::sum(of_it.map(|row| row.used)).unwrap_or_default()
    };
    let is_sum = |row: &UsageRow| {
        row.used.plus(late(&row.feature)).is_ok_and(|used| used == days.sum(&row.feature))
    };
    if found.statement.usage.iter().all(is_sum) {
        None
    } else if found.statement.period.is_thinned {
        Some("The days are not all of it: usage is kept by day for a limited time.")
    } else {
        Some(
            "The days add up to something else: some usage is not counted yet, or the figures \
             were brought from elsewhere.",
        )
    }
}

/// A line of the file: of the period, of a feature's usage, an adjustment, the ledger, or a day.
#[derive(Default, Serialize, JsonSchema)]
struct Line {
    kind: &'static str,
    feature: Option<String>,
    /// The start of the period, when it was decided or entered; of a day its date.
    at: Option<String>,
    until: Option<String>,
    tier: Option<String>,
    unit: Option<String>,
    pack: Option<String>,
    /// The kind of an adjustment or of an entry.
    what: Option<String>,
    used: Option<Quantity>,
    included: Option<Quantity>,
    drawn: Option<Quantity>,
    uncovered: Option<Quantity>,
    /// Of an entry: how much it moved, and what was left.
    quantity: Option<Quantity>,
    remaining: Option<Quantity>,
    reason: Option<String>,
}

/// The same as a file, which is whole or not there.
fn file(
    figures: Result<Figures, Unread>,
    ledger: Result<Vec<Entry>, Unread>,
    days: Result<ByDay, Unread>,
) -> Result<Answer, Problem> {
    let read = figures.and_then(|figures| Ok((figures, ledger?, days?)));
    let unread = |_| Problem::new(Code::Unavailable, "the database did not answer in time");
    let (found, ledger, days) = read.map_err(unread)?;
    let found = found.statement;
    let mut lines = vec![Line {
        kind: "period",
        at: Some(found.period.start.to_string()),
        until: Some(found.period.end.to_string()),
        tier: Some(found.period.tier),
        ..Line::default()
    }];
    lines.extend(found.usage.into_iter().map(|row| Line {
        kind: "usage",
        feature: Some(row.feature),
        unit: Some(row.unit),
        used: Some(row.used),
        included: row.included,
        drawn: Some(row.drawn),
        uncovered: Some(row.uncovered),
        ..Line::default()
    }));
    lines.extend(found.adjustments.into_iter().map(|row| Line {
        kind: "adjustment",
        feature: Some(row.feature),
        at: Some(row.decided_at.to_string()),
        what: Some(row.kind),
        used: Some(row.used),
        drawn: Some(row.drawn),
        uncovered: Some(row.uncovered),
        reason: row.reason,
        ..Line::default()
    }));
    lines.extend(ledger.into_iter().map(|entry| Line {
        kind: "ledger",
        feature: Some(entry.feature),
        at: Some(entry.at.to_string()),
        pack: Some(entry.reference.unwrap_or_else(|| entry.pack.to_string())),
        what: Some(entry.kind),
        quantity: Some(entry.quantity),
        remaining: Some(entry.remaining),
        ..Line::default()
    }));
    lines.extend(days.used().map(|(date, feature, used)| Line {
        kind: "day",
        feature: Some(feature.to_owned()),
        at: Some(date.to_string()),
        used: Some(used),
        ..Line::default()
    }));
    csv(&lines, "attachment; filename=\"statement.csv\"")
}
