//! Usage by the batch: plain events, or those of `CloudEvents`.

use axum::http::header;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::answer::{Answer, json};
use super::call::{Access, Call, Kind, Parameter, Route, Shape};
use super::metrics::Became;
use super::problem::{Code, Fault, Problem};
use super::quantity::Amount;
use super::settings::sync_request;
use crate::billing::Instant;
use crate::jobs::usage::events::{self, Event, Refusal, Report, Request, Verdict};
use crate::store::tokens::Scope;

/// The most events of one request.
const MOST: usize = 1_000;
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_BATCH: &str = "application/cloudevents-batch+json";

const PARTIAL: Parameter = Parameter {
    name: "partial",
    meaning: "`true` records the good events where others are refused.",
    example: "true",
    kind: Kind::Flag,
    is_required: false,
};
const PROBLEMS: &[Code] =
    &[Code::UnknownOrg, Code::UnknownFeature, Code::UnknownUser, Code::KeyReused];

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        method: axum::http::Method::POST,
        path: "/api/v1/usage/events",
        access: Access::Needs(Scope::Record),
        summary: "Records usage: one event, or up to 1,000 in a list, also as CloudEvents. All or \
                  none; a repeated key is a duplicate, and a success.",
        parameters: &[PARTIAL],
        bodies: BODIES,
        answer: Some(SchemaGenerator::subschema_for::<Recorded>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(record(call)),
    },
    Route {
        method: axum::http::Method::POST,
        path: "/api/v1/usage/{org}/events",
        access: Access::Needs(Scope::Record),
        summary: "The same for one organization, which the events need not name.",
        parameters: &[PARTIAL],
        bodies: BODIES,
        answer: Some(SchemaGenerator::subschema_for::<Recorded>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(record(call)),
    },
];

/// Usage of a feature.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    /// Slug or id of the organization, unless the path names it.
    org: Option<String>,
    /// The feature, in any case of letters.
    feature: String,
    /// How much; negative for a correction.
    quantity: Amount,
    /// When it was used, in RFC 3339; now if not given. At most 5 minutes in the future.
    used_at: Option<Instant>,
    /// The user, who must belong to the organization.
    user: Option<Uuid>,
    /// Idempotency key: a repeated event with the same key counts once.
    key: String,
    /// Must be true where the quantity is negative.
    #[serde(default)]
    correction: bool,
}

/// Usage as a `CloudEvent` 1.0: `subject` is the organization, `type` the feature, `source/id` the
/// key.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Cloud {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: Option<Instant>,
    data: CloudData,
}

/// What a `CloudEvent` carries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloudData {
    /// How much; negative for a correction.
    value: Amount,
    /// The user, who must belong to the organization.
    user: Option<Uuid>,
    /// Must be true where the value is negative.
    #[serde(default)]
    correction: bool,
}

/// One event, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes what is read piece by piece")]
enum OneOrMany {
    One(Plain),
    Many(#[schemars(length(min = 1, max = 1000))] Vec<Plain>),
}

/// A list of `CloudEvents`.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "describes what is read piece by piece")]
struct Clouds(#[schemars(length(min = 1, max = 1000))] Vec<Cloud>);

/// What may be sent.
const BODIES: &[Shape] = &[
    ("application/json", SchemaGenerator::subschema_for::<OneOrMany>),
    (CLOUD_EVENT, SchemaGenerator::subschema_for::<Cloud>),
    (CLOUD_BATCH, SchemaGenerator::subschema_for::<Clouds>),
];

/// What became of a batch.
#[derive(Serialize, JsonSchema)]
pub(super) struct Recorded {
    /// Events that were recorded.
    #[serde(rename = "recorded")]
    new: usize,
    /// Events that were known already.
    duplicates: usize,
    /// Events that were refused.
    refused: usize,
    /// Metrics that were counted, also those that had waited for it.
    counted: u64,
    /// Event by event, in their order.
    events: Vec<Outcome>,
}

/// What became of an event.
#[derive(Serialize, JsonSchema)]
pub(super) struct Outcome {
    status: Status,
    /// It was used in a period that is closed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Recorded,
    Duplicate,
    Refused,
}

async fn record(call: Call) -> Result<Answer, Problem> {
    let partial = call.parsed::<bool>("partial")?.unwrap_or(false);
    let in_path = call.part("org").to_owned();
    let only = if in_path.is_empty() {
        call.token.as_ref().and_then(|token| token.org)
    } else {
        Some(call.org_named(&mut *call.turn().await?, &in_path).await?)
    };
    let mut pointers = Vec::new();
    let (mut good, mut places, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (place, read) in read(&call, &in_path)?.into_iter().enumerate() {
        match read {
            Ok(event) => {
                good.push(event);
                places.push(place);
            }
            Err(detail) => faults.push((place, Code::Invalid, String::new(), detail)),
        }
        pointers.push(format!("/{place}"));
    }
    let total = pointers.len();
    let is_single = !is_list(&call.body);
    let nothing = Report { verdicts: Vec::new(), is_written: false, counted: 0 };
    let report = if !partial && !faults.is_empty() {
        nothing
    } else {
        let sync = sync_request(&call.shared).await?;
        let _pass = call.shared.turns.pass().await?;
        events::record(&call.shared.around.database, Request { events: good, only, partial, sync })
            .await?
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    outcomes.resize_with(total, || None);
    for (verdict, place) in report.verdicts.iter().zip(&places) {
        let outcome = match verdict {
            Verdict::Recorded { is_late } => {
                Outcome { status: Status::Recorded, late: *is_late, code: None, detail: None }
            }
            Verdict::Duplicate => {
                Outcome { status: Status::Duplicate, late: false, code: None, detail: None }
            }
            Verdict::Refused(refusal) => {
                let (code, field) = code_of(refusal);
                faults.push((*place, code, field.to_owned(), refusal.to_string()));
                continue;
            }
        };
        outcomes[*place] = Some(outcome);
    }
    if !partial && !faults.is_empty() {
        return Err(refused(faults, is_single, total));
    }
    for (place, code, _, detail) in faults {
        let (code, detail) = (Some(code), Some(detail));
        outcomes[place] = Some(Outcome { status: Status::Refused, late: false, code, detail });
    }
    let events: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    let count = |status| events.iter().filter(|event| event.status == status).count();
    let metrics = &call.shared.metrics;
    for (status, became) in [
        (Status::Recorded, Became::Recorded),
        (Status::Duplicate, Became::Duplicate),
        (Status::Refused, Became::Refused),
    ] {
        metrics.events(became, u64::try_from(count(status)).unwrap_or(u64::MAX));
    }
    // Those of other orgs are seen within a second.
    if let Some(org) = only {
        call.shared.streams.moved(org);
    }
    Ok(json(&Recorded {
        new: count(Status::Recorded),
        duplicates: count(Status::Duplicate),
        refused: count(Status::Refused),
        counted: report.counted,
        events,
    }))
}

fn is_list(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// The refusal of a batch, with every bad event.
fn refused(
    mut faults: Vec<(usize, Code, String, String)>,
    is_single: bool,
    total: usize,
) -> Problem {
    faults.sort_by_key(|(place, ..)| *place);
    let pointer = |place: usize, field: &str| {
        let at = if is_single { String::new() } else { format!("/{place}") };
        if field.is_empty() { at } else { format!("{at}/{field}") }
    };
    let errors: Vec<Fault> = faults
        .into_iter()
        .map(|(place, code, field, detail)| Fault { pointer: pointer(place, &field), code, detail })
        .collect();
    let detail = match errors.as_slice() {
        [only] => format!("{}; nothing was recorded", only.detail),
        several => {
            format!("{} of {total} events are refused; nothing was recorded", several.len())
        }
    };
    Problem { errors, ..Problem::new(Code::Invalid, detail) }
}

fn code_of(refusal: &Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::UnknownOrg(_) => (Code::UnknownOrg, "org"),
        Refusal::UnknownFeature(..) => (Code::UnknownFeature, "feature"),
        Refusal::UnknownUser(..) => (Code::UnknownUser, "user"),
        Refusal::KeyReused(_) => (Code::KeyReused, "key"),
        Refusal::Invalid { field, .. } => (Code::Invalid, field),
    }
}

/// The events of a body, each by itself: one that cannot be read is no reason against the others.
fn read(call: &Call, in_path: &str) -> Result<Vec<Result<Event, String>>, Problem> {
    let media_type = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let is_cloud = match essence.as_str() {
        "application/json" => false,
        CLOUD_EVENT | CLOUD_BATCH => true,
        _ => {
            return Err(Problem {
                allow: Some(format!("application/json, {CLOUD_EVENT}, {CLOUD_BATCH}")),
                ..Problem::new(Code::UnsupportedMediaType, "send JSON: application/json")
            });
        }
    };
    let is_of_many = match essence.as_str() {
        CLOUD_EVENT => Some(false),
        CLOUD_BATCH => Some(true),
        _ => None,
    };
    if is_of_many.is_some_and(|is_of_many| is_of_many != is_list(&call.body)) {
        let detail = format!("{CLOUD_EVENT} is for one event, {CLOUD_BATCH} for a list");
        return Err(Problem::invalid("", detail));
    }
    let pieces: Vec<&RawValue> = if is_list(&call.body) {
        super::call::from_json_slice(&call.body)?
    } else {
        vec![super::call::from_json_slice(&call.body)?]
    };
    if pieces.len() > MOST {
        let detail = format!("{} events; at most {MOST} fit in a request", pieces.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    if pieces.is_empty() {
        return Err(Problem::invalid("", "the list has no events"));
    }
    let one = |piece: &&RawValue| {
        if is_cloud { cloud(piece.get(), in_path) } else { plain(piece.get(), in_path) }
    };
    Ok(pieces.iter().map(one).collect())
}

fn plain(text: &str, in_path: &str) -> Result<Event, String> {
    let plain: Plain = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Plain { org, feature, quantity, used_at, user, key, correction } = plain;
    let org = org_of(org, in_path, "org")?;
    let quantity = quantity.0;
    Ok(Event { org, feature, quantity, used_at, user, key, is_correction: correction })
}

fn cloud(text: &str, in_path: &str) -> Result<Event, String> {
    let cloud: Cloud = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Cloud { specversion, id, source, kind, subject, time, data } = cloud;
    if specversion != "1.0" {
        return Err("`specversion` must be \"1.0\"".to_owned());
    }
    if id.is_empty() || source.is_empty() {
        return Err("`id` and `source` must not be empty".to_owned());
    }
    Ok(Event {
        org: org_of(subject, in_path, "subject")?,
        feature: kind,
        quantity: data.value.0,
        used_at: time,
        user: data.user,
        key: format!("{source}/{id}"),
        is_correction: data.correction,
    })
}

/// The org that an event names, or the path.
fn org_of(named: Option<String>, in_path: &str, field: &str) -> Result<String, String> {
    match named {
        Some(named) if in_path.is_empty() || named == in_path => Ok(named),
        Some(named) => Err(format!("`{field}` is `{named}`, and the path names `{in_path}`")),
        None if in_path.is_empty() => Err(format!("`{field}` is missing")),
        None => Ok(in_path.to_owned()),
    }
}
