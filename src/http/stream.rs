//! The stream of an org: how it stands, and again whenever that changes.
//!
//! A message says the whole standing of one feature, so that a lost one costs nothing. Server-sent
//! events and lines of JSON carry the same. Nothing here asks the database, so a client that hangs
//! up may drop it anywhere; nor does it hold a place of a request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use futures_util::stream;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant as Tick, sleep_until};

use super::answer::{Answer, of};
use super::call::{Access, Call, Route};
use super::poller::poll;
use super::problem::{Code, Problem};
use super::streams::{Listening, View};
use crate::billing::Instant;
use crate::store::tokens::Scope;
use crate::store::usage::asked::Question;
use crate::store::usage::watched::{self, Crossing};

const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
/// Without news, a comment keeps proxies from closing the connection.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// At most four times a second: the newest standing wins.
const GAP: Duration = Duration::from_millis(250);

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/usage/{org}/stream",
    access: Access::Needs(Scope::Read),
    summary: "How an organization stands, and again whenever that changes, as server-sent events; \
              as lines of JSON with `Accept: application/x-ndjson`. Each message has a `type`: \
              `standing` (one feature, as `limits` says it), `removed`, `period`, `alert`, \
              `unavailable`, `available`, `bye`. With `Last-Event-ID`, nothing that is known \
              already is repeated.",
    parameters: &[],
    bodies: &[],
    answer: None,
    media_type: EVENTS,
    problems: &[Code::UnknownOrg],
    handler: |call| Box::pin(open(call)),
}];

/// A message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Message<'a> {
    /// All of one feature.
    Standing { org: &'a str, time_zone: &'a str, as_of: Instant, limit: &'a RawValue },
    /// A feature that the org neither has nor uses any more.
    Removed { org: &'a str, as_of: Instant, feature: &'a str },
    /// A period was opened; the one before it is over.
    Period {
        org: &'a str,
        as_of: Instant,
        period_start: Option<Instant>,
        period_end: Option<Instant>,
    },
    /// A threshold was crossed.
    Alert {
        org: &'a str,
        #[serde(flatten)]
        crossing: &'a Crossing,
    },
    /// The database is away: what was sent was true at `as_of`.
    Unavailable { org: &'a str, as_of: Instant },
    /// It is back.
    Available { org: &'a str, as_of: Instant },
    /// The end.
    Bye { org: &'a str, reason: Reason },
}

impl Message<'_> {
    /// As events are named.
    const fn name(&self) -> &'static str {
        match self {
            Self::Standing { .. } => "standing",
            Self::Removed { .. } => "removed",
            Self::Period { .. } => "period",
            Self::Alert { .. } => "alert",
            Self::Unavailable { .. } => "unavailable",
            Self::Available { .. } => "available",
            Self::Bye { .. } => "bye",
        }
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// The server stops: connect again.
    Stopping,
    /// The token was revoked or has expired.
    Token,
    /// The organization does not exist any more.
    Removed,
}

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Events,
    Lines,
}

/// Messages that are sent together.
struct Batch {
    format: Format,
    text: String,
    messages: u64,
}

impl Batch {
    fn new(format: Format) -> Self {
        Self { format, text: String::new(), messages: 0 }
    }

    /// The id belongs to all that was sent so far: whoever shows it has everything.
    fn add(&mut self, message: &Message<'_>, id: Option<&str>) {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
            #[serde(flatten)]
            message: &'a Message<'a>,
        }
        self.messages += 1;
        let json = match self.format {
            Format::Events => serde_json::to_string(message),
            Format::Lines => serde_json::to_string(&Line { id, message }),
        };
        let json = json.unwrap_or_default();
        if self.format == Format::Events {
            self.text.extend(["event: ", message.name(), "\n"]);
            if let Some(id) = id {
                self.text.extend(["id: ", id, "\n"]);
            }
            self.text.extend(["data: ", &json, "\n\n"]);
        } else {
            self.text.extend([&json, "\n"]);
        }
    }

    fn comment(&mut self) {
        self.text.push_str(match self.format {
            Format::Events => ":\n\n",
            Format::Lines => "\n",
        });
    }
}

async fn open(call: Call) -> Result<Answer, Problem> {
    let place = call.shared.streams.place()?;
    let question = Question { org: call.part("org").to_owned(), feature: None };
    let found = call.shared.together.ask(question).await?;
    let standing = found.filter(|standing| call.permits(standing.org));
    let standing = standing.ok_or_else(|| call.unknown_org())?;
    let crossings = watched::crossings(&mut *call.turn().await?, &[standing.org]).await?;
    let Some(token) = call.token.as_deref() else { return Err(call.unknown_org()) };
    let accepts = |media_type: &str| {
        let accepted = call.headers.get_all(header::ACCEPT).iter();
        accepted.filter_map(|value| value.to_str().ok()).any(|list| list.contains(media_type))
    };
    let format = if accepts(LINES) { Format::Lines } else { Format::Events };
    let known = call.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let (listening, begins) = call.shared.streams.listen(place, &standing, crossings, token);
    if begins {
        tokio::spawn(poll(Arc::clone(&call.shared)));
    }
    let stream = Stream {
        draining: call.shared.draining.subscribe(),
        format,
        known: known.map(str::to_owned),
        sent: None,
        wrote_at: Tick::now(),
        is_over: false,
        listening,
        messages: call.shared.metrics.stream_messages.clone(),
    };
    let media_type = if format == Format::Events { EVENTS } else { LINES };
    let mut answer = of(media_type, Body::from_stream(stream::unfold(stream, Stream::next)));
    let headers = answer.headers_mut();
    // nginx would keep what is sent until its buffer is full; others would compress it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let cache_control = HeaderValue::from_static("no-store, no-transform");
    headers.insert(header::CACHE_CONTROL, cache_control);
    Ok(answer)
}

/// An open stream.
struct Stream {
    listening: Listening,
    draining: watch::Receiver<bool>,
    format: Format,
    /// What the client says that it has.
    known: Option<String>,
    /// What it was sent.
    sent: Option<Arc<View>>,
    wrote_at: Tick,
    is_over: bool,
    /// Counts them.
    messages: Counter,
}

impl Stream {
    /// The next piece, when there is one to send.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let mut batch = Batch::new(self.format);
        loop {
            let view = Arc::clone(&self.listening.view.borrow_and_update());
            if let Some(reason) = self.ends(&view) {
                batch.add(&Message::Bye { org: &view.org, reason }, None);
                self.is_over = true;
                break;
            }
            match self.sent.take() {
                None => self.greet(&view, &mut batch),
                Some(sent) => tell(&sent, &view, &mut batch),
            }
            self.sent = Some(view);
            if !batch.text.is_empty() {
                break;
            }
            tokio::select! {
                _changed = self.listening.view.changed() => {}
                _ended = self.draining.wait_for(|draining| *draining) => continue,
                _ended = self.listening.holds.wait_for(|holds| !*holds) => continue,
                () = sleep_until(self.wrote_at + COMMENT_EVERY) => {
                    batch.comment();
                    break;
                }
            }
            tokio::select! {
                () = sleep_until(self.wrote_at + GAP) => {}
                _ended = self.draining.wait_for(|draining| *draining) => {}
            }
        }
        self.wrote_at = Tick::now();
        self.messages.inc_by(batch.messages);
        Some((Ok(Bytes::from(batch.text)), self))
    }

    fn ends(&self, view: &View) -> Option<Reason> {
        if *self.draining.borrow() {
            Some(Reason::Stopping)
        } else if !*self.listening.holds.borrow() {
            Some(Reason::Token)
        } else {
            view.is_gone.then_some(Reason::Removed)
        }
    }

    /// All that there is, unless the client has it.
    fn greet(&self, view: &View, batch: &mut Batch) {
        batch.comment();
        if self.known.as_ref() != Some(&view.id) {
            let all: Vec<&(String, String)> = view.features.iter().collect();
            standings(view, &all, batch);
        }
        if !view.is_reachable {
            batch.add(&Message::Unavailable { org: &view.org, as_of: view.as_of }, None);
        }
    }
}

/// What is new since something was sent.
fn tell(sent: &View, view: &View, batch: &mut Batch) {
    let (org, as_of) = (view.org.as_str(), view.as_of);
    match (sent.is_reachable, view.is_reachable) {
        (true, false) => batch.add(&Message::Unavailable { org, as_of }, None),
        (false, true) => batch.add(&Message::Available { org, as_of }, None),
        _ => {}
    }
    if sent.period != view.period {
        let (period_start, period_end) = view.period.unzip();
        batch.add(&Message::Period { org, as_of, period_start, period_end }, None);
    }
    for (feature, _) in &sent.features {
        if !view.features.iter().any(|(known, _)| known == feature) {
            batch.add(&Message::Removed { org, as_of, feature }, None);
        }
    }
    if sent.id != view.id {
        let news: Vec<&(String, String)> =
            view.features.iter().filter(|feature| !sent.features.contains(feature)).collect();
        standings(view, &news, batch);
    }
    for crossing in view.crossings.iter().filter(|crossing| !sent.crossings.contains(crossing)) {
        batch.add(&Message::Alert { org, crossing }, None);
    }
}

/// The last of them has the id.
fn standings(view: &View, features: &[&(String, String)], batch: &mut Batch) {
    for (place, (_, json)) in features.iter().enumerate() {
        let Ok(limit) = serde_json::from_str(json) else { continue };
        let View { org, time_zone, as_of, .. } = view;
        let id = (place + 1 == features.len()).then_some(view.id.as_str());
        batch.add(&Message::Standing { org, time_zone, as_of: *as_of, limit }, id);
    }
}
