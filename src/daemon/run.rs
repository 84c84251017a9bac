//! One run, from its beginning in the ledger to its end there.
//!
//! The work has a task of its own and is never cut off: a panic ends that task and nothing else, a
//! run that takes too long is asked to end, and what became of it is written in any case, unless
//! somebody else has taken the run over.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::event;
use super::work::Done;
use crate::billing;
use crate::jobs::stop::{Stop, Why};
use crate::store::schedules::{self, Ended, Held, Lane, Trigger};
use crate::store::{Database, StoreError};

/// Runs that tell the ledger of their end at once: thousands that end together must not keep the
/// schedules from their connection.
const TELLERS: usize = 2;
/// How often a run may be begun before an outage of the database counts as its failure.
const MOST_ATTEMPTS: i32 = 5;
/// Between two attempts to tell the ledger how a run ended.
const RETRY: Duration = Duration::from_secs(1);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The job.
    pub job: String,
    /// What started it.
    pub trigger: Trigger,
    /// The occurrence.
    pub occurrence: billing::Instant,
    /// Milliseconds from when it was due to when it began.
    pub lateness_ms: i64,
    /// When it is asked to end.
    pub timeout: Duration,
    /// Its place in the ledger.
    pub held: Held,
    /// Asks it to end.
    pub stop: Stop,
}

impl Assignment {
    fn lane(&self) -> Lane<'_> {
        Lane { job: &self.job, trigger: self.trigger }
    }
}

/// Does the work of an assignment.
pub type Work = Arc<
    dyn Fn(Assignment) -> Pin<Box<dyn Future<Output = Result<Done, StoreError>> + Send>>
        + Send
        + Sync,
>;

/// The runs that this process has under way.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    held: Arc<Mutex<HashMap<i64, Assignment>>>,
    ended: Arc<AtomicU64>,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Assignment>> {
        // Nobody panics while holding it; and the map is whole after every step anyway.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does this process run that job already, for that reason?
    #[must_use]
    pub fn holds(&self, lane: Lane<'_>) -> bool {
        self.lock().values().any(|run| run.lane() == lane)
    }

    /// What is under way.
    #[must_use]
    pub fn under_way(&self) -> Vec<Assignment> {
        self.lock().values().cloned().collect()
    }

    /// How many have ended so far.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    fn remove(&self, run: i64) {
        self.lock().remove(&run);
        self.ended.fetch_add(1, Ordering::AcqRel);
    }

    /// Asks every run to end.
    pub fn stop_all(&self, why: Why) {
        self.lock().values().for_each(|run| run.stop.ask(why));
    }

    /// Prolongs every lease, and asks runs that somebody took over to end.
    ///
    /// # Errors
    /// The first of them; the others have been tried all the same.
    pub async fn renew(&self, database: &Database, lease: Duration) -> Result<(), StoreError> {
        let mut result = Ok(());
        for run in self.under_way() {
            match renew(database, &run, lease).await {
                Ok(true) => {}
                Ok(false) if !self.lock().contains_key(&run.held.run) => {}
                Ok(false) => {
                    let (job, number) = (&run.job, run.held.run);
                    tracing::warn!(job, run = number, "another process has taken this run over");
                    run.stop.ask(Why::TakenOver);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

async fn renew(database: &Database, run: &Assignment, lease: Duration) -> Result<bool, StoreError> {
    let mut connection = database.connection().await?;
    schedules::renew(&mut connection, run.lane(), run.held.token, lease.as_secs_f64()).await
}

/// Starts runs, and waits for them.
#[derive(Debug)]
pub struct Runner {
    database: Database,
    runs: Runs,
    tasks: JoinSet<()>,
    ended: Arc<Notify>,
    tellers: Arc<Semaphore>,
}

impl Runner {
    /// `ended` is told whenever a run has ended.
    #[must_use]
    pub fn new(database: Database, ended: Arc<Notify>) -> Self {
        let tellers = Arc::new(Semaphore::new(TELLERS));
        Self { database, runs: Runs::default(), tasks: JoinSet::new(), ended, tellers }
    }

    /// What is under way.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Starts a run that has been begun in the ledger.
    pub fn start(&mut self, assignment: Assignment, work: &Work) {
        while self.tasks.try_join_next().is_some() {}
        self.runs.lock().insert(assignment.held.run, assignment.clone());
        let (database, runs) = (self.database.clone(), self.runs.clone());
        let (ended, tellers) = (Arc::clone(&self.ended), Arc::clone(&self.tellers));
        let work = work(assignment.clone());
        self.tasks.spawn(async move {
            let told = see_through(&assignment, work).await;
            tell(&database, &tellers, &assignment, told.as_ref()).await;
            runs.remove(assignment.held.run);
            ended.notify_one();
        });
    }

    /// Ends when every run has.
    pub async fn wait(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Waits for the work to end, and says what the ledger is to be told.
async fn see_through(
    run: &Assignment,
    work: impl Future<Output = Result<Done, StoreError>> + Send + 'static,
) -> Option<Ended> {
    let began = Instant::now();
    let mut task = tokio::spawn(work);
    let result = tokio::select! {
        result = &mut task => result,
        () = sleep(run.timeout) => {
            run.stop.ask(Why::TimedOut);
            tracing::warn!(job = run.job, run = run.held.run, "over its timeout; asked to end");
            task.await
        }
    };
    let ended = ended(run, result);
    event::ended(run, ended.as_ref(), began.elapsed());
    ended
}

/// What the ledger is to be told; `None`: that the run is given back, to be taken over.
fn ended(run: &Assignment, result: Result<Result<Done, StoreError>, JoinError>) -> Option<Ended> {
    let why = run.stop.why();
    match result {
        Ok(Ok(Done { stopped: true, .. })) if why == Some(Why::Draining) => None,
        Ok(Ok(Done { counts, stopped })) => {
            let error = stopped.then(|| {
                let secs = run.timeout.as_secs_f64();
                format!("given up after its timeout of {secs} s; what was done stays done")
            });
            Some(Ended { counts: Some(counts.to_string()), error })
        }
        // The database went away, and the work with it: once it is back, the run is begun again.
        Ok(Err(StoreError::Unavailable(_))) if run.held.attempts < MOST_ATTEMPTS => None,
        Ok(Err(error)) => Some(Ended { counts: None, error: Some(error.to_string()) }),
        Err(error) => Some(Ended { counts: None, error: Some(panic_message(error)) }),
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "its task was dropped".to_owned() };
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked, which is a defect of periodd: {}", text.unwrap_or_default())
}

/// Tells the ledger, as often as it takes: the lease is renewed meanwhile, so that nobody does the
/// work again only because the database was away when it ended.
async fn tell(database: &Database, tellers: &Semaphore, run: &Assignment, ended: Option<&Ended>) {
    loop {
        let told = {
            // Never closed, so there is always a turn to come.
            let _turn = tellers.acquire().await;
            try_to_tell(database, run, ended).await
        };
        match told {
            Ok(true) => return,
            Ok(false) => {
                let (job, number) = (&run.job, run.held.run);
                tracing::warn!(job, run = number, "taken over by another process, which ends it");
                return;
            }
            Err(StoreError::Unavailable(_) | StoreError::Conflict(_)) => sleep(RETRY).await,
            Err(error) => {
                tracing::error!(job = run.job, run = run.held.run, %error, "not recorded");
                return;
            }
        }
    }
}

async fn try_to_tell(
    database: &Database,
    run: &Assignment,
    ended: Option<&Ended>,
) -> Result<bool, StoreError> {
    let mut connection = database.connection().await?;
    match ended {
        Some(ended) => schedules::finish(&mut connection, run.lane(), run.held, ended).await,
        None => schedules::give_back(&mut connection, run.lane(), run.held).await.map(|()| true),
    }
}
