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
use crate::store::usage::asked::{self, By, Question, Use};

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
    let org = {
        let mut turn = call.turn().await?;
        let org = call.org_named(&mut turn, call.part("org")).await?;
        if let Some(user) = user
            && asked::org_of(&mut turn, user).await? != Some(org)
        {
            return Err(unknown_user(user));
        }
        org
    };
    let by = user.map_or(By::Org(org), By::User);
    increment(&call, org, Use { by, feature, amount: amount.0, key }).await
}

async fn of_user(call: Call) -> Result<Answer, Problem> {
    let OfUser { user, feature, amount, key } = call.json()?;
    let org = asked::org_of(&mut *call.turn().await?, user).await?;
    let org = org.filter(|org| call.permits(*org)).ok_or_else(|| unknown_user(user))?;
    increment(&call, org, Use { by: By::User(user), feature, amount: amount.0, key }).await
}

fn unknown_user(user: Uuid) -> Problem {
    Problem::new(Code::UnknownUser, format!("unknown user {user}"))
}

async fn increment(call: &Call, org: Uuid, used: Use) -> Result<Answer, Problem> {
    let made = asked::increment(&mut *call.turn().await?, &used).await.map_err(Problem::from);
    let made = match made {
        Err(problem) if problem.code == Code::UnknownFeature => {
            return Err(unknown_feature(call, &used.feature).await?);
        }
        made => made?,
    };
    let became = if made.allowed { Became::Recorded } else { Became::Refused };
    call.shared.metrics.events(became, 1);
    if made.allowed {
        call.shared.streams.moved(org);
    }
    let refusal = if made.allowed {
        None
    } else {
        let question = Question { org: org.to_string(), feature: Some(used.feature.clone()) };
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
