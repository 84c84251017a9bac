//! Those who will run out before their reset: when, how much is short, and what would cover it.

use super::read::Orgs;
use crate::billing::Quantity;
use crate::billing::offers::{Offer, recommended};
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, Tone, grouped};
use crate::store::overview::kept::RunsOut;

/// Rows that are shown.
const SHOWN: usize = 15;

/// All of them, with their features, the soonest first.
fn all(orgs: &Orgs) -> Vec<(&str, &RunsOut)> {
    let mut all: Vec<(&str, &RunsOut)> = orgs
        .kept
        .iter()
        .flat_map(|kept| {
            let feature = kept.figures.feature.as_str();
            kept.figures.ahead.orgs.iter().map(move |one| (feature, one))
        })
        .collect();
    all.sort_by_key(|(_, one)| (one.on, one.resets));
    all
}

pub(super) fn table(orgs: &Orgs, clock: &Clock) -> Table {
    let head = ["Used up on", "Org", "Feature", "Used#", "Allowance#", "Short#", "Resets", "Offer"];
    let mut table = Table::new("Orgs that will run out before their reset", &head);
    for (feature, one) in all(orgs).into_iter().take(SHOWN) {
        let short = one.at_end.minus(one.allowance).map(Quantity::or_zero);
        let short = short.unwrap_or_default();
        let offers: Vec<Offer> = orgs
            .offers
            .iter()
            .filter(|(of, _)| of == feature)
            .map(|(_, one)| one.clone())
            .collect();
        let offer = recommended(&offers, orgs.currency(one.org), short);
        let offer: Vec<String> =
            offer.iter().map(|(count, offer)| format!("{count} × {}", offer.code)).collect();
        table.row([
            Cell::text(one.on).tone(Tone::Warning),
            orgs.name(one.org),
            Cell::text(feature),
            Cell::number(one.used),
            Cell::number(one.allowance),
            Cell::number(short),
            Cell::at(clock.moment(one.resets)),
            if offer.is_empty() {
                Cell::text("nothing on sale").tone(Tone::Soft)
            } else {
                Cell::text(offer.join(" + "))
            },
        ]);
    }
    table
}

/// How many were looked at, and how many more there are.
pub(super) fn note(orgs: &Orgs) -> String {
    let ahead = || orgs.kept.iter().map(|kept| &kept.figures.ahead);
    let looked_at: u64 = ahead().map(|ahead| ahead.looked_at).sum();
    let unread: u64 = ahead().map(|ahead| ahead.unread).sum();
    let number = |number: u64| grouped(&number.to_string());
    let mut note = vec![format!(
        "The forecast of {} counters was looked at, those that come nearest to their limit.",
        number(looked_at)
    )];
    if unread > 0 {
        note.push(format!("That of {} more could not be read in time.", number(unread)));
    }
    let more = all(orgs).len().saturating_sub(SHOWN);
    if more > 0 {
        note.push(format!("{more} more will run out later."));
    }
    note.join(" ")
}
