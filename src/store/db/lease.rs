//! Connections on loan: a pool of our own.
//!
//! What is given back lies ready at once, so that a command works over one connection unless it
//! needs several. Every connection is looked at before it is lent, travels over a wire that is
//! watched, and is closed rather than lent again when anything about it is in doubt.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::hosts::Hosts;
use super::wire::{self, Cutter, Wire};

/// How long a caller waits for a connection before the database counts as unavailable.
pub(in crate::store) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one of several hosts may take before the next one is asked, too.
const NEXT_HOST: Duration = Duration::from_secs(1);
/// How long a connection that lay idle may take to say that it is well.
const LOOK: Duration = Duration::from_secs(5);
/// A connection is closed when it has lain idle for so long …
const MOST_IDLE: Duration = Duration::from_mins(10);
/// … or is this old.
const MOST_AGE: Duration = Duration::from_mins(30);
/// Between two attempts at a server that is full or just starting, first and last.
const RETRY: Duration = Duration::from_millis(10);
const LONGEST_RETRY: Duration = Duration::from_millis(500);

/// What a process that stays asks of a connection before it is lent. A `begin()` that is dropped on
/// its way (by a time-out, `select!` or an abort) leaves a transaction open that the driver knows
/// nothing of: it ends here. A bare rollback would warn whenever there is nothing to roll back. And
/// a session that began while the server was read-only stays so, whatever the server has become.
const WELL: &str = "begin; rollback; show transaction_read_only";

/// Why no connection can be had.
#[derive(Debug)]
pub(in crate::store) enum Refusal {
    /// All are in use, for longer than anybody waits.
    Busy,
    /// The pool is closed.
    Closed,
    /// The run that asks was given up.
    GivenUp,
    /// The connection does not work in this schema, and does not let itself be told to.
    Schema(String),
    /// The server is read-only: a standby, or in the middle of a failover.
    ReadOnly,
    /// The server cannot be reached, or refuses.
    Server(sqlx::Error),
}

impl Refusal {
    /// Does the server refuse whoever says that name and password?
    fn is_of_login(&self) -> bool {
        matches!(self.code().as_deref(), Some("28P01" | "28000"))
    }

    /// Does the server refuse for the moment only?
    fn passes(&self) -> bool {
        // Too many connections; the system is starting up.
        matches!(self.code().as_deref(), Some("53300" | "57P03"))
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        let Self::Server(error) = self else { return None };
        error.as_database_error().and_then(DatabaseError::code)
    }
}

/// Reads again how to connect; `None` where that is not known, or names another database.
type ReadAgain = Box<dyn Fn() -> Option<Hosts> + Send + Sync>;

/// The connections of a database.
pub(in crate::store) struct Pool {
    hosts: RwLock<Hosts>,
    most: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Open>>,
    is_closed: AtomicBool,
    /// Of a process that stays: a connection is tried before it is lent.
    stays: bool,
    /// How long a connection in use may be silent.
    bound: Duration,
    /// For so long after a look, a connection is lent without another.
    fresh: Duration,
    /// What is said on every new connection; then what a server may not know.
    manners: [String; 2],
    /// The schema to work in, where that is not the first one of the search path.
    schema: Option<String>,
    /// Asked when the server refuses the login: the password may be another by now.
    again: OnceLock<ReadAgain>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the options' Debug: it prints the password.
        f.debug_struct("Pool").field("most", &self.most).finish_non_exhaustive()
    }
}

/// A connection and what it travels over.
struct Open {
    connection: PgConnection,
    wire: Wire,
    opened: Instant,
    looked_at: Instant,
    since: Instant,
}

impl Open {
    fn is_spent(&self) -> bool {
        self.wire.is_over()
            || self.opened.elapsed() >= MOST_AGE
            || self.since.elapsed() >= MOST_IDLE
    }

    async fn close(self) {
        // It is about to be gone, whether or not the server hears the farewell.
        let _ = timeout(LOOK, self.connection.close()).await;
        self.wire.ended().await;
    }
}

impl Pool {
    pub(in crate::store) fn new(
        hosts: Hosts,
        most: u32,
        stays: bool,
        bound: Duration,
        manners: [String; 2],
    ) -> Self {
        let most = most.max(1);
        Self {
            hosts: RwLock::new(hosts),
            most,
            permits: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX >> 3))),
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
            stays,
            bound,
            fresh: Duration::ZERO,
            manners,
            schema: None,
            again: OnceLock::new(),
        }
    }

    /// The same, working in this schema alone.
    pub(in crate::store) fn in_schema(self, schema: Option<&str>) -> Self {
        Self { schema: schema.map(str::to_owned), ..self }
    }

    /// The same, lending a connection without a look for so long after the last one.
    pub(in crate::store) fn fresh_for(self, fresh: Duration) -> Self {
        Self { fresh, ..self }
    }

    pub(in crate::store) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    pub(in crate::store) fn hosts(&self) -> Hosts {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New connections are opened with these from now on.
    pub(in crate::store) fn set_hosts(&self, hosts: Hosts) {
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Sets what is asked when the server refuses the login; once.
    pub(in crate::store) fn read_again(&self, again: ReadAgain) {
        let _ = self.again.set(again);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        // Nothing is left half-done under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what lies idle.
    pub(in crate::store) fn discard_idle(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    /// Lays a connection down, and gives up those at the bottom that nobody has needed for long.
    fn lay_down(&self, mut open: Open) {
        if self.is_closed.load(Ordering::Acquire) || open.wire.is_over() {
            return;
        }
        open.wire.set_used(false);
        open.since = Instant::now();
        let mut idle = self.idle();
        idle.push(open);
        let spent: Vec<_> = idle.extract_if(.., |open| open.is_spent()).collect();
        drop(idle);
        drop(spent);
    }

    /// Closes every connection, waiting for those that are in use.
    pub(in crate::store) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // Never closed, so all of them come back.
        let _all = self.permits.acquire_many(self.most).await;
        let idle = std::mem::take(&mut *self.idle());
        futures_util::future::join_all(idle.into_iter().map(Open::close)).await;
    }

    /// A connection that is well.
    async fn open(&self) -> Result<Open, Refusal> {
        loop {
            let Some(mut open) = self.idle().pop() else { break };
            if open.is_spent() {
                continue;
            }
            open.wire.set_used(true);
            if open.looked_at.elapsed() < self.fresh {
                return Ok(open);
            }
            match timeout(LOOK, self.look(&mut open.connection)).await {
                Ok(Ok(true)) => {
                    open.looked_at = Instant::now();
                    return Ok(open);
                }
                // One that has ended is no news, and one that is read-only is from before.
                Ok(Ok(false) | Err(_)) => {}
                // The others are as old, and were lost in the same way.
                Err(_) => self.discard_idle(),
            }
        }
        self.open_anew().await
    }

    /// Is it well, and may it write?
    async fn look(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if !self.stays {
            return connection.ping().await.map(|()| true);
        }
        takes_writes(connection).await
    }

    async fn open_anew(&self) -> Result<Open, Refusal> {
        let mut readable = None;
        match self.open_writable(Instant::now() + ACQUIRE_TIMEOUT, &mut readable).await {
            // Where no host takes writes, a command that only looks gets one that may be read.
            Err(refusal) => readable.filter(|_| !self.stays).ok_or(refusal),
            found => found,
        }
    }

    /// Looks for a host that takes writes until then, and keeps the first that may be read.
    async fn open_writable(
        &self,
        until: Instant,
        readable: &mut Option<Open>,
    ) -> Result<Open, Refusal> {
        let mut pause = RETRY;
        let mut is_read_again = false;
        loop {
            let refusals = match self.find(until, readable).await {
                Ok(open) => return Ok(open),
                Err(refusals) => refusals,
            };
            if !is_read_again
                && refusals.iter().any(Refusal::is_of_login)
                && let Some(hosts) = self.again.get().and_then(|again| again())
            {
                is_read_again = true;
                self.set_hosts(hosts);
                continue;
            }
            // A server that is full, or just starting, is asked again.
            if !refusals.iter().any(Refusal::passes) || Instant::now() + pause >= until {
                return Err(most_telling(refusals));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// Connects to the first host that takes writes; the one found last is asked first. A host that
    /// is slow to answer is still waited for while the next one is asked.
    async fn find(
        &self,
        until: Instant,
        readable: &mut Option<Open>,
    ) -> Result<Open, Vec<Refusal>> {
        let hosts = self.hosts();
        if let Some(only) = hosts.only() {
            return match timeout_at(until, self.connect(only, false)).await {
                Ok(Ok((open, true))) => Ok(open),
                Ok(Ok((_, false))) => Err(vec![Refusal::ReadOnly]),
                Ok(Err(refusal)) => Err(vec![refusal]),
                Err(_) => Err(vec![timed_out()]),
            };
        }
        let (mut to_ask, mut asked) = (hosts.all().peekable(), FuturesUnordered::new());
        let mut refusals = Vec::new();
        loop {
            asked.extend(
                to_ask.next().map(|host| async move { (host, self.connect(host, true).await) }),
            );
            let patience =
                if to_ask.peek().is_some() { until.min(Instant::now() + NEXT_HOST) } else { until };
            match timeout_at(patience, asked.next()).await {
                Ok(Some((host, Ok((open, true))))) => {
                    // The password may be another one meanwhile.
                    let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
                    hosts.prefer(host);
                    return Ok(open);
                }
                Ok(Some((_, Ok((open, false))))) => {
                    readable.get_or_insert(open);
                    refusals.push(Refusal::ReadOnly);
                }
                Ok(Some((_, Err(refusal)))) => refusals.push(refusal),
                Ok(None) => return Err(refusals),
                Err(_) if Instant::now() >= until => {
                    refusals.push(timed_out());
                    return Err(refusals);
                }
                Err(_) => {}
            }
        }
    }

    /// Reaches the server. The schema is said with the greeting, so that it holds for as long as
    /// the connection does; a pooler that takes no such word may have it from the role's own
    /// settings.
    async fn reach(&self, plain: &PgConnectOptions) -> Result<(PgConnection, Wire), sqlx::Error> {
        let Some(schema) = &self.schema else { return wire::connect(plain, self.bound).await };
        let named = plain.clone().options([("search_path", super::tables::quoted(schema))]);
        match wire::connect(&named, self.bound).await {
            Err(error) if is_of_greeting(&error) => wire::connect(plain, self.bound).await,
            reached => reached,
        }
    }

    /// Connects to a host, and says whether it takes writes; where it is the only one, a command
    /// does not ask.
    async fn connect(
        &self,
        host: &PgConnectOptions,
        is_one_of_several: bool,
    ) -> Result<(Open, bool), Refusal> {
        let (mut connection, wire) = self.reach(host).await.map_err(Refusal::Server)?;
        if let Some(schema) = &self.schema {
            let path = sqlx::raw_sql("show search_path").fetch_one(&mut connection).await;
            let path = path.and_then(|row| row.try_get::<String, _>(0)).map_err(Refusal::Server)?;
            let first = path.split(',').next().unwrap_or_default().trim().trim_matches('"');
            if first.replace("\"\"", "\"") != *schema {
                return Err(Refusal::Schema(schema.clone()));
            }
        }
        let [needed, wished] = &self.manners;
        let needed = sqlx::raw_sql(sqlx::AssertSqlSafe(needed.clone()));
        needed.execute(&mut connection).await.map_err(Refusal::Server)?;
        let wished = sqlx::raw_sql(sqlx::AssertSqlSafe(wished.clone()));
        if let Err(error) = wished.execute(&mut connection).await {
            tracing::debug!(%error, "the server does not know a setting");
        }
        let looked = if is_one_of_several {
            takes_writes(&mut connection).await
        } else {
            self.look(&mut connection).await
        };
        let is_writable = looked.map_err(Refusal::Server)?;
        let now = Instant::now();
        Ok((Open { connection, wire, opened: now, looked_at: now, since: now }, is_writable))
    }
}

/// Does the server take writes, on a connection that is well?
pub(in crate::store) async fn takes_writes(
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let rows = sqlx::raw_sql(WELL).fetch_all(&mut *connection).await?;
    let said = rows.last().map(|row| row.try_get::<String, _>(0)).transpose()?;
    Ok(said.as_deref() != Some("on"))
}

fn timed_out() -> Refusal {
    Refusal::Server(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
}

/// Of what hosts said, what tells most: a server that answers knows better than a silent one.
fn most_telling(refusals: Vec<Refusal>) -> Refusal {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::Schema(_) => 0,
        refusal if refusal.is_of_login() => 0,
        refusal if refusal.passes() => 1,
        Refusal::ReadOnly => 2,
        Refusal::Server(sqlx::Error::Io(_)) => 4,
        _ => 3,
    };
    refusals.into_iter().min_by_key(rank).unwrap_or_else(timed_out)
}

/// Is it the greeting's words that the other side does not take? Poolers answer so.
fn is_of_greeting(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("08P01"))
}

/// The connections of one run, so that they can be closed together. Nobody lends any to it after
/// that.
#[derive(Clone, Debug, Default)]
pub struct Leash(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    next: AtomicU64,
    lent: Mutex<Lent>,
}

#[derive(Debug, Default)]
struct Lent {
    is_given_up: bool,
    cutters: HashMap<u64, Cutter>,
}

impl Leash {
    fn lent(&self) -> MutexGuard<'_, Lent> {
        // Nothing is left half-done under this lock.
        self.0.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection that is lent, and lends none any more: what is under way at the
    /// server is rolled back, and whoever waits for an answer gets an error.
    pub fn give_up(&self) {
        let mut lent = self.lent();
        lent.is_given_up = true;
        for (_, cutter) in lent.cutters.drain() {
            cutter.cut();
        }
    }

    /// Was it given up?
    pub fn is_given_up(&self) -> bool {
        self.lent().is_given_up
    }

    /// Notes a connection that is lent; `None` when none is to be lent any more.
    fn note(&self, cutter: Cutter) -> Option<u64> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut lent = self.lent();
        if lent.is_given_up {
            return None;
        }
        lent.cutters.insert(number, cutter);
        Some(number)
    }

    fn forget(&self, number: u64) {
        self.lent().cutters.remove(&number);
    }
}

/// A connection of one's own, until it is dropped.
pub struct Lease {
    /// There until the drop.
    open: Option<Open>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    leash: Option<(Leash, u64)>,
}

impl Lease {
    /// Lends a connection.
    ///
    /// # Errors
    /// [`Refusal`] when none can be had.
    pub(in crate::store) async fn take(
        pool: &Arc<Pool>,
        leash: Option<&Leash>,
    ) -> Result<Self, Refusal> {
        if leash.is_some_and(Leash::is_given_up) {
            return Err(Refusal::GivenUp);
        }
        if pool.is_closed.load(Ordering::Acquire) {
            return Err(Refusal::Closed);
        }
        let permit = timeout(ACQUIRE_TIMEOUT, Arc::clone(&pool.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Closed)?;
        if pool.is_closed.load(Ordering::Acquire) {
            return Err(Refusal::Closed);
        }
        let open = pool.open().await?;
        let leash = match leash {
            None => None,
            Some(leash) => {
                let number = leash.note(open.wire.cutter()).ok_or(Refusal::GivenUp)?;
                Some((leash.clone(), number))
            }
        };
        Ok(Self { open: Some(open), permit: Some(permit), pool: Arc::clone(pool), leash })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut open), Some(permit)) = (self.open.take(), self.permit.take()) else { return };
        if let Some((leash, number)) = self.leash.take() {
            leash.forget(number);
        }
        // Whoever panics may have left anything behind.
        if std::thread::panicking() {
            return;
        }
        let pool = Arc::clone(&self.pool);
        if !open.connection.should_flush() {
            pool.lay_down(open);
            return;
        }
        // It has something to say yet: a rollback that is due is not put off.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(ACQUIRE_TIMEOUT, open.connection.ping()).await {
                pool.lay_down(open);
            }
            drop(permit);
        });
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.open.as_ref().expect("a lease has its connection until it is dropped").connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("a lease has its connection until it is dropped").connection
    }
}
