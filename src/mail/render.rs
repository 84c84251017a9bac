//! From a letter to an email: the same letter, the same bytes.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use super::address::{self, InvalidAddress};
use super::email::Email;
use super::letter::{Envelope, Letter, Sender};
use super::notice::NoticeLetter;
use super::notice::view::NoticeView;
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
    check(envelope, sender)?;
    let token = envelope.unsubscribe.as_deref().filter(|_| letter.threshold < LIMIT_REACHED);
    let unsubscribe = unsubscribe_url(token, sender)?;
    let locale = templates.locale_of(&letter.locale);
    let view = View::of(letter, sender, locale, unsubscribe.clone())?;
    let rendered = templates.render(letter.template.as_deref(), &letter.locale, &view)?;
    let mark = (THRESHOLD, letter.threshold.to_string());
    email(rendered, envelope, sender, &letter.org_slug, &mark, unsubscribe.as_deref())
}

/// Renders a notice for one recipient, as [`render`] does a letter.
///
/// # Errors
/// As [`render`].
pub fn render_notice(
    templates: &Templates,
    letter: &NoticeLetter,
    envelope: &Envelope,
    sender: &Sender,
) -> Result<Email, RenderError> {
    check(envelope, sender)?;
    // The link ends this kind alone.
    let token = envelope.unsubscribe.as_ref().filter(|_| letter.opt_out);
    let token = token.map(|token| format!("{token}.{}", letter.kind.name()));
    let unsubscribe = unsubscribe_url(token.as_deref(), sender)?;
    let locale = templates.locale_of(&letter.locale);
    let view = NoticeView::of(letter, sender, locale, unsubscribe.clone())?;
    let rendered = templates.render_notice(letter.kind, &letter.locale, &view)?;
    let mark = (KIND, letter.kind.name().to_owned());
    email(rendered, envelope, sender, &letter.org_slug, &mark, unsubscribe.as_deref())
}

fn check(envelope: &Envelope, sender: &Sender) -> Result<(), RenderError> {
    address::check(&envelope.to)?;
    address::check(&sender.address)?;
    check_message_id(&envelope.message_id)
}

/// A header by which mail is filtered, and its value.
type Mark = (&'static str, String);

/// The threshold of an alert.
const THRESHOLD: &str = "X-Periodd-Threshold";
/// The kind of a notice.
const KIND: &str = "X-Periodd-Kind";

fn email(
    rendered: Rendered,
    envelope: &Envelope,
    sender: &Sender,
    org: &str,
    mark: &Mark,
    unsubscribe: Option<&str>,
) -> Result<Email, RenderError> {
    let Rendered { subject, text, html } = rendered;
    let subject = one_line(&subject);
    let mut email = Email {
        from: sender.address.clone(),
        to: envelope.to.clone(),
        message_id: envelope.message_id.clone(),
        file_stem: file_stem(org, &mark.1, envelope),
        subject,
        text,
        html,
        message: Vec::new(),
    };
    email.message = message(&email, mark, envelope.date, sender, unsubscribe)?;
    Ok(email)
}

fn message(
    email: &Email,
    mark: &Mark,
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
        .raw_header(plain(mark.0, &mark.1));
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

/// The one-click address of this recipient, where there is one and the email can be done without.
fn unsubscribe_url(token: Option<&str>, sender: &Sender) -> Result<Option<String>, RenderError> {
    let (Some(url), Some(token)) = (&sender.unsubscribe_url, token) else { return Ok(None) };
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
fn file_stem(org: &str, mark: &str, envelope: &Envelope) -> String {
    let word = |text: &str, most: usize| {
        let kept = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
        kept.take(most).collect::<String>()
    };
    let date = envelope.date.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (org, mark) = (word(org, 40), word(&mark.replace('_', "-"), 40));
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, envelope.message_id.as_bytes());
    let id = word(envelope.message_id.split('@').next().unwrap_or_default(), 36)
        + &id.simple().to_string()[..8];
    format!("{date}-{org}-{mark}-{id}")
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
