//! The life of the daemon: start, turn, reload, drain.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};

use super::database_health::DatabaseHealth;
use super::heartbeat::{Heartbeat, PATIENCE, all_alive, beating, patiently};
use super::instance::Instance;
use super::maintenance::{self, TzHandle};
use super::notify::Notifier;
use super::run::Runs;
use super::scheduler::{Next, Scheduler};
use super::scheduler_setup::{ConfigHandle, Surroundings, setting};
use super::signals::{ControlRequests, Shutdown};
use super::tick::Tick;
use super::time::DatabaseClock;
use super::{Error, http, status};
use crate::billing;
use crate::config::Config;
use crate::http::Running;
use crate::jobs::catalogue::Job;
use crate::jobs::events::webhooks::{self, NotApplied};
use crate::jobs::finding::{Finding, Severity};
use crate::jobs::instance::{self, replica};
use crate::jobs::stop::Why;
use crate::jobs::tiers;
use crate::store::runs::daemons::{self, Beat, Loaded};
use crate::store::{Database, StoreError, rollover::claim};
use crate::tz::TzData;

/// The longest that the loop sleeps: new orgs, pauses and packs of others are seen that soon.
const LOOK: Duration = Duration::from_secs(15);

/// How often a daemon says that it is alive, at least.
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration that is in force.
    pub config: Config,
    /// The file that a reload reads; `None` is as at the start, the usual places.
    pub file: Option<PathBuf>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// [`Error`] when it cannot start; afterwards only when one of its own parts broke.
pub async fn run_until_stopped(options: Options) -> Result<Shutdown, Error> {
    let notifier = Arc::new(Notifier::from_environment()?);
    let asked =
        ControlRequests::listen().map_err(|error| failed("cannot listen for signals", &error))?;
    let tz = TzData::newest();
    let home = Instance::open(&options.config, &tz, &notifier, &asked).await?;
    let Some(home) = home else { return Ok(Shutdown::Drained) };
    let is_watched = notifier.watchdog_interval().is_some();
    let daemon = Daemon::start(options, Arc::new(home), tz, notifier, asked.clone()).await?;
    let heartbeats = [daemon.heartbeat.clone(), daemon.renewing.clone()];
    tokio::select! {
        left = daemon.turn() => left,
        // Where nobody watches, the process ends by itself, and whoever started it starts another.
        () = stuck(&heartbeats, &asked), if !is_watched => Err(Error::Failed(
            "stuck: no answer from the database, and the wait for it does not end".to_owned(),
        )),
    }
}

/// Ends when a loop does not turn any more. A drain has its own bound.
async fn stuck(heartbeats: &[Heartbeat], asked: &ControlRequests) {
    while all_alive(heartbeats) || asked.stop() {
        sleep(PATIENCE).await;
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Error {
    Error::Failed(format!("{what}: {error}"))
}

/// The daemon at work.
struct Daemon {
    file: Option<PathBuf>,
    config: ConfigHandle,
    tz: TzHandle,
    home: Arc<Instance>,
    notifier: Arc<Notifier>,
    asked: ControlRequests,
    /// Rung by the tick, by runs that end and by newer rules.
    ring: Arc<Notify>,
    tick: Tick,
    runs: Runs,
    scheduler: Option<Scheduler<DatabaseClock>>,
    outage: DatabaseHealth,
    /// The configuration file, as it was read last.
    loaded: Arc<Mutex<Loaded>>,
    heartbeat: Heartbeat,
    /// Of the loop that prolongs leases.
    renewing: Heartbeat,
    beside: Vec<AbortHandle>,
    /// Waited for when it was told to stop, and not yet at their end.
    let_go: Vec<JoinHandle<()>>,
    said: Option<billing::Instant>,
    newer: Arc<std::sync::atomic::AtomicBool>,
    http: Option<Running>,
    /// The schedules are in force.
    is_ready: Arc<std::sync::atomic::AtomicBool>,
}

impl Daemon {
    async fn start(
        options: Options,
        home: Arc<Instance>,
        tz: TzData,
        notifier: Arc<Notifier>,
        asked: ControlRequests,
    ) -> Result<Self, Error> {
        let Options { config, file } = options;
        let (config, tz) = (ConfigHandle::new(config), TzHandle::new(tz));
        let ring = Arc::new(Notify::new());
        let around = around(&config, &tz, &home);
        let setting = setting(&config.get(), &around);
        let setting = setting.map_err(|error| Error::Failed(error.to_string()))?;
        let mut scheduler = Scheduler::new(
            DatabaseClock(home.ledger.clone()),
            home.ledger.clone(),
            replica(),
            setting.clone(),
            Arc::clone(&ring),
        );
        scheduler.adopt(setting).await?;
        let tick = Tick::start(Arc::clone(&ring)).await;
        let tick = tick.map_err(|error| failed("the timer cannot be started", &error))?;
        let runs = scheduler.runner().runs().clone();
        let (heartbeat, renewing) = (Heartbeat::new(), Heartbeat::new());
        let is_ready = Arc::default();
        let heartbeats = [heartbeat.clone(), renewing.clone()];
        let http = http::start(&home, &config, &tz, heartbeats, Arc::clone(&is_ready)).await?;
        let loaded = Arc::new(Mutex::new(instance::loaded(config.get().file())));
        // Before the first run: what that closes is told, too.
        apply_listeners(home.ledger.clone(), config.clone()).await;
        tokio::spawn(warn_of_mismatches(home.ledger.clone(), config.clone()));
        let mut daemon = Self {
            file,
            config,
            tz,
            home,
            notifier,
            asked,
            ring,
            tick,
            runs,
            scheduler: Some(scheduler),
            outage: DatabaseHealth::default(),
            loaded,
            heartbeat,
            renewing,
            beside: Vec::new(),
            let_go: Vec::new(),
            said: None,
            newer: Arc::default(),
            http,
            is_ready,
        };
        daemon.start_beside();
        Ok(daemon)
    }

    /// Starts what runs beside the loop.
    fn start_beside(&mut self) {
        let renewing = self.renewing.clone();
        let lease = {
            let (database, runs, config) =
                (self.home.ledger.clone(), self.runs.clone(), self.config.clone());
            let (heartbeat, loaded) = (renewing.clone(), Arc::clone(&self.loaded));
            let listening = self.http.as_ref().map(Running::listening).unwrap_or_default();
            tokio::spawn(async move {
                let mut is_new = true;
                loop {
                    let lease = config.get().daemon.lease.0;
                    let beat = {
                        let (replica, version) = (replica(), env!("CARGO_PKG_VERSION").to_owned());
                        let (loaded, listening) = (lock(&loaded).clone(), listening.clone());
                        let beat = Beat { replica, version, loaded, listening };
                        let database = database.clone();
                        tokio::spawn(async move { say_alive(&database, &beat, is_new).await })
                    };
                    is_new &= !said_alive(beat, &heartbeat).await;
                    beating(&heartbeat, (lease / 3).min(ALIVE_EVERY)).await;
                    let (database, runs) = (database.clone(), runs.clone());
                    let mut renewed =
                        tokio::spawn(async move { runs.renew(&database, lease).await });
                    if let Ok(Err(error)) = patiently(&mut renewed, &heartbeat, || {}).await {
                        tracing::debug!(%error, "leases could not be extended");
                    }
                }
            })
        };
        let (ring, newer) = (Arc::clone(&self.ring), Arc::clone(&self.newer));
        let upkeep =
            tokio::spawn(maintenance::keep(self.home.ledger.clone(), self.tz.clone(), move || {
                newer.store(true, std::sync::atomic::Ordering::Release);
                ring.notify_one();
            }));
        self.beside.extend([lease.abort_handle(), upkeep.abort_handle()]);
        if let Some(log) = self.home.server_log() {
            self.beside.push(tokio::spawn(maintenance::bound(log)).abort_handle());
        }
        if let Some(interval) = self.notifier.watchdog_interval() {
            let (notifier, heartbeats) =
                (Arc::clone(&self.notifier), [self.heartbeat.clone(), renewing]);
            let watchdog = tokio::spawn(async move {
                loop {
                    // The manager counts from READY, so that nothing is owed before.
                    sleep(interval).await;
                    if all_alive(&heartbeats) {
                        notifier.watchdog();
                    }
                }
            });
            self.beside.push(watchdog.abort_handle());
        }
    }

    /// The loop.
    async fn turn(mut self) -> Result<Shutdown, Error> {
        let (jobs, replica) = (self.jobs(), replica());
        tracing::info!(jobs, replica, "started");
        self.notifier.ready("checking what is due");
        self.is_ready.store(true, std::sync::atomic::Ordering::Release);
        while !self.asked.stop() {
            self.heartbeat.beat();
            if self.asked.take_reload() {
                self.reload().await?;
            }
            if self.newer.swap(false, std::sync::atomic::Ordering::AcqRel) {
                self.adopt(&self.config.clone()).await?;
            }
            let ended = self.runs.ended();
            let stepped = match self.is_reachable().await {
                Some(Ok(())) => self.step().await?,
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            let wait = match stepped {
                Some(Ok(next)) => self.stepped(next).await,
                Some(Err(error)) => self.survive(error).await,
                None => break,
            };
            self.rest(Instant::now() + wait, ended).await;
        }
        self.drain().await
    }

    /// During an outage: is it over? Asking the pool would take its time each time. `None` when the
    /// daemon is to stop meanwhile.
    async fn is_reachable(&mut self) -> Option<Result<(), StoreError>> {
        if self.outage.is_on() { self.knock().await } else { Some(Ok(())) }
    }

    /// Does anybody listen at the database's address?
    async fn knock(&mut self) -> Option<Result<(), StoreError>> {
        let database = self.home.ledger.clone();
        let knocking = tokio::spawn(async move { database.reachable().await });
        let knocked = self.unless_stopped(knocking).await?;
        Some(knocked.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string()))))
    }

    /// Sleeps until the deadline, a run's end or a word of the operator. So many had `ended` when
    /// the last step began.
    async fn rest(&self, deadline: Instant, ended: u64) {
        loop {
            self.heartbeat.beat();
            let beat = (Instant::now() + PATIENCE).min(deadline);
            tokio::select! {
                () = sleep_until(beat) => {}
                () = self.ring.notified() => {}
                () = self.asked.anything() => return,
            }
            let newer = self.newer.load(std::sync::atomic::Ordering::Acquire);
            // A tick is no reason by itself.
            if Instant::now() >= deadline || newer || self.runs.ended() != ended {
                return;
            }
        }
    }

    /// One step of the scheduler, in a task of its own. `None` when it is to stop meanwhile.
    async fn step(&mut self) -> Result<Option<Result<Next, StoreError>>, Error> {
        let Some(mut scheduler) = self.scheduler.take() else { return Ok(None) };
        let task = tokio::spawn(async move {
            let stepped = scheduler.step().await;
            (scheduler, stepped)
        });
        let Some(done) = self.unless_stopped(task).await else { return Ok(None) };
        let (scheduler, stepped) = done.map_err(|e| failed("the scheduler failed", &e))?;
        self.scheduler = Some(scheduler);
        Ok(Some(stepped))
    }

    /// Waits for a task that asks the database. `None` when the daemon is to stop meanwhile: the
    /// task goes on, for what it is at is not to be dropped, and is waited for while draining.
    async fn unless_stopped<T: Send + 'static>(
        &mut self,
        mut task: JoinHandle<T>,
    ) -> Option<Result<T, JoinError>> {
        tokio::select! {
            biased;
            done = patiently(&mut task, &self.heartbeat, || self.outage.slow()) => {
                return Some(done);
            }
            () = self.asked.stopped() => {}
        }
        self.let_go.push(tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task failed while stopping");
            }
        }));
        None
    }

    /// What to do after a step that went well, and how long to rest.
    async fn stepped(&mut self, next: Next) -> Duration {
        if self.outage.over() {
            self.said = None;
        }
        if let Some(doubt) = next.doubt {
            self.notifier.status(&format!("held: {doubt}"));
            self.said = None;
            return next.wait.unwrap_or(LOOK).min(LOOK);
        }
        if next.again {
            return Duration::ZERO;
        }
        if self.said != next.boundary || self.said.is_none() {
            let database = self.home.ledger.clone();
            let boundary = next.boundary;
            let asked = tokio::spawn(async move { falling(&database, boundary).await });
            if let Some(Ok(Ok((now, falling)))) = self.unless_stopped(asked).await {
                self.notifier.status(&status::next(boundary, now, &falling));
                self.said = next.boundary;
            }
        }
        next.wait.unwrap_or(LOOK).min(LOOK)
    }

    /// What to do when the database is away, and how long to wait.
    async fn survive(&mut self, error: StoreError) -> Duration {
        let is_outage = matches!(error, StoreError::Unavailable(_));
        let knocked = if is_outage { self.knock().await } else { None };
        let error = if let Some(Err(reason)) = knocked { reason } else { error };
        let wait = self.outage.failed(&error);
        self.said = None;
        if is_outage {
            self.notifier.status("the database is unavailable; runs wait until it is back");
            self.home.read_url_again();
            let home = Arc::clone(&self.home);
            let revived = tokio::spawn(async move { home.revive().await });
            match self.unless_stopped(revived).await {
                Some(Ok(Ok(true))) => {
                    tracing::warn!("the private cluster's server was not running; restarted");
                    return Duration::ZERO;
                }
                Some(Ok(Ok(false))) | None => {}
                Some(Ok(Err(error))) => {
                    tracing::error!(%error, "the private cluster cannot be started");
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "the private cluster could not be checked");
                }
            }
        }
        wait
    }

    /// Reads the configuration again: all of it counts, or none.
    async fn reload(&mut self) -> Result<(), Error> {
        self.notifier.reloading();
        self.home.read_url_again();
        let config = Config::load(self.file.as_deref(), Config::environment());
        match config {
            Err(error) => {
                tracing::error!("the configuration is unchanged: {error}");
                self.notifier
                    .ready("the new configuration is invalid; the old one stays in effect");
            }
            Ok(config) => {
                let old = self.config.get();
                for section in needing_a_restart(&old, &config) {
                    tracing::warn!(section, "changed; takes effect at the next start");
                }
                let candidate = ConfigHandle::new(config);
                if self.adopt(&candidate).await? {
                    *lock(&self.loaded) = instance::loaded(candidate.get().file());
                    apply_listeners(self.home.ledger.clone(), candidate.clone()).await;
                    tokio::spawn(warn_of_mismatches(self.home.ledger.clone(), candidate.clone()));
                    self.config.replace(Config::clone(&candidate.get()));
                    tracing::info!("the configuration was reloaded");
                    self.notifier.ready("the configuration was reloaded");
                } else {
                    self.notifier.ready("the old configuration stays in effect; see the log");
                }
            }
        }
        self.said = None;
        Ok(())
    }

    /// Puts a configuration's schedules in force. False when that was not possible, and nothing
    /// has changed.
    async fn adopt(&mut self, config: &ConfigHandle) -> Result<bool, Error> {
        let setting = match setting(&config.get(), &around(&self.config, &self.tz, &self.home)) {
            Ok(setting) => setting,
            Err(error) => {
                tracing::error!(%error, "the schedules are unchanged");
                return Ok(false);
            }
        };
        let Some(mut scheduler) = self.scheduler.take() else { return Ok(false) };
        let task = tokio::spawn(async move {
            let adopted = scheduler.adopt(setting).await;
            (scheduler, adopted)
        });
        let Some(done) = self.unless_stopped(task).await else { return Ok(false) };
        let (scheduler, adopted) = done.map_err(|e| failed("the scheduler failed", &e))?;
        self.scheduler = Some(scheduler);
        if let Err(error) = &adopted {
            tracing::error!(%error, "the schedules are unchanged");
        }
        Ok(adopted.is_ok())
    }

    fn jobs(&self) -> String {
        let jobs = Job::ALL.into_iter();
        let config = self.config.get();
        let enabled = jobs.filter(|job| job.schedule(&config).enabled).map(Job::name);
        enabled.collect::<Vec<_>>().join(" ")
    }

    /// No new work; what is under way ends, within the bound.
    async fn drain(mut self) -> Result<Shutdown, Error> {
        self.notifier.stopping();
        let bound = self.config.get().daemon.drain_timeout.0;
        let until = Instant::now() + bound;
        let under_way = self.runs.under_way().len();
        tracing::info!(under_way, bound_secs = bound.as_secs_f64(), "stopping");
        self.runs.stop_all(Why::Draining);
        let (runs, let_go) = (self.runs.clone(), std::mem::take(&mut self.let_go));
        // Its connections to the database are those of `home`, and go with it.
        let served = self.http.take().map(|http| tokio::spawn(http.drain()));
        let ended = async move {
            if let Some(Err(error)) = match served {
                Some(served) => Some(served.await),
                None => None,
            } {
                tracing::error!(%error, "the HTTP server failed while stopping");
            }
            // A step may have begun something: that is given back, and under way until then.
            futures_util::future::join_all(let_go).await;
            runs.idle().await;
        };
        let ended = self.asked.bounded(until, ended).await;
        for task in self.beside.drain(..) {
            task.abort();
        }
        if let Err(leave) = ended {
            let under_way = self.runs.under_way().len();
            tracing::warn!(
                under_way,
                "stopped by force; each batch is either done or rolled back, and other processes \
                 continue"
            );
            return Ok(leave);
        }
        if let Err(error) = self.tick.stop().await {
            tracing::debug!(%error, "the timer did not stop");
        }
        self.scheduler = None;
        let ledger = self.home.ledger.clone();
        let stopped = tokio::spawn(async move {
            daemons::stopped(&mut *ledger.connection().await?, &replica()).await
        });
        if let Ok(Ok(Err(error))) = self.asked.bounded(until, stopped).await {
            tracing::debug!(%error, "the stop could not be recorded");
        }
        if let Some(home) = Arc::into_inner(self.home) {
            match self.asked.bounded(until, tokio::spawn(home.close())).await {
                Ok(closed) => closed.map_err(|e| failed("closing failed", &e))??,
                Err(leave) => {
                    tracing::warn!("stopped by force while closing connections; no run was active");
                    return Ok(leave);
                }
            }
        }
        tracing::info!("stopped");
        Ok(Shutdown::Drained)
    }
}

/// Says in the database that this daemon is alive.
async fn say_alive(database: &Database, beat: &Beat, is_new: bool) -> Result<(), StoreError> {
    daemons::beat(&mut *database.connection().await?, beat, is_new).await
}

/// Waits for that, and tells whether it was said.
async fn said_alive(mut beat: JoinHandle<Result<(), StoreError>>, heartbeat: &Heartbeat) -> bool {
    match patiently(&mut beat, heartbeat, || {}).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the heartbeat could not be recorded");
            false
        }
        Err(error) => {
            tracing::debug!(%error, "the heartbeat could not be recorded");
            false
        }
    }
}

/// Makes the database's listeners of events those of the configuration. The daemon works all the
/// same where that fails; status finds it. In a task of its own, as all that speaks to the
/// database.
async fn apply_listeners(database: Database, config: ConfigHandle) {
    let task = tokio::spawn(async move { webhooks::apply(&database, &config.get()).await });
    match task.await {
        Ok(Ok(applied)) => {
            for NotApplied { endpoint, reason } in applied.left_out {
                tracing::warn!(endpoint, error = reason, "a webhook could not be applied");
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "webhooks and events could not be applied"),
        Err(error) => tracing::error!(%error, "internal error, please report it"),
    }
}

/// Has the log say what the configuration names and the tables do not have. The daemon works all
/// the same: what depends on it waits.
async fn warn_of_mismatches(database: Database, config: ConfigHandle) {
    match tiers::mismatches(&database, &config.get()).await {
        Ok(found) => {
            for Finding { check, what, .. } in
                found.iter().filter(|finding| finding.severity > Severity::Note)
            {
                tracing::warn!(check = check.name(), "{what}");
            }
        }
        Err(error) => tracing::debug!(%error, "the tables could not be compared"),
    }
}

fn lock(loaded: &Mutex<Loaded>) -> MutexGuard<'_, Loaded> {
    // Whole after every step.
    loaded.lock().unwrap_or_else(PoisonError::into_inner)
}

fn around(config: &ConfigHandle, tz: &TzHandle, home: &Instance) -> Surroundings {
    let (config, tz, database) = (config.clone(), tz.clone(), home.database.clone());
    Surroundings { config, tz, database }
}

async fn falling(
    database: &Database,
    boundary: Option<billing::Instant>,
) -> Result<(billing::Instant, Vec<claim::EndingAt>), StoreError> {
    let now = database.now().await?;
    let Some(at) = boundary else { return Ok((now, Vec::new())) };
    let falling = claim::falling(&mut *database.connection().await?, at, status::MANY).await?;
    Ok((now, falling))
}

/// Sections that are read at the start only, and differ.
fn needing_a_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [
        ("database", old.database != new.database),
        (
            "daemon",
            old.daemon.state_dir != new.daemon.state_dir
                || old.daemon.socket_dir != new.daemon.socket_dir,
        ),
        ("http", old.http != new.http),
        ("log", old.log != new.log),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_ends_the_process_and_one_that_turns_does_not() {
        let (heartbeats, asked) =
            ([Heartbeat::new(), Heartbeat::new()], ControlRequests::default());
        let turning = async {
            for _ in 0..100 {
                sleep(PATIENCE).await;
                heartbeats.iter().for_each(Heartbeat::beat);
            }
        };
        tokio::select! {
            () = stuck(&heartbeats, &asked) => panic!("both turn"),
            () = turning => {}
        }
        // Now the second stands still.
        let begun = Instant::now();
        let one = async {
            loop {
                sleep(PATIENCE).await;
                heartbeats[0].beat();
            }
        };
        tokio::select! {
            () = stuck(&heartbeats, &asked) => {}
            () = one => {}
        }
        assert!(begun.elapsed() < Duration::from_mins(1));
    }
}
