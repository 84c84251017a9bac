//! `/drift`: does somebody else write to our numbers?

use serde::Serialize;

use super::button::Button;
use super::clock::Clock;
use super::days::Days;
use super::frame::html;
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Table, Tone, grouped};
use super::times;
use crate::billing::Zone;
use crate::billing::when::millis;
use crate::command::Command;
use crate::http::answer::Answer;
use crate::http::call::{Call, Route, Sees};
use crate::http::problem::Problem;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::{RunCounts, SyncCounts};
use crate::store::reports::drift::{self, Drifting, Place, Repair};
use crate::store::reports::overview::{MOST, Repairs, repairs};
use crate::store::runs::{self, Filter, Outcome, Run};
use crate::text::url_part;

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [page(
    "/drift",
    Sees::All,
    "What audits repaired, where, for whom and why; and the audits.",
    &[],
    |call| Box::pin(show(call)),
)];

/// How far back repairs are summed, in days.
const DAYS: i64 = 30;
/// Repairs and audits that are listed.
const LISTED: i64 = 50;
const AUDITS: i64 = 15;

#[derive(Serialize)]
struct Drift {
    headline: Block<String>,
    by_day: Block<Table>,
    orgs: Block<Table>,
    newest: Block<Table>,
    audits: Block<Table>,
    /// What the last audit says of purchases that no pack stands for.
    sold: Block<String>,
    look: String,
    /// What can be done.
    acts: Vec<Button>,
    list: String,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let turns = &call.shared.turns;
    let now = call.shared.now().await?;
    let clock = times::clock(&call, Zone::utc(), now);
    let days = Days::until(now, DAYS);
    let since = days.boundaries.first().copied().unwrap_or(now);
    let sum = block(turns, async |look| repairs(look, since).await).await;
    let by_day = block(turns, async |look| drift::by_day(look, &days.boundaries).await).await;
    let orgs = block(turns, async |look| drift::orgs(look, since).await).await;
    let newest = block(turns, async |look| drift::newest(look, LISTED).await).await;
    let audit = Filter { job: Some(Job::Audit.name().to_owned()), ..Filter::default() };
    let audits = block(turns, async |look| runs::list(look, &audit, AUDITS).await).await;
    let look = Command::periodd(["sync", "--full", "--check"]);
    let view = Drift {
        headline: Block::of(&sum, |sum| headline(*sum, &clock)),
        by_day: Block::of(&by_day, |places| by_day_and_place(places, &days, &clock)),
        orgs: Block::of(&orgs, |orgs| of_orgs(orgs, &clock)),
        newest: Block::of(&newest, |repairs| each(repairs, &clock)),
        audits: Block::of(&audits, |runs| of_audits(runs, &clock)),
        sold: Block::of(&audits, |runs| sold(runs)),
        acts: Button::of(&look).into_iter().collect(),
        look: look.to_string(),
        list: Command::periodd(["drift", "list", "--since", "yesterday"]).to_string(),
    };
    let frame = times::framed(&call, "Drift".to_owned(), "drift", &clock);
    html("drift.html", &frame, &view)
}

/// A count that ends where counting does.
fn counted(count: i64) -> String {
    let or_more = if count >= MOST { " or more" } else { "" };
    format!("{}{or_more}", grouped(&count.to_string()))
}

fn headline(repairs: Repairs, clock: &Clock) -> String {
    match (repairs.count, repairs.last) {
        (0, _) | (_, None) => format!("Audits have repaired nothing in the last {DAYS} days."),
        (1, Some(last)) => format!(
            "Audits have repaired 1 value in the last {DAYS} days, {}.",
            clock.relative(last)
        ),
        (count, Some(last)) => format!(
            "Audits have repaired {} values in the last {DAYS} days, the last one {}.",
            counted(count),
            clock.relative(last)
        ),
    }
}

fn by_day_and_place(places: &[Place], days: &Days, clock: &Clock) -> Table {
    let head = ["Day (UTC)", "Where", "Repairs#", "Orgs#", "Last", "From now"];
    let mut table = Table::new("Repairs by day and place", &head);
    for place in places {
        let day = days.dates.get(place.day).map_or_else(String::new, ToString::to_string);
        table.row([
            Cell::text(day),
            Cell::text(&place.place),
            Cell::number(counted(place.repairs)),
            Cell::number(place.orgs),
            Cell::at(clock.moment(place.last)),
            Cell::text(clock.relative(place.last)).tone(Tone::Soft),
        ]);
    }
    table
}

fn to_org(slug: &str) -> Cell {
    Cell::text(slug).link(format!("/orgs/{}", url_part(slug)))
}

fn of_orgs(orgs: &[Drifting], clock: &Clock) -> Table {
    let head = ["Org", "Repairs#", "Where", "Last", "From now"];
    let mut table = Table::new("Orgs with most repairs", &head);
    for org in orgs {
        table.row([
            to_org(&org.slug),
            Cell::number(counted(org.repairs)),
            Cell::text(org.places.join(", ")),
            Cell::at(clock.moment(org.last)),
            Cell::text(clock.relative(org.last)).tone(Tone::Soft),
        ]);
    }
    table
}

fn each(repairs: &[Repair], clock: &Clock) -> Table {
    let head = ["Found", "Org", "Feature", "Where", "Before#", "After#", "Why", "Run"];
    let mut table = Table::new("The last repairs", &head);
    for repair in repairs {
        let before = repair.before.map_or_else(|| "nothing".to_owned(), |held| held.to_string());
        let run = repair.run.map(|run| Cell::text(run).link(format!("/runs/{run}")));
        table.row([
            Cell::at(clock.moment(repair.found_at)),
            to_org(&repair.slug),
            Cell::text(&repair.feature),
            Cell::text(&repair.place),
            Cell::number(before),
            Cell::number(repair.after),
            Cell::text(&repair.reason),
            run.unwrap_or_else(Cell::empty),
        ]);
    }
    table
}

/// What an audit has counted, where it came so far.
fn counts(run: &Run) -> Option<SyncCounts> {
    match RunCounts::of(run)? {
        RunCounts::Sync(counts) => Some(counts),
        _ => None,
    }
}

fn of_audits(runs: &[Run], clock: &Clock) -> Table {
    let head = ["Began", "From now", "Took#", "Orgs#", "Wrong#", "Not audited#", "Outcome", "Why"];
    let mut table = Table::new("Audits", &head);
    for run in runs {
        let counts = counts(run);
        let number =
            |count: Option<u64>| Cell::number(count.map_or_else(String::new, |n| n.to_string()));
        let began = run.began();
        let tone = match run.outcome {
            Outcome::Done => Tone::Good,
            Outcome::Failed => Tone::Bad,
            Outcome::Running => Tone::Plain,
            Outcome::Skipped => Tone::Warning,
        };
        let left_out = counts.as_ref().and_then(|counts| u64::try_from(counts.left_out).ok());
        table.row([
            Cell::at_or(began.map(|at| clock.moment(at)), "").link(format!("/runs/{}", run.id)),
            Cell::text(began.map_or_else(String::new, |at| clock.relative(at))).tone(Tone::Soft),
            Cell::number(run.took_ms().map_or_else(String::new, millis)),
            number(counts.as_ref().and_then(|counts| counts.orgs_audited)),
            number(counts.as_ref().map(|counts| counts.drift_found)),
            number(left_out),
            Cell::text(run.outcome_in_words()).tone(tone),
            Cell::text(run.error.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// Purchases without a pack, as the last audit that came to its end has counted them.
fn sold(runs: &[Run]) -> String {
    let done = runs.iter().filter(|run| run.outcome == Outcome::Done);
    match done.filter_map(counts).map(|counts| counts.purchases_without_pack).next() {
        None => "Whether something was sold without a pack is not known: no audit has ended well \
                 yet."
            .to_owned(),
        Some(0) => "The last audit found a pack for everything that was sold.".to_owned(),
        Some(1) => "The last audit found 1 purchase without a pack.".to_owned(),
        Some(many) => {
            format!("The last audit found {} purchases without a pack.", grouped(&many.to_string()))
        }
    }
}
