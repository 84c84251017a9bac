//! `/live`: which pages have changed, as server-sent events. One stream is enough for all pages
//! that a browser has open: each that has changed fetches itself.
//!
//! The page of an org changes with its standing, which the streams' poller reads; those of all
//! orgs with the pulse. Both work only while somebody listens.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use futures_util::future::{pending, select_all};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant as Tick, sleep_until};

use crate::http::answer::{Answer, of};
use crate::http::beat;
use crate::http::call::{Access, Call, Kind, Parameter, Route, Sees};
use crate::http::poller::poll;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::http::streams::Listening;
use crate::store::usage::asked::Question;
use crate::store::usage::watched;

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: Method::GET,
    path: "/live",
    access: Access::Page(Sees::One),
    summary: "Which of these pages have changed, as server-sent events: `live` with those that are \
              watched, then `changed` with one.",
    parameters: &[Parameter::optional("pages", "Slugs of orgs, or `all`.", "acme,all", Kind::Text)],
    bodies: &[],
    answer: None,
    media_types: &["text/event-stream"],
    problems: &[],
    handler: |call| Box::pin(open(call)),
}];

/// What stands for the pages of all orgs.
const ALL: &str = "all";
/// Orgs of one stream: the pages of further ones look for themselves.
const MOST: usize = 16;
/// So often it is said that the stream is alive, and the session looked at again.
const EVERY: Duration = Duration::from_secs(5);
/// Over this span the pages of all orgs are spread: they would all be fetched at once.
const SPREAD: Duration = Duration::from_secs(1);

/// A stream of what has changed.
struct Live {
    shared: Arc<Shared>,
    /// For the session.
    headers: HeaderMap,
    client: Option<IpAddr>,
    /// The orgs that are watched, as they were named.
    orgs: Vec<(String, Listening)>,
    pulse: Option<watch::Receiver<u64>>,
    draining: watch::Receiver<bool>,
    /// When it is said again that the stream is alive.
    next: Tick,
    /// When it is said that the pages of all orgs have changed.
    all: Option<Tick>,
}

/// What has come.
enum Come {
    Org(usize),
    All,
    Time,
    End,
}

async fn open(call: Call) -> Result<Answer, Problem> {
    let named = call.parameter("pages").unwrap_or(ALL).split(',');
    let mut live = Live {
        shared: Arc::clone(&call.shared),
        headers: call.headers.clone(),
        client: call.client,
        orgs: Vec::new(),
        pulse: None,
        draining: call.shared.draining.subscribe(),
        next: Tick::now(),
        all: None,
    };
    for page in named {
        if page == ALL {
            let sees_all = call.token.as_ref().is_some_and(|token| token.org.is_none());
            live.pulse = sees_all.then(|| beat::feel(&call.shared));
        } else if live.orgs.len() < MOST
            && let Some(listening) = listen(&call, page).await?
        {
            live.orgs.push((page.to_owned(), listening));
        }
    }
    let pieces = stream::unfold(live, |mut live| async move {
        let piece = live.piece().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(piece)), live))
    });
    let mut answer = of("text/event-stream", Body::from_stream(pieces));
    let headers = answer.headers_mut();
    // nginx would keep what is sent until its buffer is full; others would compress it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let cache_control = HeaderValue::from_static("no-store, no-transform");
    headers.insert(header::CACHE_CONTROL, cache_control);
    Ok(answer)
}

/// Listens to the org of a page; `None` where there is none, or the token is for another one.
async fn listen(call: &Call, page: &str) -> Result<Option<Listening>, Problem> {
    let name: Vec<(String, String)> =
        serde_urlencoded::from_str(&format!("org={page}")).unwrap_or_default();
    let Some((_, org)) = name.into_iter().next() else { return Ok(None) };
    let Some(token) = call.token.as_deref() else { return Ok(None) };
    let found = call.shared.together.ask(Question { org, feature: None }).await?;
    let Some(standing) = found.filter(|standing| call.permits(standing.org)) else {
        return Ok(None);
    };
    let place = call.shared.streams.place()?;
    let crossings = watched::crossings(&mut *call.turn().await?, &[standing.org]).await?;
    let streams = &call.shared.streams;
    let (listening, begins) = streams.listen(place, &standing, crossings, token);
    if begins {
        tokio::spawn(poll(Arc::clone(&call.shared)));
    }
    Ok(Some(listening))
}

impl Live {
    /// The next piece; `None` at the end of the server, or of the session.
    async fn piece(&mut self) -> Option<String> {
        match self.come().await {
            Come::Org(place) => {
                let (page, _) = self.orgs.get(place)?;
                Some(format!("event: changed\ndata: {page}\n\n"))
            }
            Come::All => {
                self.all = None;
                Some(format!("event: changed\ndata: {ALL}\n\n"))
            }
            Come::Time => {
                self.next = Tick::now() + EVERY;
                let access = &self.shared.access;
                let session =
                    access.admit_session(&self.shared.turns, &self.headers, self.client).await;
                session.ok()?;
                Some(format!("event: live\ndata: {}\n\n", self.watched()))
            }
            Come::End => None,
        }
    }

    /// The pages that are watched.
    fn watched(&self) -> String {
        let orgs = self.orgs.iter().map(|(page, _)| page.as_str());
        orgs.chain(self.pulse.as_ref().map(|_| ALL)).collect::<Vec<_>>().join(" ")
    }

    /// Waits. Nothing of the database is in here, so it may be dropped.
    async fn come(&mut self) -> Come {
        let orgs = self.orgs.iter_mut().map(|(_, listening)| Box::pin(listening.view.changed()));
        let orgs: Vec<_> = orgs.collect();
        let org = async {
            if orgs.is_empty() {
                return pending().await;
            }
            match select_all(orgs).await {
                (Ok(()), place, _) => Come::Org(place),
                (Err(_gone), ..) => Come::End,
            }
        };
        let pulse = async {
            let Some(pulse) = &mut self.pulse else { return pending().await };
            if self.all.is_none() {
                if pulse.changed().await.is_err() {
                    return Come::End;
                }
                self.all = Some(Tick::now() + SPREAD.mul_f64(fastrand::f64()));
            }
            sleep_until(self.all.unwrap_or(self.next)).await;
            pulse.mark_unchanged();
            Come::All
        };
        let (org, pulse) = (pin!(org), pin!(pulse));
        tokio::select! {
            come = org => come,
            come = pulse => come,
            () = sleep_until(self.next) => Come::Time,
            _ended = self.draining.wait_for(|draining| *draining) => Come::End,
        }
    }
}
