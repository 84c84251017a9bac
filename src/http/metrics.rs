//! `/metrics`: what this process counts itself, and what [`facts`](super::facts) reads of the
//! database. A scrape waits for nothing and asks nobody.
//!
//! Never a label per org or feature: there may be a million.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode, header};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::answer::{Answer, of};
use super::call::{Access, Call, Route};
use super::facts::Facts;
use super::problem::{Code, Problem};

/// OpenMetrics, and what Prometheus had before it. Prometheus 3 refuses a wrong media type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = prometheus_text::CONTENT_TYPE;
/// Seconds; most requests take a few milliseconds.
const REQUEST_BOUNDS: [f64; 11] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: Method::GET,
    path: "/metrics",
    access: Access::Metrics,
    summary: "Figures for Prometheus, as OpenMetrics where `Accept` asks for it. Never by \
              organization or feature. Asks no database: what comes from there is up to 15 seconds \
              old, and absent where it could not be read.",
    parameters: &[],
    body: None,
    answer: None,
    media_type: "text/plain",
    problems: &[],
    handler: |call| Box::pin(async move { scrape(&call) }),
}];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// A gauge with a fraction.
pub(super) type Fraction = Gauge<f64, AtomicU64>;

/// What became of a use that came this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Recorded,
    Duplicate,
    Refused,
}

/// What this process counts itself.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) facts: Facts,
    facts_age: Fraction,
    requests: Family<Request, Counter>,
    durations: Family<Timed, Histogram, fn() -> Histogram>,
    at_work: Gauge,
    connections: Gauge,
    connections_in_use: Gauge,
    rate_limited: Counter,
    tokens_refused: Counter,
    events: Family<Result, Counter>,
    /// Streams that are open.
    pub(super) streams: Gauge,
    /// Messages that streams were sent.
    pub(super) stream_messages: Counter,
    /// Streams whose reader did not read.
    pub(super) streams_let_go: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let bounds: fn() -> Histogram = || Histogram::new(REQUEST_BOUNDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("periodd"),
            facts: Facts::default(),
            facts_age: Fraction::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(bounds),
            at_work: Gauge::default(),
            connections: Gauge::default(),
            connections_in_use: Gauge::default(),
            rate_limited: Counter::default(),
            tokens_refused: Counter::default(),
            events: Family::default(),
            streams: Gauge::default(),
            stream_messages: Counter::default(),
            streams_let_go: Counter::default(),
        };
        metrics.register();
        // What did not happen yet is 0, so that the first time is seen as an increase.
        for event in [Event::Recorded, Event::Duplicate, Event::Refused] {
            metrics.events(event, 0);
        }
        metrics
    }

    /// (prometheus-client adds `_total` to the names of counters, and refuses those that have it.)
    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
        registry.register("build", "The version of this process", build);
        let help = "Time since the other facts were read from the database";
        registry.register("facts_age_seconds", help, self.facts_age.clone());
        let (requests, durations) = (self.requests.clone(), self.durations.clone());
        registry.register("http_requests", "Requests by route template and status", requests);
        let help = "Time to the head of the answer, by route template";
        registry.register("http_request_duration_seconds", help, durations);
        let help = "Requests that are at work in this process";
        registry.register("http_requests_in_flight", help, self.at_work.clone());
        let help = "Database connections that requests of this process may use";
        registry.register("http_database_connections", help, self.connections.clone());
        let help = "Database connections that requests of this process use now";
        registry.register(
            "http_database_connections_in_use",
            help,
            self.connections_in_use.clone(),
        );
        let help = "Requests refused because there were too many from one token or address";
        registry.register("http_rate_limited", help, self.rate_limited.clone());
        let help = "Requests without a valid token";
        registry.register("http_tokens_refused", help, self.tokens_refused.clone());
        let help = "Usage that came over HTTP to this process, by what became of it";
        registry.register("http_usage_events", help, self.events.clone());
        registry.register("http_streams", "Open streams of this process", self.streams.clone());
        let help = "Messages sent to streams";
        registry.register("http_stream_messages", help, self.stream_messages.clone());
        let help = "Streams closed because the reader did not read";
        registry.register("http_streams_let_go", help, self.streams_let_go.clone());
    }

    /// A request was answered.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let (method, route) = (known(method), route.to_owned());
        let request = Request { method, route: route.clone(), status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        self.durations.get_or_create(&Timed { method, route }).observe(took.as_secs_f64());
        match status {
            StatusCode::UNAUTHORIZED => self.tokens_refused.inc(),
            StatusCode::TOO_MANY_REQUESTS => self.rate_limited.inc(),
            _ => 0,
        };
    }

    /// So many uses came over HTTP.
    pub(super) fn events(&self, event: Event, count: u64) {
        let result = match event {
            Event::Recorded => "recorded",
            Event::Duplicate => "duplicate",
            Event::Refused => "refused",
        };
        self.events.get_or_create(&Result { result }).inc_by(count);
    }
}

/// Anybody may invent methods: those that are known are counted apart.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn scrape(call: &Call) -> std::result::Result<Answer, Problem> {
    let shared = &call.shared;
    let metrics = &shared.metrics;
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let free = shared.requests.available_permits();
    metrics.at_work.set(i64::from(shared.settings.max_requests) - count(free));
    metrics.connections.set(shared.settings.connections.into());
    metrics.connections_in_use.set(count(shared.turns.in_use()));
    let (age, facts) = metrics.facts.now();
    metrics.facts_age.set(age.as_secs_f64());
    let registries = [Some(&metrics.registry), facts.as_deref()];
    let is_open = wants_openmetrics(&call.headers);
    let mut page = String::new();
    let written = write(&mut page, registries.into_iter().flatten(), is_open);
    written.map_err(|_| Problem::new(Code::Internal, "internal error; the log says more"))?;
    Ok(of(if is_open { OPENMETRICS } else { PROMETHEUS }, page))
}

fn write<'a>(
    page: &mut String,
    registries: impl Iterator<Item = &'a Registry>,
    is_open: bool,
) -> fmt::Result {
    for registry in registries {
        if is_open {
            text::encode_registry(page, registry)?;
        } else {
            prometheus_text::encode(page, registry)?;
        }
    }
    if is_open { text::encode_eof(page) } else { Ok(()) }
}

/// Does the client prefer OpenMetrics? Who says nothing gets what has always been there.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut weights = [0.0, 0.0];
    for item in accepted.flat_map(|list| list.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        let place = match essence.as_str() {
            "application/openmetrics-text" => 0,
            "text/plain" | "text/*" => 1,
            _ => continue,
        };
        weights[place] = f64::max(weights[place], weight);
    }
    let [openmetrics, plain] = weights;
    openmetrics > 0.0 && openmetrics >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_whoever_prefers_it() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            wants_openmetrics(&headers)
        };
        // As Prometheus 3 and 2 ask.
        assert!(wants(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2"
        ));
        assert!(wants("application/openmetrics-text"));
        assert!(!wants("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.3"));
        assert!(!wants("application/openmetrics-text;q=0"));
        assert!(!wants("*/*"));
        assert!(!wants_openmetrics(&HeaderMap::new()));
    }
}
