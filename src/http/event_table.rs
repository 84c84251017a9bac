//! The event table, for programs that read it in order.

use schemars::SchemaGenerator;

use super::answer::{Answer, json};
use super::call::{Access, Call, Kind, Parameter, Route};
use super::problem::{Code, Problem};
use crate::billing::events;
use crate::jobs::events::{Asked, Error, EventsPage, LARGEST_PAGE, PAGE, read};
use crate::store::tokens::Scope;
use crate::text::visible;

const PARAMETERS: [Parameter; 4] = [
    Parameter::optional(
        "after",
        "The cursor of the last event that you have: `next` of the answer before. 0 if not given: \
         from the first event that is kept.",
        "1042",
        Kind::Text,
    ),
    Parameter::optional(
        "limit",
        "How many at most, 1 to 1000; 100 if not given.",
        "100",
        Kind::Text,
    ),
    Parameter::optional(
        "kinds",
        "Only these kinds, with commas between them.",
        "period.closed,pack.granted",
        Kind::Text,
    ),
    Parameter::optional(
        "org",
        "Only events of this organization, by its slug or id. A token of one organization reads \
         no others anyway.",
        "acme",
        Kind::Text,
    ),
];

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/events",
    access: Access::Needs(Scope::Read),
    summary: "Events in the order of their cursors, where `[events] enabled` is set. What was \
              read is final: no event before `next` comes later.",
    parameters: &PARAMETERS,
    bodies: &[],
    answer: Some(SchemaGenerator::subschema_for::<EventsPage>),
    media_types: &["application/json"],
    problems: &[Code::UnknownOrg],
    handler: |call| Box::pin(show(call)),
}];

async fn show(call: Call) -> Result<Answer, Problem> {
    let limit = call.parsed("limit")?.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let detail = format!("the parameter `limit` must be from 1 to {LARGEST_PAGE}");
        return Err(Problem::new(Code::Invalid, detail));
    }
    let after: i64 = call.parsed("after")?.unwrap_or(0);
    if after < 0 {
        return Err(Problem::new(Code::Invalid, "the parameter `after` must be 0 or more"));
    }
    let names = call.parameter("kinds").unwrap_or_default().split(',');
    let kinds = names.filter(|name| !name.is_empty()).map(|name| {
        name.trim().parse().map_err(|()| {
            let known = events::Kind::NAMES.join(", ");
            let name = visible(name);
            let detail = format!("unknown kind of event `{name}`; the kinds are {known}");
            Problem::new(Code::Invalid, detail)
        })
    });
    let kinds = kinds.collect::<Result<_, _>>()?;
    let mut turn = call.turn().await?;
    let org = match call.parameter("org") {
        Some(named) => Some(call.org_named(&mut turn, named).await?),
        None => call.token.as_ref().and_then(|token| token.org),
    };
    match read(&mut turn, &Asked { after, org, kinds, limit }).await {
        Ok(page) => Ok(json(&page)),
        Err(error @ Error::Cursor { .. }) => Err(Problem::new(Code::Invalid, error.to_string())),
        Err(Error::Store(error)) => Err(error.into()),
    }
}
