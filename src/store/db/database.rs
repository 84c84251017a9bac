//! The connection to the database.

use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use tokio::sync::watch;

use super::clock::{Keeper, Machine};
use super::error::StoreError;
use super::hosts::Hosts;
use super::lease::{ACQUIRE_TIMEOUT, Lease, Leash, Pool, Refusal};
use super::lock_holders::SeenHolders;
use super::{tables, wire};
use crate::billing::Instant;
use crate::billing::clock::{Doubt, Judged, Witness};

/// What holds on every connection. A role that row-level security hides rows from is told so,
/// instead of finding nothing. And no statement is compiled: none of ours runs long enough to be
/// worth the second that it takes, but a page that must not scan a table is priced as if it did.
/// Of a pooler's connections this holds for whom it is handed on to: the same role, the same owner.
///
/// The rest is what a server has anyway, unless somebody has set it otherwise for the role or the
/// database: names and values are read as text in places, what is waited for and tried again is
/// only right where each statement sees what was committed before it. No statement waits for a lock
/// for longer than people wait for an answer; what must give way sooner says so in its transaction.
/// A database that was made read-only stays so; and `search_path`, `role`
/// and where things are stored are the operator's to say.
const SESSION_SETTINGS: &str = "set row_security = off; set jit = off; \
     set quote_all_identifiers = off; set standard_conforming_strings = on; \
     set bytea_output = hex; set intervalstyle = postgres; set extra_float_digits = 1; \
     set array_nulls = on; set transform_null_equals = off; \
     set default_transaction_isolation = 'read committed'; set lock_timeout = '10s'; \
     set plan_cache_mode = auto; \
     select set_config('transaction_timeout', '0', false) \
     where current_setting('server_version_num')::int >= 170000";
/// What lets go of locks when this process is gone: the server notices a machine that vanished, and
/// looks now and then whether anybody still waits for a long statement.
const FAREWELLS: &str = "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; \
     set tcp_keepalives_count = 3; set tcp_user_timeout = 60000; \
     set client_connection_check_interval = 10000";
/// The longest that a transaction of ours does nothing; the server ends it then.
const MOST_IDLE_IN_TRANSACTION: Duration = Duration::from_mins(2);
/// What the server has beyond a statement's time to say that it has ended it.
const ANSWER_IN: Duration = Duration::from_secs(5);

/// How long things may take on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// One statement. The server ends it then; where it does not, the connection is closed 5
    /// seconds later, and whoever waits is told that the database is unavailable.
    pub statement: Duration,
    /// The longest that a connection in use may be silent, where that is shorter.
    pub silence: Option<Duration>,
    /// For so long after a look at it, a connection is lent without another one, which is a round
    /// trip: for borrowers that never drop a call on its way. Zero: each time is looked at.
    pub fresh: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { statement: Duration::from_mins(10), silence: None, fresh: Duration::ZERO }
    }
}

impl Bounds {
    /// So long for a statement.
    pub fn of(statement: Duration) -> Self {
        // No time at all would be no bound to the server.
        Self { statement: statement.max(Duration::from_secs(1)), ..Self::default() }
    }

    /// For what moves whole tables in one statement: migrations and imports.
    pub fn of_a_day() -> Self {
        Self::of(Duration::from_hours(24))
    }

    fn silence(self) -> Duration {
        let longest = self.statement + ANSWER_IN;
        self.silence.map_or(longest, |silence| silence.min(longest))
    }

    /// What is said on every new connection; then what a server may not know.
    fn manners(self) -> [String; 2] {
        let statement = self.statement.as_millis();
        let idle = MOST_IDLE_IN_TRANSACTION.min(self.silence()).as_millis();
        let bounds = format!(
            "{SESSION_SETTINGS}; set statement_timeout = {statement}; \
             set idle_in_transaction_session_timeout = {idle}"
        );
        [bounds, FAREWELLS.to_owned()]
    }
}

/// Where a database is: its URL, and the schema to work in where that is not the first one of the
/// search path. (No `Debug`: a URL may have a password.)
#[derive(Clone, Copy)]
pub struct Address<'a> {
    pub url: &'a str,
    pub schema: Option<&'a str>,
}

impl<'a> From<&'a str> for Address<'a> {
    fn from(url: &'a str) -> Self {
        Self { url, schema: None }
    }
}

impl<'a> From<&'a String> for Address<'a> {
    fn from(url: &'a String) -> Self {
        Self { url, schema: None }
    }
}

/// Between two looks at what other machines say of the clock.
const LISTEN: Duration = Duration::from_secs(1);
/// How often it is asked who holds what is waited for.
const ASK_WAITING: Duration = Duration::from_secs(2);

/// Asks who holds what sessions of this program wait for, until it is dropped.
#[derive(Debug)]
pub struct LockWatch {
    /// Closed with the watch.
    _until: watch::Sender<()>,
}

/// A database that periodd can work with.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Arc<Pool>,
    leash: Option<Leash>,
    /// Who compares its clock with that of a machine; without it the clock is believed.
    clock: Option<Keeper>,
    /// Who was seen to hold what sessions of this program waited for.
    holders: SeenHolders,
}

impl Database {
    /// Connects to a PostgreSQL URL with up to `connections` connections.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a URL that cannot be used, [`StoreError::Unavailable`]
    /// when nobody answers there.
    pub async fn connect<'a>(
        address: impl Into<Address<'a>>,
        connections: u32,
    ) -> Result<Self, StoreError> {
        Self::connect_within(address, connections, Bounds::default()).await
    }

    /// The same with bounds of one's own.
    pub async fn connect_within<'a>(
        address: impl Into<Address<'a>>,
        connections: u32,
        bounds: Bounds,
    ) -> Result<Self, StoreError> {
        Self::open(address.into(), connections, bounds, false).await
    }

    /// The same for a process that stays: a connection that the server has closed meanwhile, or
    /// that began while the server was read-only, is noticed when it is taken, and replaced; and
    /// none is lent inside a transaction that somebody left open.
    pub async fn connect_to_stay<'a>(
        address: impl Into<Address<'a>>,
        connections: u32,
    ) -> Result<Self, StoreError> {
        Self::connect_to_stay_within(address, connections, Bounds::default()).await
    }

    /// The same with bounds of one's own.
    pub async fn connect_to_stay_within<'a>(
        address: impl Into<Address<'a>>,
        connections: u32,
        bounds: Bounds,
    ) -> Result<Self, StoreError> {
        Self::open(address.into(), connections, bounds, true).await
    }

    async fn open(
        address: Address<'_>,
        connections: u32,
        bounds: Bounds,
        stays: bool,
    ) -> Result<Self, StoreError> {
        let hosts = Hosts::of_url(address.url)?;
        let pool = Pool::new(hosts, connections, stays, bounds.silence(), bounds.manners());
        let pool = pool.in_schema(address.schema).fresh_for(bounds.fresh);
        let holders = SeenHolders::default();
        let database = Self { pool: Arc::new(pool), leash: None, clock: None, holders };
        drop(database.connection().await?);
        Ok(database)
    }

    /// The same database for one run: its connections are closed when the leash is given up.
    pub fn on_leash(&self, leash: &Leash) -> Self {
        Self { leash: Some(leash.clone()), ..self.clone() }
    }

    /// Opens new connections by this URL: with another password, say. Those that are open stay.
    /// False when it names another database or user; then nothing has changed.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a URL that cannot be used; then nothing has changed.
    pub fn point_to(&self, url: &str) -> Result<bool, StoreError> {
        let new = Hosts::of_url(url)?;
        let is_same = new.is_same_place(&self.pool.hosts());
        if is_same {
            self.pool.set_hosts(new);
        }
        Ok(is_same)
    }

    /// Where the URL is read again when the server refuses the login: a password that was changed
    /// there and here is taken up by the next connection.
    pub fn read_again(&self, url: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let old = self.pool.hosts();
        self.pool.read_again(Box::new(move || {
            Hosts::of_url(&url()?).ok().filter(|new| new.is_same_place(&old))
        }));
    }

    /// Makes the schema that the address names, if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] when this role may not make schemas here.
    pub async fn make_schema(&self) -> Result<(), StoreError> {
        let Some(schema) = self.pool.schema() else { return Ok(()) };
        let mut connection = self.connection().await?;
        if tables::schema_exists(&mut connection, schema).await? {
            return Ok(());
        }
        let create = format!("create schema if not exists {}", tables::quoted(schema));
        let made = tables::execute(&mut connection, &create).await;
        made.map(drop).map_err(|error| {
            let is_denied =
                error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42501");
            if is_denied {
                StoreError::Configuration(format!(
                    "[database] schema: this role may not create the schema {schema} ({error}); \
                     create it as the database's owner"
                ))
            } else {
                error.into()
            }
        })
    }

    /// Does the address name a schema that is not there yet?
    ///
    /// # Errors
    /// As every read.
    pub async fn lacks_schema(&self) -> Result<bool, StoreError> {
        let Some(schema) = self.pool.schema() else { return Ok(false) };
        let mut connection = self.connection().await?;
        Ok(!tables::schema_exists(&mut connection, schema).await?)
    }

    /// A connection of one's own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none can be had; [`StoreError::Configuration`] when the
    /// schema that the address names cannot be worked in.
    pub async fn connection(&self) -> Result<Lease, StoreError> {
        let taken = Lease::take(&self.pool, self.leash.as_ref()).await;
        taken.map_err(|refusal| match refusal {
            Refusal::Server(error) => self.pool.hosts().unreachable(&error),
            Refusal::Busy => {
                StoreError::Unavailable("no connection was available in time".to_owned())
            }
            Refusal::Closed => StoreError::Unavailable("its connections are closed".to_owned()),
            Refusal::GivenUp => StoreError::Unavailable("this run was given up".to_owned()),
            Refusal::Schema(schema) => StoreError::Configuration(format!(
                "[database] schema: the pooler in front of the database does not pass on the \
                 search path; set it for the role: alter role {} in database {} set search_path = \
                 {}",
                tables::quoted(self.pool.hosts().user()),
                tables::quoted(self.pool.hosts().database()),
                tables::quoted(&schema)
            )),
            Refusal::ReadOnly => StoreError::Unavailable(self.pool.hosts().read_only()),
        })
    }

    /// The same with its clock watched by the machine that this process runs on: what it says is
    /// believed only where it moves as time passes.
    pub fn watched_by(self, machine: Machine) -> Self {
        Self { clock: Some(Keeper::new(machine)), ..self }
    }

    /// The same, of another pool on the same database: both believe its clock or do not.
    pub fn with_clock_of(self, other: &Self) -> Self {
        Self { clock: other.clock.clone(), ..self }
    }

    /// What the database's clock says, and whether that is believed. What is believed is
    /// remembered, in the database too: later readings are compared with it.
    pub async fn judged(&self) -> Result<Judged, StoreError> {
        let Some(clock) = &self.clock else { return Ok(Judged::Believed(self.now().await?)) };
        let mut connection = self.connection().await?;
        clock.judged(&mut connection, true).await
    }

    /// The same, and nothing is written.
    pub async fn look_at_clock(&self) -> Result<Judged, StoreError> {
        let Some(clock) = &self.clock else { return Ok(Judged::Believed(self.now().await?)) };
        let mut connection = self.connection().await?;
        let judged = clock.judged(&mut connection, false).await?;
        // Nobody has spoken against it yet, and by looking nothing is done.
        Ok(match judged {
            Judged::Doubted(Doubt { witness: Witness::Unheard, database, .. }) => {
                Judged::Believed(database)
            }
            judged => judged,
        })
    }

    /// The database's clock, for what cannot be undone: closing, expiring, sending, deleting.
    ///
    /// Where it remains to be heard whether another machine runs and says otherwise, it waits.
    ///
    /// # Errors
    /// [`StoreError::Clock`] where the clock is not believed; else as every write.
    pub async fn believed_now(&self) -> Result<Instant, StoreError> {
        loop {
            match self.judged().await? {
                Judged::Believed(now) => return Ok(now),
                Judged::Doubted(Doubt { witness: Witness::Unheard, .. }) => {
                    tokio::time::sleep(LISTEN).await;
                }
                Judged::Doubted(doubt) => return Err(StoreError::Clock(doubt)),
            }
        }
    }

    /// Believes the database's clock as it is, because a person says that it is right; every
    /// process on this database does so from then on. False when nobody doubted it.
    pub async fn believe_clock(&self) -> Result<bool, StoreError> {
        let Some(clock) = &self.clock else { return Ok(false) };
        let mut connection = self.connection().await?;
        clock.believe(&mut connection).await
    }

    /// The database's clock: the only clock that business time is read from. What cannot be undone
    /// asks for [`Database::believed_now`].
    pub async fn now(&self) -> Result<Instant, StoreError> {
        let mut connection = self.connection().await?;
        Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *connection).await?)
    }

    /// Has somebody ask, now and then and until the watch is dropped, who holds what sessions of
    /// this program wait for: what waits in vain can name them then.
    pub fn watch_locks(&self) -> LockWatch {
        let (until, mut is_over) = watch::channel(());
        let database = self.clone();
        tokio::spawn(async move {
            // What is asked is not broken off; between two questions there is time to end.
            while tokio::time::timeout(ASK_WAITING, is_over.changed()).await.is_err() {
                if let Ok(mut connection) = database.connection().await
                    && let Err(error) = database.holders.look(&mut connection).await
                {
                    tracing::debug!(%error, "who holds the locks is not known");
                }
            }
        });
        LockWatch { _until: until }
    }

    /// Who was seen last to hold what was waited for, and what ends it; nothing where nobody was.
    pub fn seen_holders(&self) -> Option<String> {
        self.holders.sentence()
    }

    /// Does anybody listen there?
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], with the reason.
    pub async fn reachable(&self) -> Result<(), StoreError> {
        let hosts = self.pool.hosts();
        let knocked = wire::knock(hosts.all(), ACQUIRE_TIMEOUT).await;
        knocked.map_err(|error| hosts.unreachable(&error.into()))
    }

    /// Gives up what was given back last, when what used it was broken off: nobody knows what it is
    /// in the middle of.
    pub fn set_aside(&self) {
        self.pool.discard_idle();
    }

    /// Closes every connection, waiting for those that are in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
