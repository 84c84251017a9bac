//! Pausing a schedule with a reason, and letting it go on.

use serde::{Deserialize, Serialize};

use super::{Act, Plan};
use crate::billing::Zone;
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::said;
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::http::shared::Shared;
use crate::jobs::catalogue::Job;
use crate::jobs::{ByHand, Done, Entered};
use crate::jobs::{pause_job, resume_job};
use crate::store::runs::schedules::{self, Ended, Row};

const JOB: &[Parameter] = &[Parameter {
    name: "job",
    meaning: "The job.",
    example: "rollover",
    kind: Kind::Text,
    is_required: true,
}];

/// Which job is paused, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    job: String,
    /// Typed on the page.
    #[serde(default, skip_serializing)]
    reason: String,
}

/// Which job goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    job: String,
}

fn job(name: &str) -> Result<Job, Problem> {
    name.parse().map_err(|_| {
        let known = Job::ALL.map(Job::name).join(", ");
        Problem::new(Code::Invalid, format!("unknown job; known jobs: {known}"))
    })
}

/// How the schedule of a job stands: its row that is paused, if any is.
async fn paused(call: &Call, job: Job) -> Result<(Option<Row>, Clock), Problem> {
    let now = call.shared.now().await?;
    let mut turn = call.turn().await?;
    let rows = schedules::all(&mut turn).await?.into_iter();
    let row = rows.filter(|row| row.job == job.name()).find(|row| row.paused_at.is_some());
    Ok((row, times::clock(call, Zone::utc(), now)))
}

/// Since when a row is paused, and why.
fn since(row: &Row, clock: &Clock) -> Option<String> {
    let (at, reason) = (clock.relative(row.paused_at?), row.pause_reason.as_deref()?);
    Some(format!("It was paused {at}, because of this: {}", said(reason)))
}

impl Act for Pause {
    const PATH: &'static str = "/act/pause";
    const SUMMARY: &'static str = "Pauses a job until it is resumed.";
    const PARAMETERS: &'static [Parameter] = JOB;

    fn entered(&self) -> Entered {
        ByHand::Pause.into()
    }

    fn heading(&self) -> String {
        format!("Pause {}", self.job)
    }

    fn missing(&self) -> Option<&'static str> {
        let is_missing = self.reason.trim().is_empty();
        is_missing.then_some("Nothing was done: type a reason, for others to read.")
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let job = job(&self.job)?;
        let (row, clock) = paused(call, job).await?;
        let world = row.as_ref().map(|row| (row.paused_at, &row.pause_reason));
        let words = ["schedule", "pause", job.name(), "--reason", &self.reason];
        let mut plan = Plan::of(self, &world, &Command::periodd(words));
        let ends = if job == Job::Rollover { ", also at the ends of periods" } else { "" };
        plan.says.push(format!(
            "The job {job} does not start{ends} until it is resumed. Occurrences meanwhile are \
             recorded as skipped."
        ));
        if let Some(since) = row.as_ref().and_then(|row| since(row, &clock)) {
            plan.says.push(since);
            plan.says.push("Only the reason is changed.".to_owned());
        }
        plan.reason = Some(self.reason.clone());
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        let done = match job(&self.job) {
            Ok(job) => pause_job(&shared.around.database, job, &self.reason)
                .await
                .map_err(|error| error.to_string()),
            Err(problem) => Err(problem.detail),
        };
        match done {
            Ok(()) => {
                let did = vec![format!("paused {}: {}", self.job, self.reason)];
                Done { of: self.job.clone(), did, why: Some(self.reason.clone()) }.ended(None)
            }
            Err(error) => ByHand::ended(&self.job, Vec::new(), Some(error)),
        }
    }
}

impl Act for Resume {
    const PATH: &'static str = "/act/resume";
    const SUMMARY: &'static str = "Lets a paused job go on.";
    const PARAMETERS: &'static [Parameter] = JOB;

    fn entered(&self) -> Entered {
        ByHand::Resume.into()
    }

    fn heading(&self) -> String {
        format!("Resume {}", self.job)
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let job = job(&self.job)?;
        let (row, clock) = paused(call, job).await?;
        let world = row.as_ref().map(|row| (row.paused_at, &row.pause_reason));
        let command = Command::periodd(["schedule", "resume", job.name()]);
        let mut plan = Plan::of(self, &world, &command);
        match row.as_ref().and_then(|row| since(row, &clock)) {
            Some(since) => {
                plan.says = vec![since, format!("The job {job} starts at its times again.")];
            }
            None => plan.nothing = Some(format!("The job {job} is not paused.")),
        }
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        let done = match job(&self.job) {
            Ok(job) => {
                resume_job(&shared.around.database, job).await.map_err(|error| error.to_string())
            }
            Err(problem) => Err(problem.detail),
        };
        let of = self.job.as_str();
        match done {
            Ok(true) => ByHand::ended(of, vec![format!("resumed {of}")], None),
            Ok(false) => ByHand::ended(of, vec![format!("{of} was resumed by another")], None),
            Err(error) => ByHand::ended(of, Vec::new(), Some(error)),
        }
    }
}
