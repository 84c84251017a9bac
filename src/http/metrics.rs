//! What this process counts itself, for `/metrics`.
//!
//! Never a label per org or feature: there may be a million.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::facts::{Facts, Fraction};

/// Seconds; most requests take a few milliseconds.
const REQUEST_BOUNDS: [f64; 11] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

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
struct OfResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// What became of a use that came this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Became {
    Recorded,
    Duplicate,
    Refused,
}

/// What this process counts itself.
pub(super) struct Metrics {
    pub(super) registry: Registry,
    pub(super) facts: Facts,
    pub(super) facts_age: Fraction,
    requests: Family<Request, Counter>,
    durations: Family<Timed, Histogram, fn() -> Histogram>,
    pub(super) at_work: Gauge,
    pub(super) connections: Gauge,
    pub(super) connections_in_use: Gauge,
    rate_limited: Counter,
    tokens_refused: Counter,
    events: Family<OfResult, Counter>,
    /// Streams that are open.
    pub(super) streams: Gauge,
    /// Messages that streams were sent.
    pub(super) stream_messages: Counter,
    /// Connections that were closed because the client did not read.
    pub(super) slow_readers: Counter,
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
            slow_readers: Counter::default(),
        };
        metrics.register();
        // What did not happen yet is 0, so that the first time is seen as an increase.
        for became in [Became::Recorded, Became::Duplicate, Became::Refused] {
            metrics.events(became, 0);
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
        let help = "Connections closed because the client did not read for 30 seconds";
        registry.register("http_slow_readers", help, self.slow_readers.clone());
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
    pub(super) fn events(&self, became: Became, count: u64) {
        let result = match became {
            Became::Recorded => "recorded",
            Became::Duplicate => "duplicate",
            Became::Refused => "refused",
        };
        self.events.get_or_create(&OfResult { result }).inc_by(count);
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
