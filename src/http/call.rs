//! One request at work: who asks, what for; and the task of its own that it is worked on in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::{Schema, SchemaGenerator};
use serde::de::{Deserialize, DeserializeOwned};
use tokio::time::timeout;
use uuid::Uuid;

use super::answer::Answer;
use super::guard::{Client, RequestId, TokenName};
use super::pages::{origin, refused};
use super::problem::{Code, Problem};
use super::shared::Shared;
use super::socket::Upgrade;
use super::turns::Turn;
use crate::store::tokens::{Scope, Token};
use crate::store::{Connection, orgs};
use crate::text::visible;

/// One path with one method: the router and the description are made from these.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// A sentence that says what it does.
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// The media types of the body, where there is one, each with its shape.
    pub(super) bodies: &'static [Shape],
    /// The shape of the answer; `None`: it is no JSON.
    pub(super) answer: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The media types of the answer: that of its shape, and others by `Accept`.
    pub(super) media_types: &'static [&'static str],
    /// The problems that it may answer, beside those of every path.
    pub(super) problems: &'static [Code],
    pub(super) handler: Handler,
}

/// A media type, and the shape of what is sent in it.
pub(super) type Shape = (&'static str, fn(&mut SchemaGenerator) -> Schema);

/// What works on a call.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Everybody, also during a drain.
    Health,
    /// Everybody where only this machine can; else a token with the scope for metrics.
    Metrics,
    /// A token with that scope.
    Needs(Scope),
    /// A token that may read; the request may become a WebSocket.
    Stream,
    /// Every browser: what it takes to log in.
    Browser,
    /// A browser that is logged in with a token that permits reading.
    Page(Sees),
    /// A browser that may act: logged in with a token for all orgs that permits administration,
    /// where the configuration has the dashboard act.
    Act,
}

/// Whose figures a page shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sees {
    /// All orgs': no token of one org is enough.
    All,
    /// One org's: a token of that org is enough.
    One,
}

impl Access {
    /// The scope that a token must have, where one is needed.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Open | Self::Health | Self::Browser => None,
            Self::Metrics => Some(Scope::Metrics),
            Self::Needs(scope) => Some(scope),
            Self::Stream | Self::Page(_) => Some(Scope::Read),
            Self::Act => Some(Scope::Admin),
        }
    }

    /// Is it for people in front of a browser? Everything else is for programs, and described.
    pub(super) const fn is_page(self) -> bool {
        matches!(self, Self::Browser | Self::Page(_) | Self::Act)
    }
}

/// What a parameter holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    /// `true` or `false`.
    Flag,
    /// A quantity that is greater than zero.
    Quantity,
    /// A date: `2026-05-01`.
    Date,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    /// A value, as an example.
    pub(super) example: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
}

impl Parameter {
    /// One that may be left out.
    pub(super) const fn optional(
        name: &'static str,
        meaning: &'static str,
        example: &'static str,
        kind: Kind,
    ) -> Self {
        Self { name, meaning, example, kind, is_required: false }
    }
}

/// A request that may be worked on.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    /// Whose token it came with; `None` where none is needed.
    pub(super) token: Option<Arc<Token>>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The WebSocket that it may become.
    pub(super) upgrade: Option<Upgrade>,
    /// The address that it came from; `None`: the socket.
    pub(super) client: Option<IpAddr>,
    /// Path and query, as they came.
    pub(super) target: String,
    path: HashMap<String, String>,
    query: Vec<(String, String)>,
}

/// Works on a request, in a task of its own: hyper drops what it does for a client that hangs up,
/// and nothing that speaks to the database may be dropped on its way.
pub(super) async fn answer(
    shared: Arc<Shared>,
    route: &'static Route,
    path: HashMap<String, String>,
    request: Request,
) -> Answer {
    let id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0));
    let id = id.unwrap_or_else(|| "-".into());
    let Ok(place) = Arc::clone(&shared.requests).try_acquire_owned() else {
        let problem = Problem::new(Code::Overloaded, "too many requests are at work");
        return refusal(route, &problem, &id);
    };
    if shared.is_draining() && route.access != Access::Health {
        return refusal(route, &Problem::new(Code::Draining, "the server is stopping"), &id);
    }
    let own_id = Arc::clone(&id);
    let task = tokio::spawn(async move {
        let answer = work(shared, route, path, request, &own_id).await;
        drop(place);
        answer
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(request_id = %id, %error, "internal error, please report it");
        let problem = Problem::new(Code::Internal, "internal error; the log says more");
        refusal(route, &problem, &id)
    })
}

/// The answer to a request that is not worked on, as whoever sent it can read it.
fn refusal(route: &Route, problem: &Problem, id: &str) -> Answer {
    if route.access.is_page() { refused::page(problem, id) } else { problem.response(id) }
}

async fn work(
    shared: Arc<Shared>,
    route: &'static Route,
    path: HashMap<String, String>,
    request: Request,
    id: &Arc<str>,
) -> Answer {
    let (mut parts, body) = request.into_parts();
    let client = parts.extensions.get::<Client>().and_then(|client| client.0);
    let token = match admit(&shared, route, &parts.headers, client).await {
        Ok(token) => token,
        Err(problem) if route.access.is_page() && problem.code == Code::Unauthorized => {
            return refused::log_in(&route.method, &parts.uri, &parts.headers);
        }
        Err(problem) => return refusal(route, &problem, id),
    };
    let name = token.as_ref().map(|token| TokenName(token.name.as_str().into()));
    let answered = async {
        if path.values().any(|part| part.contains('\0')) {
            return Err(Problem::new(Code::Malformed, "the path contains a NUL character"));
        }
        let query = query(route, parts.uri.query())?;
        let upgrade = match route.access {
            Access::Stream => Upgrade::of(&mut parts, &shared.settings).await?,
            _ => None,
        };
        let body = if route.bodies.is_empty() { Bytes::new() } else { read(&shared, body).await? };
        let headers = parts.headers;
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let call = Call { shared, token, headers, body, upgrade, client, target, path, query };
        (route.handler)(call).await
    };
    let mut answer = answered.await.unwrap_or_else(|problem| refusal(route, &problem, id));
    if let Some(name) = name {
        answer.extensions_mut().insert(name);
    }
    answer
}

async fn admit(
    shared: &Shared,
    route: &Route,
    headers: &HeaderMap,
    client: Option<IpAddr>,
) -> Result<Option<Arc<Token>>, Problem> {
    if route.access.is_page() && route.method != Method::GET {
        origin::check(headers)?;
    }
    let Some(scope) = route.access.scope() else { return Ok(None) };
    if route.access.is_page() {
        let token = shared.access.admit_session(&shared.turns, headers, client).await?;
        let token = permitting(token, Scope::Read)?;
        match route.access {
            Access::Act => check_acting(shared, &token)?,
            Access::Page(Sees::All) => check_all(&token)?,
            _ => {}
        }
        return Ok(Some(token));
    }
    // Whoever is on this machine sees as much elsewhere.
    let is_local = shared.address.is_none_or(|at| at.ip().is_loopback());
    if route.access == Access::Metrics && is_local {
        return Ok(None);
    }
    let may_upgrade = route.access == Access::Stream;
    let token = shared.access.admit(&shared.turns, headers, may_upgrade, client).await?;
    permitting(token, scope).map(Some)
}

/// The token, if it has that scope.
pub(super) fn permitting(token: Arc<Token>, scope: Scope) -> Result<Arc<Token>, Problem> {
    check_scope(&token, scope).map(|()| token)
}

fn check_scope(token: &Token, scope: Scope) -> Result<(), Problem> {
    if token.scopes.contains(&scope) {
        return Ok(());
    }
    let (name, scope) = (&token.name, scope.name());
    Err(Problem::new(Code::Forbidden, format!("the token {name} lacks the scope {scope}")))
}

/// Refuses a token that is for one org.
fn check_all(token: &Token) -> Result<(), Problem> {
    if token.org.is_none() {
        return Ok(());
    }
    let detail = format!("the token {} is for one organization", token.name);
    Err(Problem::new(Code::Forbidden, detail))
}

/// Refuses whoever may not act.
fn check_acting(shared: &Shared, token: &Token) -> Result<(), Problem> {
    if !shared.settings.actions {
        let detail = "the dashboard only reads: [http] actions = false";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    check_scope(token, Scope::Admin)?;
    check_all(token)
}

async fn read(shared: &Shared, body: Body) -> Result<Bytes, Problem> {
    let most = shared.settings.body_bytes;
    let too_large = || Problem::new(Code::TooLarge, format!("the body has more than {most} bytes"));
    // Whoever says so is told before it is sent.
    if body.size_hint().lower() > u64::from(most) {
        return Err(too_large());
    }
    let limited = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX));
    // Nothing of the database is in here, so it may be dropped.
    match timeout(shared.settings.body_timeout.0, limited.collect()).await {
        Err(_) => Err(Problem::new(Code::TooSlow, "the body did not arrive in time")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::Malformed, "the body ended early")),
    }
}

/// The query's parameters; those that the route has, each once.
fn query(route: &Route, query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let malformed = |_| Problem::new(Code::Malformed, "the query cannot be read");
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query.unwrap_or_default()).map_err(malformed)?;
    let known: Vec<&str> = route.parameters.iter().map(|known| known.name).collect();
    for (at, (name, _)) in pairs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let known = match known.as_slice() {
                [] => "this path takes none".to_owned(),
                names => format!("this path takes {}", names.join(", ")),
            };
            let detail = format!("unknown parameter `{name}`; {known}");
            return Err(Problem::new(Code::Invalid, detail));
        }
        if pairs[..at].iter().any(|(other, _)| other == name) {
            return Err(Problem::new(Code::Invalid, format!("`{name}` is given twice")));
        }
    }
    Ok(pairs)
}

impl Call {
    /// A part of the path.
    pub(super) fn part(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, read.
    ///
    /// # Errors
    /// [`Code::Invalid`] with the type's own sentence.
    pub(super) fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let value = text.parse().map_err(|error| {
            Problem::new(Code::Invalid, format!("the parameter `{name}`: {error}"))
        })?;
        Ok(Some(value))
    }

    /// Does the client ask for that media type?
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let accepted = self.headers.get_all(header::ACCEPT).iter();
        let lists = accepted.filter_map(|value| value.to_str().ok());
        let mut items = lists.flat_map(|list| list.split(','));
        items.any(|item| {
            let essence = item.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(media_type)
        })
    }

    /// The body as JSON of that shape: unknown and repeated fields are refused.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media_type = self.headers.get(header::CONTENT_TYPE).map(|value| value.to_str());
        let is_json = |text: &str| {
            let essence = text.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        };
        if !media_type.is_some_and(|text| text.is_ok_and(is_json)) {
            return Err(Problem {
                allow: Some("application/json".to_owned()),
                ..Problem::new(Code::UnsupportedMediaType, "send JSON: application/json")
            });
        }
        from_json_slice(&self.body)
    }

    /// A turn at the database, with a connection.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when others keep all of them; [`Code::Unavailable`].
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Problem> {
        self.shared.turns.take().await
    }

    /// May whoever asks act, by the buttons of the dashboard?
    pub(super) fn may_act(&self) -> bool {
        self.token.as_ref().is_some_and(|token| check_acting(&self.shared, token).is_ok())
    }

    /// The parameters of the query, as they came.
    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.query
    }

    /// Does the token permit that org? One that it does not is as unknown as one that is not there.
    pub(super) fn permits(&self, org: Uuid) -> bool {
        self.token.as_ref().is_none_or(|token| token.org.is_none_or(|own| own == org))
    }

    /// The org of a slug or id.
    ///
    /// # Errors
    /// [`Code::UnknownOrg`] for one that is not there, or not the token's.
    pub(super) async fn org_named(
        &self,
        connection: &mut Connection,
        named: &str,
    ) -> Result<Uuid, Problem> {
        let org = orgs::named(connection, named).await?;
        org.filter(|org| self.permits(*org)).ok_or_else(|| unknown_org(named))
    }

    /// The answer to an org in the path that is not there, or not the token's.
    pub(super) fn unknown_org(&self) -> Problem {
        unknown_org(self.part("org"))
    }
}

fn unknown_org(named: &str) -> Problem {
    Problem::new(Code::UnknownOrg, format!("unknown organization `{}`", visible(named)))
}

/// Reads JSON of that shape.
pub(super) fn from_json_slice<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| {
        let detail = error.to_string();
        match error.classify() {
            serde_json::error::Category::Data => Problem::invalid("", detail),
            _ => Problem::new(Code::Malformed, format!("the JSON cannot be read: {detail}")),
        }
    })
}
