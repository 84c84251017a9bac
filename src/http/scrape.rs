//! `/metrics`: what this process counts itself, and what was read of the database last. A scrape
//! waits for nothing and asks nobody.

use std::fmt;

use axum::http::{HeaderMap, Method, header};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

use super::answer::{Answer, of};
use super::call::{Access, Call, Route};
use super::problem::{Code, Problem};

/// `OpenMetrics`, and what Prometheus had before it. Prometheus 3 refuses a wrong media type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = prometheus_text::CONTENT_TYPE;

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: Method::GET,
    path: "/metrics",
    access: Access::Metrics,
    summary: "Figures for Prometheus, as OpenMetrics where `Accept` asks for it. Never by \
              organization or feature. Asks no database: what comes from there is up to 15 seconds \
              old, and absent where it could not be read.",
    parameters: &[],
    bodies: &[],
    answer: None,
    media_types: &["text/plain", "application/openmetrics-text"],
    problems: &[],
    handler: |call| Box::pin(async move { scrape(&call) }),
}];

fn scrape(call: &Call) -> Result<Answer, Problem> {
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

/// Does the client prefer `OpenMetrics`? Who says nothing gets what has always been there.
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
