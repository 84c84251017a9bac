//! The ledger of runs, as the sample company's daemon would have kept it.

use jiff::SignedDuration;

use super::Error;
use crate::billing::Instant;
use crate::clock;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::instance::host;
use crate::store::runs::Origin;
use crate::store::{Database, sample};

/// Runs that are entered at once.
const PAGE: usize = 500;

/// Runs that have ended, and are not entered yet.
pub(super) struct Ledger {
    replica: String,
    runs: Vec<sample::SampleRun>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { replica: format!("{}:demo", host()), runs: Vec::new() }
    }

    /// Notes a run that began at `at` in business time, and took as long as it did here.
    pub(super) fn note(
        &mut self,
        job: Job,
        at: Instant,
        took: SignedDuration,
        counts: &RunCounts,
    ) -> Result<(), Error> {
        let trigger = if job == Job::Rollover { Origin::Boundary } else { Origin::Schedule };
        self.runs.push(sample::SampleRun {
            job: job.name(),
            trigger,
            at,
            finished_at: at.plus(took)?,
            replica: self.replica.clone(),
            counts: counts.json(),
        });
        Ok(())
    }

    /// Enters what is noted; where `all` is not asked for, by the page.
    pub(super) async fn enter(&mut self, database: &Database, all: bool) -> Result<(), Error> {
        if all || self.runs.len() >= PAGE {
            sample::enter_runs(database, &self.runs).await?;
            self.runs.clear();
        }
        Ok(())
    }
}

/// How long something has taken, by the clock that nobody sets.
pub(super) struct Took(SignedDuration);

impl Took {
    pub(super) fn begin() -> Self {
        Self(clock::awake())
    }

    pub(super) fn so_far(&self) -> SignedDuration {
        clock::awake() - self.0
    }
}
