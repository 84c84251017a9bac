//! `/orgs/SLUG`: why was this customer refused, and when is it over? What `explain` says, for a
//! browser.

use std::collections::BTreeMap;

use serde::Serialize;

use super::button::Button;
use super::clock::{Clock, Moment};
use super::frame::html;
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Found, Table, Tone, grouped, said};
use super::picture::Picture;
use super::times;
use crate::billing::{self, Instant, Quantity, Zone};
use crate::charts::closes::{Close, Closes};
use crate::command::Command;
use crate::http::answer::Answer;
use crate::http::call::{Call, Route, Sees};
use crate::http::problem::Problem;
use crate::http::settings::shown_columns;
use crate::jobs::explain::{self, Explanation, FeatureView, NEAR_PERCENT, Subject};
use crate::store::messages::outbox::{self, EmailRow, Progress};
use crate::store::orgs::{self, ClosedView};
use crate::store::reports::overview::{self, Entry};

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [page(
    "/orgs/{org}",
    Sees::One,
    "Everything about an organization, problems first.",
    &[],
    |call| Box::pin(show(call)),
)];

/// Closed periods, and emails, that are shown.
const CLOSED: i64 = 12;
const EMAILS: i64 = 20;
/// Features whose closes are drawn.
const DRAWN: usize = 4;

#[derive(Serialize)]
struct Whole {
    title: String,
    org: Block<Org>,
    ledger: Block<Table>,
    closed: Block<Table>,
    closes: Block<Vec<Picture>>,
    emails: Block<Table>,
}

#[derive(Serialize)]
struct Org {
    /// What is said beside the name.
    beside: Vec<String>,
    now: String,
    /// Why the org is parked, and since when.
    parked: Option<(String, Option<Moment>)>,
    findings: Vec<Found>,
    period: Option<Period>,
    changes: Vec<String>,
    features: Vec<Feature>,
    packs: Table,
    late: Table,
    alerts: Table,
    repairs: Table,
    contacts: Table,
    users: Table,
    id: String,
    /// The same in a terminal.
    command: String,
    /// What can be done with it.
    acts: Vec<Button>,
}

#[derive(Serialize)]
struct Period {
    start: Moment,
    end: Moment,
    passed_percent: i64,
    is_open: bool,
}

#[derive(Serialize)]
struct Feature {
    name: String,
    unit: String,
    /// Would one more unit be allowed?
    is_allowed: bool,
    why_not: Option<String>,
    /// Used of the allowance; `None`: unlimited.
    percent: Option<i64>,
    /// The same for a bar: 0 to 100.
    filled: i64,
    tone: Tone,
    facts: Vec<(&'static str, Cell)>,
    forecast: Option<String>,
    copies: Table,
    /// Does any copy differ?
    differs: bool,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let org = call.org_named(&mut *call.turn().await?, call.part("org")).await?;
    let shared = &call.shared;
    let (around, turns) = (&shared.around, &shared.turns);
    let tz = (around.tz)();
    let pass = turns.pass().await?;
    let derived = shown_columns(shared).await?;
    let now = around.database.now().await?;
    drop(pass);
    let subject = Subject { org, user: None };
    let found = block(turns, async |look| explain::read(look, &tz, &derived, subject, now).await);
    let found = found.await;
    let ledger = block(turns, async |look| overview::entries(look, org).await).await;
    let closed = block(turns, async |look| orgs::closed(look, org, CLOSED).await).await;
    let emails = block(turns, async |look| outbox::of_org(look, org, EMAILS).await).await;
    let zone = found.as_ref().ok().and_then(|found| tz.zone(&found.org.time_zone).ok());
    let clock = times::clock(&call, zone.unwrap_or_else(Zone::utc), now);
    let title = found.as_ref().map_or(call.part("org"), |found| &found.org.name);
    let title = said(title);
    let whole = Whole {
        title: title.clone(),
        org: Block::of(&found, |found| view(found, &clock)),
        ledger: Block::of(&ledger, |entries| self::ledger(entries, &clock)),
        closed: Block::of(&closed, |periods| self::closed(periods, &clock)),
        closes: Block::of(&closed, |periods| closes(periods, &clock)),
        emails: Block::of(&emails, |emails| self::emails(emails, &clock)),
    };
    let frame = times::framed(&call, title, "orgs", &clock);
    html("org.html", &frame, &whole)
}

fn view(found: &Explanation, clock: &Clock) -> Org {
    let row = &found.org;
    let mut beside = vec![row.slug.clone(), format!("tier {}", row.subscription_tier)];
    beside.extend(row.subscription_status.clone());
    beside.push(row.time_zone.clone());
    beside.push(row.cycle.clone());
    let reason = row.parked_reason.as_deref().unwrap_or("no reason was given");
    Org {
        beside: beside.iter().map(|text| said(text)).collect(),
        now: clock.moment(found.now).text().to_owned(),
        parked: row.is_parked.then(|| {
            (crate::text::visible(reason).into_owned(), row.parked_at.map(|at| clock.moment(at)))
        }),
        findings: found.findings.iter().map(Into::into).collect(),
        period: found.period.as_ref().map(|period| Period {
            start: clock.moment(period.start),
            end: clock.moment(period.end),
            passed_percent: period.passed_percent,
            is_open: period.is_open,
        }),
        changes: changes(found, clock),
        features: found.features.iter().map(feature).collect(),
        packs: packs(found, clock),
        late: late(found, clock),
        alerts: alerts(found, clock),
        repairs: repairs(found, clock),
        contacts: contacts(found, clock),
        users: users(found),
        id: row.id.to_string(),
        command: Command::periodd(["explain", &row.slug]).to_string(),
        acts: Button::of_org(&row.slug, row.is_parked),
    }
}

/// What is to change, in words.
fn changes(found: &Explanation, clock: &Clock) -> Vec<String> {
    let row = &found.org;
    let mut changes = Vec::new();
    let shown = |at: Instant| clock.moment(at).text().to_owned();
    if let Some(tier) = &row.next_subscription_tier {
        let from = row.next_subscription_tier_at.map(shown);
        let from = from.map_or_else(
            || "at the end of the period".to_owned(),
            |at| format!("at the first end of a period from {at} on"),
        );
        changes.push(format!("The tier becomes {} {from}.", said(tier)));
    }
    if let Some(at) = row.subscription_ends_at {
        changes.push(format!("The subscription ends at {}.", shown(at)));
    }
    changes
}

fn feature(view: &FeatureView) -> Feature {
    let included_left =
        view.left.map(|left| left.minus(view.purchased_remaining).unwrap_or_default().or_zero());
    let mut facts = vec![
        ("Used", Cell::number(view.used)),
        ("Allowance", Cell::limit(view.allowance)),
        ("Included", Cell::limit(view.included)),
        ("Included, left", Cell::limit(included_left)),
        ("Purchased, left", Cell::number(view.purchased_remaining)),
    ];
    for (name, quantity) in [
        ("In packs", view.in_packs),
        ("Claimed by ended periods", view.claimed),
        ("Drawn in this period", view.drawn),
        ("Not counted yet", view.uncounted),
    ] {
        if !quantity.is_zero() {
            facts.push((name, Cell::number(quantity)));
        }
    }
    let percent = view.percent;
    let tone = match percent {
        Some(100..) => Tone::Bad,
        Some(NEAR_PERCENT..) => Tone::Warning,
        _ => Tone::Plain,
    };
    let forecast = view.forecast.as_ref().map(|ahead| {
        let at_end = grouped(&ahead.at_end.to_string());
        match ahead.used_up_on {
            Some(day) => format!("About {at_end} by the end; used up on {day}."),
            None => format!("About {at_end} by the end."),
        }
    });
    let mut copies = Table::new("Copies of the number", &["Copy", "Holds#", "Should#", "Agrees"]);
    for copy in &view.copies {
        let agrees = if copy.agrees {
            Cell::text("agrees").tone(Tone::Good)
        } else {
            Cell::text("differs").tone(Tone::Bad)
        };
        let holds = copy.holds.map_or_else(|| Cell::text("nothing"), Cell::number);
        copies.row([Cell::text(&copy.column), holds, Cell::number(copy.should), agrees]);
    }
    Feature {
        name: said(&view.feature),
        unit: said(&view.unit),
        is_allowed: view.increment.allowed,
        why_not: view.increment.why.clone(),
        percent,
        filled: percent.unwrap_or_default().clamp(0, 100),
        tone,
        facts,
        forecast,
        copies,
        differs: view.copies.iter().any(|copy| !copy.agrees),
    }
}

fn packs(found: &Explanation, clock: &Clock) -> Table {
    let head = ["Pack", "Feature", "Left#", "Of#", "Drawn#", "Expired#", "Refunded#", "Usable"];
    let mut table = Table::new("Packs, in the order in which they pay", &head);
    for pack in &found.packs {
        let at = |at: Instant| clock.moment(at).text().to_owned();
        let usable = match (pack.purchased_at > found.now, pack.expires_at) {
            (true, _) => format!("from {}", at(pack.purchased_at)),
            (false, Some(end)) if end <= found.now => format!("expired {}", at(end)),
            (false, Some(end)) => format!("until {}", at(end)),
            (false, None) => "for ever".to_owned(),
        };
        table.row([
            Cell::text(named(pack.reference.as_deref(), pack.id)),
            Cell::text(&pack.feature),
            Cell::number(pack.remaining),
            Cell::number(pack.quantity),
            Cell::number(pack.drawn),
            Cell::number(pack.expired),
            Cell::number(pack.refunded),
            Cell::text(usable),
        ]);
    }
    table
}

/// A pack by its reference, or by the beginning of its id.
fn named(reference: Option<&str>, id: uuid::Uuid) -> String {
    reference.map_or_else(|| id.to_string().chars().take(8).collect(), str::to_owned)
}

fn ledger(entries: &[Entry], clock: &Clock) -> Table {
    let head = ["When", "Pack", "Feature", "What", "Quantity#", "Left#", "For the period from"];
    let mut table = Table::new("The ledger of packs", &head);
    for entry in entries {
        table.row([
            Cell::at(clock.moment(entry.at)),
            Cell::text(named(entry.reference.as_deref(), entry.pack)),
            Cell::text(&entry.feature),
            Cell::text(&entry.kind),
            Cell::number(entry.quantity),
            Cell::number(entry.remaining),
            Cell::at_or(entry.period_start.map(|at| clock.moment(at)), ""),
        ]);
    }
    table
}

fn closed(periods: &[ClosedView], clock: &Clock) -> Table {
    let head = ["From", "To", "Tier", "Feature", "Used#", "Included#", "From packs#", "Uncovered#"];
    let mut table = Table::new("The last 12 closes", &head);
    let number = |value: Option<Quantity>| value.map_or_else(Cell::empty, Cell::number);
    for row in periods {
        let included = match row.feature {
            Some(_) => Cell::limit(row.included),
            None => Cell::empty(),
        };
        let uncovered = number(row.uncovered);
        let is_uncovered = row.uncovered.is_some_and(|quantity| !quantity.is_zero());
        table.row([
            Cell::at(clock.moment(row.start)),
            Cell::at(clock.moment(row.end)),
            Cell::text(&row.tier),
            Cell::text(row.feature.as_deref().unwrap_or("no usage")),
            number(row.used),
            included,
            number(row.drawn),
            if is_uncovered { uncovered.tone(Tone::Bad) } else { uncovered },
        ]);
    }
    table
}

/// Who paid for what in each closed period: a picture for each of the first features that were
/// used.
fn closes(periods: &[ClosedView], clock: &Clock) -> Vec<Picture> {
    let mut features: BTreeMap<&str, Vec<Close>> = BTreeMap::new();
    for row in periods.iter().rev() {
        let (Some(feature), Some(used)) = (&row.feature, row.used) else { continue };
        let [drawn, uncovered] = [row.drawn, row.uncovered].map(Option::unwrap_or_default);
        let beyond = drawn.plus(uncovered).unwrap_or_default();
        let included = used.minus(beyond).unwrap_or_default();
        let period = billing::Period { start: row.start, end: row.end };
        let close = Close { period, included, drawn, uncovered, late: Quantity::ZERO };
        features.entry(feature).or_default().push(close);
    }
    let is_used =
        |close: &Close| [close.included, close.drawn, close.uncovered] != [Quantity::ZERO; 3];
    let used = features.into_iter().filter(|(_, closes)| closes.iter().any(is_used));
    let drawn = used.take(DRAWN).map(|(feature, closes)| {
        let closes = Closes { feature: feature.to_owned(), closes };
        Picture::of(|width| closes.chart(width, &clock.when()))
    });
    drawn.collect()
}

fn late(found: &Explanation, clock: &Clock) -> Table {
    let head = ["Period from", "Feature", "Kind", "Used#", "From packs#", "Uncovered#", "Decided"];
    let mut table = Table::new("Late usage", &head);
    for row in &found.adjustments {
        table.row([
            Cell::at(clock.moment(row.period_start)),
            Cell::text(&row.feature),
            Cell::text(row.kind.replace('_', " ")),
            Cell::number(row.used),
            Cell::number(row.drawn),
            Cell::number(row.uncovered),
            Cell::at(clock.moment(row.decided_at)),
        ]);
    }
    table
}

fn alerts(found: &Explanation, clock: &Clock) -> Table {
    let head =
        ["Threshold#", "Feature", "Decided", "State", "Sent#", "Due#", "Given up#", "Suppressed#"];
    let mut table = Table::new("Alerts", &head);
    for row in &found.alerts {
        let given_up = Cell::number(row.given_up);
        table.row([
            Cell::number(format!("{} %", row.threshold)),
            Cell::text(&row.feature),
            Cell::at(clock.moment(row.decided_at)),
            Cell::text(&row.state),
            Cell::number(row.sent),
            Cell::number(row.due),
            if row.given_up > 0 { given_up.tone(Tone::Bad) } else { given_up },
            Cell::number(row.suppressed),
        ]);
    }
    table
}

fn emails(emails: &[EmailRow], clock: &Clock) -> Table {
    let head = ["Queued", "To", "Threshold#", "Feature", "State", "The server said"];
    let mut table = Table::new("Emails", &head);
    for email in emails {
        let progress = email.progress();
        let tone = match progress {
            Progress::Sent => Tone::Good,
            Progress::GivenUp | Progress::Suppressed => Tone::Bad,
            Progress::ToBeRetried => Tone::Warning,
            Progress::Due => Tone::Plain,
        };
        table.row([
            Cell::at(clock.moment(email.recorded_at)),
            Cell::text(&email.recipient),
            Cell::number(format!("{} %", email.threshold)),
            Cell::text(&email.feature),
            Cell::text(progress.words()).tone(tone),
            Cell::text(email.answer.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn repairs(found: &Explanation, clock: &Clock) -> Table {
    let head = ["When", "Copy", "Before#", "After#", "Because"];
    let mut table = Table::new("Repairs", &head);
    for row in &found.mends {
        table.row([
            Cell::at(clock.moment(row.found_at)),
            Cell::text(&row.place),
            row.before.map_or_else(|| Cell::text("nothing"), Cell::number),
            Cell::number(row.after),
            Cell::text(&row.reason),
        ]);
    }
    table
}

fn contacts(found: &Explanation, clock: &Clock) -> Table {
    let mut table = Table::new("Contacts", &["Email", "Warnings"]);
    for contact in &found.contacts {
        let wants = match contact.opted_out_at {
            None => Cell::text("all"),
            Some(at) => {
                let since = clock.moment(at).text().to_owned();
                Cell::text(format!("only at 100 %, since {since}")).tone(Tone::Soft)
            }
        };
        table.row([Cell::text(&contact.email), wants]);
    }
    table
}

fn users(found: &Explanation) -> Table {
    let head = ["Email", "Plan", "Status", "Scrapes shown#", "Scrapes counted#"];
    let mut table = Table::new("Users", &head);
    for user in &found.users {
        let shown = Cell::number(user.usage_this_month);
        let agrees = user.usage_this_month == user.counted;
        table.row([
            Cell::text(&user.email),
            Cell::text(user.plan.as_deref().unwrap_or("the org's")),
            Cell::text(user.subscription_status.as_deref().unwrap_or_default()),
            if agrees { shown } else { shown.tone(Tone::Bad) },
            Cell::number(user.counted),
        ]);
    }
    table
}
