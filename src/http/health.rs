//! Is it alive, is it ready?
//!
//! Alive asks no database: whoever restarts a daemon because its database is away makes the outage
//! longer. Ready does, at most once a second, whoever asks.

use axum::http::StatusCode;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use super::answer::{Answer, json};
use super::call::{Access, Call, Route};
use super::problem::Problem;
use super::shared::Shared;

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        method: axum::http::Method::GET,
        path: "/healthz",
        access: Access::Health,
        summary: "200 while the process works; asks no database.",
        parameters: &[],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<Health>),
        media_types: &["application/json"],
        problems: &[],
        handler: |call| Box::pin(async move { Ok(health(&call.shared)) }),
    },
    Route {
        method: axum::http::Method::GET,
        path: "/readyz",
        access: Access::Health,
        summary: "200 when requests can be answered; otherwise 503 with every reason.",
        parameters: &[],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<Health>),
        media_types: &["application/json"],
        problems: &[],
        handler: |call| Box::pin(ready(call)),
    },
];

/// How the server is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    ok: bool,
    /// What is missing: stuck, database, schema, schedules, draining.
    reasons: Vec<&'static str>,
}

fn answer(reasons: Vec<&'static str>) -> Answer {
    let ok = reasons.is_empty();
    let mut answer = json(&Health { ok, reasons });
    if !ok {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

fn health(shared: &Shared) -> Answer {
    let is_alive = (shared.around.is_alive)();
    answer(if is_alive { Vec::new() } else { vec!["stuck"] })
}

async fn ready(call: Call) -> Result<Answer, Problem> {
    let shared = &call.shared;
    let mut reasons = (shared.around.not_ready)();
    if shared.is_draining() {
        reasons.push("draining");
    }
    reasons.extend(shared.seen.of_database(&shared.turns, &shared.around.database).await);
    Ok(answer(reasons))
}
