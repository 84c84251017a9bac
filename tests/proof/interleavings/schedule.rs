//! One schedule: a verb is stopped at one of its messages while another one runs whole.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use periodd::jobs::alerts;
use periodd::store::Database;
use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

use super::books::{self, Outcome};
use super::verbs::{Act, Job, Means, Needs, Verb};
use super::world::{ACME, BOLT, USER, Worlds};
use crate::proxy::{Proxy, Stall};
use crate::support::{TestDatabase, server};

/// The longest that two verbs take together, before something hangs.
const LONGEST: Duration = Duration::from_secs(90);
/// The longest that the first one is stopped while the second one neither ends nor waits for it.
const LONGEST_STOP: Duration = Duration::from_secs(20);

/// The message of a statement's transaction that commits it: after `BEGIN`, and what binds and
/// executes the statement.
const AT_ITS_COMMIT: usize = 3;

/// How callers isolate their transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Level {
    pub(crate) const ALL: [Self; 3] =
        [Self::ReadCommitted, Self::RepeatableRead, Self::Serializable];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        })
    }
}

/// What is stopped where, and what runs meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) stopped: Verb,
    pub(crate) whole: Verb,
    pub(crate) level: Level,
    /// The message that is held back, counted from 0 over those that the server acts on.
    pub(crate) at: usize,
}

impl Schedule {
    /// The state that both have something to do in.
    pub(crate) fn state(&self) -> Needs {
        let both = [self.stopped.needs, self.whole.needs];
        if both.contains(&Needs::Due) { Needs::Due } else { Needs::Open }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}/{}", self.stopped.name, self.at, self.whole.name, self.level)
    }
}

/// Somebody who runs verbs.
#[derive(Clone)]
struct Caller {
    connection: Arc<Mutex<PgConnection>>,
    database: Database,
    means: Arc<Means>,
}

impl Caller {
    async fn of(url: &str, means: &Arc<Means>) -> Self {
        // The proxy does not speak of TLS.
        let plain = format!("{url}&sslmode=disable");
        let connection = PgConnection::connect(&plain).await.expect("the database answers");
        let database = Database::connect(&url.to_owned(), 4).await.expect("the same");
        Self { connection: Arc::new(Mutex::new(connection)), database, means: means.clone() }
    }

    fn start(&self, verb: Verb, level: Level) -> JoinHandle<Outcome> {
        let caller = self.clone();
        tokio::task::spawn_local(async move { caller.run(verb, level).await })
    }

    async fn run(&self, verb: Verb, level: Level) -> Outcome {
        match verb.act {
            Act::Job(job) => {
                let done = self.means.run(job, &self.database).await;
                Outcome { refused: done.err(), allowed: None }
            }
            Act::Sql(statement) => {
                let statement = statement
                    .replace("{org}", &ACME.to_string())
                    .replace("{other}", &BOLT.to_string())
                    .replace("{user}", &USER.to_string());
                let mut connection = self.connection.lock().await;
                match transaction(&mut connection, &statement, level).await {
                    Ok(allowed) => Outcome { refused: None, allowed },
                    Err(error) => Outcome { refused: Some(code(&error)), allowed: None },
                }
            }
        }
    }
}

/// Runs a statement in a transaction, and says what it answers to whether it is allowed.
async fn transaction(
    connection: &mut PgConnection,
    statement: &str,
    level: Level,
) -> Result<Option<bool>, sqlx::Error> {
    let begin: &'static str = match level {
        Level::ReadCommitted => "begin isolation level read committed",
        Level::RepeatableRead => "begin isolation level repeatable read",
        Level::Serializable => "begin isolation level serializable",
    };
    let mut transaction = connection.begin_with(begin).await?;
    let asked = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
    match asked.fetch_all(&mut *transaction).await {
        Ok(rows) => {
            transaction.commit().await?;
            Ok(rows.first().and_then(|row| row.try_get("allowed").ok()))
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// The code and the words of an error.
fn code(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(told) => format!("{} {}", told.code().unwrap_or_default(), told.message()),
        None => error.to_string(),
    }
}

/// What one database is used for: schedule after schedule.
pub(crate) struct Bench {
    test: TestDatabase,
    worlds: Arc<Worlds>,
    stall: Arc<Stall>,
    /// Behind the proxy.
    first: Caller,
    second: Caller,
    control: PgConnection,
    invariants: String,
    _proxy: Proxy,
    _directory: TempDir,
}

impl Bench {
    pub(crate) async fn new(test: TestDatabase, worlds: Arc<Worlds>, means: &Arc<Means>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let stall = Arc::new(Stall::default());
        let proxy = Proxy::stalling(directory.path(), &server(), &stall);
        let first = Caller::of(&proxy.url(&test.name), means).await;
        let second = Caller::of(&test.url(), means).await;
        let control = test.connect().await;
        let invariants = books::statement();
        Self {
            test,
            worlds,
            stall,
            first,
            second,
            control,
            invariants,
            _proxy: proxy,
            _directory: directory,
        }
    }

    /// Runs a verb alone: how many messages of it the server acts on, and what is wrong.
    pub(crate) async fn alone(&mut self, verb: Verb, state: Needs) -> (usize, Vec<String>) {
        let before = self.put(state).await;
        self.stall.set(None);
        let outcome = self.first.run(verb, Level::ReadCommitted).await;
        let messages = self.stall.seen();
        let wrong = self.look(&before, &[(verb, outcome)], false).await;
        (messages, wrong)
    }

    /// Runs a schedule: what is wrong afterwards.
    pub(crate) async fn run(&mut self, schedule: &Schedule) -> Vec<String> {
        let Schedule { stopped, whole, level, at } = *schedule;
        let before = self.put(schedule.state()).await;
        self.stall.set(Some(at));
        let mut first = self.first.start(stopped, level);
        let mut ended = None;
        tokio::select! {
            outcome = &mut first => ended = Some(outcome),
            () = self.stall.is_reached() => {}
        }
        let second = self.second.start(whole, level);
        let began = Instant::now();
        while !second.is_finished() && began.elapsed() < LONGEST_STOP && !self.waits().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.stall.go_on();
        let both = async {
            let second = second.await;
            let first = match ended {
                Some(outcome) => outcome,
                None => first.await,
            };
            [(stopped, first), (whole, second)]
        };
        let Ok(both) = tokio::time::timeout(LONGEST, both).await else {
            return vec![format!("neither ends within {LONGEST:?}")];
        };
        let mut done = Vec::new();
        for (verb, outcome) in both {
            match again(&self.second, verb, outcome, level).await {
                Ok(outcome) => done.push((verb, outcome)),
                Err(wrong) => return vec![wrong],
            }
        }
        // Of an insert: it is done, and not committed.
        let is_under_way = matches!(stopped.act, Act::Sql(_)) && at == AT_ITS_COMMIT;
        self.look(&before, &done, is_under_way).await
    }

    /// Puts the orgs into a state, and says what is in their ledgers.
    async fn put(&mut self, state: Needs) -> BTreeSet<String> {
        self.stall.set(None);
        let script = sqlx::AssertSqlSafe(self.worlds.script(state).to_owned());
        sqlx::raw_sql(script).execute(&mut self.control).await.expect("the orgs");
        books::ledgers(&mut self.control).await
    }

    /// Does somebody wait for a lock, now and a moment later?
    async fn waits(&mut self) -> bool {
        let waits = "select exists (select from pg_stat_activity
                                    where datname = current_database()
                                      and wait_event_type = 'Lock')";
        for _ in 0..2 {
            let waits = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut self.control).await;
            if !waits.expect("an answer") {
                return false;
            }
        }
        true
    }

    /// Has everything done that is due, and looks.
    async fn look(
        &mut self,
        before: &BTreeSet<String>,
        done: &[(Verb, Outcome)],
        is_under_way: bool,
    ) -> Vec<String> {
        let mut wrong: Vec<String> =
            done.iter().filter_map(|(verb, outcome)| refusal(verb, outcome)).collect();
        for job in [Job::Rollover, Job::Sync, Job::Alerts, Job::Rollover, Job::Sync] {
            if let Err(error) = self.second.means.run(job, &self.second.database).await {
                wrong.push(format!("{job:?} afterwards: {error}"));
            }
        }
        // Whatever passes saw of what moved: one that looks at everything finds no more.
        let request = alerts::Request { full: true, ..self.second.means.alerts() };
        match alerts::run(&self.second.database, &request).await {
            Ok(report) => {
                let missed = report.notified + report.covered + report.waiting + report.recorded;
                if missed > 0 {
                    wrong.push(format!("a full look finds alerts that were missed: {report:?}"));
                }
            }
            Err(error) => wrong.push(format!("alerts afterwards: {error}")),
        }
        let broken = books::wrong(&mut self.control, &self.invariants, before, done, is_under_way);
        let broken = broken.await;
        wrong.extend(broken);
        if !wrong.is_empty() {
            wrong.push(format!(
                "outcomes: {:?}",
                done.iter().map(|done| &done.1).collect::<Vec<_>>()
            ));
        }
        wrong
    }

    pub(crate) fn database(&self) -> &str {
        &self.test.name
    }
}

/// What is said to callers whose transactions cannot be put in an order: they repeat them.
const REPEATED: [&str; 2] = ["40001", "40P01"];

fn is_repeated(refused: &str) -> bool {
    REPEATED.iter().any(|code| refused.starts_with(code))
}

/// A caller repeats what was refused with such a code, now that nobody is in its way.
async fn again(
    caller: &Caller,
    verb: Verb,
    outcome: Result<Outcome, JoinError>,
    level: Level,
) -> Result<Outcome, String> {
    let outcome = outcome.map_err(|error| format!("{} panics: {error}", verb.name))?;
    let Some(refused) = outcome.refused.as_ref().filter(|refused| is_repeated(refused)) else {
        return Ok(outcome);
    };
    if level == Level::ReadCommitted && !verb.refusals.iter().any(|code| refused.starts_with(code))
    {
        return Err(format!("{} is refused with {refused}", verb.name));
    }
    Ok(caller.run(verb, level).await)
}

/// A refusal that no caller expects.
fn refusal(verb: &Verb, outcome: &Outcome) -> Option<String> {
    let refused = outcome.refused.as_ref()?;
    let is_expected = match verb.act {
        Act::Sql(_) => verb.refusals.iter().any(|code| refused.starts_with(code)),
        Act::Job(_) => verb.refusals.iter().any(|words| refused.contains(words)),
    };
    (!is_expected).then(|| format!("{} is refused with: {refused}", verb.name))
}
