//! One run, from its beginning in the ledger to its end there.
//!
//! The work has a task of its own and is never cut off: a panic ends that task and nothing else, a
//! run that takes too long is asked to end, and what became of it is written in any case, unless
//! somebody else has taken the run over.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinError;
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
/// The longest that a run may take to end once it is over its timeout (as long again as the
/// timeout, where that is shorter) before somebody is told that it does not.
const GRACE: Duration = Duration::from_mins(1);

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
    held: Arc<Mutex<Holding>>,
    ended: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Holding {
    runs: HashMap<i64, Assignment>,
    /// Set once everything is to end: what comes later does not begin.
    over: Option<Why>,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, Holding> {
        // Nobody panics while holding it; and the map is whole after every step anyway.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does this process run that job already, for that reason?
    #[must_use]
    pub fn holds(&self, lane: Lane<'_>) -> bool {
        self.lock().runs.values().any(|run| run.lane() == lane)
    }

    /// What is under way.
    #[must_use]
    pub fn under_way(&self) -> Vec<Assignment> {
        self.lock().runs.values().cloned().collect()
    }

    /// How many have ended so far.
    #[must_use]
    pub fn ended(&self) -> u64 {
        *self.ended.borrow()
    }

    /// Ends when nothing is under way.
    pub async fn idle(&self) {
        let mut ended = self.ended.subscribe();
        while !self.lock().runs.is_empty() {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes a run in; false when it must not begin any more.
    fn admit(&self, run: &Assignment) -> bool {
        let mut held = self.lock();
        held.runs.insert(run.held.run, run.clone());
        held.over.inspect(|why| run.stop.ask(*why)).is_none()
    }

    fn remove(&self, run: i64) {
        self.lock().runs.remove(&run);
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Asks every run to end; what is started from now on is given back at once.
    pub fn stop_all(&self, why: Why) {
        let mut held = self.lock();
        held.over = Some(why);
        held.runs.values().for_each(|run| run.stop.ask(why));
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
                Ok(false) if !self.lock().runs.contains_key(&run.held.run) => {}
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

/// Starts runs, and waits for them. Each is a task that nobody ends, whatever becomes of who
/// started it.
#[derive(Debug)]
pub struct Runner {
    database: Database,
    runs: Runs,
    ended: Arc<Notify>,
    tellers: Arc<Semaphore>,
}

impl Runner {
    /// `ended` is told whenever a run has ended.
    #[must_use]
    pub fn new(database: Database, ended: Arc<Notify>) -> Self {
        let tellers = Arc::new(Semaphore::new(TELLERS));
        Self { database, runs: Runs::default(), ended, tellers }
    }

    /// What is under way.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Starts a run that has been begun in the ledger.
    pub fn start(&self, assignment: Assignment, work: &Work) {
        let may_begin = self.runs.admit(&assignment);
        let place = Place {
            run: assignment.held.run,
            runs: self.runs.clone(),
            ended: Arc::clone(&self.ended),
        };
        let work = may_begin.then(|| work(assignment.clone()));
        let (database, tellers) = (self.database.clone(), Arc::clone(&self.tellers));
        tokio::spawn(async move {
            let told = match work {
                Some(work) => see_through(&database, &assignment, work).await,
                None => None,
            };
            tell(&database, &tellers, &assignment, told.as_ref()).await;
            drop(place);
        });
    }

    /// Ends when every run has.
    pub async fn wait(&self) {
        self.runs.idle().await;
    }
}

/// A run's place among those under way, given up when its task ends, in whatever way.
struct Place {
    run: i64,
    runs: Runs,
    ended: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runs.remove(self.run);
        self.ended.notify_one();
    }
}

/// Waits for the work to end, and says what the ledger is to be told.
async fn see_through(
    database: &Database,
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
            tokio::select! {
                result = &mut task => result,
                () = sleep(run.timeout.min(GRACE)) => {
                    // Cutting it off could leave a statement half said; that it hangs is said.
                    say_that_it_hangs(database, run).await;
                    task.await
                }
            }
        }
    };
    let ended = ended(run, result);
    event::ended(run, ended.as_ref(), began.elapsed());
    ended
}

/// In the log and in the ledger: a run that was asked to end and does not.
async fn say_that_it_hangs(database: &Database, run: &Assignment) {
    let (job, number, secs) = (&run.job, run.held.run, run.timeout.as_secs_f64());
    tracing::error!(job, run = number, "asked to end, and does not; the job waits for it");
    let sentence = format!("over its timeout of {secs} s, asked to end, and still going");
    let noted = async {
        let mut connection = database.connection().await?;
        schedules::remark(&mut connection, run.held, &sentence).await
    };
    if let Err(error) = noted.await {
        tracing::debug!(job, run = number, %error, "the ledger could not be told of that");
    }
}

/// What the ledger is to be told; `None`: that the run is given back, to be taken over.
fn ended(run: &Assignment, result: Result<Result<Done, StoreError>, JoinError>) -> Option<Ended> {
    let why = run.stop.why();
    match result {
        // Whoever has taken it over tells its end; of a process that ends, the next one.
        Ok(Ok(Done { stopped: true, .. }))
            if matches!(why, Some(Why::Draining | Why::TakenOver)) =>
        {
            None
        }
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
