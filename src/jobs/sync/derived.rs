//! Copies of counters: which derived columns there are, and writing those of counters that moved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::batches::Batches;
use super::count::is_conflict;
use super::report::WithoutPack;
use super::{Error, Job, Pass};
use crate::billing::derived::{Copied, Due, Scope};
use crate::billing::{Instant, Quantity};
use crate::config;
use crate::store::derived::{Cell, Change, Target, Wanted, Which};
use crate::store::pending::{self, Pending};
use crate::store::{Connection, Database, StoreError, adjust, apply, snapshot};

/// Orgs of one page.
pub(super) const ORGS_PER_PAGE: usize = 1_000;

/// Looks the configured columns up in the database's catalogue.
///
/// # Errors
/// [`Error::Derived`] for a name that is not there, or that cannot hold what it should.
pub async fn targets(database: &Database, config: &config::Sync) -> Result<Vec<Target>, Error> {
    let mut targets = Vec::with_capacity(config.derived.len());
    for (place, derived) in config.derived.iter().enumerate() {
        let wanted = Wanted {
            table: derived.table.as_str().to_owned(),
            column: derived.column.as_str().to_owned(),
            key: derived.key.as_str().to_owned(),
            feature: derived.feature.clone(),
            scope: match derived.scope {
                config::Scope::Org => Scope::Org,
                config::Scope::User => Scope::User,
            },
            copied: match derived.quantity {
                config::Copied::Used => Copied::Used,
                config::Copied::PurchasedRemaining => Copied::PurchasedRemaining,
                config::Copied::Percent => Copied::Percent,
            },
        };
        match Target::find(database, &wanted).await? {
            Ok(target) => targets.push(target),
            Err(unfit) => {
                let key = format!("sync.derived[{place}].{}", unfit.name);
                return Err(Error::Derived { key, sentence: unfit.sentence });
            }
        }
    }
    Ok(targets)
}

/// Those columns that a rollover does not write by itself: see [`Target::is_default`].
#[must_use]
pub fn besides_defaults(targets: &[Target]) -> Arc<[Target]> {
    targets.iter().filter(|target| !target.is_default()).cloned().collect()
}

/// What a cell should hold, as its column can hold it.
pub(super) fn due(target: &Target, cell: &Cell) -> Result<Due, StoreError> {
    let overflow = |overflow: crate::billing::quantity::Overflow| {
        StoreError::Unprocessable(overflow.to_string())
    };
    let due = cell.standing.due(target.copied, cell.column).map_err(overflow)?;
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
///
/// # Errors
/// As every write.
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
    /// Returns the orgs in whose open period late usage is to be counted.
    pub(super) async fn settle(
        &self,
        connection: &mut Connection,
        orgs: Option<&[Uuid]>,
        pass: Pass,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut charged = Vec::new();
        if let Some(orgs) = orgs {
            for page in orgs.chunks(ORGS_PER_PAGE) {
                self.settle_page(connection, page, pass, &mut charged).await?;
            }
            return Ok(charged);
        }
        let mut after = Uuid::nil();
        loop {
            let limit = i64::try_from(ORGS_PER_PAGE).unwrap_or(i64::MAX);
            let (orgs, last) = pending::orgs(connection, after, limit).await?;
            let Some(last) = last else { return Ok(charged) };
            self.settle_page(connection, &orgs, pass, &mut charged).await?;
            after = last;
        }
    }

    async fn settle_page(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
        charged: &mut Vec<Uuid>,
    ) -> Result<(), StoreError> {
        let mut batches = Batches::of(orgs.to_vec());
        while let Some(batch) = batches.next() {
            let done = self.settle_once(connection, &batch.ids, pass).await;
            let late = match done {
                Ok(late) => late,
                Err(error) => {
                    self.tell(|report| report.conflicts += usize::from(is_conflict(&error)));
                    let stuck = batches.failed(batch, error).await?;
                    self.set_aside(connection, stuck, pass).await?;
                    continue;
                }
            };
            for org in late {
                self.late(connection, org, pass, charged).await?;
            }
        }
        Ok(())
    }

    /// Writes copies once. Returns the orgs with late usage.
    async fn settle_once(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut transaction = apply::begin(connection).await?;
        let counters = pending::counters(&mut transaction, orgs).await?;
        let by_key: HashMap<Key<'_>, &Pending> =
            counters.iter().map(|counter| (key(counter), counter)).collect();
        let mut moving: HashSet<Key<'_>> = HashSet::new();
        let (mut written, mut sold) = (0, Vec::new());
        for target in self.request.targets.iter() {
            let of_users = target.scope == Scope::User;
            let concerned = |counter: &&Pending| {
                counter.feature == target.feature && counter.user.is_some() == of_users
            };
            let mut orgs: Vec<Uuid> =
                counters.iter().filter(concerned).map(|counter| counter.org).collect();
            orgs.dedup();
            if orgs.is_empty() {
                continue;
            }
            let cells = target.read(&mut transaction, &orgs, Which::Pending, pass.now).await?;
            let mut changes = Vec::new();
            for cell in &cells {
                let user = of_users.then_some(cell.key);
                let key = (cell.org, user, target.feature.as_str(), cell.period_start);
                // What was written and read by others in between is left to the next look.
                match by_key.get(&key) {
                    Some(counter) if counter.used == cell.standing.used => {}
                    _ => {
                        moving.insert(key);
                        continue;
                    }
                }
                let due = due(target, cell)?;
                if due.without_pack.is_positive() {
                    sold.push((target, cell.org, due.without_pack));
                }
                changes.extend(change(target, cell, &due));
            }
            let moved: HashSet<Uuid> =
                target.write(&mut transaction, &changes).await?.into_iter().collect();
            written += moved.len() as u64;
            for Change { cell, .. } in &changes {
                if !moved.contains(&cell.key) {
                    let user = of_users.then_some(cell.key);
                    moving.insert((cell.org, user, &target.feature, cell.period_start));
                }
            }
        }
        let closed: Vec<&Pending> = counters.iter().filter(|counter| counter.is_closed).collect();
        let mut late: Vec<Uuid> = Vec::new();
        let books = if closed.is_empty() {
            Vec::new()
        } else {
            adjust::closed(&mut transaction, &closed).await?
        };
        for counter in &books {
            let closed = &counter.closed;
            if closed.charged.plus(closed.set_aside) != Ok(closed.counted) {
                late.push(counter.org);
                moving.insert((counter.org, None, &counter.feature, closed.period.start));
            }
        }
        late.dedup();
        let settled: Vec<&Pending> =
            counters.iter().filter(|counter| !moving.contains(&key(counter))).collect();
        let synced = pending::set_synced(&mut transaction, &settled, pass.real).await?;
        transaction.commit().await?;
        self.tell(|report| {
            report.counters_synced += synced;
            report.columns_written += written;
        });
        self.report_sold(connection, &sold).await?;
        Ok(late)
    }

    /// Reports purchases without a pack, with the command that mends each.
    pub(super) async fn report_sold(
        &self,
        connection: &mut Connection,
        sold: &[(&Target, Uuid, Quantity)],
    ) -> Result<(), StoreError> {
        if sold.is_empty() {
            return Ok(());
        }
        let orgs: Vec<Uuid> = sold.iter().map(|(_, org, _)| *org).collect();
        let slugs = snapshot::slugs(connection, &orgs).await?;
        for &(target, id, quantity) in sold {
            let org = slugs.get(&id).cloned().unwrap_or_else(|| id.to_string());
            let feature = target.feature.clone();
            let mended_by = format!(
                "periodd packs grant --org {org} --feature {feature} --quantity {quantity}"
            );
            let column = target.name.clone();
            let line = WithoutPack { org, column, feature, quantity, mended_by };
            self.tell(|report| report.without_pack(id, line));
        }
        Ok(())
    }
}
