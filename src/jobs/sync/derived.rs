//! Copies of counters: which derived columns there are, and writing those of counters that moved.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::sold::SoldCell;
use super::{Error, Job, Pass};
use crate::billing::Instant;
use crate::billing::derived::{Copied, Due, Scope};
use crate::config;
use crate::jobs::batches::parts;
use crate::jobs::columns::{ColumnLeftOut, Columns};
use crate::store::audit::derived::{Cell, Change, Target, Wanted, Which};
use crate::store::usage::pending::{self, CounterKey, Pending};
use crate::store::{
    Connection, Database, LockTimeout, StoreError, audit::adjust, begin_within, server_now,
};

/// Orgs of one page.
pub(super) const ORGS_PER_PAGE: usize = 1_000;

/// Looks the configured columns up in the database's catalogue.
///
/// # Errors
/// [`Error::Derived`] for a name that is not there, or that cannot hold what it should.
pub async fn targets(
    database: &Database,
    config: &config::sections::Sync,
) -> Result<Columns, Error> {
    found(database, config, |_| true).await
}

/// The same for those columns that a rollover does not write by itself: see [`Wanted::is_default`].
pub async fn targets_besides_defaults(
    database: &Database,
    config: &config::sections::Sync,
) -> Result<Columns, Error> {
    found(database, config, |wanted| !wanted.is_default()).await
}

async fn found(
    database: &Database,
    config: &config::sections::Sync,
    matters: impl Fn(&Wanted) -> bool,
) -> Result<Columns, Error> {
    let wanted = config.derived.iter().map(|derived| Wanted {
        table: derived.table.as_str().to_owned(),
        column: derived.column.as_str().to_owned(),
        key: derived.key.as_str().to_owned(),
        feature: derived.feature.clone(),
        scope: match derived.scope {
            config::sections::Scope::Org => Scope::Org,
            config::sections::Scope::User => Scope::User,
        },
        copied: match derived.quantity {
            config::sections::Copied::Used => Copied::Used,
            config::sections::Copied::PurchasedRemaining => Copied::PurchasedRemaining,
            config::sections::Copied::Percent => Copied::Percent,
        },
    });
    let (places, wanted): (Vec<usize>, Vec<Wanted>) =
        wanted.enumerate().filter(|(_, wanted)| matters(wanted)).unzip();
    if wanted.is_empty() {
        return Ok(Columns::default());
    }
    let key = |at: usize, name: &str| format!("sync.derived[{}].{name}", places[at]);
    let mut connection = database.connection().await?;
    let found = Target::find(&mut connection, &wanted).await?;
    let found = found.map_err(|(at, unfit)| Error::Derived {
        key: key(at, unfit.name),
        sentence: unfit.sentence,
    })?;
    let left_out = found.foreign.into_iter().map(|(at, reason)| ColumnLeftOut {
        column: format!("{}.{}", wanted[at].table, wanted[at].column),
        key: key(at, "table"),
        reason,
    });
    Ok(Columns { left_out: left_out.collect(), targets: found.targets.into() })
}

/// What a cell should hold, as its column can hold it.
///
/// # Errors
/// [`StoreError::Unprocessable`] from 10^22 units on.
pub(in crate::jobs) fn due(target: &Target, cell: &Cell) -> Result<Due, StoreError> {
    let overflow = |overflow: crate::billing::quantity::Overflow| {
        StoreError::Unprocessable(overflow.to_string())
    };
    let due = cell.state.due(target.copied, cell.column).map_err(overflow)?;
    let (value, written) = (target.fitted(due.value)?, target.fitted(due.written)?);
    let is_damaged = due.is_damaged && cell.held != Some(value);
    Ok(Due { value, written, is_damaged, ..due })
}

/// What has to be written for that; nothing where the cell says so already.
pub(super) fn change(target: &Target, cell: &Cell, due: &Due) -> Option<Change> {
    let known = cell.column.written.unwrap_or_default() == due.written;
    let remembers = target.copied == Copied::Used || known && cell.column.granted.is_zero();
    let is_right = cell.held == Some(due.value) && remembers;
    (!is_right).then_some(Change { cell: *cell, value: due.value, written: due.written })
}

/// Writes what columns of orgs should hold, whatever they depend on: for a rollover, whose orgs
/// have another open period now.
pub async fn follow(
    connection: &mut Connection,
    targets: &[Target],
    orgs: &[Uuid],
    now: Instant,
) -> Result<(), StoreError> {
    for target in targets {
        let cells = target.read(connection, orgs, Which::All, now).await?;
        let mut changes = Vec::new();
        for cell in &cells {
            changes.extend(change(target, cell, &due(target, cell)?));
        }
        target.write(connection, &changes).await?;
    }
    Ok(())
}

/// Which counter: org, user, feature, start of its period.
type Key<'a> = (Uuid, Option<Uuid>, &'a str, Instant);

fn key(counter: &Pending) -> Key<'_> {
    (counter.org, counter.user, &counter.feature, counter.period_start)
}

impl Job<'_> {
    /// Writes the copies of pending counters, everywhere or in some orgs, and sees to late usage.
    /// Returns the orgs that are to be looked at again, because late usage moved something there.
    pub(super) async fn settle(
        &self,
        connection: &mut Connection,
        orgs: Option<&[Uuid]>,
        pass: Pass,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut again = Vec::new();
        if let Some(orgs) = orgs {
            for page in orgs.chunks(ORGS_PER_PAGE) {
                self.settle_page(connection, page, pass, &mut again).await?;
            }
            return Ok(again);
        }
        let mut after = Uuid::nil();
        loop {
            let limit = i64::try_from(ORGS_PER_PAGE).unwrap_or(i64::MAX);
            let mut reading = begin_within(connection, LockTimeout::Long).await?;
            let (orgs, last) = pending::orgs(&mut reading, after, limit).await?;
            reading.commit().await?;
            let Some(last) = last.filter(|_| !self.stopped()) else { return Ok(again) };
            self.settle_page(connection, &orgs, pass, &mut again).await?;
            after = last;
        }
    }

    /// Settles a page of orgs, as many at once as their pending counters have room for.
    async fn settle_page(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
        again: &mut Vec<Uuid>,
    ) -> Result<(), StoreError> {
        let mut reading = begin_within(connection, LockTimeout::Long).await?;
        let counts = pending::counts(&mut reading, orgs).await?;
        reading.commit().await?;
        for orgs in parts(counts) {
            self.settle_part(connection, orgs, pass, again).await?;
        }
        Ok(())
    }

    async fn settle_part(
        &self,
        connection: &mut Connection,
        orgs: Vec<Uuid>,
        pass: Pass,
        again: &mut Vec<Uuid>,
    ) -> Result<(), StoreError> {
        let mut batches = self.batches(orgs);
        let mut late = Vec::new();
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let done = self.settle_once(connection, &batch.ids, batch.wait, pass).await;
            late.extend(batches.outcome(connection, batch, done).await?.unwrap_or_default());
        }
        self.set_aside(connection, batches, pass).await?;
        for org in late {
            self.late(connection, org, pass, again).await?;
        }
        Ok(())
    }

    /// Writes copies once. Returns the orgs with late usage.
    ///
    /// Rows are locked in everybody's order: the org's, its counters, its users' counters, users.
    /// A counter is only synced together with its copies, and only while it holds what they say.
    /// Whether its period has closed meanwhile, and with what, is asked once it is locked: a
    /// rollover that closes it later finds it locked, and compares it with what it writes.
    async fn settle_once(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        wait: LockTimeout,
        pass: Pass,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
        let counters = pending::counters(&mut transaction, orgs, pass.now).await?;
        let (of_users, of_orgs): (Vec<&Pending>, Vec<&Pending>) =
            counters.iter().partition(|counter| counter.user.is_some());
        let mut copies = Copies::default();
        let orgs_columns = self.columns(Scope::Org);
        copies.read(&mut transaction, orgs_columns, &of_orgs, pass.now).await?;
        copies.write(&mut transaction).await?;
        // After what it is a stamp of was read: alerts that looked before find it by this.
        let real = server_now(&mut transaction).await?;
        let settled: Vec<&Pending> =
            of_orgs.into_iter().filter(|c| !copies.moving.contains(&key(c))).collect();
        let synced = pending::set_orgs_synced(&mut transaction, &settled, real).await?;
        let synced: Vec<&Pending> =
            synced.into_iter().filter_map(|at| settled.get(at)).copied().collect();
        let closed = pending::closed(&mut transaction, &synced).await?;
        let closed: Vec<&Pending> =
            closed.into_iter().filter_map(|at| synced.get(at)).copied().collect();
        let late = late_counters(&mut transaction, &closed).await?;
        let unsettled = closed.into_iter().filter(|counter| late.contains(&key(counter)));
        let unsettled: Vec<CounterKey<'_>> = unsettled.map(Pending::counter).collect();
        pending::set_orgs_pending(&mut transaction, &unsettled).await?;
        let mut count = (synced.len() - unsettled.len()) as u64;
        count += self.settle_users(&mut transaction, &of_users, &mut copies, pass, real).await?;
        transaction.commit().await?;
        let mut late: Vec<Uuid> = late.into_iter().map(|(org, ..)| org).collect();
        late.sort_unstable();
        late.dedup();
        let Copies { written, sold, .. } = copies;
        self.tell(|report| {
            report.counters_synced += count;
            report.columns_written += written;
        });
        self.report_sold(connection, &sold, pass).await?;
        Ok(late)
    }

    fn columns(&self, scope: Scope) -> impl Iterator<Item = &Target> {
        self.request.columns.targets.iter().filter(move |target| target.scope == scope)
    }

    /// Users' counters first, for whoever uses something locks them before the user's row; one
    /// whose copy is somebody else's work is pending again.
    async fn settle_users<'a>(
        &'a self,
        connection: &mut Connection,
        counters: &[&'a Pending],
        copies: &mut Copies<'a>,
        pass: Pass,
        real: Instant,
    ) -> Result<u64, StoreError> {
        if counters.is_empty() {
            return Ok(0);
        }
        copies.read(connection, self.columns(Scope::User), counters, pass.now).await?;
        let settled: Vec<&Pending> =
            counters.iter().filter(|c| !copies.moving.contains(&key(c))).copied().collect();
        let places = pending::set_users_synced(connection, &settled, real).await?;
        let synced: Vec<&Pending> =
            places.iter().filter_map(|at| settled.get(*at)).copied().collect();
        let keys: HashSet<Key<'_>> = synced.iter().map(|counter| key(counter)).collect();
        copies.keep(&keys);
        copies.write(connection).await?;
        let again: Vec<&Pending> =
            synced.into_iter().filter(|counter| copies.moving.contains(&key(counter))).collect();
        if !again.is_empty() {
            pending::set_users_pending(connection, &again).await?;
        }
        Ok((places.len() - again.len()) as u64)
    }
}

/// The copies of some counters, on their way to be written.
#[derive(Default)]
struct Copies<'a> {
    changes: Vec<(&'a Target, Vec<Change>)>,
    /// Counters that moved since they were read, or whose copies did.
    moving: HashSet<Key<'a>>,
    /// Copies that were written.
    written: u64,
    /// What was sold without a pack.
    sold: Vec<SoldCell<'a>>,
}

impl<'a> Copies<'a> {
    /// Reads the copies of counters, and notes what they should say.
    async fn read(
        &mut self,
        connection: &mut Connection,
        targets: impl Iterator<Item = &'a Target>,
        counters: &[&'a Pending],
        now: Instant,
    ) -> Result<(), StoreError> {
        let by_key: HashMap<Key<'_>, &Pending> =
            counters.iter().map(|counter| (key(counter), *counter)).collect();
        for target in targets {
            let mut orgs: Vec<Uuid> = counters
                .iter()
                .filter(|counter| counter.feature == target.feature)
                .map(|counter| counter.org)
                .collect();
            orgs.dedup();
            if orgs.is_empty() {
                continue;
            }
            let cells = target.read(connection, &orgs, Which::Pending, now).await?;
            let mut changes = Vec::new();
            for cell in &cells {
                let key = cell_key(target, cell);
                // What others have written and read in between is left to the next look.
                let stands = by_key.get(&key).is_some_and(|c| c.used == cell.state.used);
                if !stands {
                    self.moving.insert(key);
                    continue;
                }
                let due = due(target, cell)?;
                if due.without_pack.is_positive() {
                    self.sold.push(SoldCell::new(target, cell, due.without_pack));
                }
                changes.extend(change(target, cell, &due));
            }
            self.changes.push((target, changes));
        }
        Ok(())
    }

    /// Leaves only the copies of these counters to be written.
    fn keep(&mut self, keys: &HashSet<Key<'_>>) {
        for (target, changes) in &mut self.changes {
            changes.retain(|change| keys.contains(&cell_key(target, &change.cell)));
        }
    }

    /// Writes what is to be written, where it still is what was read.
    async fn write(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        for (target, changes) in std::mem::take(&mut self.changes) {
            let moved = target.write(connection, &changes).await?;
            let moved: HashSet<Uuid> = moved.into_iter().collect();
            self.written += moved.len() as u64;
            let stuck = changes.iter().filter(|change| !moved.contains(&change.cell.key));
            self.moving.extend(stuck.map(|change| cell_key(target, &change.cell)));
        }
        Ok(())
    }
}

/// The counter that a cell is a copy of.
fn cell_key<'a>(target: &'a Target, cell: &Cell) -> Key<'a> {
    let user = (target.scope == Scope::User).then_some(cell.key);
    (cell.org, user, target.feature.as_str(), cell.period_start)
}

/// The counters of closed periods that hold something else than the books.
async fn late_counters<'a>(
    connection: &mut Connection,
    closed: &[&'a Pending],
) -> Result<HashSet<Key<'a>>, StoreError> {
    if closed.is_empty() {
        return Ok(HashSet::new());
    }
    let books = adjust::closed(connection, closed).await?;
    let differs = |book: &&adjust::LateCounter| {
        book.closed.charged.plus(book.closed.set_aside) != Ok(book.closed.counted)
    };
    let late: HashSet<Key<'_>> = books
        .iter()
        .filter(differs)
        .map(|book| (book.org, None, &*book.feature, book.closed.period.start))
        .collect();
    let is_late = |counter: &&&Pending| late.contains(&key(counter));
    Ok(closed.iter().filter(is_late).map(|counter| key(counter)).collect())
}
