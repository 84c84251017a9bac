//! One email: what it says, rendered from what was kept, and what became of it.

use axum::http::{HeaderValue, header};
use serde::Serialize;
use uuid::Uuid;

use super::{frame, to_org};
use crate::billing::Zone;
use crate::command::Command;
use crate::http::answer::{Answer, of};
use crate::http::call::Call;
use crate::http::pages::button::Button;
use crate::http::pages::clock::Clock;
use crate::http::pages::frame::html;
use crate::http::pages::parts::{Cell, Tone, sentence};
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::jobs::deliver::{Composed, ComposedWith, Rendering, Reread};
use crate::store::messages::outbox::{self, Fault};
use crate::store::reports::emails::{self, Email};
use crate::text::{visible, visible_lines};

/// An email's HTML has its styles inline, and nothing else: no script, no picture, no form.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'self'; sandbox";

#[derive(Serialize)]
struct One {
    facts: Vec<(&'static str, Cell)>,
    /// What the server said, or why it was given up.
    answer: Option<String>,
    said: Said,
    /// What templates there were.
    templates: Option<&'static str>,
    commands: Vec<(&'static str, String)>,
    /// What can be done with it.
    acts: Vec<Button>,
}

/// What it says.
#[derive(Serialize)]
struct Said {
    subject: String,
    text: String,
    /// Where its HTML is.
    html: Option<String>,
    /// Why none of this can be shown.
    failed: Option<String>,
}

/// The email of the path, with its org.
async fn read(call: &Call) -> Result<(Uuid, Uuid, Email), Problem> {
    let unknown = || {
        Problem::new(Code::NotFound, "no email has that address; open it from /emails or its org")
    };
    let id = Uuid::try_parse(call.part("email")).map_err(|_| unknown())?;
    let org = call.parameter("org").and_then(|org| Uuid::try_parse(org).ok());
    let org = org.ok_or_else(unknown)?;
    let email = emails::one(&mut *call.turn().await?, org, id).await?;
    Ok((org, id, email.ok_or_else(unknown)?))
}

/// Renders it, aside: templates are read from files.
async fn rendered(call: &Call, email: &Email) -> Result<Option<Reread>, String> {
    let parts = email.letter.clone().zip(email.message_id.clone()).zip(email.dated);
    let Some(((letter, message_id), dated)) = parts else { return Ok(None) };
    let config = (call.shared.around.config)();
    let (recipient, has_link) = (email.recipient.clone(), email.has_link);
    let task = tokio::task::spawn_blocking(move || {
        let rendering = Rendering::of(&config).map_err(|error| error.to_string())?;
        rendering.reread(&Composed {
            letter: &letter,
            recipient: &recipient,
            message_id: &message_id,
            dated,
            has_link,
        })
    });
    let reread = task.await.map_err(|error| {
        tracing::error!(%error, "an email cannot be rendered, please report it");
        "internal error; the log says more".to_owned()
    });
    reread?.map(Some)
}

pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let (org, id, email) = read(&call).await?;
    let now = call.shared.now().await?;
    let tz = (call.shared.around.tz)();
    let clock = times::clock(&call, tz.zone(&email.time_zone).unwrap_or_else(|_| Zone::utc()), now);
    let reread = rendered(&call, &email).await;
    let templates = match &reread {
        Ok(Some(reread)) => match reread.templates {
            ComposedWith::SameTemplates => None,
            ComposedWith::OtherTemplates => Some(
                "The templates have changed since this email was composed; it may have read \
                 differently.",
            ),
            ComposedWith::UnknownTemplates => Some(
                "Which templates there were when this email was composed is not known; it may \
                 have read differently.",
            ),
        },
        _ => None,
    };
    let address = format!("/emails/{id}/html?org={org}");
    let said = match reread {
        Ok(Some(Reread { subject, text, .. })) => Said {
            subject: visible(&subject).into_owned(),
            text: visible_lines(&text),
            html: Some(address),
            failed: None,
        },
        other => Said {
            subject: "Email".to_owned(),
            text: String::new(),
            html: None,
            failed: other.err().map(|why| sentence(&visible(&why))),
        },
    };
    let resend = Command::periodd(["alerts", "resend", &id.to_string()]);
    let preview = Command::periodd(["alerts", "preview", &email.slug, "--feature", &email.feature]);
    let acts = Button::of(&resend).into_iter().collect();
    let commands = [
        ("Send it again, with its Message-ID, to those who get the org's emails now:", resend),
        ("Show the email that the org would get now:", preview),
    ];
    let view = One {
        facts: facts(&email, &clock),
        answer: email.answer.as_deref().map(visible_lines),
        said,
        templates,
        commands: commands
            .map(|(what, command)| (what, visible_lines(&command.to_string())))
            .into(),
        acts,
    };
    html("email.html", &frame(&call, "Email", &clock), &view)
}

fn facts(email: &Email, clock: &Clock) -> Vec<(&'static str, Cell)> {
    let at = |at| Cell::at(clock.moment(at));
    let progress = email.progress();
    let mut facts = vec![
        ("To", Cell::text(&email.recipient)),
        ("Org", to_org(&email.slug)),
        ("Feature", Cell::text(&email.feature)),
        ("About", Cell::text(outbox::about(&email.kind, email.threshold))),
        ("State", Cell::progress(progress)),
        ("Period begins", at(email.period_start)),
        ("Period ends", at(email.period_end)),
        ("Queued", at(email.recorded_at)),
    ];
    let mut add = |name, cell: Option<Cell>| facts.extend(cell.map(|cell| (name, cell)));
    let is_due = email.settled_at.is_none();
    add("Composed", email.dated.map(at));
    add("Settled", email.settled_at.map(at));
    add("Attempts that failed", Some(Cell::number(email.attempts)));
    add("Next attempt", is_due.then(|| at(email.next_attempt_at)));
    let lease = email.leased_until.filter(|until| is_due && *until > clock.now);
    add("Being sent, at most until", lease.map(at));
    let fault = email.fault.filter(|_| is_due).map(|fault| match fault {
        Fault::Login => "the mail server does not accept the login",
        Fault::Server => "the mail server cannot be reached",
        Fault::Refused => "the mail server takes no emails from this sender",
    });
    add("Waits because", fault.map(|why| Cell::text(why).tone(Tone::Warning)));
    add("Message-ID", email.message_id.as_ref().map(Cell::text));
    facts
}

/// The HTML alone, for a frame in which nothing runs and nothing is loaded.
pub(super) async fn framed(call: Call) -> Result<Answer, Problem> {
    let (_, _, email) = read(&call).await?;
    let reread = rendered(&call, &email).await.map_err(|why| {
        Problem::new(Code::NotFound, format!("the email cannot be rendered: {why}"))
    })?;
    let reread =
        reread.ok_or_else(|| Problem::new(Code::NotFound, "the email is not composed yet"))?;
    let mut answer = of("text/html; charset=utf-8", reread.html);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(answer)
}
