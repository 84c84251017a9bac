//! What the dashboard does: each action on a page that shows its plan first, by the dry run of the
//! command's own code, and acts only while the plan is still that one.
//!
//! One action at a time in this process; over several, what the commands' own guards let through is
//! done once. Each is entered in the ledger of runs with the name of the token.
//!
//! Never: an act without a plan that was shown; a rule that the command does not have.

mod check;
mod emails;
mod plan;
mod rollover;
mod schedules;
mod sync;
mod tokens;
mod unpark;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::FORM;
use super::frame::html;
use super::refused::lead_to;
use crate::http::answer::Answer;
use crate::http::call::{Access, Call, Parameter, Route};
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::http::shared::Shared;
use crate::jobs::Entered;
use crate::jobs::{self, Entry};
use crate::store::runs::Asked;
use crate::store::runs::schedules::Ended;
use plan::Plan;

/// So long an action is waited for: one that is at work, and the one that was asked for. The page
/// of a run that takes longer says how it goes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that the dashboard does, with what it is done to.
trait Act: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Where its page is.
    const PATH: &'static str;
    /// A sentence for the table of routes.
    const SUMMARY: &'static str;
    /// What it may be asked.
    const PARAMETERS: &'static [Parameter];

    /// As the ledger has it.
    fn entered(&self) -> Entered;

    /// What its button says.
    fn heading(&self) -> String;

    /// What has to be said before it can be done, and is not.
    fn missing(&self) -> Option<&'static str> {
        None
    }

    /// What it would do now.
    fn plan(&self, call: &Call) -> impl Future<Output = Result<Plan, Problem>> + Send;

    /// Does it, as the run of that number.
    fn perform(&self, shared: &Shared, run: i64) -> impl Future<Output = Ended> + Send;
}

/// The routes of the actions.
pub(super) fn routes() -> Vec<Route> {
    [
        of::<rollover::RollOver>(),
        of::<sync::Sync>(),
        of::<check::Check>(),
        of::<unpark::Unpark>(),
        of::<emails::Resend>(),
        of::<schedules::Pause>(),
        of::<schedules::Resume>(),
        of::<tokens::Revoke>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The page of an action, and what its form is sent to.
fn of<A: Act>() -> [Route; 2] {
    let route = |method, handler, parameters, bodies| Route {
        method,
        path: A::PATH,
        access: Access::Act,
        summary: A::SUMMARY,
        parameters,
        bodies,
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler,
    };
    [
        route(Method::GET, |call| Box::pin(offer::<A>(call)), A::PARAMETERS, &[]),
        route(Method::POST, |call| Box::pin(act::<A>(call)), &[], FORM),
    ]
}

/// What the page shows.
#[derive(Serialize)]
struct Shown<'a> {
    heading: String,
    path: &'static str,
    fields: Vec<(String, String)>,
    plan: &'a Plan,
    /// Why nothing was done.
    notice: Option<&'a str>,
}

/// The page of a plan.
fn page<A: Act>(
    call: &Call,
    act: &A,
    plan: &Plan,
    notice: Option<(StatusCode, &str)>,
) -> Result<Answer, Problem> {
    let frame = times::still(call, act.heading(), "");
    let (heading, fields) = (act.heading(), plan::fields(act));
    let said = notice.map(|(_, notice)| notice);
    let shown = Shown { heading, path: A::PATH, fields, plan, notice: said };
    let mut answer = html("act.html", &frame, &shown)?;
    if let Some((status, _)) = notice {
        *answer.status_mut() = status;
    }
    Ok(answer)
}

async fn offer<A: Act>(call: Call) -> Result<Answer, Problem> {
    let act: A = plan::read(call.parameters())?;
    let plan = act.plan(&call).await?;
    page(&call, &act, &plan, None)
}

async fn act<A: Act>(call: Call) -> Result<Answer, Problem> {
    let (act, sent) = plan::sent::<A>(&call.body)?;
    let alone = Arc::clone(&call.shared.acting).lock_owned();
    // Nothing of the database is in here, so it may be dropped.
    let alone = timeout(PATIENCE, alone).await;
    let alone = alone.map_err(|_| busy("another action is at work; /runs shows it"))?;
    let plan = act.plan(&call).await?;
    let refused = if plan.nothing.is_some() {
        Some((StatusCode::CONFLICT, "Nothing was done, because nothing is left to do."))
    } else if !plan.is(&sent.plan) {
        Some((StatusCode::CONFLICT, "Nothing was done: the plan has changed. This is the new one."))
    } else if !plan.is_confirmed(&sent.typed) {
        Some((StatusCode::UNPROCESSABLE_ENTITY, "Nothing was done: type the number of orgs."))
    } else {
        act.missing().map(|missing| (StatusCode::UNPROCESSABLE_ENTITY, missing))
    };
    if refused.is_some() {
        return page(&call, &act, &plan, refused);
    }
    let place = Arc::clone(&call.shared.requests).try_acquire_owned();
    let place = place.map_err(|_| busy("too many requests are at work"))?;
    let around = &call.shared.around;
    // What is refused for the clock is not entered: by that clock it would lie elsewhere.
    around.database.believed_now().await?;
    let by = call.token.as_ref().map(|token| token.name.as_str());
    let asked = Asked { by, org: plan.org };
    let entry = Entry::begin(&around.database, act.entered(), &around.replica, asked).await?;
    let shared = Arc::clone(&call.shared);
    let work = tokio::spawn(async move {
        let ended = act.perform(&shared, entry.id()).await;
        let closed = entry.close(&shared.around.database, &ended).await;
        drop((alone, place));
        closed
    });
    match timeout(PATIENCE, work).await {
        Ok(Ok(closed)) => closed?,
        Ok(Err(error)) => {
            tracing::error!(%error, "internal error, please report it");
            let ended = jobs::ended(None, Some("internal error; the log says more"));
            entry.close(&around.database, &ended).await?;
        }
        Err(_goes_on) => {}
    }
    Ok(lead_to(&format!("/runs/{}", entry.id())))
}

fn busy(detail: &str) -> Problem {
    Problem::new(Code::Overloaded, detail)
}
