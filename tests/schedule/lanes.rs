//! Schedulers on a clock that the test moves, and jobs that note what they did.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use periodd::billing::Instant;
use periodd::clock::Clock;
use periodd::daemon::run::{Assignment, Work};
use periodd::daemon::scheduler::{Next, Scheduled, Scheduler, Setting};
use periodd::daemon::work::Done;
use periodd::schedule::Policy;
use periodd::store::{Database, StoreError};
use tokio::sync::Notify;

use crate::oracle::timetable;
use crate::support::TestDatabase;

/// A hand that every copy of the clock shares. Nobody sleeps by it: the test steps.
#[derive(Clone, Debug)]
pub(crate) struct Hand(Arc<Mutex<Instant>>);

impl Hand {
    pub(crate) fn at(at: &str) -> Self {
        Self(Arc::new(Mutex::new(at.parse().expect("an instant"))))
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
    Done { counts: serde_json::json!({}), stopped: false }
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

pub(crate) fn setting(jobs: Vec<Scheduled>, work: Work) -> Setting {
    Setting { jobs, work, lease: Duration::from_mins(1) }
}

/// A scheduler on connections of its own, as another process has them.
pub(crate) async fn replica(
    test: &TestDatabase,
    hand: &Hand,
    name: &str,
    setting: Setting,
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
