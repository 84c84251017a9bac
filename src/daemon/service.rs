//! The life of the daemon: start, turn, reload, drain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};

use super::home::Home;
use super::notify::Notifier;
use super::outage::Outage;
use super::pulse::{PATIENCE, Pulse, all_turn, beating, patiently};
use super::run::Runs;
use super::scheduler::{Next, Scheduler, Setting};
use super::setting::{InForce, setting, work};
use super::signals::Asked;
use super::tick::Tick;
use super::time::DatabaseClock;
use super::upkeep::{self, Rules};
use super::{Error, replica, status};
use crate::billing;
use crate::config::Config;
use crate::jobs::stop::Why;
use crate::store::{Database, StoreError, claim};
use crate::tzdata::TzData;

/// The longest that the loop sleeps: new orgs, pauses and packs of others are seen that soon.
const LOOK: Duration = Duration::from_secs(15);

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration that is in force.
    pub config: Config,
    /// The file that a reload reads; `None` is as at the start, the usual places.
    pub file: Option<PathBuf>,
}

/// How the daemon ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Everything that was under way has ended.
    Drained,
    /// Something was still under way when the time for it was over.
    CutOff,
    /// It was told to end at once.
    Forced,
}

/// Runs until it is told to stop.
///
/// # Errors
/// [`Error`] when it cannot start; afterwards only when one of its own parts broke.
pub async fn run_until_stopped(options: Options) -> Result<Leave, Error> {
    let notifier = Arc::new(Notifier::from_environment()?);
    let asked = Asked::listen().map_err(|error| failed("cannot listen to signals", &error))?;
    let tz = TzData::newest();
    let home = Arc::new(Home::open(&options.config, &tz).await?);
    let daemon = Daemon::start(options, home, tz, notifier, asked).await?;
    daemon.turn().await
}

fn failed(what: &str, error: &dyn std::error::Error) -> Error {
    Error::Failed(format!("{what}: {error}"))
}

/// The daemon at work.
struct Daemon {
    file: Option<PathBuf>,
    config: InForce,
    rules: Rules,
    home: Arc<Home>,
    notifier: Arc<Notifier>,
    asked: Asked,
    /// Rung by the tick, by runs that end and by newer rules.
    ring: Arc<Notify>,
    tick: Tick,
    runs: Runs,
    scheduler: Option<Scheduler<DatabaseClock>>,
    outage: Outage,
    pulse: Pulse,
    beside: Vec<AbortHandle>,
    /// Waited for when it was told to stop, and not yet at their end.
    let_go: Vec<JoinHandle<()>>,
    said: Option<billing::Instant>,
    newer: Arc<std::sync::atomic::AtomicBool>,
}

impl Daemon {
    async fn start(
        options: Options,
        home: Arc<Home>,
        tz: TzData,
        notifier: Arc<Notifier>,
        asked: Asked,
    ) -> Result<Self, Error> {
        let Options { config, file } = options;
        let (config, rules) = (InForce::new(config), Rules::new(tz));
        let database = home.database.clone();
        let ring = Arc::new(Notify::new());
        let setting = current_setting(&config, &rules, &database)?;
        let mut scheduler = Scheduler::new(
            DatabaseClock(home.ledger.clone()),
            home.ledger.clone(),
            replica(),
            setting.clone(),
            Arc::clone(&ring),
        );
        scheduler.adopt(setting).await?;
        let tick = Tick::start(Arc::clone(&ring)).await;
        let tick = tick.map_err(|error| failed("the tick does not start", &error))?;
        let runs = scheduler.runner().runs().clone();
        let mut daemon = Self {
            file,
            config,
            rules,
            home,
            notifier,
            asked,
            ring,
            tick,
            runs,
            scheduler: Some(scheduler),
            outage: Outage::default(),
            pulse: Pulse::new(),
            beside: Vec::new(),
            let_go: Vec::new(),
            said: None,
            newer: Arc::default(),
        };
        daemon.start_beside();
        Ok(daemon)
    }

    /// Starts what runs beside the loop.
    fn start_beside(&mut self) {
        let renewing = Pulse::new();
        let lease = {
            let (database, runs, config) =
                (self.home.ledger.clone(), self.runs.clone(), self.config.clone());
            let pulse = renewing.clone();
            tokio::spawn(async move {
                loop {
                    let lease = config.get().daemon.lease.0;
                    beating(&pulse, lease / 3).await;
                    let (database, runs) = (database.clone(), runs.clone());
                    let mut renewed =
                        tokio::spawn(async move { runs.renew(&database, lease).await });
                    if let Ok(Err(error)) = patiently(&mut renewed, &pulse, || {}).await {
                        tracing::debug!(%error, "leases could not be prolonged");
                    }
                }
            })
        };
        let (ring, newer) = (Arc::clone(&self.ring), Arc::clone(&self.newer));
        let upkeep =
            tokio::spawn(upkeep::keep(self.home.ledger.clone(), self.rules.clone(), move || {
                newer.store(true, std::sync::atomic::Ordering::Release);
                ring.notify_one();
            }));
        self.beside.extend([lease.abort_handle(), upkeep.abort_handle()]);
        if let Some(interval) = self.notifier.watchdog_interval() {
            let (notifier, pulses) = (Arc::clone(&self.notifier), [self.pulse.clone(), renewing]);
            let watchdog = tokio::spawn(async move {
                loop {
                    // The manager counts from READY, so that nothing is owed before.
                    sleep(interval).await;
                    if all_turn(&pulses) {
                        notifier.watchdog();
                    }
                }
            });
            self.beside.push(watchdog.abort_handle());
        }
    }

    /// The loop.
    async fn turn(mut self) -> Result<Leave, Error> {
        let (jobs, replica) = (self.jobs(), replica());
        tracing::info!(jobs, replica, "started");
        self.notifier.ready("looking for what is due");
        while !self.asked.stop() {
            self.pulse.beat();
            if self.asked.take_reload() {
                self.reload().await?;
            }
            if self.newer.swap(false, std::sync::atomic::Ordering::AcqRel) {
                self.adopt(&self.config.clone()).await?;
            }
            let ended = self.runs.ended();
            let stepped = match self.is_reachable().await {
                Ok(()) => self.step().await?,
                Err(error) => Some(Err(error)),
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

    /// During an outage: is it over? Asking the pool would take its time each time.
    async fn is_reachable(&self) -> Result<(), StoreError> {
        if self.outage.is_on() { self.home.ledger.reachable().await } else { Ok(()) }
    }

    /// Sleeps until the deadline, a run's end or a word of the operator. So many had `ended` when
    /// the last step began.
    async fn rest(&self, deadline: Instant, ended: u64) {
        loop {
            self.pulse.beat();
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
        let (scheduler, stepped) = done.map_err(|e| failed("the schedules broke off", &e))?;
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
            done = patiently(&mut task, &self.pulse, || self.outage.slow()) => return Some(done),
            () = self.asked.stopped() => {}
        }
        self.let_go.push(tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "something broke off while stopping");
            }
        }));
        None
    }

    /// What to do after a step that went well, and how long to rest.
    async fn stepped(&mut self, next: Next) -> Duration {
        if self.outage.over() {
            self.said = None;
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
        let error = match self.home.ledger.reachable().await {
            Err(reason) if is_outage => reason,
            _ => error,
        };
        let wait = self.outage.failed(&error);
        self.said = None;
        if is_outage {
            self.notifier.status("the database is away; runs wait until it is back");
            let home = Arc::clone(&self.home);
            let revived = tokio::spawn(async move { home.revive().await });
            match self.unless_stopped(revived).await {
                Some(Ok(Ok(true))) => {
                    tracing::warn!("the private cluster's server was gone; started again");
                    return Duration::ZERO;
                }
                Some(Ok(Ok(false))) | None => {}
                Some(Ok(Err(error))) => {
                    tracing::error!(%error, "the private cluster does not start");
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "the private cluster was not looked at");
                }
            }
        }
        wait
    }

    /// Reads the configuration again: all of it counts, or none.
    async fn reload(&mut self) -> Result<(), Error> {
        self.notifier.reloading();
        let config = Config::load(self.file.as_deref(), Config::environment());
        match config {
            Err(error) => {
                tracing::error!("the configuration stays as it was: {error}");
                self.notifier.ready("the new configuration is bad; the old one stays");
            }
            Ok(config) => {
                let old = self.config.get();
                for section in needing_a_restart(&old, &config) {
                    tracing::warn!(section, "changed; that counts from the next start on");
                }
                let candidate = InForce::new(config);
                if self.adopt(&candidate).await? {
                    self.config.replace(Config::clone(&candidate.get()));
                    tracing::info!("the configuration was read again");
                    self.notifier.ready("the configuration was read again");
                } else {
                    self.notifier.ready("the old configuration stays; see the log");
                }
            }
        }
        self.said = None;
        Ok(())
    }

    /// Puts a configuration's schedules in force. False when that was not possible, and nothing
    /// has changed.
    async fn adopt(&mut self, config: &InForce) -> Result<bool, Error> {
        let setting = match setting(&config.get(), &self.rules.get(), self.work()) {
            Ok(setting) => setting,
            Err(error) => {
                tracing::error!(%error, "the schedules stay as they were");
                return Ok(false);
            }
        };
        let Some(mut scheduler) = self.scheduler.take() else { return Ok(false) };
        let task = tokio::spawn(async move {
            let adopted = scheduler.adopt(setting).await;
            (scheduler, adopted)
        });
        let Some(done) = self.unless_stopped(task).await else { return Ok(false) };
        let (scheduler, adopted) = done.map_err(|e| failed("the schedules broke off", &e))?;
        self.scheduler = Some(scheduler);
        if let Err(error) = &adopted {
            tracing::error!(%error, "the schedules stay as they were");
        }
        Ok(adopted.is_ok())
    }

    fn work(&self) -> super::run::Work {
        work(self.config.clone(), self.rules.clone(), self.home.database.clone())
    }

    fn jobs(&self) -> String {
        let jobs = super::work::Job::ALL.into_iter();
        let config = self.config.get();
        let enabled = jobs.filter(|job| job.schedule(&config).enabled).map(super::work::Job::name);
        enabled.collect::<Vec<_>>().join(" ")
    }

    /// No new work; what is under way ends, within the bound.
    async fn drain(mut self) -> Result<Leave, Error> {
        self.notifier.stopping();
        let bound = self.config.get().daemon.drain_timeout.0;
        let until = Instant::now() + bound;
        let under_way = self.runs.under_way().len();
        tracing::info!(under_way, bound_secs = bound.as_secs_f64(), "stopping");
        self.runs.stop_all(Why::Draining);
        let (runs, let_go) = (self.runs.clone(), std::mem::take(&mut self.let_go));
        let ended = async move {
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
            tracing::warn!(under_way, "cut off; each page is done or not, and others go on");
            return Ok(leave);
        }
        if let Err(error) = self.tick.stop().await {
            tracing::debug!(%error, "the tick did not stop");
        }
        self.scheduler = None;
        if let Some(home) = Arc::into_inner(self.home) {
            match self.asked.bounded(until, tokio::spawn(home.close())).await {
                Ok(closed) => closed.map_err(|e| failed("closing broke off", &e))??,
                Err(leave) => {
                    tracing::warn!("cut off while closing connections; nothing was under way");
                    return Ok(leave);
                }
            }
        }
        tracing::info!("stopped");
        Ok(Leave::Drained)
    }
}

fn current_setting(config: &InForce, rules: &Rules, database: &Database) -> Result<Setting, Error> {
    let work = work(config.clone(), rules.clone(), database.clone());
    setting(&config.get(), &rules.get(), work).map_err(|error| Error::Failed(error.to_string()))
}

async fn falling(
    database: &Database,
    boundary: Option<billing::Instant>,
) -> Result<(billing::Instant, Vec<claim::Falling>), StoreError> {
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
