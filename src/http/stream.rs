//! The stream of an org: how it stands, and again whenever that changes.
//!
//! A message says the whole standing of one feature, so that a lost one costs nothing. Server-sent
//! events, lines of JSON and a WebSocket carry the same. An open stream does not hold the place of
//! a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use futures_util::stream;

use super::answer::{Answer, of};
use super::call::{Access, Call, Route};
use super::messages::{Format, Messages};
use super::poller::poll;
use super::problem::{Code, Problem};
use crate::store::usage::asked::Question;
use crate::store::usage::watched;

const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/usage/{org}/stream",
    access: Access::Stream,
    summary: "How an organization stands, and again whenever that changes, as server-sent events; \
              as lines of JSON with `Accept: application/x-ndjson`; or in a WebSocket, one message \
              a frame. Each message has a `type`: `standing` (one feature, as `limits` says it), \
              `removed`, `period`, `alert`, `unavailable`, `available`, `bye`. With \
              `Last-Event-ID`, nothing that is known already is repeated. A browser's WebSocket \
              shows its token among the subprotocols, `periodd.v1` and `bearer.TOKEN`, and its \
              page must be of this host or of `[http] allowed_origins`.",
    parameters: &[],
    bodies: &[],
    answer: None,
    media_types: &[EVENTS, LINES],
    problems: &[Code::UnknownOrg],
    handler: |call| Box::pin(open(call)),
}];

async fn open(mut call: Call) -> Result<Answer, Problem> {
    let place = call.shared.streams.place()?;
    let question = Question { org: call.part("org").to_owned(), feature: None };
    let found = call.shared.together.ask(question).await?;
    let standing = found.filter(|standing| call.permits(standing.org));
    let standing = standing.ok_or_else(|| call.unknown_org())?;
    let crossings = watched::crossings(&mut *call.turn().await?, &[standing.org]).await?;
    let Some(token) = call.token.as_deref() else { return Err(call.unknown_org()) };
    let is_lines = call.upgrade.is_some() || call.accepts(LINES);
    let format = if is_lines { Format::Lines } else { Format::Events };
    let known = call.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let known = known.map(str::to_owned);
    let (listening, begins) = call.shared.streams.listen(place, &standing, crossings, token);
    if begins {
        tokio::spawn(poll(Arc::clone(&call.shared)));
    }
    let metrics = &call.shared.metrics;
    let draining = call.shared.draining.subscribe();
    let count = metrics.stream_messages.clone();
    let messages = Messages::new(listening, draining, format, known, count);
    if let Some(upgrade) = call.upgrade.take() {
        return Ok(upgrade.open(messages, metrics.slow_readers.clone()));
    }
    let media_type = if format == Format::Events { EVENTS } else { LINES };
    let pieces = stream::unfold(messages, |mut messages| async move {
        let piece = messages.next().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(piece)), messages))
    });
    let mut answer = of(media_type, Body::from_stream(pieces));
    let headers = answer.headers_mut();
    // nginx would keep what is sent until its buffer is full; others would compress it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let cache_control = HeaderValue::from_static("no-store, no-transform");
    headers.insert(header::CACHE_CONTROL, cache_control);
    Ok(answer)
}
