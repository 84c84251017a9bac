//! Alerts of an org, and what became of their emails.

use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, Tone};
use crate::jobs::explain::Explanation;
use crate::store::messages::outbox::EmailRow;

/// Rows that are shown of each.
const SHOWN: usize = 10;

pub(super) fn alerts(found: &Explanation, clock: &Clock) -> Table {
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
    table.first(SHOWN)
}

pub(super) fn notices(found: &Explanation, clock: &Clock) -> Table {
    let mut table = Table::new("Notices", &["Notice", "Feature", "Decided", "State", "Until"]);
    for row in &found.notices {
        table.row([
            Cell::text(row.about()),
            Cell::text(&row.feature),
            Cell::at(clock.moment(row.decided_at)),
            Cell::text(&row.state),
            Cell::at(clock.moment(row.until)),
        ]);
    }
    table.first(SHOWN)
}

pub(super) fn emails(emails: &[EmailRow], clock: &Clock) -> Table {
    let head = ["Queued", "To", "About#", "Feature", "State", "The server said"];
    let mut table = Table::new("Emails", &head);
    for email in emails {
        let progress = email.progress();
        table.row([
            Cell::at(clock.moment(email.recorded_at)),
            Cell::text(&email.recipient),
            Cell::number(email.about()),
            Cell::text(&email.feature),
            Cell::progress(progress),
            Cell::text(email.answer.as_deref().unwrap_or_default()),
        ]);
    }
    table.first(SHOWN)
}
