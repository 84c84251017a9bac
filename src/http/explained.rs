//! Everything about one org: what `periodd explain` answers, with its subscription.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use super::answer::{Answer, json};
use super::call::{Access, Call, Route};
use super::problem::{Code, Problem};
use super::settings::shown_columns;
use crate::billing::{Instant, LocalDate, Zone};
use crate::jobs::explain::{self, Explanation, Subject};
use crate::store::tokens::Scope;

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/usage/{org}",
    access: Access::Needs(Scope::Read),
    summary: "Everything about an organization: its subscription, usage, packs, closed periods, \
              and what to do about problems.",
    parameters: &[],
    bodies: &[],
    answer: Some(SchemaGenerator::subschema_for::<Explained>),
    media_types: &["application/json"],
    problems: &[Code::UnknownOrg],
    handler: |call| Box::pin(show(call)),
}];

/// Everything about an organization.
#[derive(Serialize, JsonSchema)]
pub(super) struct Explained {
    subscription: Subscription,
    #[serde(flatten)]
    explanation: Explanation,
}

/// A subscription.
#[derive(Serialize, JsonSchema)]
pub(super) struct Subscription {
    tier: String,
    /// As the payment provider says.
    status: Option<String>,
    /// The tier from the next period on.
    next_tier: Option<String>,
    ends_at: Option<Instant>,
    /// Whole days until then, by the calendar of the organization; 0 on the last day.
    days_left: Option<i32>,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let org = call.org_named(&mut *call.turn().await?, call.part("org")).await?;
    let around = &call.shared.around;
    let tz = (around.tz)();
    let _pass = call.shared.turns.pass().await?;
    let derived = shown_columns(&call.shared).await?;
    let now = around.database.now().await?;
    let subject = Subject { org, user: None };
    let explanation = explain::explain(&around.database, &tz, &derived, subject, now).await?;
    let row = &explanation.org;
    let ends_at = row.subscription_ends_at;
    let zone = tz.zone(&row.time_zone).unwrap_or_else(|_| Zone::utc());
    let subscription = Subscription {
        tier: row.subscription_tier.clone(),
        status: row.subscription_status.clone(),
        next_tier: row.next_subscription_tier.clone(),
        ends_at,
        days_left: ends_at.map(|at| days(zone.date(now), zone.date(at))),
    };
    Ok(json(&Explained { subscription, explanation }))
}

/// Whole days from one date to a later one.
fn days(from: LocalDate, to: LocalDate) -> i32 {
    from.0.until(to.0).map_or(0, |span| span.get_days()).max(0)
}
