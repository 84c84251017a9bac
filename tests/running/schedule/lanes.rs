//! Schedulers on a clock that the test moves, and jobs that note what they did.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use periodd::billing::Instant;
use periodd::billing::clock::{Doubt, Judged, Witness};
use periodd::clock::Clock;
use periodd::daemon::run::{Assignment, Work};
use periodd::daemon::scheduler::{Next, Scheduler, SchedulerSetup, Task};
use periodd::daemon::work::Done;
use periodd::jobs::counts::{RolloverCounts, RunCounts};
use periodd::schedule::{Policy, Scheduled};
use periodd::store::{Database, StoreError};
use tokio::sync::Notify;

use crate::schedule::oracle::timetable;
use crate::support::TestDatabase;

/// A hand that every copy of the clock shares. Nobody sleeps by it: the test steps.
#[derive(Clone, Debug)]
pub(crate) struct Hand(Arc<Mutex<Instant>>, Arc<Mutex<bool>>);

impl Hand {
    pub(crate) fn at(at: &str) -> Self {
        Self(Arc::new(Mutex::new(at.parse().expect("an instant"))), Arc::default())
    }

    /// From now on, or no more: the database's clock is a year ahead of this one, and not believed.
    pub(crate) fn doubt(&self, is_doubted: bool) {
        *self.1.lock().expect("nobody panicked") = is_doubted;
    }

    pub(crate) fn set(&self, at: &str) {
        *self.0.lock().expect("nobody panicked") = at.parse().expect("an instant");
    }

    pub(crate) fn get(&self) -> Instant {
        *self.0.lock().expect("nobody panicked")
    }
}

impl Clock for Hand {
    type Error = StoreError;

    async fn now(&self) -> Result<Instant, StoreError> {
        Ok(self.get())
    }

    async fn judged(&self) -> Result<Judged, StoreError> {
        let expected = self.get();
        if !*self.1.lock().expect("nobody panicked") {
            return Ok(Judged::Believed(expected));
        }
        let database = expected.plus(jiff::SignedDuration::from_hours(24 * 365)).expect("in range");
        let witness = Witness::Elapsed;
        Ok(Judged::Doubted(Doubt { database, machine: expected, expected, witness }))
    }

    async fn sleep(&self, span: Duration) {
        let mut hand = self.0.lock().expect("nobody panicked");
        *hand = hand.plus(span.try_into().expect("a span")).expect("in range");
    }
}

/// What jobs did, in their order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<(String, Instant)>>>);

impl Notes {
    pub(crate) fn take(&self) -> Vec<(String, Instant)> {
        std::mem::take(&mut self.0.lock().expect("nobody panicked"))
    }

    pub(crate) fn add(&self, run: &Assignment) {
        self.0.lock().expect("nobody panicked").push((run.job.clone(), run.occurrence));
    }

    /// A job that is done at once.
    pub(crate) fn work(&self) -> Work {
        let notes = self.clone();
        Arc::new(move |run| {
            notes.add(&run);
            Box::pin(async { Ok(done()) })
        })
    }
}

pub(crate) fn done() -> Done {
    done_with(0)
}

pub(crate) fn done_with(orgs: usize) -> Done {
    let counts = RolloverCounts { orgs, ..RolloverCounts::default() };
    Done { counts: RunCounts::Rollover(counts), stopped: false }
}

/// A job that makes up for missed occurrences.
pub(crate) fn job(name: &str, cron: &str, zone: &str) -> Scheduled {
    Scheduled {
        job: name.to_owned(),
        timetable: Some(timetable(cron, zone)),
        policy: Policy { makes_up: true, jitter: Duration::ZERO },
        timeout: Duration::from_hours(1),
        at_boundaries: false,
    }
}

pub(crate) fn setting(jobs: Vec<Scheduled>, work: Work) -> SchedulerSetup {
    let task = move |scheduled| Task { scheduled, work: Arc::clone(&work) };
    SchedulerSetup { tasks: jobs.into_iter().map(task).collect(), lease: Duration::from_mins(1) }
}

/// A scheduler on connections of its own, as another process has them.
pub(crate) async fn replica(
    test: &TestDatabase,
    hand: &Hand,
    name: &str,
    setting: SchedulerSetup,
) -> Scheduler<Hand> {
    let database = Database::connect_to_stay(&test.url(), 4).await.expect("a connection");
    let mut scheduler = Scheduler::new(
        hand.clone(),
        database,
        name.to_owned(),
        setting.clone(),
        Arc::new(Notify::new()),
    );
    scheduler.adopt(setting).await.expect("adopted");
    scheduler
}

/// Steps until nothing is due, and waits for what was started.
pub(crate) async fn settle(scheduler: &mut Scheduler<Hand>) -> Next {
    loop {
        let next = scheduler.step().await.expect("a step");
        let runner = scheduler.runner();
        if !next.again && runner.runs().under_way().is_empty() {
            return next;
        }
        runner.wait().await;
    }
}

/// The ledger, a line per row.
pub(crate) async fn ledger(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select job, occurrence, last_occurrence, occurrences as n, outcome, reason, attempts
         from periodd_runs order by occurrence, job",
    )
    .await
}
