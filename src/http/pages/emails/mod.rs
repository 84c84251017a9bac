//! `/emails`: did they get it?
//!
//! Never: the token of a recipient's link; a picture that an email names.

mod one;

use jiff::SignedDuration;
use serde::Serialize;
use uuid::Uuid;

use super::clock::{Clock, Moment};
use super::frame::{Frame, html};
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Table, Tone, grouped};
use super::times;
use crate::billing::{Instant, Zone};
use crate::command::Command;
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::problem::{Code, Problem};
use crate::store::messages::outbox;
use crate::store::reports::emails::{self, Counted, Listed, Place, Silent, Waiting};
use crate::store::reports::overview::MOST;
use crate::text::url_part;

const PARAMETERS: [Parameter; 2] = [
    Parameter::optional(
        "state",
        "`due` (the default), `given_up`, `suppressed` or `sent`.",
        "given_up",
        Kind::Text,
    ),
    Parameter::optional("after", "Begin behind this email.", "", Kind::Text),
];
/// The org of an email: by both it is found.
const ORG: Parameter = Parameter::optional("org", "The id of its org.", "", Kind::Text);

/// The routes of this folder.
pub(super) const ROUTES: [Route; 3] = [
    page(
        "/emails",
        Sees::All,
        "Emails by state, the oldest unsent first, and who gets none.",
        &PARAMETERS,
        |call| Box::pin(list(call)),
    ),
    page(
        "/emails/{email}",
        Sees::All,
        "One email: what it says, and its attempts.",
        &[ORG],
        |call| Box::pin(one::show(call)),
    ),
    page("/emails/{email}/html", Sees::All, "The HTML of an email, for a frame.", &[ORG], |call| {
        Box::pin(one::framed(call))
    }),
];

/// Rows of a list.
const SHOWN: usize = 50;
/// Settled emails are counted for so long.
const SETTLED_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Which emails are listed.
const STATES: [(&str, &str); 4] = [
    ("due", "to be sent"),
    ("given_up", "given up"),
    ("suppressed", "suppressed"),
    ("sent", "sent"),
];

#[derive(Serialize)]
struct Choice {
    text: &'static str,
    href: String,
    is_set: bool,
}

#[derive(Serialize)]
struct Emails {
    counts: Block<Table>,
    choices: Vec<Choice>,
    /// The chosen state, in words.
    listed_as: &'static str,
    is_due: bool,
    listed: Block<Table>,
    next: Option<String>,
    /// Sends those again that are listed.
    resend: Option<String>,
    waiting: Block<Table>,
    suppressed: Block<Table>,
    opted_out: Block<Table>,
    /// So many rows, and no more, has each of the lists below.
    shown: usize,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let state = call.parameter("state").unwrap_or("due");
    let Some((state, words)) = STATES.into_iter().find(|(name, _)| *name == state) else {
        let detail = "the parameter `state`: write due, given_up, suppressed or sent";
        return Err(Problem::new(Code::Invalid, detail));
    };
    let after = call.parameter("after").map(place).transpose()?;
    let turns = &call.shared.turns;
    let now = call.shared.now().await?;
    let clock = times::clock(&call, Zone::utc(), now);
    let since = clock.before(SETTLED_WITHIN);
    let is_due = state == "due";
    let counts = block(turns, async |look| emails::counts(look, since).await).await;
    // One more tells whether there are more.
    let most = i64::try_from(SHOWN).unwrap_or(i64::MAX);
    let listed = block(turns, async |look| {
        if is_due {
            emails::unsent(look, after, most + 1).await
        } else {
            emails::settled(look, state, most).await
        }
    });
    let listed = listed.await;
    let waiting = block(turns, async |look| emails::waiting(look, most).await).await;
    let suppressed = block(turns, async |look| emails::suppressed(look, most).await).await;
    let opted_out = block(turns, async |look| emails::opted_out(look, most).await).await;
    let next = listed.as_ref().ok().filter(|emails| emails.len() > SHOWN);
    let next = next.and_then(|emails| emails.get(SHOWN - 1)).map(|last| {
        format!(
            "/emails?after={}",
            url_part(&format!("{},{},{}", last.recorded_at, last.org, last.id))
        )
    });
    let again = matches!(state, "given_up" | "suppressed");
    let view = Emails {
        counts: Block::of(&counts, |counts| of_states(counts, &clock)),
        choices: choices(state),
        listed_as: words,
        is_due,
        listed: Block::of(&listed, |emails| table(&emails[..emails.len().min(SHOWN)], &clock)),
        next,
        resend: again.then(|| Command::periodd(["alerts", "resend", "--state", state]).to_string()),
        waiting: Block::of(&waiting, |alerts| without_recipient(alerts, &clock)),
        suppressed: Block::of(&suppressed, |silent| silent_ones(silent, &clock)),
        opted_out: Block::of(&opted_out, |silent| silent_ones(silent, &clock)),
        shown: SHOWN,
    };
    html("emails.html", &frame(&call, "Emails", &clock), &view)
}

fn frame(call: &Call, title: &str, clock: &Clock) -> Frame {
    times::framed(call, title.to_owned(), "emails", clock)
}

/// The place of an email in the list, as a link of ours says it.
fn place(text: &str) -> Result<Place, Problem> {
    let mut parts = text.split(',');
    let place = (|| {
        let (at, org, id) = (parts.next()?, parts.next()?, parts.next()?);
        let (at, org, id) = (at.parse().ok()?, Uuid::try_parse(org), Uuid::try_parse(id));
        Some((at, org.ok()?, id.ok()?)).filter(|_| parts.next().is_none())
    })();
    place.ok_or_else(|| {
        Problem::new(Code::Invalid, "the parameter `after`: follow the link to the next page")
    })
}

fn choices(state: &str) -> Vec<Choice> {
    let choice = |(name, text): (&'static str, &'static str)| {
        let href = if name == "due" { "/emails".into() } else { format!("/emails?state={name}") };
        Choice { text, href, is_set: name == state }
    };
    STATES.into_iter().map(choice).collect()
}

fn of_states(counts: &[Counted], clock: &Clock) -> Table {
    let head = ["State", "Emails#", "Oldest", "From now", "Newest"];
    let mut table = Table::new("Emails by state", &head);
    for counted in counts {
        let emails = match counted.emails {
            MOST.. => format!("{} or more", grouped(&MOST.to_string())),
            emails => emails.to_string(),
        };
        let at = |at: Option<Instant>| Cell::at_or(at.map(|at| clock.moment(at)), "");
        let relative = counted.oldest.map_or_else(String::new, |at| clock.relative(at));
        table.row([
            Cell::progress(counted.progress),
            Cell::number(emails),
            at(counted.oldest),
            Cell::text(relative).tone(Tone::Soft),
            at(counted.newest),
        ]);
    }
    table
}

/// Where an email has its page.
fn href(email: &Listed) -> String {
    format!("/emails/{}?org={}", email.id, email.org)
}

fn to_org(slug: &str) -> Cell {
    Cell::text(slug).link(format!("/orgs/{}", url_part(slug)))
}

fn table(emails: &[Listed], clock: &Clock) -> Table {
    let head =
        ["Queued", "Org", "Feature", "About#", "To", "State", "Failed#", "Next or last", "Answer"];
    let mut table = Table::new("Emails", &head);
    for email in emails {
        let progress = email.progress();
        let moment = |at| -> Moment { clock.moment(at) };
        let last = email.settled_at.unwrap_or(email.next_attempt_at);
        table.row([
            Cell::at(moment(email.recorded_at)).link(href(email)),
            to_org(&email.slug),
            Cell::text(&email.feature),
            Cell::number(outbox::about(&email.kind, email.threshold)),
            Cell::text(&email.recipient),
            Cell::progress(progress),
            Cell::number(email.attempts),
            Cell::text(clock.relative(last)).tone(Tone::Soft),
            Cell::text(email.answer.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn without_recipient(alerts: &[Waiting], clock: &Clock) -> Table {
    let head = ["Org", "Feature", "About#", "Decided", "Waits until"];
    let mut table = Table::new("Alerts without a recipient", &head);
    for alert in alerts {
        table.row([
            to_org(&alert.slug),
            Cell::text(&alert.feature),
            Cell::number(outbox::about(&alert.kind, alert.threshold)),
            Cell::at(clock.moment(alert.decided_at)),
            Cell::at(clock.moment(alert.period_end)),
        ]);
    }
    table
}

fn silent_ones(silent: &[Silent], clock: &Clock) -> Table {
    let has_reasons = silent.iter().any(|one| one.reason.is_some());
    let head = ["Org", "Address", "Since", "The server said"];
    let mut table = Table::new("Addresses", &head[..if has_reasons { 4 } else { 3 }]);
    for one in silent {
        let mut row =
            vec![to_org(&one.slug), Cell::text(&one.email), Cell::at(clock.moment(one.since))];
        row.extend(one.reason.as_ref().map(Cell::text));
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_of_ours() {
        let org = "00000000-0000-0000-0000-000000000001";
        let written = format!("2026-05-16T12:00:00Z,{org},{org}");
        assert!(place(&written).is_ok());
        for wrong in ["", "a,b,c", &written[5..], &format!("{written},more")] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
