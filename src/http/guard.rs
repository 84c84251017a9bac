//! What holds for every request before its route is looked at: its host, its length, whether
//! another one fits; and what the log says of it afterwards.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use uuid::Uuid;

use super::listen::Peer;
use super::problem::{Code, Problem};
use super::shared::Shared;
use crate::config::http::{Http, host_of};

/// What takes as long is in the log.
const SLOW: Duration = Duration::from_secs(1);
/// The longest request id that a client may choose.
const LONGEST_ID: usize = 64;
/// The header with the request's id.
const REQUEST_ID: &str = "x-request-id";

/// A request, as the log names it: the client's own name for it, or a random one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// The address that a request came from; `None`: the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) Option<IpAddr>);

/// The name of the token that a request came with, for the log.
#[derive(Clone, Debug)]
pub(super) struct TokenName(pub(super) Arc<str>);

/// Wraps every request.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer(None));
    let client = client(&shared.settings, request.headers(), peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = trace.filter(|text| text.len() <= LONGEST_ID).map(str::to_owned);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    request.extensions_mut().insert(Client(client));
    let origin = allowed_origin(&shared.settings, request.headers());
    let mut response = match refuse(&shared, &request) {
        Some(problem) => problem.response(&id),
        None if origin.is_some() && is_preflight(&request) => preflight(),
        None => next.run(request).await,
    };
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if !shared.settings.allowed_origins.is_empty() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (took, status) = (began.elapsed(), response.status());
    let route = route.unwrap_or_else(|| if path.len() > 1 { "-" } else { "/" }.to_owned());
    shared.metrics.answered(&method, &route, status, took);
    let token = response.extensions().get::<TokenName>().map(|name| Arc::clone(&name.0));
    say(&Said { id: &id, method: method.as_str(), route: &route, status, took, token, trace });
    response
}

/// A request and its answer, as the log has them: no query, no body, no token, no address.
struct Said<'a> {
    id: &'a str,
    method: &'a str,
    route: &'a str,
    status: StatusCode,
    took: Duration,
    token: Option<Arc<str>>,
    trace: Option<String>,
}

/// Has the log say what failed, or was slow.
fn say(said: &Said<'_>) {
    let Said { id: request_id, method, route, status, took, token, trace } = said;
    let (status, took_ms) = (status.as_u16(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let (token, traceparent) = (token.as_deref(), trace.as_deref());
    if status >= 500 {
        tracing::warn!(request_id, method, route, status, took_ms, token, traceparent, "failed");
    } else if *took >= SLOW {
        tracing::info!(request_id, method, route, status, took_ms, token, traceparent, "slow");
    } else {
        tracing::debug!(request_id, method, route, status, took_ms, token, traceparent, "answered");
    }
}

/// The origin of a page that may call, as the page's browser has to be told.
fn allowed_origin(settings: &Http, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    settings.allows_origin(text).then(|| origin.clone())
}

/// Does a browser ask whether a page may call?
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Pages read, with a token; they do not write.
fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let fields = HeaderValue::from_static("authorization, last-event-id");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

fn refuse(shared: &Shared, request: &Request) -> Option<Problem> {
    let settings = &shared.settings;
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > usize::try_from(settings.target_bytes).unwrap_or(usize::MAX) {
        let detail = format!("the address has more than {} bytes", settings.target_bytes);
        return Some(Problem::new(Code::TargetTooLong, detail));
    }
    if !is_ours(shared, request.headers(), request.uri()) {
        return Some(Problem::new(Code::WrongHost, "this server does not answer to that host"));
    }
    None
}

/// Is this server meant? A web page that has its own name lead here says that name.
fn is_ours(shared: &Shared, headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, further) = (hosts.next(), hosts.next());
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
    // A proxy's form of an address names the host, too.
    if further.is_some() || uri.authority().is_some_and(|named| named.as_str() != host) {
        return false;
    }
    let host = host_of(host).to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let settings = &shared.settings;
    if let Ok(address) = bare.parse::<IpAddr>() {
        let listens = shared.address.map(|listens| listens.ip());
        // Of a socket alone, the host says nothing.
        return address.is_loopback() || listens == Some(address);
    }
    bare == "localhost"
        || settings.hosts.iter().any(|known| known.as_str() == host)
        || settings.public_url.as_ref().is_some_and(|url| url.host() == host)
}

fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_sound = |id: &&str| {
        !id.is_empty()
            && id.len() <= LONGEST_ID
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    match given.filter(is_sound) {
        Some(id) => id.into(),
        None => Uuid::new_v4().to_string().into(),
    }
}

/// Where a request comes from: what a trusted proxy says, as far as trusted ones lead.
fn client(settings: &Http, headers: &HeaderMap, peer: Peer) -> Option<IpAddr> {
    let mut address = peer.0.map(|peer| peer.ip().to_canonical())?;
    let is_trusted = |address: IpAddr| settings.trusted_proxies.iter().any(|p| p.contains(address));
    let named = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let named: Vec<&str> = named.flat_map(|list| list.split(',')).map(str::trim).collect();
    for next in named.iter().rev() {
        if !is_trusted(address) {
            break;
        }
        match next.parse::<IpAddr>() {
            Ok(next) => address = next.to_canonical(),
            Err(_) => break,
        }
    }
    Some(address)
}
