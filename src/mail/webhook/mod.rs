//! Webhooks: how a message is signed, and how it travels.
//!
//! Never: a redirect or a proxy that is followed; an address that was not checked; a secret or the
//! path of an address in a sentence.

mod address;
mod connect;
mod signature;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::SignedDuration;
use jiff::fmt::rfc2822;
use tokio::time::timeout;
use uuid::Uuid;

use crate::billing::Instant;
use crate::text::visible;
pub use address::Allowed;
use connect::Connector;
pub use signature::{BadSecret, Secrets};

/// What is read of an answer …
const ANSWER_BYTES: usize = 4096;
/// … and what is kept of it.
const ANSWER_CHARS: usize = 300;
/// How long a connection may lie idle: shorter than most servers' patience.
const IDLE: Duration = Duration::from_secs(20);
/// The longest time that an endpoint may ask for with `Retry-After`.
const LONGEST_RETRY: Duration = Duration::from_hours(24);

/// Everything that decides how an endpoint is spoken to.
#[derive(Debug)]
pub struct Settings {
    pub uri: Uri,
    /// Which addresses its host may have.
    pub allowed: Allowed,
    pub secrets: Secrets,
    /// A file of certificates in PEM: the authorities that the endpoint's certificate must come
    /// from. None: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a message may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
}

/// Settings that no message can be sent with; the sentence says why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// An endpoint, with the connections that are open to it.
pub struct Endpoint {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    secrets: Secrets,
    timeout: Duration,
}

/// How an attempt ended. The sentences hold neither control characters nor secrets, and are fit to
/// be stored and listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answered {
    /// 2xx: it was accepted.
    Accepted(String),
    /// 410: the endpoint wants no more messages.
    Gone(String),
    /// The endpoint asks to be left for a while: 429, 502, 503 or 504. It may say for how long.
    Later(String, Option<Duration>),
    /// There was nobody to talk to, or no answer in time: the next message would fare no better.
    Unreachable(String),
    /// Any other answer: this message was not accepted.
    Refused(String),
}

impl Endpoint {
    /// An endpoint. Nothing is said to it yet.
    ///
    /// # Errors
    /// [`Unusable`] when the certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, Unusable> {
        let Settings { uri, allowed, secrets, ca_file, timeout } = settings;
        let connector = if uri.scheme_str() == Some("http") {
            Connector::in_the_clear(allowed)
        } else {
            Connector::encrypted(allowed, ca_file.as_deref())?
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, uri, secrets, timeout })
    }

    /// Sends a message, at an instant in real time, and says what became of it.
    pub async fn send(&self, id: Uuid, now: Instant, body: &str) -> Answered {
        let request = match self.request(id, now, body) {
            Ok(request) => request,
            Err(why) => return Answered::Refused(format!("the message cannot be sent: {why}")),
        };
        let answered = timeout(self.timeout, self.answer(request, now)).await;
        answered.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f64();
            Answered::Unreachable(format!("no complete answer within {seconds} s"))
        })
    }

    fn request(
        &self,
        id: Uuid,
        now: Instant,
        body: &str,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let (id, timestamp) = (id.to_string(), now.microseconds().div_euclid(1_000_000));
        Request::builder()
            .method(Method::POST)
            .uri(&self.uri)
            .header("content-type", "application/json")
            .header("user-agent", concat!("periodd/", env!("CARGO_PKG_VERSION")))
            .header("webhook-signature", self.secrets.sign(&id, timestamp, body.as_bytes()))
            .header("webhook-timestamp", timestamp)
            .header("webhook-id", id)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
    }

    async fn answer(&self, request: Request<Full<Bytes>>, now: Instant) -> Answered {
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) => return Answered::Unreachable(reason(&error)),
        };
        let status = answer.status();
        let retry = retry_after(answer.headers(), now);
        let words = words(answer).await;
        match status {
            _ if status.is_success() => Answered::Accepted(words),
            StatusCode::GONE => Answered::Gone(words),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Answered::Later(words, retry),
            _ => Answered::Refused(words),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

/// The status and the beginning of what was said.
async fn words(answer: Response<Incoming>) -> String {
    let status = answer.status();
    let mut body = answer.into_body();
    let mut read: Vec<u8> = Vec::new();
    while read.len() < ANSWER_BYTES {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Some(data) = frame.data_ref() {
            let rest = ANSWER_BYTES - read.len();
            read.extend(data.iter().take(rest));
        }
    }
    let text = String::from_utf8_lossy(&read);
    let text: String = visible(text.trim()).chars().take(ANSWER_CHARS).collect();
    if text.is_empty() { status.to_string() } else { format!("{status}: {text}") }
}

/// What went wrong, down to the last cause: the outer errors only say that sending failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    visible(&last.to_string()).chars().take(ANSWER_CHARS).collect()
}

/// How long the endpoint asks to be left: in seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: Instant) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        let wait = SignedDuration::from_micros(at.as_microsecond() - now.microseconds());
        Duration::try_from(wait).unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now: Instant = "2026-05-01T00:00:00Z".parse().expect("an instant");
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers, now)
        };
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("Fri, 01 May 2026 00:10:00 GMT"), Some(Duration::from_mins(10)));
        assert_eq!(wait("Thu, 30 Apr 2026 00:10:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(LONGEST_RETRY));
        assert_eq!(wait("soon"), None);
    }
}
