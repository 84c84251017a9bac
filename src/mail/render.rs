//! From a letter to an email: the same letter, the same bytes.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use super::address::{self, InvalidAddress};
use super::email::Email;
use super::letter::{Envelope, Letter, Sender};
use super::templates::{Rendered, TemplateError, Templates};
use super::view::{self, View};
use crate::billing::Instant;
use crate::billing::quantity::Overflow;

/// At this percentage the email is no warning that one can do without.
const LIMIT_REACHED: u8 = 100;
/// What mail programs show of a subject at most.
const SUBJECT_CHARS: usize = 200;

/// Renders a letter for one recipient.
///
/// Pure: no clock, no randomness, no input but the arguments. Whatever a letter holds, its facts
/// stay text: they make no header, no second recipient and no markup.
///
/// # Errors
/// [`RenderError`]: a template that fails, an address or a date that cannot be written.
pub fn render(
    templates: &Templates,
    letter: &Letter,
    envelope: &Envelope,
    sender: &Sender,
) -> Result<Email, RenderError> {
    address::check(&envelope.to)?;
    address::check(&sender.address)?;
    check_message_id(&envelope.message_id)?;
    let unsubscribe = unsubscribe_url(letter, envelope, sender)?;
    let locale = templates.locale_of(&letter.locale);
    let view = View::of(letter, sender, locale, unsubscribe.clone())?;
    let folder = letter.template.as_deref();
    let Rendered { subject, text, html } = templates.render(folder, &letter.locale, &view)?;
    let subject = one_line(&subject);
    let mut email = Email {
        from: sender.address.clone(),
        to: envelope.to.clone(),
        message_id: envelope.message_id.clone(),
        file_stem: file_stem(letter, envelope),
        subject,
        text,
        html,
        message: Vec::new(),
    };
    email.message = message(&email, letter, envelope.date, sender, unsubscribe.as_deref())?;
    Ok(email)
}

fn message(
    email: &Email,
    letter: &Letter,
    date: Instant,
    sender: &Sender,
    unsubscribe: Option<&str>,
) -> Result<Vec<u8>, RenderError> {
    let address = |text: &str| text.parse().map_err(|why| RenderError::Message(format!("{why}")));
    // lettre panics at a line break in a name.
    let name = sender.name.as_deref().map(view::name).filter(|name| !name.is_empty());
    let mut message = Message::builder()
        .from(Mailbox::new(name, address(&email.from)?))
        .to(Mailbox::new(None, address(&email.to)?))
        .subject(email.subject.clone())
        .date(system_time(date)?)
        .raw_header(plain("Message-ID", &format!("<{}>", email.message_id)))
        // Out-of-office replies are for people (RFC 3834).
        .raw_header(plain("Auto-Submitted", "auto-generated"))
        .raw_header(plain("X-Periodd-Threshold", &letter.threshold.to_string()));
    if let Some(url) = unsubscribe {
        message = message
            .raw_header(plain("List-Unsubscribe", &format!("<{url}>")))
            // RFC 8058: mail programs may offer it as a button.
            .raw_header(plain("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    }
    // Each part has a random boundary unless it is told one; a message sent twice must be one.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, email.message_id.as_bytes());
    let part = |kind, body: &str| SinglePart::builder().header(kind).body(crlf(body));
    let parts = MultiPart::alternative()
        .boundary(format!("periodd-{}", id.simple()))
        .singlepart(part(ContentType::TEXT_PLAIN, &email.text))
        .singlepart(part(ContentType::TEXT_HTML, &email.html));
    let message = message.multipart(parts);
    Ok(message.map_err(|why| RenderError::Message(why.to_string()))?.formatted())
}

/// A header whose value is known to be plain text: written as it is, never folded or encoded.
fn plain(name: &'static str, value: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), value.to_owned())
}

/// Lines ended by CRLF, whatever the template's file was written with.
fn crlf(text: &str) -> String {
    text.lines().fold(String::with_capacity(text.len() * 21 / 20), |mut out, line| {
        out.push_str(line);
        out.push_str("\r\n");
        out
    })
}

/// A subject is one line. One that looks encoded already would be decoded into something else.
fn one_line(text: &str) -> String {
    let line = text.split(|c: char| c.is_control() || c.is_whitespace());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.replace("=?", "= ?").chars().take(SUBJECT_CHARS).collect()
}

fn check_message_id(id: &str) -> Result<(), RenderError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_sound = id.split_once('@').is_some_and(|(left, right)| {
        [left, right].iter().all(|part| !part.is_empty() && part.chars().all(is_plain))
    });
    let shown = id.escape_debug();
    is_sound
        .then_some(())
        .ok_or_else(|| RenderError::Message(format!("invalid Message-ID `{shown}`")))
}

/// The one-click address of this recipient, where there is one and the email is a mere warning.
fn unsubscribe_url(
    letter: &Letter,
    envelope: &Envelope,
    sender: &Sender,
) -> Result<Option<String>, RenderError> {
    let (Some(url), Some(token)) = (&sender.unsubscribe_url, &envelope.unsubscribe) else {
        return Ok(None);
    };
    if letter.threshold >= LIMIT_REACHED {
        return Ok(None);
    }
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if token.is_empty() || !token.chars().all(is_sound) {
        return Err(RenderError::Message("the unsubscribe token is not valid in a URL".to_owned()));
    }
    let url = url.replace("{token}", token);
    let is_sound = |c: char| c.is_ascii_graphic() && !"<>\"".contains(c);
    if !url.chars().all(is_sound) {
        let url = url.escape_debug();
        return Err(RenderError::Message(format!("invalid unsubscribe URL {url}")));
    }
    Ok(Some(url))
}

fn system_time(at: Instant) -> Result<SystemTime, RenderError> {
    // The year 9999 is the end of the header's calendar, and lettre panics beyond it.
    const END: u64 = 253_402_300_800_000_000;
    let micros = u64::try_from(at.microseconds()).ok().filter(|micros| *micros < END);
    micros
        .map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
        .ok_or_else(|| RenderError::Message(format!("{at} is not valid in an email's Date header")))
}

/// `20260521T120500Z-acme-90-4f1c…`: sorted by time, and the same at every attempt.
fn file_stem(letter: &Letter, envelope: &Envelope) -> String {
    let word = |text: &str, most: usize| {
        let kept = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
        kept.take(most).collect::<String>()
    };
    let date = envelope.date.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let org = word(&letter.org_slug, 40);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, envelope.message_id.as_bytes());
    let id = word(envelope.message_id.split('@').next().unwrap_or_default(), 36)
        + &id.simple().to_string()[..8];
    format!("{date}-{org}-{}-{id}", letter.threshold)
}

/// Why a letter could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template fails.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An address is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// A number has no room.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// Something else cannot stand in an email; the sentence says what.
    #[error("{0}")]
    Message(String),
}
