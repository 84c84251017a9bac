//! Syncing an org: its pending usage is counted, and drift repaired.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Act, Plan};
use crate::billing::Quantity;
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::button::Button;
use crate::http::pages::parts::{Cell, Table, sentence};
use crate::http::problem::Problem;
use crate::http::settings::{of_sync, sync_request};
use crate::http::shared::Shared;
use crate::jobs;
use crate::jobs::Entered;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::sync::{self, Request, Scope, SyncReport};
use crate::store::audit::drift::Mended;
use crate::store::orgs;
use crate::store::reports::explain::uncounted_before;
use crate::store::runs::schedules::Ended;

/// Wrong values that are shown.
pub(super) const SHOWN: usize = 40;

/// Which org is synced.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sync {
    org: String,
    /// Even where what was read looks suspicious.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    force: bool,
}

/// A wrong value, as the fingerprint has it: an org that is used meanwhile is as wrong as before.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Wrong<'a>(Uuid, &'a str, &'a str, String);

impl<'a> From<&'a Mended> for Wrong<'a> {
    fn from(line: &'a Mended) -> Self {
        Self(line.subject, &line.feature, &line.place, line.difference.to_string())
    }
}

impl Sync {
    async fn run(
        &self,
        shared: &Shared,
        check: bool,
        run: Option<i64>,
    ) -> Result<SyncReport, Problem> {
        let database = &shared.around.database;
        let org = orgs::find(database, &self.org).await?;
        let request = Request {
            scope: Scope::Orgs(vec![org]),
            connections: 1,
            check,
            force: self.force,
            run,
            ..sync_request(shared).await?
        };
        sync::audit(database, &request, Arc::new(|_| {})).await.map_err(of_sync)
    }
}

impl Act for Sync {
    const PATH: &'static str = "/act/sync";
    const SUMMARY: &'static str = "Counts pending usage of an org, and repairs drift.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "org",
            meaning: "Slug or id of the org.",
            example: "acme",
            kind: Kind::Text,
            is_required: true,
        },
        Parameter::optional("force", "Whether suspicious data is used.", "true", Kind::Flag),
    ];

    fn entered(&self) -> Entered {
        Job::Audit.into()
    }

    fn heading(&self) -> String {
        let anyway = if self.force { ", although it looks wrong" } else { "" };
        format!("Sync {}{anyway}", self.org)
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let now = call.shared.now().await?;
        let mut turn = call.turn().await?;
        let org = call.org_named(&mut turn, &self.org).await?;
        let pending = uncounted_before(&mut turn, org, now).await?;
        drop(turn);
        let pass = call.shared.turns.pass().await?;
        let report = self.run(&call.shared, true, None).await?;
        drop(pass);
        let mut wrong: Vec<Wrong<'_>> = report.drift.iter().map(Wrong::from).collect();
        wrong.sort_unstable();
        let is_refused = report.refusal.is_some() || !report.left_out.is_empty();
        let world = (wrong, is_refused, pending > 0, &report.parked);
        let force = self.force.then_some("--force");
        let words = ["sync", "--org", &self.org].into_iter().chain(force);
        let mut plan = Plan::of(self, &world, &Command::periodd(words));
        plan.org = Some(org);
        let parked = orgs::parked_reason(&call.shared.around.database, org).await?;
        plan.nothing = match (&parked, &report.refusal) {
            (Some(reason), _) => Some(sentence(&format!("the org is parked: {reason}"))),
            (None, Some(refusal)) if !self.force => {
                Some(sentence(&format!("a sync would be refused: {refusal}")))
            }
            _ if pending == 0 && report.drift.is_empty() && report.parked.is_empty() => {
                Some("Nothing is to be counted, and every copy agrees.".to_owned())
            }
            _ => None,
        };
        if is_refused && !self.force {
            let values = [("org", self.org.as_str()), ("force", "true")];
            plan.others.push(Button::to(Self::PATH, &values, "Sync although it looks wrong"));
        }
        plan.typed = self.force.then_some(1);
        if plan.nothing.is_none() {
            plan.says = says(&report, pending);
        }
        if !report.drift.is_empty() {
            plan.tables.push(drift(&report));
            plan.more = report.drift.len().saturating_sub(SHOWN);
        }
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, run: i64) -> Ended {
        match self.run(shared, false, Some(run)).await {
            Ok(report) => jobs::ended(Some(&RunCounts::from(&report)), None),
            Err(problem) => jobs::ended(None, Some(&problem.detail)),
        }
    }
}

fn says(report: &SyncReport, pending: i64) -> Vec<String> {
    let mut says = Vec::new();
    match pending {
        0 => {}
        1 => says.push("Counts 1 metric.".to_owned()),
        1_000.. => says.push("Counts 1,000 metrics or more.".to_owned()),
        pending => says.push(format!("Counts {pending} metrics.")),
    }
    match report.drift_found {
        0 => {}
        1 => says.push("Repairs 1 wrong value.".to_owned()),
        found => says.push(format!("Repairs {found} wrong values.")),
    }
    let parked = report.parked.iter();
    says.extend(parked.map(|one| sentence(&format!("parks {}: {}", one.slug, one.reason))));
    says
}

/// What was found wrong.
pub(super) fn drift(report: &SyncReport) -> Table {
    let mut table =
        Table::new("Wrong values", &["Org", "Feature", "Where", "Holds#", "Should#", "Because"]);
    for line in report.drift.iter().take(SHOWN) {
        let holds = |held: Quantity| Cell::number(held);
        table.row([
            Cell::text(&line.slug).link(format!("/orgs/{}", line.org)),
            Cell::text(&line.feature),
            Cell::text(&line.place),
            line.before.map_or_else(|| Cell::text("nothing"), holds),
            Cell::number(line.after),
            Cell::text(line.reason),
        ]);
    }
    table
}
