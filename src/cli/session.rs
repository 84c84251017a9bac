//! What commands that need a database share: the configuration, the connection, the private
//! cluster where there is no other, and business time.

use std::cell::Cell;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use uuid::Uuid;

use super::interrupt::Interrupts;
use super::output::Screen;
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::config::Config;
use crate::daemon::work::Job;
use crate::daemon::{cluster_settings, replica};
use crate::jobs;
use crate::jobs::stop::Stop;
use crate::store::cluster::Cluster;
use crate::store::schedules::Ended;
use crate::store::{Database, StoreError, migrate, orgs, runs};
use crate::telemetry::{self, Verbosity};
use crate::tzdata::TzData;

/// What the ledger says of a run that was asked to stop between two batches …
const INTERRUPTED: &str = "interrupted; what was done stays done";
/// … and of one that was broken off amid a batch.
const BROKEN_OFF: &str = "broken off amid a batch, of which nothing remains; what was done before \
                          stays done";
/// How long a command that was broken off tries to say so in the ledger.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How a session treats the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schema {
    /// It must be what this program needs. The private cluster's is brought there first: nobody
    /// else works on it.
    Current,
    /// Whatever is there.
    Any,
}

/// A command at work on a database.
pub(super) struct Session {
    pub(super) config: Config,
    pub(super) tz: TzData,
    pub(super) database: Database,
    pub(super) screen: Screen,
    interrupts: Interrupts,
    cluster: Option<Cluster>,
    at: Option<Instant>,
    yes: bool,
    /// The run that is entered in the ledger, and has not ended there yet.
    recording: Cell<Option<i64>>,
}

/// Runs a command on the configured database: connects, and leaves in good order, however the
/// command ends.
///
/// # Errors
/// A [`Failure`] of the command, or of reaching the database.
pub(super) fn with_session<T>(
    global: &Global,
    schema: Schema,
    command: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = Config::load(global.config.as_deref(), Config::environment())
        .map_err(Failure::configuration)?;
    with_config(config, global, schema, command)
}

/// The same with a configuration at hand.
///
/// # Errors
/// As [`with_session`].
pub(super) fn with_config<T>(
    config: Config,
    global: &Global,
    schema: Schema,
    command: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let verbosity = Verbosity { quiet: global.quiet, louder: global.verbose };
    telemetry::init(&config.log, verbosity);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        let interrupts = Interrupts::listen(global.screen())?;
        let session = Session::open(config, global, schema, interrupts).await?;
        let result = tokio::select! {
            result = command(&session) => result,
            failure = session.interrupts.broken_off() => Err(failure),
        };
        session.end_broken_off().await;
        let left = session.close().await;
        let result = result?;
        left.map(|()| result)
    });
    // Somebody may still be asked a question that nobody will answer.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

impl Session {
    async fn open(
        config: Config,
        global: &Global,
        schema: Schema,
        interrupts: Interrupts,
    ) -> Result<Self, Failure> {
        let configured = config.database_url().map_err(Failure::configuration)?;
        let (cluster, url) = if let Some(url) = &configured {
            (None, url.reveal().to_owned())
        } else {
            let settings = cluster_settings(&config);
            let cluster = blocking(move || Cluster::open(&settings)).await?;
            let cluster = cluster.map_err(Failure::unavailable)?;
            let url = cluster.url();
            (Some(cluster), url)
        };
        let connections = config.database.max_connections;
        let database = tokio::select! {
            connected = Database::connect(&url, connections) => connected?,
            failure = interrupts.broken_off() => return Err(failure),
        };
        let screen = global.screen();
        let tz = TzData::newest();
        let (at, yes) = (global.at, global.yes);
        let recording = Cell::new(None);
        let session =
            Self { config, tz, database, screen, interrupts, cluster, at, yes, recording };
        if schema == Schema::Current {
            session.see_to_schema().await?;
        }
        Ok(session)
    }

    async fn see_to_schema(&self) -> Result<(), Failure> {
        match migrate::require_current(&self.database).await {
            Err(StoreError::Outdated(_)) if self.cluster.is_some() => {
                let now = self.database.now().await?;
                jobs::zones::migrate(&self.database, &self.tz, now).await?;
                Ok(())
            }
            other => Ok(other?),
        }
    }

    async fn close(self) -> Result<(), Failure> {
        self.database.close().await;
        if let Some(cluster) = self.cluster {
            blocking(move || cluster.close()).await?.map_err(Failure::unavailable)?;
        }
        Ok(())
    }

    /// The wish to stop, for a job that works in batches: from now on Ctrl-C lets it finish the
    /// batch under way. Such a command ends with [`Session::exit`].
    pub(super) fn stop_between_batches(&self) -> Stop {
        self.interrupts.between_batches()
    }

    /// The exit code of a command that may have been stopped between two batches.
    pub(super) fn exit(&self, exit: Exit) -> Exit {
        if self.interrupts.asked() { Exit::Interrupted } else { exit }
    }

    /// Asks before something is done to several orgs that no schedule would do by itself. Nobody
    /// is asked with `--yes`, or about a single org.
    ///
    /// # Errors
    /// Exit 5 when the answer is no, or when there is nobody to ask.
    pub(super) async fn confirm(&self, orgs: usize, deed: &str) -> Result<(), Failure> {
        if self.yes || orgs <= 1 {
            return Ok(());
        }
        let what = format!("{deed} of {orgs} orgs");
        if !std::io::stdin().is_terminal() {
            return Err(Failure::refused(format!(
                "this would {what}, and there is nobody to ask; add --yes to mean it"
            )));
        }
        let answer = blocking(move || ask(&format!("This will {what}. Go on? [y/N] "))).await?;
        let answer = answer.map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
        if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            Ok(())
        } else {
            Err(Failure::refused("not confirmed; nothing was changed"))
        }
    }

    /// Does a command's work, its answer included, and enters it in the ledger as a run of its own:
    /// it takes no lease and waits for nobody. The work returns what it counted. A dry run is none,
    /// and is not recorded.
    ///
    /// Whether it can be recorded or not, the work is done and answers. That it could not be is the
    /// command's failure only when there is no other.
    ///
    /// # Errors
    /// The work's own, or the ledger's when it was done and could not be recorded.
    pub(super) async fn recorded(
        &self,
        job: Job,
        dry_run: bool,
        work: impl AsyncFnOnce(Option<i64>) -> Result<(Exit, serde_json::Value), Failure>,
    ) -> Result<Exit, Failure> {
        if dry_run {
            return work(None).await.map(|(exit, _)| exit);
        }
        let begun = self.begin_record(job).await;
        let result = work(begun.as_ref().ok().copied()).await;
        let ended = match &result {
            Ok((Exit::Interrupted, counts)) => {
                Ended { counts: Some(counts.to_string()), error: Some(INTERRUPTED.to_owned()) }
            }
            Ok((_, counts)) => Ended { counts: Some(counts.to_string()), error: None },
            Err(failure) => Ended { counts: None, error: Some(failure.message.clone()) },
        };
        let recorded = match begun {
            Ok(run) => self.end_record(run, &ended).await,
            Err(error) => Err(error),
        };
        match (result, recorded) {
            (Ok((exit, _)), Ok(())) => Ok(exit),
            (Ok(_), Err(error)) => {
                let job = job.name();
                let sentence =
                    format!("the {job} is done, but its run could not be recorded: {error}");
                Err(Failure { message: sentence, ..Failure::from(error) })
            }
            (Err(failure), Ok(())) => Err(failure),
            (Err(failure), Err(error)) => {
                self.screen.note(&format!("the run could not be recorded: {error}"));
                Err(failure)
            }
        }
    }

    async fn begin_record(&self, job: Job) -> Result<i64, StoreError> {
        let mut connection = self.database.connection().await?;
        let run = runs::begin_command(&mut connection, job.name(), &replica()).await?;
        self.recording.set(Some(run));
        Ok(run)
    }

    async fn end_record(&self, run: i64, ended: &Ended) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        runs::finish_command(&mut connection, run, ended).await?;
        self.recording.set(None);
        Ok(())
    }

    /// Ends the record of a command that was broken off. Who breaks it off because the database
    /// does not answer waits no longer for that than for anything else.
    async fn end_broken_off(&self) {
        let Some(run) = self.recording.take() else { return };
        self.database.set_aside();
        let ended = Ended { counts: None, error: Some(BROKEN_OFF.to_owned()) };
        let recorded = tokio::time::timeout(LAST_WORD, self.end_record(run, &ended)).await;
        let why = match recorded {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database does not answer".to_owned(),
        };
        self.screen.note(&format!("the run stays `running` in the ledger: {why}"));
    }

    /// How applications connect to this database.
    pub(super) fn url(&self) -> String {
        match (&self.cluster, &self.config.database.url) {
            (Some(cluster), _) => cluster.url(),
            (None, Some(_)) => "as [database] url says, which is not shown: it is a secret".into(),
            (None, None) => String::new(),
        }
    }

    /// The orgs of those names (slugs or ids), each once. Who is parked is named in a note: passes
    /// leave it alone.
    ///
    /// # Errors
    /// Exit 2 for a name that nobody has.
    pub(super) async fn named_orgs(&self, names: &[String]) -> Result<Vec<Uuid>, Failure> {
        let mut ids: Vec<Uuid> = Vec::with_capacity(names.len());
        for name in names {
            let id = orgs::find(&self.database, name).await?;
            if let Some(parked) = orgs::parked_reason(&self.database, id).await? {
                self.screen.note(&format!("{name} is parked and left alone: {parked}"));
            }
            ids.push(id);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Business time as `--at` sets it; `None` is the database's clock.
    ///
    /// # Errors
    /// Exit 5 for a time in the future, unless nothing comes of it or the database is a sandbox.
    pub(super) async fn business_time(&self, dry_run: bool) -> Result<Option<Instant>, Failure> {
        let Some(at) = self.at else { return Ok(None) };
        if dry_run || self.config.database.sandbox {
            return Ok(Some(at));
        }
        let now = self.database.now().await?;
        if at > now {
            return Err(Failure::refused(format!(
                "--at {at} lies in the future (it is {now}): that is possible with --dry-run, or \
                 on a database whose configuration says `sandbox = true` under [database]"
            )));
        }
        Ok(Some(at))
    }

    /// Business time, read from the database's clock where `--at` does not set it.
    ///
    /// # Errors
    /// As [`Session::business_time`].
    pub(super) async fn now(&self) -> Result<Instant, Failure> {
        match self.business_time(false).await? {
            Some(at) => Ok(at),
            None => Ok(self.database.now().await?),
        }
    }
}

fn ask(question: &str) -> std::io::Result<String> {
    // Nothing is held while the answer is waited for: whoever breaks off has something to say.
    {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
    }
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::failed(format!("a task broke off: {error}")))
}
