//! Looking for drift everywhere, and changing nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Act, Plan};
use crate::command::Command;
use crate::http::call::{Call, Parameter};
use crate::http::pages::parts::grouped;
use crate::http::problem::Problem;
use crate::http::settings::{of_sync, sync_request};
use crate::http::shared::Shared;
use crate::jobs::sync::{self, Request, SyncReport};
use crate::jobs::{ByHand, Entered};
use crate::store::runs::schedules::Ended;

/// Wrong values that the ledger keeps.
const KEPT: usize = 20;
/// What was looked at.
const OF: &str = "all orgs";

/// Everything is looked at.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {}

impl Act for Check {
    const PATH: &'static str = "/act/check";
    const SUMMARY: &'static str = "Looks for drift everywhere, and changes nothing.";
    const PARAMETERS: &'static [Parameter] = &[];

    fn entered(&self) -> Entered {
        ByHand::Check.into()
    }

    fn heading(&self) -> String {
        "Look for drift".to_owned()
    }

    async fn plan(&self, _call: &Call) -> Result<Plan, Problem> {
        let mut plan = Plan::of(self, &(), &Command::periodd(["sync", "--full", "--check"]));
        plan.says = vec![
            "Compares the counters and copies of all orgs with their metrics.".to_owned(),
            "Changes nothing. The page of the run says what was found.".to_owned(),
        ];
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        match look(shared).await {
            Ok(report) => ByHand::ended(OF, found(&report), report.refusal),
            Err(problem) => ByHand::ended(OF, Vec::new(), Some(problem.detail)),
        }
    }
}

async fn look(shared: &Shared) -> Result<SyncReport, Problem> {
    let request = Request { check: true, connections: 1, ..sync_request(shared).await? };
    let database = &shared.around.database;
    sync::audit(database, &request, Arc::new(|_| {})).await.map_err(of_sync)
}

/// What was found, in words.
fn found(report: &SyncReport) -> Vec<String> {
    let audited = report.audited.unwrap_or_default();
    let number = |number: u64| grouped(&number.to_string());
    let mut found = vec![
        format!("looked at {} orgs and {} metrics", number(audited.orgs), number(audited.metrics)),
        match report.drift_found {
            0 => "no drift".to_owned(),
            1 => "1 wrong value".to_owned(),
            wrong => format!("{} wrong values", number(wrong)),
        },
    ];
    found.extend(report.drift.iter().take(KEPT).map(|line| {
        let before = line.before.map_or_else(|| "nothing".to_owned(), |held| held.to_string());
        let (slug, place, after) = (&line.slug, &line.place, line.after);
        format!("{slug}: {place} holds {before} {}, and should hold {after}", line.feature)
    }));
    found
}
