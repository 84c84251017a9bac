//! Tokens for an end customer's browser: one organization, reading alone, and not for long.

use jiff::SignedDuration;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, json};
use super::call::{Access, Call, Route};
use super::problem::{Code, Problem};
use crate::billing::Instant;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::{self, NewToken, Scope};

/// How long a token is good for, in seconds: by default, and at most.
const DEFAULT: u32 = 15 * 60;
const MOST: u32 = 24 * 60 * 60;

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::POST,
    path: "/api/v1/usage/{org}/tokens",
    access: Access::Needs(Scope::Admin),
    summary: "Makes a token for a customer's browser: reads this organization, for 15 minutes.",
    parameters: &[],
    bodies: &[("application/json", SchemaGenerator::subschema_for::<Wanted>)],
    answer: Some(SchemaGenerator::subschema_for::<Made>),
    media_types: &["application/json"],
    problems: &[Code::UnknownOrg],
    handler: |call| Box::pin(make(call)),
}];

/// What is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Seconds until the token expires, at most 86,400.
    #[serde(default = "fifteen_minutes")]
    expires_in: u32,
}

const fn fifteen_minutes() -> u32 {
    DEFAULT
}

/// A token for a browser.
#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    /// Shown here alone.
    token: String,
    expires_at: Instant,
}

async fn make(call: Call) -> Result<Answer, Problem> {
    let Wanted { expires_in } = call.json()?;
    if expires_in == 0 || expires_in > MOST {
        let detail = format!("{expires_in} must be between 1 and {MOST} seconds");
        return Err(Problem::invalid("/expires_in", detail));
    }
    let mut turn = call.turn().await?;
    let org = call.org_named(&mut turn, call.part("org")).await?;
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a token could not be made");
        Problem::new(Code::Internal, "internal error; the log says more")
    };
    let secret = Secret::random().map_err(|error| failed(&error))?;
    let now = crate::store::server_now(&mut turn).await?;
    let expires_at = now.plus(SignedDuration::from_secs(expires_in.into()));
    let expires_at = expires_at.map_err(|error| failed(&error))?;
    let name = format!("browser-{}", uuid::Uuid::new_v4().simple());
    let (digest, scopes) = (secret.digest(), &[Scope::Read][..]);
    let new =
        NewToken { name: &name, digest, scopes, org: Some(org), expires_at: Some(expires_at) };
    if !tokens::add(&mut turn, &new).await? {
        return Err(failed(&"its name is taken"));
    }
    Ok(json(&Made { token: secret.reveal().to_owned(), expires_at }))
}
