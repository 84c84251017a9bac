//! Who belongs to an org, and who gets its warnings.

use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, Tone};
use crate::jobs::explain::Explanation;

/// Rows that are shown of each.
const SHOWN: usize = 10;

pub(super) fn contacts(found: &Explanation, clock: &Clock) -> Table {
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
    table.first(SHOWN)
}

pub(super) fn users(found: &Explanation) -> Table {
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
    table.first(SHOWN)
}
