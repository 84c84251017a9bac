//! `/`: is everything all right, and what comes next?

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::Serialize;

use super::clock::{Clock, Moment};
use super::frame::html;
use super::overview::{AHEAD, Inbox, OF_EACH, Overview, Wave, see};
use super::page;
use super::parts::{Block, Cell, Found, Table, Tone, grouped, said};
use super::picture::Picture;
use super::refused::lead_to;
use super::runs::{LATE_MS, daemons};
use super::times;
use crate::billing::when::millis;
use crate::billing::{Instant, Zone};
use crate::charts::lateness::{Boundary, Lateness};
use crate::charts::tenths::Tenths;
use crate::charts::wave::{self as chart, End, State};
use crate::command::Command;
use crate::http::answer::Answer;
use crate::http::call::{Call, Route, Sees};
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::finding::Severity;
use crate::jobs::status::{Status, is_alive};
use crate::store::overview::kept::Kept;
use crate::store::reports::overview::{MOST, Repairs, Size};
use crate::store::reports::status::{MANY, NextBoundary, Queue};
use crate::store::runs::Run;
use crate::tz::TzData;

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [page(
    "/",
    Sees::One,
    "Problems first; then what is overdue, what comes next and what is pending.",
    &[],
    |call| Box::pin(show(call)),
)];

/// Zones that are named where several share a row.
const ZONES_NAMED: usize = 4;

#[derive(Serialize)]
struct Now {
    headline: Block<String>,
    needs: Block<String>,
    /// How an org is added, where there is none.
    empty: Option<Vec<String>>,
    findings: Block<Vec<Found>>,
    overdue: Block<Number>,
    next: Block<Number>,
    pending: Block<Vec<Line>>,
    repaired: Block<Number>,
    audited: Block<Option<Moment>>,
    wave: Block<Picture>,
    to_come: Block<Table>,
    past: Block<Table>,
    lateness: Block<Option<Picture>>,
    allowance: Block<Option<Allowance>>,
    inbox: Block<Vec<Line>>,
    daemons: Block<Table>,
    /// Since when no daemon runs, where one has run before.
    alone: Option<Moment>,
}

/// Usage of the feature that most orgs use against their allowance.
#[derive(Serialize)]
struct Allowance {
    picture: Picture,
    at: Moment,
}

/// A number that stands out.
#[derive(Serialize)]
struct Number {
    value: String,
    unit: String,
    tone: Tone,
    /// Since or until when.
    at: Option<Moment>,
    /// What else is to be said.
    beside: String,
}

/// Pending work.
#[derive(Serialize)]
struct Line {
    what: &'static str,
    value: String,
    oldest: Option<String>,
}

/// What pages show of all orgs, read once for everybody.
pub(super) async fn seen(shared: &Shared) -> Result<Arc<Overview>, Problem> {
    let around = &shared.around;
    let (config, tz) = ((around.config)(), (around.tz)());
    let read = async || {
        let now = shared.now().await?;
        Ok(see(&around.database, &shared.turns, &config, &tz, now).await)
    };
    shared.overview.get(read).await
}

async fn show(call: Call) -> Result<Answer, Problem> {
    if let Some(org) = call.token.as_ref().and_then(|token| token.org) {
        return Ok(lead_to(&format!("/orgs/{org}")));
    }
    let (seen, tz) = (seen(&call.shared).await?, (call.shared.around.tz)());
    let clock = times::clock(&call, Zone::utc(), seen.now);
    let frame = times::framed(&call, "Now".to_owned(), "now", &clock);
    html("now.html", &frame, &view(&seen, &clock, &tz))
}

fn view(seen: &Overview, clock: &Clock, tz: &TzData) -> Now {
    let is_empty = seen.size.as_ref().is_ok_and(|size| size.orgs == 0);
    Now {
        headline: Block::of(&seen.size, headline),
        needs: Block::of(&seen.status, needs),
        empty: is_empty.then(|| {
            let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "Europe/Berlin"];
            let import = ["db", "import"];
            vec![Command::periodd(add).to_string(), Command::periodd(import).to_string()]
        }),
        findings: Block::of(&seen.status, |status| {
            status.findings.iter().map(Into::into).collect()
        }),
        overdue: Block::of(&seen.status, |status| overdue(&status.queues.due, clock)),
        next: Block::of(&seen.status, |status| next(&status.boundaries, clock)),
        pending: Block::of(&seen.status, |status| pending(status, clock)),
        repaired: Block::of(&seen.repairs, |repairs| repaired(*repairs, clock)),
        audited: Block::of(&seen.status, |status| audited(status, clock)),
        wave: Block::of(&seen.wave, |wave| picture(wave, clock, tz)),
        to_come: Block::of(&seen.wave, |wave| to_come(wave, clock, tz)),
        past: Block::of(&seen.wave, |wave| past(wave, clock)),
        lateness: Block::of(&seen.boundaries, |runs| lateness(runs, clock)),
        allowance: Block::of(&seen.kept, |kept| allowance(kept, clock)),
        inbox: Block::of(&seen.inbox, |inbox| to_inbox(inbox, seen.status.as_ref().ok())),
        daemons: Block::of(&seen.status, |status| daemons(status, clock)),
        alone: seen.status.as_ref().ok().and_then(|status| alone(status, clock)),
    }
}

/// Since when no daemon runs; `None`: one runs, or none ever has.
fn alone(status: &Status, clock: &Clock) -> Option<Moment> {
    let runs = status.daemons.iter().any(|daemon| is_alive(daemon, status.clock));
    let last = status.daemons.iter().map(|daemon| daemon.stopped_at.unwrap_or(daemon.seen_at));
    last.max().filter(|_| !runs).map(|at| clock.moment(at))
}

/// How late rollovers were at the ends of periods, within a day.
fn lateness(runs: &[Run], clock: &Clock) -> Option<Picture> {
    let now = clock.now;
    let boundary = |run: &Run| {
        let (at, closed) = (run.occurrence?, closed(run)?);
        let late = run.finished_at?.since(at);
        Some(Boundary { at, orgs: u64::try_from(closed).unwrap_or(u64::MAX), late })
    };
    let boundaries: Vec<Boundary> = runs.iter().rev().filter_map(boundary).collect();
    let from = now.plus(-AHEAD).unwrap_or(now);
    let promised = SignedDuration::from_millis(LATE_MS);
    let chart = Lateness { from, now, boundaries, promised };
    let is_empty = chart.boundaries.is_empty();
    (!is_empty).then(|| Picture::of(|width| chart.chart(width, &clock.when())))
}

fn allowance(kept: &[Kept], clock: &Clock) -> Option<Allowance> {
    let orgs = |kept: &&Kept| kept.figures.tenths.iter().sum::<u64>();
    let busiest = kept.iter().max_by_key(orgs).filter(|kept| orgs(kept) > 0)?;
    let (feature, orgs) = (said(&busiest.figures.feature), busiest.figures.tenths);
    let chart = Tenths { feature, orgs, before: None };
    let picture = Picture::of(|width| chart.chart(width));
    Some(Allowance { picture, at: clock.moment(busiest.taken_at) })
}

/// From crossing a threshold to the inbox.
fn to_inbox(inbox: &Inbox, status: Option<&Status>) -> Vec<Line> {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let alerts = |place: usize| inbox.alerts.get(place).copied().unwrap_or_default();
    let sent = inbox.deliveries.first().copied().unwrap_or_default();
    let number = |count: u64| grouped(&count.to_string());
    let now = |queue: fn(&Status) -> &Queue| {
        status.map_or_else(|| "not known".to_owned(), |status| length(queue(status)))
    };
    let lost = sum(inbox.deliveries.get(1..).unwrap_or_default());
    let crossed = sum(inbox.alerts.get(..4).unwrap_or_default());
    let lines = [
        ("thresholds crossed", number(crossed)),
        ("of these, included in a higher one", number(alerts(1))),
        ("emails queued", number(alerts(4))),
        ("emails sent", number(sent)),
        ("given up, too late or to unknown addresses", number(lost)),
        ("due now", now(|status| &status.queues.emails)),
        ("alerts without a recipient now", now(|status| &status.queues.waiting)),
    ];
    lines.map(|(what, value)| Line { what, value, oldest: None }).into()
}

fn headline(size: &Size) -> String {
    let Size { orgs, zones, estimate } = *size;
    let plural = |count: i64, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{} {noun}s", grouped(&count.to_string())),
    };
    match (orgs, estimate) {
        (0, _) => "No org yet.".to_owned(),
        (MOST.., Some(estimate)) if estimate >= MOST => {
            format!("About {} in {} or more.", plural(estimate, "org"), plural(zones, "zone"))
        }
        (MOST.., _) => {
            format!("{} or more in {} or more.", plural(MOST, "org"), plural(zones, "zone"))
        }
        _ => format!("{} in {}.", plural(orgs, "org"), plural(zones, "zone")),
    }
}

fn needs(status: &Status) -> String {
    let count = |severity: Severity| {
        status.findings.iter().filter(|finding| finding.severity == severity).count()
    };
    match count(Severity::Problem) + count(Severity::Warning) {
        0 => "Nothing needs you.".to_owned(),
        1 => "One thing needs you.".to_owned(),
        several => format!("{several} things need you."),
    }
}

/// A length that counting may have ended at.
fn length(queue: &Queue) -> String {
    match queue.length {
        MANY.. => format!("{} or more", grouped(&MANY.to_string())),
        length => length.to_string(),
    }
}

fn overdue(due: &Queue, clock: &Clock) -> Number {
    let (tone, beside) = match due.length {
        0 => (Tone::Good, "every period that has ended is closed"),
        _ => (Tone::Bad, ""),
    };
    let unit = if due.length == 1 { "org" } else { "orgs" };
    let at = due.oldest.filter(|_| due.length > 0).map(|at| clock.moment(at));
    Number { value: length(due), unit: unit.to_owned(), tone, at, beside: beside.to_owned() }
}

fn next(boundaries: &[NextBoundary], clock: &Clock) -> Number {
    let Some(first) = boundaries.first() else {
        let (value, beside) = ("none".to_owned(), "no org has an open period".to_owned());
        return Number { value, unit: String::new(), tone: Tone::Soft, at: None, beside };
    };
    let same: Vec<&NextBoundary> = boundaries.iter().filter(|one| one.at == first.at).collect();
    let zones: Vec<&str> = same.iter().map(|one| one.time_zone.as_str()).collect();
    let orgs = orgs_of(same.iter().map(|one| one.orgs).sum(), 200);
    let moment = clock.moment(first.at);
    Number {
        value: moment.relative.trim_start_matches("in ").to_owned(),
        unit: String::new(),
        tone: Tone::Plain,
        at: Some(moment),
        beside: format!("{orgs} in {}", named(&zones)),
    }
}

/// So many orgs, where counting ended at `most`.
fn orgs_of(count: i64, most: i64) -> String {
    let or_more = if count >= most { " or more" } else { "" };
    let noun = if count == 1 { "org" } else { "orgs" };
    format!("{}{or_more} {noun}", grouped(&count.to_string()))
}

/// The first few names, and how many more there are.
fn named(zones: &[&str]) -> String {
    let first = zones.iter().take(ZONES_NAMED).copied().collect::<Vec<_>>().join(", ");
    match zones.len().saturating_sub(ZONES_NAMED) {
        0 => first,
        1 => format!("{first} and 1 more zone"),
        more => format!("{first} and {more} more zones"),
    }
}

fn pending(status: &Status, clock: &Clock) -> Vec<Line> {
    let queues = &status.queues;
    let lines = [
        ("metrics to count", &queues.uncounted),
        ("counters to copy", &queues.pending),
        ("emails to send", &queues.emails),
    ];
    let line = |(what, queue): (&'static str, &Queue)| {
        let oldest = queue.oldest.filter(|_| queue.length > 0);
        Line { what, value: length(queue), oldest: oldest.map(|at| clock.relative(at)) }
    };
    lines.into_iter().map(line).collect()
}

fn repaired(repairs: Repairs, clock: &Clock) -> Number {
    let Repairs { count, last } = repairs;
    let value = match count {
        MOST.. => format!("{} or more", grouped(&MOST.to_string())),
        count => grouped(&count.to_string()),
    };
    let tone = if count == 0 { Tone::Good } else { Tone::Warning };
    let at = last.map(|at| clock.moment(at));
    Number { value, unit: "repaired".to_owned(), tone, at, beside: String::new() }
}

/// When the last audit ended.
fn audited(status: &Status, clock: &Clock) -> Option<Moment> {
    let audit = status.runs.iter().find(|run| run.job == Job::Audit.name());
    audit.and_then(|run| run.finished_at).map(|at| clock.moment(at))
}

/// The wave of local midnights: what has ended and is not closed, and what ends in a day.
fn picture(wave: &Wave, clock: &Clock, tz: &TzData) -> Picture {
    let now = clock.now;
    let end = |zone: &str, at: Instant, orgs: i64, state: State| {
        let zone = tz.zone(zone).ok()?;
        Some(End::of(&zone, at, now, u64::try_from(orgs).unwrap_or_default(), state))
    };
    let overdue = wave.overdue.iter();
    let overdue =
        overdue.filter_map(|one| end(&one.time_zone, one.oldest, one.orgs, State::Overdue));
    let ahead = wave.to_come.iter();
    let ahead = ahead.filter_map(|one| end(&one.time_zone, one.at, one.orgs, State::Ahead));
    let wave = chart::Wave { now, ends: overdue.chain(ahead).collect() };
    Picture::of(|width| wave.chart(width, &clock.when()))
}

/// What shares a row: the instant, and the offset from UTC there.
type Place = (Instant, String);

fn to_come(wave: &Wave, clock: &Clock, tz: &TzData) -> Table {
    let mut places: BTreeMap<Place, (i64, Vec<&str>)> = BTreeMap::new();
    let mut of_instant: BTreeMap<Instant, i64> = BTreeMap::new();
    for end in &wave.to_come {
        let offset = match tz.zone(&end.time_zone) {
            Ok(zone) => zone.local_as(end.at, "%a %H:%M (UTC%:z)"),
            Err(_) => "unknown zone".to_owned(),
        };
        let (orgs, zones) = places.entry((end.at, offset)).or_default();
        *orgs += end.orgs;
        zones.push(&end.time_zone);
        *of_instant.entry(end.at).or_default() += end.orgs;
    }
    let mut table =
        Table::new("The next 24 hours", &["At", "In", "On their clocks", "Zones", "Orgs#"]);
    for ((at, offset), (orgs, zones)) in places {
        let moment = clock.moment(at);
        let relative = Cell::text(&moment.relative).tone(Tone::Soft);
        // Which of them were left out by the bound, nobody knows.
        let is_all = of_instant.get(&at).is_none_or(|all| *all < OF_EACH);
        let orgs = grouped(&orgs.to_string());
        let orgs = if is_all { orgs } else { format!("{orgs} or more") };
        table.row([
            Cell::at(moment),
            relative,
            Cell::text(offset),
            Cell::text(named(&zones)),
            Cell::number(orgs),
        ]);
    }
    table
}

fn past(wave: &Wave, clock: &Clock) -> Table {
    let mut table = Table::new("The last 3 hours", &["When", "What", "Orgs#", "Late"]);
    for backlog in &wave.overdue {
        let what = format!("overdue in {}", backlog.time_zone);
        let late = clock.relative(backlog.oldest).trim_end_matches(" ago").to_owned();
        table.row([
            Cell::at(clock.moment(backlog.oldest)),
            Cell::text(what).tone(Tone::Bad),
            Cell::number(backlog.orgs),
            Cell::text(late).tone(Tone::Bad),
        ]);
    }
    for run in &wave.runs {
        let Some((began, closed)) = run.began().zip(closed(run)) else { continue };
        let late = run.lateness_ms;
        let tone = if late.is_some_and(|late| late > LATE_MS) { Tone::Warning } else { Tone::Good };
        table.row([
            Cell::at(clock.moment(run.occurrence.unwrap_or(began))),
            Cell::text("closed").tone(Tone::Good).link(format!("/runs/{}", run.id)),
            Cell::number(closed),
            Cell::text(late.map_or_else(String::new, millis)).tone(tone),
        ]);
    }
    table
}

/// How many periods a run has closed, if any.
fn closed(run: &Run) -> Option<usize> {
    RunCounts::of(run)?.periods_closed().filter(|closed| *closed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_says_how_sure_it_is() {
        for (orgs, zones, estimate, text) in [
            (0, 0, None, "No org yet."),
            (1, 1, None, "1 org in 1 zone."),
            (9_999, 40, Some(3), "9,999 orgs in 40 zones."),
            (10_000, 40, Some(1_000_000), "About 1,000,000 orgs in 40 zones or more."),
            (10_000, 40, Some(12), "10,000 orgs or more in 40 zones or more."),
            (10_000, 40, None, "10,000 orgs or more in 40 zones or more."),
        ] {
            assert_eq!(headline(&Size { orgs, zones, estimate }), text);
        }
    }
}
