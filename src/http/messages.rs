//! What an open stream is sent: everything on connect, then what changes, at last why it ends.
//!
//! Nothing here asks the database, so a client that hangs up may drop it anywhere.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant as Tick, sleep_until};

use super::streams::{Listening, View};
use crate::billing::Instant;
use crate::store::usage::watched::Crossing;

/// Without news, a comment keeps proxies from closing the connection.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// At most four times a second: the newest standing wins.
const GAP: Duration = Duration::from_millis(250);

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
pub(super) enum Reason {
    /// The server stops: connect again.
    Stopping,
    /// The token was revoked or has expired.
    Token,
    /// The organization does not exist any more.
    Removed,
}

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// Server-sent events.
    Events,
    /// A line of JSON for each; an empty line is a comment.
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

/// The messages of one stream.
pub(super) struct Messages {
    listening: Listening,
    draining: watch::Receiver<bool>,
    format: Format,
    /// What the client says that it has.
    known: Option<String>,
    /// What it was sent.
    sent: Option<Arc<View>>,
    wrote_at: Tick,
    ended: Option<Reason>,
    /// Counts them.
    count: Counter,
}

impl Messages {
    /// Those of whoever listens, from the standing on that the client does not know.
    pub(super) fn new(
        listening: Listening,
        draining: watch::Receiver<bool>,
        format: Format,
        known: Option<String>,
        count: Counter,
    ) -> Self {
        let (sent, wrote_at, ended) = (None, Tick::now(), None);
        Self { listening, draining, format, known, sent, wrote_at, ended, count }
    }

    /// Why there are no more.
    pub(super) fn ended(&self) -> Option<Reason> {
        self.ended
    }

    /// The next piece, when there is one to send; `None` after the last. Whoever drops this future
    /// loses nothing: what is to be sent follows from what was.
    pub(super) async fn next(&mut self) -> Option<String> {
        if self.ended.is_some() {
            return None;
        }
        let mut batch = Batch::new(self.format);
        loop {
            let view = Arc::clone(&self.listening.view.borrow_and_update());
            self.ended = self.ends(&view);
            if let Some(reason) = self.ended {
                batch.add(&Message::Bye { org: &view.org, reason }, None);
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
        self.count.inc_by(batch.messages);
        Some(batch.text)
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
