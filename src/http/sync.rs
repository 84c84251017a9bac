//! A sync of one org at once: what `periodd sync --org` does, entered in the ledger of runs with
//! the token's name. Who asks while it runs gets the same result.

use std::sync::Arc;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer::{Answer, json};
use super::call::{Access, Call, Kind, Parameter, Route, from_json_slice};
use super::limits::Limits;
use super::problem::{Code, Problem};
use super::settings::{of_sync, sync_request};
use super::shared::Shared;
use super::syncs::Done;
use crate::jobs::Entry;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::sync::{self, Scope, SyncReport};
use crate::store::runs::Asked;
use crate::store::tokens::Scope as TokenScope;
use crate::store::usage::asked::Question;

const PROBLEMS: &[Code] = &[Code::UnknownOrg, Code::Refused];
const ORG: Parameter = Parameter {
    name: "organizationId",
    meaning: "Id or slug of the organization.",
    example: "acme",
    kind: Kind::Text,
    is_required: true,
};
const FORCE: Parameter = Parameter {
    name: "forceSync",
    meaning: "`true` audits first; otherwise pending usage is counted first.",
    example: "true",
    kind: Kind::Flag,
    is_required: false,
};

/// The routes of this file.
pub(super) const ROUTES: [Route; 3] = [
    Route {
        method: axum::http::Method::POST,
        path: "/api/v1/usage/{org}/sync",
        access: Access::Needs(TokenScope::Sync),
        summary: "Counts pending usage of an organization, and finds and repairs drift, at once.",
        parameters: &[],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<SyncReport>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(of_path(call)),
    },
    Route {
        method: axum::http::Method::GET,
        path: "/api/usage/v2",
        access: Access::Needs(TokenScope::Sync),
        summary: "The limits of an organization, after its pending usage was counted.",
        parameters: &[ORG, FORCE],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<Limits>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(get_v2(call)),
    },
    Route {
        method: axum::http::Method::POST,
        path: "/api/usage/v2",
        access: Access::Needs(TokenScope::Sync),
        summary: "Counts, audits and answers the limits; the body may come with any content type.",
        parameters: &[],
        bodies: &[("application/json", SchemaGenerator::subschema_for::<V2>)],
        answer: Some(SchemaGenerator::subschema_for::<Limits>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(post_v2(call)),
    },
];

/// Which organization is synced.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct V2 {
    /// Its id or slug.
    #[serde(rename = "organizationId")]
    organization_id: String,
}

async fn of_path(call: Call) -> Result<Answer, Problem> {
    let org = call.org_named(&mut *call.turn().await?, call.part("org")).await?;
    Ok(json(&*sync(&call, org, true).await?))
}

async fn get_v2(call: Call) -> Result<Answer, Problem> {
    let Some(named) = call.parameter("organizationId").map(str::to_owned) else {
        return Err(Problem::new(Code::Invalid, "the parameter `organizationId` is missing"));
    };
    let audits = call.parsed::<bool>("forceSync")?.unwrap_or(false);
    answer_v2(&call, &named, audits).await
}

async fn post_v2(call: Call) -> Result<Answer, Problem> {
    // curl -d sends JSON with a form's content type.
    let V2 { organization_id } = match call.body.first() {
        Some(b'{') => from_json_slice(&call.body)?,
        _ => serde_urlencoded::from_bytes(&call.body)
            .map_err(|_| Problem::new(Code::Malformed, "send {\"organizationId\": \"…\"}"))?,
    };
    answer_v2(&call, &organization_id, true).await
}

async fn answer_v2(call: &Call, named: &str, audits: bool) -> Result<Answer, Problem> {
    let org = call.org_named(&mut *call.turn().await?, named).await?;
    sync(call, org, audits).await?;
    let question = Question { org: org.to_string(), feature: None };
    let standing = call.shared.together.ask(question).await?;
    let standing = standing.ok_or_else(|| call.unknown_org())?;
    Ok(json(&Limits::from(standing)))
}

/// Syncs an org, or waits for whoever does.
async fn sync(call: &Call, org: Uuid, audits: bool) -> Done {
    let by = call.token.as_ref().map(|token| token.name.as_str());
    let shared = &call.shared;
    shared.syncs.once((org, audits), async || run(shared, org, audits, by).await).await
}

async fn run(
    shared: &Shared,
    org: Uuid,
    audits: bool,
    by: Option<&str>,
) -> Result<SyncReport, Problem> {
    let _alone = shared.syncs.alone().await;
    let database = &shared.around.database;
    let request = sync::Request { scope: Scope::Orgs(vec![org]), ..sync_request(shared).await? };
    let job = if audits { Job::Audit } else { Job::Sync };
    let asked = Asked { by, org: Some(org) };
    let entry = Entry::begin(database, job, &shared.around.replica, asked).await?;
    let request = sync::Request { run: Some(entry.id()), ..request };
    let silent: sync::Observer = Arc::new(|_| {});
    let report = if audits {
        sync::audit(database, &request, silent).await
    } else {
        sync::count(database, &request, silent).await
    };
    let counts = report.as_ref().ok().map(RunCounts::from);
    let error = report.as_ref().err().map(ToString::to_string);
    entry.end(database, counts.as_ref(), error.as_deref()).await?;
    report.map_err(of_sync)
}
