//! The last closes: who paid for what, each with its statement; and what came late.

use std::collections::BTreeMap;

use super::features::Drawn;
use crate::billing::{Instant, Period, Quantity};
use crate::charts::closes::{Close, Closes, MOST};
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, Tone, grouped, said};
use crate::http::pages::picture::Picture;
use crate::jobs::explain::Explanation;
use crate::store::reports::history::{PeriodRow, PeriodState};
use crate::text::url_part;

/// Features whose closes are drawn, and how much of a page they may take.
const DRAWN: usize = 2;
const MOST_BYTES: usize = 6_000;
/// Rows of late usage that are shown.
const LATE: usize = 8;
/// Features of a period that are named.
const NAMED: usize = 3;

/// The path of the statement of a closed period; `org` is the path of its page.
pub(super) fn statement(org: &str, start: Instant) -> String {
    format!("{org}/periods/{}", url_part(&start.to_string()))
}

/// The closed periods among the rows, newest first, with their rows.
pub(super) fn closed(rows: &[PeriodRow]) -> Vec<(Instant, Vec<&PeriodRow>)> {
    let mut periods: BTreeMap<Instant, Vec<&PeriodRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state == PeriodState::Closed) {
        periods.entry(row.start).or_default().push(row);
    }
    periods.into_iter().rev().take(MOST).collect()
}

/// A row for each period.
pub(super) fn table(rows: &[PeriodRow], clock: &Clock, org: &str) -> Table {
    let head = ["Statement from", "To", "Tier", "Features#", "From packs", "Uncovered", "Late"];
    let mut table = Table::new("The last 12 closes", &head);
    for (start, rows) in closed(rows) {
        let Some(first) = rows.first() else { continue };
        let uncovered = sums(&rows, |row| row.uncovered.unwrap_or_default());
        let is_uncovered = !uncovered.is_empty();
        let uncovered = Cell::text(uncovered);
        table.row([
            Cell::at(clock.moment(start)).link(statement(org, start)),
            Cell::at(clock.moment(first.end)),
            Cell::text(&first.tier),
            Cell::number(rows.iter().filter(|row| row.feature.is_some()).count()),
            Cell::text(sums(&rows, |row| row.drawn)),
            if is_uncovered { uncovered.tone(Tone::Bad) } else { uncovered },
            Cell::text(sums(&rows, |row| row.late)),
        ]);
    }
    table
}

/// `120 minutes_transcribed, 3 sms_sent and 2 more`.
fn sums(rows: &[&PeriodRow], of: fn(&PeriodRow) -> Quantity) -> String {
    let some = rows.iter().filter_map(|row| {
        let (feature, quantity) = (row.feature.as_ref()?, of(row));
        let named = || format!("{} {}", grouped(&quantity.to_string()), said(feature));
        (!quantity.is_zero()).then(named)
    });
    let mut some: Vec<String> = some.collect();
    let more = some.len().saturating_sub(NAMED);
    some.truncate(NAMED);
    let said = some.join(", ");
    if more == 0 { said } else { format!("{said} and {more} more") }
}

/// Who paid in each closed period: a picture for each of the first features that were used.
pub(super) fn pictures(rows: &[PeriodRow], order: &[Drawn<'_>], clock: &Clock) -> Vec<Picture> {
    let mut features: BTreeMap<&str, Vec<Close>> = BTreeMap::new();
    for (_, rows) in closed(rows).iter().rev() {
        for row in rows {
            let Some(feature) = &row.feature else { continue };
            features.entry(feature).or_default().push(close(row));
        }
    }
    let place = |feature: &str| order.iter().position(|one| one.view.feature == feature);
    let is_used =
        |close: &Close| [close.included, close.drawn, close.uncovered] != [Quantity::ZERO; 3];
    let used = features.into_iter().filter(|(_, closes)| closes.iter().any(is_used));
    let mut used: Vec<(&str, Vec<Close>)> = used.collect();
    used.sort_by_key(|(feature, _)| place(feature).unwrap_or(usize::MAX));
    let (mut pictures, mut bytes) = (Vec::new(), 0);
    for (feature, closes) in used.into_iter().take(DRAWN) {
        if bytes > MOST_BYTES {
            break;
        }
        let closes = Closes { feature: said(feature), closes };
        let picture = Picture::alone(|width| closes.chart(width, &clock.when()));
        bytes += picture.bytes();
        pictures.push(picture);
    }
    pictures
}

fn close(row: &PeriodRow) -> Close {
    let (drawn, uncovered) = (row.drawn, row.uncovered.unwrap_or_default());
    let beyond = drawn.plus(uncovered).unwrap_or_default();
    Close {
        period: Period { start: row.start, end: row.end },
        included: row.used.minus(beyond).unwrap_or_default(),
        drawn,
        uncovered,
        late: row.late,
    }
}

pub(super) fn late(found: &Explanation, clock: &Clock) -> Table {
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
    table.first(LATE)
}
