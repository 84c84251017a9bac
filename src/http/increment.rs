//! Check and use in one act, by the database's own functions.

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer::{Answer, json};
use super::call::{Access, Call, Route};
use super::limits::{Checked, checked, unknown_feature};
use super::metrics::Became;
use super::problem::{Code, Problem};
use super::quantity::Amount;
use crate::billing::Quantity;
use crate::store::tokens::Scope;
use crate::store::usage::asked::{self, Question, Use};

/// What every increment may answer.
const PROBLEMS: &[Code] = &[
    Code::UnknownOrg,
    Code::UnknownFeature,
    Code::UnknownUser,
    Code::NoOpenPeriod,
    Code::KeyReused,
    Code::NotCalculated,
];

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        method: axum::http::Method::POST,
        path: "/api/v1/usage/{org}/increment",
        access: Access::Needs(Scope::Record),
        summary: "Uses a quantity of a feature if the allowance permits, all or nothing. A refusal \
                  is an answer with `allowed: false`; send a key to be able to repeat the request.",
        parameters: &[],
        bodies: &[("application/json", SchemaGenerator::subschema_for::<OfOrg>)],
        answer: Some(SchemaGenerator::subschema_for::<Incremented>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(of_org(call)),
    },
    Route {
        method: axum::http::Method::POST,
        path: "/api/v1/usage/increment",
        access: Access::Needs(Scope::Record),
        summary: "The same for a user, whose organization pays.",
        parameters: &[],
        bodies: &[("application/json", SchemaGenerator::subschema_for::<OfUser>)],
        answer: Some(SchemaGenerator::subschema_for::<Incremented>),
        media_types: &["application/json"],
        problems: PROBLEMS,
        handler: |call| Box::pin(of_user(call)),
    },
];

/// A use by an organization, or by one of its users.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrg {
    /// The feature, in any case of letters.
    feature: String,
    /// How much.
    #[serde(default = "one")]
    amount: Amount,
    /// The user, if one is to be counted; must belong to the organization.
    user: Option<Uuid>,
    /// Idempotency key: a repeated request with the same key counts once.
    key: Option<String>,
}

/// A use by a user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfUser {
    /// The user.
    user: Uuid,
    /// The feature, in any case of letters.
    #[serde(default = "scrapes")]
    feature: String,
    /// How much.
    #[serde(default = "one")]
    amount: Amount,
    /// Idempotency key: a repeated request with the same key counts once.
    key: Option<String>,
}

fn one() -> Amount {
    Amount(Quantity::units(1))
}

fn scrapes() -> String {
    "scrapes".to_owned()
}

/// What became of a use.
#[derive(Serialize, JsonSchema)]
pub(super) struct Incremented {
    /// Whether it was counted.
    allowed: bool,
    /// Usage in the period, with this one if it was counted.
    new_usage: Quantity,
    /// The allowance; null: unlimited.
    effective_limit: Option<Quantity>,
    plan: Option<String>,
    subscription_status: Option<String>,
    /// Of a use that was refused: what a check says.
    refusal: Option<Checked>,
}

async fn of_org(call: Call) -> Result<Answer, Problem> {
    let OfOrg { feature, amount, user, key } = call.json()?;
    increment(&call, Some(call.part("org").to_owned()), user, feature, amount, key).await
}

async fn of_user(call: Call) -> Result<Answer, Problem> {
    let OfUser { user, feature, amount, key } = call.json()?;
    increment(&call, None, Some(user), feature, amount, key).await
}

/// The answer to a use that nobody could make: which of the two is unknown.
async fn unknown(call: &Call, used: &Use) -> Result<Problem, Problem> {
    if let Some(org) = &used.org {
        call.org_named(&mut *call.turn().await?, org).await?;
    }
    Ok(match used.user {
        Some(user) => Problem::new(Code::UnknownUser, format!("unknown user {user}")),
        None => call.unknown_org(),
    })
}

async fn increment(
    call: &Call,
    org: Option<String>,
    user: Option<Uuid>,
    feature: String,
    amount: Amount,
    key: Option<String>,
) -> Result<Answer, Problem> {
    let only = call.token.as_ref().and_then(|token| token.org);
    let used = Use { org, user, only, feature, amount: amount.0, key };
    let made = asked::increment(&mut *call.turn().await?, &used).await.map_err(Problem::from);
    let made = match made {
        Err(problem) if problem.code == Code::UnknownFeature => {
            return Err(unknown_feature(call, &used.feature).await?);
        }
        made => made?,
    };
    let Some(made) = made else { return Err(unknown(call, &used).await?) };
    let became = if made.allowed { Became::Recorded } else { Became::Refused };
    call.shared.metrics.events(became, 1);
    if made.allowed {
        call.shared.streams.moved(made.org);
    }
    let refusal = if made.allowed {
        None
    } else {
        let question = Question { org: made.org.to_string(), feature: Some(used.feature.clone()) };
        let standing = call.shared.together.ask(question).await?;
        let standing = standing.ok_or_else(|| call.unknown_org())?;
        Some(checked(call, standing, used.amount).await?)
    };
    Ok(json(&Incremented {
        allowed: made.allowed,
        new_usage: made.new_usage,
        effective_limit: made.effective_limit,
        plan: made.plan,
        subscription_status: made.subscription_status,
        refusal,
    }))
}
