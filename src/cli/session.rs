//! What commands that need a database share: the configuration, the connection, the private
//! cluster where there is no other, and business time.

use std::cell::Cell;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use uuid::Uuid;

use super::interrupt::Interrupts;
use super::output::Screen;
use super::times::Times;
use super::{Exit, Failure, Global, caller};
use crate::billing::when::{shown, shown_in_utc};
use crate::billing::{Instant, When, Zone};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::jobs::Entry;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::instance::{Server, leave, replica, require_current, this_machine};
use crate::jobs::orgs::departures::Asked;
use crate::jobs::stop::Stop;
use crate::store::runs;
use crate::store::{Address, Bounds, Database, StoreError, orgs, sample};
use crate::telemetry::{self, Verbosity};
use crate::text;
use crate::tz::TzData;

/// What the ledger says of a run that was asked to stop between two batches …
const INTERRUPTED: &str = "interrupted; completed batches are kept";
/// … and of one that was broken off amid a batch.
const BROKEN_OFF: &str = "aborted during a batch, which was rolled back; completed batches are \
                          kept";
/// How long a command that was broken off tries to say so in the ledger.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How a session treats the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Schema {
    /// It must be what this program needs. The private cluster's is brought there first: nobody
    /// else works on it.
    Current,
    /// Whatever is there.
    Any,
    /// The command makes it, and moves whole tables in one statement.
    Made,
}

/// A command at work on a database.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) tz: TzData,
    pub(crate) database: Database,
    pub(crate) screen: Screen,
    /// Does this machine run the daemon as a service, by this configuration?
    pub(crate) has_unit: bool,
    interrupts: Interrupts,
    cluster: Option<Cluster>,
    at: Option<Instant>,
    utc: bool,
    yes: bool,
    /// The run that is entered in the ledger, and has not ended there yet.
    recording: Cell<Option<Entry>>,
}

/// Runs a command on the configured database: connects, and leaves in good order, however the
/// command ends.
///
/// # Errors
/// A [`Failure`] of the command, or of reaching the database.
pub(crate) fn with_session<T>(
    global: &Global,
    schema: Schema,
    command: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = Config::load(global.config.as_deref(), Config::environment())
        .map_err(Failure::configuration)?;
    with_config(config, global, schema, command)
}

/// The same with a configuration at hand.
pub(crate) fn with_config<T>(
    config: Config,
    global: &Global,
    schema: Schema,
    command: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    super::owner::become_owner(&config)?;
    let verbosity = Verbosity { quiet: global.quiet, louder: global.verbose };
    telemetry::init(&config.log, verbosity);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        let interrupts = Interrupts::listen(global.screen())?;
        let session = Box::pin(Session::open(config, global, schema, interrupts)).await?;
        // Changes of the schema name who keeps them waiting themselves.
        let watch = (schema != Schema::Made).then(|| session.database.watch_locks());
        let result = tokio::select! {
            result = command(&session) => result,
            failure = session.interrupts.broken_off() => Err(failure),
        };
        drop(watch);
        let result = result.map_err(|failure| failure.naming(session.database.seen_holders()));
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
        let Server { url, cluster } = Server::open(&config).await?;
        let connections = config.database.max_connections;
        let bounds = match schema {
            Schema::Made => Bounds::of_a_day(),
            Schema::Current | Schema::Any => Bounds::of(config.database.statement_timeout.0),
        };
        let address = Address { url: &url, schema: config.database.schema.as_deref() };
        let database = tokio::select! {
            connected = Database::connect_within(address, connections, bounds) => connected?,
            failure = interrupts.broken_off() => return Err(failure),
        };
        let database = database.watched_by(this_machine());
        let screen = global.screen();
        let tz = TzData::newest();
        let at = match global.at.map(|when| (when, when.instant())) {
            None => None,
            Some((_, Some(at))) => Some(at),
            Some((when, None)) => {
                let now = database.now().await?;
                let at = when.at(&Zone::utc(), now).map_err(Failure::usage)?;
                screen.note(&format!("business time: {}", echoed(&Zone::utc(), at)));
                Some(at)
            }
        };
        let (utc, yes) = (global.utc, global.yes);
        let recording = Cell::new(None);
        caller::of(global, &config, at).is_known();
        let has_unit = caller::has_unit(global, &config);
        let mut session = Self {
            config,
            tz,
            database,
            screen,
            has_unit,
            interrupts,
            cluster,
            at,
            utc,
            yes,
            recording,
        };
        if schema == Schema::Current {
            let is_private = session.cluster.is_some();
            if require_current(&session.database, &session.tz, is_private).await? {
                let place = session.config.daemon.state_dir.display();
                session.screen.note(&format!(
                    "no [database] url is configured: made a private cluster in {place}"
                ));
            }
            session.keep_sandbox_time().await?;
        }
        Ok(session)
    }

    /// A sandbox whose clock was moved goes on from there, unless `--at` says otherwise.
    async fn keep_sandbox_time(&mut self) -> Result<(), Failure> {
        if self.config.database.sandbox && self.at.is_none() {
            self.at = sample::remembered_now(&self.database).await?;
            if let Some(at) = self.at {
                let at = shown_in_utc(at);
                self.screen.note(&format!("business time is {at}, where this sandbox stands"));
            }
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        self.database.close().await;
        match self.cluster {
            Some(cluster) => Ok(leave(cluster).await?),
            None => Ok(()),
        }
    }

    /// The wish to stop, for a job that works in batches: from now on Ctrl-C lets it finish the
    /// batch under way. Such a command ends with [`Session::exit`].
    pub(crate) fn stop_between_batches(&self) -> Stop {
        self.interrupts.between_batches()
    }

    /// Waits until Ctrl-C, or a service manager, ends a command that serves until then.
    pub(crate) async fn served_until_stopped(&self) {
        self.interrupts.first().await;
    }

    /// The exit code of a command that may have been stopped between two batches.
    pub(crate) fn exit(&self, exit: Exit) -> Exit {
        if self.interrupts.asked() { Exit::Interrupted } else { exit }
    }

    /// Asks before something is done to several orgs that no schedule would do by itself. Nobody
    /// is asked with `--yes`, or about a single org.
    ///
    /// # Errors
    /// Exit 5 when the answer is no, or when there is nobody to ask.
    pub(crate) async fn confirm(&self, orgs: usize, deed: &str) -> Result<(), Failure> {
        if self.yes || orgs <= 1 {
            return Ok(());
        }
        let what = format!("{deed} of {orgs} orgs");
        if !std::io::stdin().is_terminal() {
            return Err(Failure::refused(format!(
                "this would {what}; not a terminal, so confirm with --yes"
            )));
        }
        let answer = blocking(move || ask(&format!("This will {what}. Continue? [y/N] "))).await?;
        let answer = answer.map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
        if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            Ok(())
        } else {
            Err(Failure::refused("not confirmed; nothing was changed"))
        }
    }

    /// Asks for a name before it goes for good. Nobody is asked with `--yes`.
    ///
    /// # Errors
    /// Exit 5 when another name is typed, or when there is nobody to ask.
    pub(crate) async fn confirm_name(&self, name: &str, act: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::refused(format!(
                "this would {act} {name} for good; not a terminal, so confirm with --yes"
            )));
        }
        let question = format!("This will {act} {name} for good. Type {name} to continue: ");
        let answer = blocking(move || ask(&question)).await?;
        let answer = answer.map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
        if answer.trim() == name {
            Ok(())
        } else {
            Err(Failure::refused("not confirmed; nothing was changed"))
        }
    }

    /// How an act of [`departures`](crate::jobs::orgs::departures) is asked for.
    pub(crate) async fn asked(&self, dry_run: bool) -> Result<Asked, Failure> {
        let at = if dry_run { self.now().await? } else { self.believed_now().await? };
        Ok(Asked { at, dry_run })
    }

    /// Does a command's work, its answer included, and enters it in the ledger as a run of its own:
    /// it takes no lease and waits for nobody. `org` is the only one that it is about. The work
    /// returns what it counted. A dry run is none,
    /// and is not recorded.
    ///
    /// Whether it can be recorded or not, the work is done and answers. That it could not be is the
    /// command's failure only when there is no other.
    ///
    /// # Errors
    /// The work's own, or the ledger's when it was done and could not be recorded.
    pub(crate) async fn recorded(
        &self,
        job: Job,
        dry_run: bool,
        org: Option<Uuid>,
        work: impl AsyncFnOnce(Option<i64>) -> Result<(Exit, RunCounts), Failure>,
    ) -> Result<Exit, Failure> {
        if dry_run {
            return work(None).await.map(|(exit, _)| exit);
        }
        // What is refused for the clock is not recorded: by that clock it would lie elsewhere.
        self.database.believed_now().await?;
        let begun =
            Entry::begin(&self.database, job, &replica(), runs::Asked { by: None, org }).await;
        self.recording.set(begun.as_ref().ok().copied());
        let result = work(begun.as_ref().ok().map(|entry| entry.id())).await;
        let (counts, error) = match &result {
            Ok((Exit::Interrupted, counts)) => (Some(counts), Some(INTERRUPTED)),
            Ok((_, counts)) => (Some(counts), None),
            Err(failure) => (None, Some(failure.message.as_str())),
        };
        let recorded = match begun {
            Ok(entry) => self.end_record(entry, counts, error).await,
            Err(error) => Err(error),
        };
        match (result, recorded) {
            (Ok((exit, _)), Ok(())) => Ok(exit),
            (Ok(_), Err(error)) => {
                let job = job.name();
                let sentence =
                    format!("the {job} is done, but the run could not be recorded: {error}");
                Err(Failure { message: sentence, ..Failure::from(error) })
            }
            (Err(failure), Ok(())) => Err(failure),
            (Err(failure), Err(error)) => {
                self.screen.note(&format!("the run could not be recorded: {error}"));
                Err(failure)
            }
        }
    }

    async fn end_record(
        &self,
        entry: Entry,
        counts: Option<&RunCounts>,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        entry.end(&self.database, counts, error).await?;
        self.recording.set(None);
        Ok(())
    }

    /// Ends the record of a command that was broken off. Who breaks it off because the database
    /// does not answer waits no longer for that than for anything else.
    async fn end_broken_off(&self) {
        let Some(entry) = self.recording.take() else { return };
        self.database.set_aside();
        let ended = self.end_record(entry, None, Some(BROKEN_OFF));
        let recorded = tokio::time::timeout(LAST_WORD, ended).await;
        let why = match recorded {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database does not answer".to_owned(),
        };
        self.screen.note(&format!("the run stays `running` in the ledger: {why}"));
    }

    /// How applications connect to this database.
    pub(crate) fn url(&self) -> String {
        match (&self.cluster, &self.config.database.url) {
            (Some(cluster), _) => match &self.config.database.schema {
                None => cluster.url(),
                Some(schema) => {
                    let schema = url_word(schema);
                    let url = cluster.url();
                    let sign = if url.contains('?') { '&' } else { '?' };
                    format!("{url}{sign}options=-csearch_path%3D{schema}")
                }
            },
            (None, Some(_)) => {
                "use [database] url, which is not shown because it is a secret".into()
            }
            (None, None) => String::new(),
        }
    }

    /// The orgs of those names (slugs or ids), each once. Who is parked is named in a note: passes
    /// leave it alone.
    ///
    /// # Errors
    /// Exit 2 for a name that nobody has.
    pub(crate) async fn named_orgs(&self, names: &[String]) -> Result<Vec<Uuid>, Failure> {
        let mut ids: Vec<Uuid> = Vec::with_capacity(names.len());
        for name in names {
            let id = orgs::find(&self.database, name).await?;
            if let Some(parked) = orgs::parked_reason(&self.database, id).await? {
                self.screen.note(&format!("{name} is parked and was skipped: {parked}"));
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
    pub(crate) async fn business_time(&self, dry_run: bool) -> Result<Option<Instant>, Failure> {
        let Some(at) = self.at else { return Ok(None) };
        if dry_run || self.config.database.sandbox {
            return Ok(Some(at));
        }
        let now = self.database.now().await?;
        if at > now {
            let (at, now) = (shown_in_utc(at), shown_in_utc(now));
            return Err(Failure::refused(format!(
                "--at {at} is in the future (now is {now}): this is allowed only with --dry-run, \
                 or when [database] sandbox = true is configured"
            )));
        }
        Ok(Some(at))
    }

    /// The same for what cannot be undone: the database's clock has to be believed.
    pub(crate) async fn believed_now(&self) -> Result<Instant, Failure> {
        match self.business_time(false).await? {
            Some(at) => Ok(at),
            None => Ok(self.database.believed_now().await?),
        }
    }

    /// Believes the database's clock as it is, where `--force` says so.
    pub(crate) async fn believe_clock(&self, force: bool) -> Result<(), Failure> {
        if force && self.database.believe_clock().await? {
            let now = shown_in_utc(self.database.now().await?);
            self.screen.note(&format!(
                "the database's clock says {now}; every process on this database trusts it from \
                 now on"
            ));
        }
        Ok(())
    }

    /// How this command writes times.
    ///
    /// # Errors
    /// The database's, when its clock has to be read.
    pub(crate) async fn times(&self) -> Result<Times, Failure> {
        let now = match self.at {
            Some(at) => at,
            None => self.database.now().await?,
        };
        Ok(Times::new(self.tz.clone(), self.utc, now))
    }

    /// The instant that somebody wrote, in an org's zone.
    ///
    /// # Errors
    /// Exit 2 for a time beyond the calendar.
    pub(crate) async fn instant(&self, when: When, org: Uuid) -> Result<Instant, Failure> {
        if let Some(at) = when.instant() {
            return Ok(at);
        }
        let zone = orgs::time_zone(&self.database, org).await?;
        self.instant_in(when, &zone).await
    }

    /// The same in a zone by its name; an unknown one reads as UTC.
    pub(crate) async fn instant_in(&self, when: When, zone: &str) -> Result<Instant, Failure> {
        let now = match self.at {
            Some(at) => at,
            None => self.database.now().await?,
        };
        let zone = self.tz.zone(zone).unwrap_or_else(|_| Zone::utc());
        let at = when.at(&zone, now).map_err(Failure::usage)?;
        if when.instant().is_none() {
            self.screen.note(&format!("time: {}", echoed(&zone, at)));
        }
        Ok(at)
    }

    /// Business time, read from the database's clock where `--at` does not set it.
    pub(crate) async fn now(&self) -> Result<Instant, Failure> {
        match self.business_time(false).await? {
            Some(at) => Ok(at),
            None => Ok(self.database.now().await?),
        }
    }
}

/// The instant that a date or a relative time stands for, on the wall clock and in UTC.
fn echoed(zone: &Zone, at: Instant) -> String {
    format!("{} ({at})", shown(zone, at))
}

fn ask(question: &str) -> std::io::Result<String> {
    // Nothing is held while the answer is waited for: whoever breaks off has something to say.
    {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(text::visible(question).as_bytes())?;
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
    done.map_err(|error| Failure::failed(format!("a task failed: {error}")))
}

/// A schema's name as a word of a URL, in quotes where it needs them.
fn url_word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(is_plain) {
        return name.to_owned();
    }
    let escaped = name.bytes().map(|byte| format!("%{byte:02X}"));
    format!("%22{}%22", escaped.collect::<String>())
}
