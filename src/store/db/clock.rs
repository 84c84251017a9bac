//! The database's clock, watched: every reading that something irrevocable depends on is compared
//! with what was believed before, by any process of this machine and by other machines.
//!
//! It costs no statement of its own: who asks for the time gets the answer of the one statement
//! that reads it, and now and then what is believed is written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use sqlx::PgConnection;

use super::error::StoreError;
use crate::billing::Instant;
use crate::billing::clock::{Doubt, Judged, Memory, Reading, Verdict, Witness};
use crate::store::db::transaction::{LockTimeout, begin_within};

/// Between two writes of what is believed. Whoever starts on this machine compares with that.
const STORED_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// What a start of a machine believed is kept so long after its last word.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The machine that a process runs on, as a witness of time.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Which machine, and which start of it: two processes with the same one may compare what
    /// `awake` told them.
    pub boot: &'static str,
    pub name: fn() -> String,
    pub clock: fn() -> Instant,
    /// How long it has been running.
    pub awake: fn() -> SignedDuration,
}

impl Machine {
    /// What the clocks say, when the database was asked at `asked`.
    fn reading(&self, database: Instant, asked: SignedDuration) -> Reading {
        let (machine, awake) = ((self.clock)(), (self.awake)());
        Reading { database, machine, awake, took: awake.saturating_sub(asked) }
    }
}

/// What a process remembers of the clock; shared by everything that works on one database.
#[derive(Clone, Debug)]
pub(in crate::store) struct Keeper {
    machine: Machine,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    is_loaded: bool,
    /// How long the machine had been running when this process wrote last what it believes.
    stored: Option<SignedDuration>,
    /// The same of what it expects while it does not believe the clock.
    said: Option<SignedDuration>,
}

/// What is stored, beside the time.
struct Stored {
    reading: Reading,
    own: Option<Reading>,
    elsewhere: Option<Instant>,
}

impl Keeper {
    pub(in crate::store) fn new(machine: Machine) -> Self {
        Self { machine, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clock and judges it; with `writes` what is believed is stored.
    pub(in crate::store) async fn judged(
        &self,
        connection: &mut PgConnection,
        writes: bool,
    ) -> Result<Judged, StoreError> {
        let is_loaded = self.state().is_loaded;
        let reading = if is_loaded {
            read(connection, &self.machine).await?
        } else {
            self.load(connection).await?
        };
        let (mut reading, mut verdict) = (reading, self.state().memory.judge(&reading));
        if is_loaded && matches!(verdict, Verdict::Doubted(_)) {
            // Others may know better meanwhile, or a person may have said that it is right.
            reading = self.load(connection).await?;
            verdict = self.state().memory.judge(&reading);
        }
        match verdict {
            Verdict::Doubted(doubt) => {
                if writes && doubt.witness == Witness::Elapsed {
                    self.say_expected(connection, &doubt, reading.awake).await?;
                }
                return Ok(Judged::Doubted(doubt));
            }
            Verdict::Lags => {}
            Verdict::Right => {
                let is_due = {
                    let mut state = self.state();
                    state.memory.believe(reading);
                    let since = |stored| reading.awake.saturating_sub(stored);
                    state.stored.is_none_or(|stored| since(stored) >= STORED_EVERY)
                };
                if writes && is_due && reading.is_precise() {
                    store(connection, &self.machine, &reading).await?;
                    self.state().stored = Some(reading.awake);
                }
            }
        }
        Ok(Judged::Believed(reading.database))
    }

    /// Stores what time it should be, for whoever starts elsewhere while it is not believed here.
    async fn say_expected(
        &self,
        connection: &mut PgConnection,
        doubt: &Doubt,
        awake: SignedDuration,
    ) -> Result<(), StoreError> {
        let since = |said| awake.saturating_sub(said);
        if self.state().said.is_some_and(|said| since(said) < STORED_EVERY) {
            return Ok(());
        }
        let mut transaction = begin_within(connection, LockTimeout::Short).await?;
        let said = sqlx::query!(
            "update periodd_clocks set expected_at = $2 where boot = $1",
            self.machine.boot,
            doubt.expected
        );
        match said.execute(&mut *transaction).await.map_err(StoreError::from) {
            Ok(_) => transaction.commit().await?,
            Err(error) if error.is_contention() => transaction.rollback().await?,
            Err(other) => return Err(other),
        }
        self.state().said = Some(awake);
        Ok(())
    }

    /// Believes the clock as it is, and has everybody else judge anew. False when it was believed
    /// anyway.
    pub(in crate::store) async fn believe(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, StoreError> {
        if matches!(self.judged(connection, false).await?, Judged::Believed(_)) {
            return Ok(false);
        }
        let reading = read(connection, &self.machine).await?;
        replace(connection, &self.machine, &reading).await?;
        let mut state = self.state();
        state.memory = Memory::default();
        state.memory.believe(reading);
        state.stored = Some(reading.awake);
        Ok(true)
    }

    /// Reads the clock and what is stored.
    async fn load(&self, connection: &mut PgConnection) -> Result<Reading, StoreError> {
        let Stored { reading, own, elsewhere } =
            read_with_stored(connection, &self.machine).await?;
        let mut state = self.state();
        state.memory.recall(own, elsewhere, reading.awake);
        state.is_loaded = true;
        Ok(reading)
    }
}

async fn read(connection: &mut PgConnection, machine: &Machine) -> Result<Reading, StoreError> {
    let asked = (machine.awake)();
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(connection).await?;
    Ok(machine.reading(now, asked))
}

async fn read_with_stored(
    connection: &mut PgConnection,
    machine: &Machine,
) -> Result<Stored, StoreError> {
    let asked = (machine.awake)();
    let row = sqlx::query!(
        r#"select now() as "now!", c.database_at as "database_at?", c.machine_at as "machine_at?",
                  c.awake_us as "awake_us?",
                  (select max(greatest(e.database_at, e.expected_at)) from periodd_clocks e
                   where e.boot <> $1) as "elsewhere?"
           from (select) as one left join periodd_clocks c on c.boot = $1"#,
        machine.boot
    );
    let row = row.fetch_one(connection).await?;
    let own = match (row.database_at, row.machine_at, row.awake_us) {
        (Some(database), Some(machine_at), Some(awake)) => Some(Reading {
            database,
            machine: machine_at,
            awake: SignedDuration::from_micros(awake),
            took: SignedDuration::ZERO,
        }),
        _ => None,
    };
    Ok(Stored { reading: machine.reading(row.now, asked), own, elsewhere: row.elsewhere })
}

/// Stores what is believed. Nobody who holds the row is waited for long: the next word is as good.
async fn store(
    connection: &mut PgConnection,
    machine: &Machine,
    reading: &Reading,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, LockTimeout::Short).await?;
    match write(&mut transaction, machine, reading).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) if error.is_contention() => Ok(transaction.rollback().await?),
        Err(other) => Err(other),
    }
}

async fn write(
    connection: &mut PgConnection,
    machine: &Machine,
    reading: &Reading,
) -> Result<(), StoreError> {
    let awake = i64::try_from(reading.awake.as_micros()).unwrap_or(i64::MAX);
    let outdated = reading.database.plus(-KEPT).unwrap_or(reading.database);
    sqlx::query!(
        "with gone as (
             delete from periodd_clocks where boot <> $1 and database_at < $6)
         insert into periodd_clocks as c (boot, machine, database_at, machine_at, awake_us)
         values ($1, $2, $3, $4, $5)
         on conflict (boot) do update
             set machine = excluded.machine, database_at = excluded.database_at,
                 machine_at = excluded.machine_at, awake_us = excluded.awake_us,
                 expected_at = null
             where c.awake_us < excluded.awake_us",
        machine.boot,
        (machine.name)(),
        reading.database,
        reading.machine,
        awake,
        outdated
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what everybody believed, but for the reading that a person said is right.
async fn replace(
    connection: &mut PgConnection,
    machine: &Machine,
    reading: &Reading,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, LockTimeout::Long).await?;
    sqlx::query!("delete from periodd_clocks").execute(&mut *transaction).await?;
    write(&mut transaction, machine, reading).await?;
    Ok(transaction.commit().await?)
}
