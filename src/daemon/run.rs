//! One run, from its beginning in the ledger to its end there.
//!
//! The work has a task of its own: a panic ends that task and nothing else. A run that takes too
//! long is asked to end; where it does not, it is given up: its connections are closed, so that
//! nothing of it is committed any more, and its lease is not prolonged. What became of it is
//! written in any case, unless somebody else has taken the run over.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep};

use super::repeats::{Repeats, Say};
use super::work::Done;
use crate::billing;
use crate::jobs::counts::RunCounts;
use crate::jobs::stop::{Stop, Why};
use crate::store::runs::schedules::{self, Ended, Held, ScheduleKey, Trigger};
use crate::store::{Database, Leash, StoreError};

/// Runs that tell the ledger of their end at once: thousands that end together must not keep the
/// schedules from their connection.
const TELLERS: usize = 2;
/// How often a run may be begun before an outage of the database counts as its failure.
const MOST_ATTEMPTS: i32 = 5;
/// Between two attempts to tell the ledger how a run ended.
const RETRY: Duration = Duration::from_secs(1);
/// The longest that a run may take to end once it is over its timeout (as long again as the
/// timeout, where that is shorter) before it is given up.
const GRACE: Duration = Duration::from_mins(1);
/// How long a run that was given up may take to notice: whatever it waits for at the database fails
/// at once.
const NOTICE: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub job: String,
    pub trigger: Trigger,
    pub occurrence: billing::Instant,
    /// Milliseconds from when it was due to when it began.
    pub lateness_ms: i64,
    /// When it is asked to end.
    pub timeout: Duration,
    /// Its place in the ledger.
    pub held: Held,
    pub stop: Stop,
    /// Its connections, which are closed when it does not.
    pub leash: Leash,
}

impl Assignment {
    fn lane(&self) -> ScheduleKey<'_> {
        ScheduleKey { job: &self.job, trigger: self.trigger }
    }
}

/// Does the work of an assignment.
pub type Work = Arc<
    dyn Fn(Assignment) -> Pin<Box<dyn Future<Output = Result<Done, StoreError>> + Send>>
        + Send
        + Sync,
>;

/// How a run ended.
#[derive(Debug)]
struct End {
    /// What it did.
    counts: Option<RunCounts>,
    /// Why it failed; `None`: it is done.
    error: Option<String>,
}

impl End {
    fn failed(error: String) -> Self {
        Self { counts: None, error: Some(error) }
    }

    /// As the ledger has it.
    fn recorded(&self) -> Ended {
        Ended { counts: self.counts.as_ref().map(RunCounts::json), error: self.error.clone() }
    }
}

/// The runs that this process has under way.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    held: Arc<Mutex<Holding>>,
    ended: Arc<watch::Sender<u64>>,
    failures: Arc<Mutex<HashMap<String, Repeats>>>,
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
    pub fn holds(&self, lane: ScheduleKey<'_>) -> bool {
        self.lock().runs.values().any(|run| run.lane() == lane)
    }

    /// What is under way.
    pub fn under_way(&self) -> Vec<Assignment> {
        self.lock().runs.values().cloned().collect()
    }

    /// How many have ended so far.
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

    /// Notes how a run of this job ended, and says how much the log is to say of a failure.
    fn note(&self, job: &str, ended: Option<&End>) -> Say {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.map(|ended| &ended.error) {
            None => Say::InFull,
            Some(None) => {
                failures.remove(job);
                Say::InFull
            }
            Some(Some(error)) => failures.entry(job.to_owned()).or_default().failed(error),
        }
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
            // Who was given up holds nothing any more, and anybody else may take over.
            if run.leash.is_given_up() {
                continue;
            }
            match renew(database, &run, lease).await {
                Ok(true) => {}
                Ok(false) if !self.lock().runs.contains_key(&run.held.run) => {}
                Ok(false) => {
                    let (job, number) = (&run.job, run.held.run);
                    tracing::warn!(job, run = number, "another process has taken over this run");
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
    pub fn new(database: Database, ended: Arc<Notify>) -> Self {
        let tellers = Arc::new(Semaphore::new(TELLERS));
        Self { database, runs: Runs::default(), ended, tellers }
    }

    /// What is under way.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Starts a run that has been begun in the ledger.
    pub fn start(&self, assignment: Assignment, work: &Work) {
        let may_begin = self.runs.admit(&assignment);
        let place = RunGuard {
            run: assignment.held.run,
            runs: self.runs.clone(),
            ended: Arc::clone(&self.ended),
        };
        let work = may_begin.then(|| work(assignment.clone()));
        let runs = self.runs.clone();
        let (database, tellers) = (self.database.clone(), Arc::clone(&self.tellers));
        tokio::spawn(async move {
            let told = match work {
                Some(work) => supervise(&runs, &assignment, work).await,
                None => None,
            };
            let recorded = told.map(|end| end.recorded());
            record_end(&database, &tellers, &assignment, recorded.as_ref()).await;
            drop(place);
        });
    }

    /// Ends when every run has.
    pub async fn wait(&self) {
        self.runs.idle().await;
    }
}

/// A run's place among those under way, given up when its task ends, in whatever way.
struct RunGuard {
    run: i64,
    runs: Runs,
    ended: Arc<Notify>,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.runs.remove(self.run);
        self.ended.notify_one();
    }
}

/// Waits for the work to end, and says what the ledger is to be told.
async fn supervise(
    runs: &Runs,
    run: &Assignment,
    work: impl Future<Output = Result<Done, StoreError>> + Send + 'static,
) -> Option<End> {
    let began = Instant::now();
    let mut task = tokio::spawn(work);
    let result = tokio::select! {
        result = &mut task => result,
        () = sleep(run.timeout) => {
            run.stop.ask(Why::TimedOut);
            tracing::warn!(job = run.job, run = run.held.run, "timed out; asked to stop");
            tokio::select! {
                result = &mut task => result,
                () = sleep(run.timeout.min(GRACE)) => {
                    give_up(run);
                    tokio::select! {
                        result = &mut task => result,
                        () = sleep(NOTICE) => {
                            // Whatever it is at is not the database's. Nothing of it is
                            // committed any more, so it may be dropped.
                            task.abort();
                            task.await
                        }
                    }
                }
            }
        }
    };
    let ended = match ended(run, result) {
        // What it failed of then is only how it was made to end.
        Some(ended) if ended.counts.is_some() => Some(ended),
        _ if run.leash.is_given_up() => Some(End::failed(given_up(run))),
        ended => ended,
    };
    let say = runs.note(&run.job, ended.as_ref());
    log_end(run, ended.as_ref(), began.elapsed(), say);
    ended
}

/// Says how a run ended, its numbers as fields of their own. `None` for one that was stopped on the
/// way and given back. A job that fails again and again is said once, and then counted: `say` is
/// how much of a failure is to be said.
fn log_end(run: &Assignment, end: Option<&End>, took: Duration, say: Say) {
    let numbers = end.and_then(|end| end.counts.as_ref());
    let counts = numbers.map(RunCounts::json);
    let error = end.and_then(|end| end.error.as_deref());
    let (job, trigger, id) = (run.job.as_str(), run.trigger.name(), run.held.run);
    let (occurrence, lateness_ms) = (run.occurrence, run.lateness_ms);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    // The level is part of an event's place in the code, so each has its own.
    macro_rules! say {
        ($level:ident, $outcome:literal, $sentence:literal) => {
            tracing::$level!(
                job,
                trigger,
                run = id,
                %occurrence,
                outcome = $outcome,
                lateness_ms,
                duration_ms,
                orgs = numbers.and_then(RunCounts::orgs),
                periods_closed = numbers.and_then(RunCounts::periods_closed),
                parked = numbers.and_then(RunCounts::parked),
                counts,
                error,
                $sentence
            )
        };
    }
    match (end, error) {
        (None, _) => say!(info, "stopped", "stopped early; the next process continues"),
        (Some(_), None) => say!(info, "done", "done"),
        (Some(_), Some(_)) => match say {
            Say::InFull => say!(error, "failed", "failed"),
            Say::Again { times, since_secs } => {
                tracing::error!(job, trigger, run = id, times, since_secs, error, "still failing");
            }
            Say::Nothing => say!(debug, "failed", "failed"),
        },
    }
}

/// Closes the connections of a run that was asked to end and does not.
fn give_up(run: &Assignment) {
    let (job, number) = (&run.job, run.held.run);
    tracing::error!(job, run = number, "did not stop when asked; its connections are closed");
    run.leash.give_up();
}

fn given_up(run: &Assignment) -> String {
    let secs = run.timeout.as_secs_f64();
    format!(
        "timed out after {secs} s and did not stop; its connections were closed and its current \
         batch was rolled back"
    )
}

/// What the ledger is to be told; `None`: that the run is given back, to be taken over.
fn ended(run: &Assignment, result: Result<Result<Done, StoreError>, JoinError>) -> Option<End> {
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
                format!("stopped after its timeout of {secs} s; completed batches are kept")
            });
            let error = error.or_else(|| counts.failure().map(str::to_owned));
            Some(End { counts: Some(counts), error })
        }
        // The database went away, and the work with it: once it is back, the run is begun again.
        // So it is once its clock is believed again.
        Ok(Err(StoreError::Unavailable(_) | StoreError::Clock(_)))
            if run.held.attempts < MOST_ATTEMPTS =>
        {
            None
        }
        Ok(Err(error)) => Some(End::failed(error.to_string())),
        Err(error) => Some(End::failed(panic_message(error))),
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "its task was dropped".to_owned() };
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("internal error (panic), please report it: {}", text.unwrap_or_default())
}

/// Tells the ledger, as often as it takes: the lease is renewed meanwhile, so that nobody does the
/// work again only because the database was away when it ended.
async fn record_end(
    database: &Database,
    tellers: &Semaphore,
    run: &Assignment,
    ended: Option<&Ended>,
) {
    loop {
        let told = {
            // Never closed, so there is always a turn to come.
            let _turn = tellers.acquire().await;
            try_record_end(database, run, ended).await
        };
        match told {
            Ok(true) => return,
            Ok(false) => {
                let (job, number) = (&run.job, run.held.run);
                tracing::warn!(
                    job,
                    run = number,
                    "taken over by another process, which finishes it"
                );
                return;
            }
            Err(StoreError::Unavailable(_)) => sleep(RETRY).await,
            Err(error) if error.is_contention() => sleep(RETRY).await,
            Err(error) => {
                tracing::error!(job = run.job, run = run.held.run, %error, "not recorded");
                return;
            }
        }
    }
}

async fn try_record_end(
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
