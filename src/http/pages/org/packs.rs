//! Packs: what is left in each over time, what each has paid, and their ledger.

use super::course::named;
use super::features::Drawn;
use super::reading::Known;
use crate::billing::{Instant, Quantity};
use crate::charts::drawdown::{Drawdown, Kind, Pack, Step};
use crate::charts::period::Course;
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, said};
use crate::http::pages::picture::Picture;
use crate::jobs::explain::Explanation;
use crate::store::reports::explain::PackRow;
use crate::store::reports::overview::Entry;
use crate::store::reports::picture;

/// Features whose packs are drawn, and how much of a page they may take.
const DRAWN: usize = 2;
const MOST_BYTES: usize = 4_000;
/// Rows that are shown of packs and of their ledger.
const PACKS: usize = 6;
const ENTRIES: usize = 5;

pub(super) fn packs(found: &Explanation, clock: &Clock) -> Table {
    let head = ["Pack", "Feature", "Left#", "Of#", "Drawn#", "Expired#", "Refunded#", "Usable"];
    let mut table = Table::new("Packs, those that hold something first", &head);
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
    table.first(PACKS)
}

/// The packs of the first features that have any, each over time.
pub(super) fn drawdowns(known: &Known, drawn: &[Drawn<'_>], clock: &Clock) -> Vec<Picture> {
    let (mut pictures, mut bytes) = (Vec::new(), 0);
    for one in drawn {
        if pictures.len() == DRAWN || bytes > MOST_BYTES {
            break;
        }
        if let Some(drawdown) = drawdown(known, one) {
            let picture = Picture::alone(|width| drawdown.chart(width, &clock.when()));
            bytes += picture.bytes();
            pictures.push(picture);
        }
    }
    pictures
}

/// The packs of a feature from their ledgers.
fn drawdown(known: &Known, drawn: &Drawn<'_>) -> Option<Drawdown> {
    let now = known.found.now;
    let feature = &drawn.view.feature;
    let of_it: Vec<&PackRow> =
        known.found.packs.iter().filter(|pack| pack.feature == *feature).collect();
    let claims = drawn.chart.as_ref().map(Course::claims).unwrap_or_default();
    let claimed = |pack: &PackRow| {
        let all = drawn.packs.iter().zip(&claims);
        let claim = all.into_iter().find(|(shown, _)| shown.pack.id == pack.id)?.1;
        // What it has paid of that is drawn already.
        Some(claim.minus(pack.drawn_in_period).ok()?.or_zero().min(pack.remaining))
    };
    let packs: Vec<Pack> = of_it
        .iter()
        .map(|pack| Pack {
            name: named(pack.reference.as_deref(), pack.id),
            granted: pack.quantity,
            expires_at: pack.expires_at,
            steps: steps(&known.steps, pack),
            claimed: claimed(pack).unwrap_or_default(),
        })
        .collect();
    let from = packs.iter().flat_map(|pack| &pack.steps).map(|step| step.at).min()?;
    let to = known.found.period.as_ref().map_or(now, |period| period.end.max(now));
    (from < to).then(|| Drawdown { feature: said(feature), from, now, to, packs })
}

/// The entries of a pack. One that was inserted plainly has none yet, and holds all of it.
fn steps(all: &[picture::Step], pack: &PackRow) -> Vec<Step> {
    let mut steps: Vec<Step> = all
        .iter()
        .filter(|step| step.pack == pack.id)
        .map(|step| Step {
            at: step.at,
            kind: match step.kind.as_str() {
                "granted" => Kind::Granted,
                "expired" => Kind::Expired,
                "refunded" => Kind::Refunded,
                "moved" => Kind::Moved,
                _ if step.quantity < Quantity::ZERO => Kind::Returned,
                _ => Kind::Drawn,
            },
            remaining: step.remaining,
        })
        .collect();
    if steps.is_empty() {
        let remaining = pack.remaining;
        steps.push(Step { at: pack.purchased_at, kind: Kind::Granted, remaining });
    }
    steps
}

pub(super) fn ledger(entries: &[Entry], clock: &Clock) -> Table {
    table(entries, clock).first(ENTRIES)
}

/// Entries of the ledger, in the order in which they are given.
pub(super) fn table(entries: &[Entry], clock: &Clock) -> Table {
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
