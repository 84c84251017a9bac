//! Drift of an org: what audits have repaired.

use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table};
use crate::jobs::explain::Explanation;

/// Rows that are shown.
const SHOWN: usize = 10;

pub(super) fn repairs(found: &Explanation, clock: &Clock) -> Table {
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
    table.first(SHOWN)
}
