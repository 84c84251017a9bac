//! The audit: a sweep that only reads, a guard that may refuse, and then the mending.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::batches::Batches;
use super::count::is_conflict;
use super::derived::{ORGS_PER_PAGE, change, due};
use super::{Error, Job, Pass, Scope};
use crate::billing::Quantity;
use crate::billing::drift::{self, CounterDrift, Seen};
use crate::store::audit::{self, Swept};
use crate::store::derived::{Cell, Target, Which};
use crate::store::drift::{self as log, Mended};
use crate::store::snapshot::Features;
use crate::store::{Connection, StoreError, apply, claim, plan_limits};

/// Why a column was mended.
const COLUMN: &str = "the column was not what its counter says";
const PURCHASED: &str = "the column held less than periodd had written to it";

/// What a sweep found.
#[derive(Default)]
struct Findings {
    seen: Seen,
    counters: Vec<CounterDrift>,
    /// Orgs with a column that is wrong or has to follow the packs, by the target's place.
    columns: Vec<BTreeSet<Uuid>>,
    /// Orgs whose users' rows show another limit than holds. That is no drift: limits move.
    limits: BTreeSet<Uuid>,
    to_change: HashSet<Uuid>,
    holds_usage: bool,
}

/// The next page of a sweep.
struct Pages {
    after: Uuid,
    listed: Option<VecDeque<Uuid>>,
}

impl Pages {
    async fn next(&mut self, connection: &mut Connection) -> Result<Vec<Uuid>, StoreError> {
        if let Some(listed) = &mut self.listed {
            // One by one: a page is all orgs between its first and its last.
            return Ok(listed.pop_front().into_iter().collect());
        }
        let limit = i64::try_from(ORGS_PER_PAGE).unwrap_or(i64::MAX);
        let page = audit::orgs(connection, self.after, limit).await?;
        self.after = page.last().copied().unwrap_or(self.after);
        Ok(page)
    }
}

impl Job<'_> {
    /// Looks for drift, and mends it unless only a check was asked for.
    ///
    /// # Errors
    /// [`Error::Refused`], with nothing changed, where what was read cannot be believed.
    pub(super) async fn audit(&self, pass: Pass) -> Result<(), Error> {
        let listed = match &self.request.scope {
            Scope::All => None,
            Scope::Orgs(ids) => Some(ids.iter().copied().collect()),
        };
        let pages = Mutex::new(Pages { after: Uuid::nil(), listed });
        let columns = vec![BTreeSet::new(); self.request.targets.len()];
        let findings = Mutex::new(Findings { columns, ..Findings::default() });
        let workers =
            (0..self.request.connections.max(1)).map(|_| self.sweep(&pages, &findings, pass));
        let swept = futures_util::future::join_all(workers).await;
        let swept: Result<Vec<()>, StoreError> = swept.into_iter().collect();
        if let Err(error) = swept {
            if let Ok(mut connection) = self.database.connection().await {
                self.forget_notes(&mut connection).await;
            }
            return Err(error.into());
        }
        let mut connection = self.database.connection().await?;
        if self.stopped() {
            // Half of what there is to see is nothing to judge by.
            self.forget_notes(&mut connection).await;
            return Ok(());
        }
        let mut findings = findings.into_inner();
        findings.seen.orgs_to_change = findings.to_change.len() as u64;
        findings.seen.all_metrics_gone =
            findings.holds_usage && !audit::any_metric(&mut connection).await?;
        if self.request.check {
            return Ok(());
        }
        let verdict = drift::judge(&findings.seen, self.request.max_fix_ratio);
        if let (Err(refusal), false) = (verdict, self.request.force) {
            self.forget_notes(&mut connection).await;
            return Err(Error::Refused(refusal));
        }
        self.mend(&mut connection, findings, pass).await?;
        if self.notes() && !self.stopped() {
            audit::remember(&mut connection, self.audit).await?;
        }
        Ok(())
    }

    /// Throws away what a sweep noted that came to nothing. What broke it off may do the same to
    /// this, and is what has to be told: the notes then stay, count for nothing, and go with the
    /// next audit that is through.
    async fn forget_notes(&self, connection: &mut Connection) {
        let _ = audit::forget(connection, self.audit).await;
    }

    /// Does this audit cover all orgs, so that the next one can be compared with it?
    fn notes(&self) -> bool {
        matches!(self.request.scope, Scope::All) && !self.request.check
    }

    /// Takes page after page, on a connection of its own.
    async fn sweep(
        &self,
        pages: &Mutex<Pages>,
        findings: &Mutex<Findings>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let mut features = Features::default();
        loop {
            let page = pages.lock().await.next(&mut connection).await?;
            if page.is_empty() || self.stopped() {
                return Ok(());
            }
            let mut batches = Batches::of(page);
            while let Some(batch) = batches.next() {
                let ids = &batch.ids;
                match self.sweep_page(&mut connection, ids, &mut features, findings, pass).await {
                    Ok(()) => self.tell(|_| ()),
                    Err(error) => {
                        let stuck = batches.failed(batch, error).await?;
                        self.set_aside(&mut connection, stuck, pass).await?;
                    }
                }
            }
        }
    }

    async fn sweep_page(
        &self,
        connection: &mut Connection,
        ids: &[Uuid],
        features: &mut Features,
        findings: &Mutex<Findings>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
            return Ok(());
        };
        let range = (*first, *last);
        let mut transaction = audit::begin(connection).await?;
        let swept = self.counters(&mut transaction, range, None, features, pass).await?;
        let then = audit::remembered(&mut transaction, range).await?;
        let suspects: Vec<Uuid> = drift::suspects(&then, &swept.held).into_iter().collect();
        let mut losses = Vec::new();
        if !suspects.is_empty() {
            let suspects = Some(&suspects[..]);
            let again = self.counters(&mut transaction, range, suspects, features, pass).await?;
            losses = drift::losses(&then, &again.held, &again.bounds);
        }
        let (mut wrong, mut following, mut sold) = (vec![], vec![], vec![]);
        for (place, target) in self.request.targets.iter().enumerate() {
            let at = if target.is_swept() { &swept.columns } else { ids };
            if at.is_empty() {
                continue;
            }
            let cells = target.read(&mut transaction, at, Which::Synced, pass.now).await?;
            for cell in &cells {
                let due = due(target, cell)?;
                if due.without_pack.is_positive() {
                    sold.push((target, cell.org, due.without_pack));
                }
                if due.is_damaged && !moves_there_anyway(target, cell, &swept.drift) {
                    wrong.push((place, mended(target, cell, due.value)?));
                } else if change(target, cell, &due).is_some() {
                    following.push((place, cell.org));
                }
            }
        }
        let limits = plan_limits::outdated(&mut transaction, ids).await?;
        // Nothing but the notes, which do not count until the audit is through.
        if self.notes() {
            audit::note(&mut transaction, self.audit, range, &swept.held).await?;
        }
        transaction.commit().await?;
        self.report_sold(connection, &sold).await?;
        if self.request.check {
            let columns = wrong.iter().map(|(_, line)| line.clone());
            let counters: Result<Vec<Mended>, StoreError> = swept.drift.iter().map(line).collect();
            let found: Vec<Mended> = columns.chain(counters?).collect();
            self.tell(|report| report.drift(found));
        }
        let metrics: i64 = swept.held.iter().map(|held| held.metrics).sum();
        self.tell(|report| {
            let audited = report.audited.get_or_insert_default();
            audited.orgs += ids.len() as u64;
            audited.metrics += metrics.unsigned_abs();
        });
        let mut findings = findings.lock().await;
        findings.seen.orgs_with_counters += swept.orgs_with_counters;
        findings.holds_usage |= swept.holds_usage;
        findings.seen.losses += losses.len() as u64;
        findings.seen.first_loss = findings.seen.first_loss.or(losses.first().copied());
        findings.to_change.extend(swept.drift.iter().map(|drift| drift.org));
        findings.to_change.extend(wrong.iter().map(|(_, line)| line.org));
        findings.counters.extend(swept.drift);
        findings.limits.extend(limits);
        let columns = wrong.iter().map(|(place, line)| (*place, line.org)).chain(following);
        for (place, org) in columns {
            findings.columns[place].insert(org);
        }
        Ok(())
    }

    async fn counters(
        &self,
        connection: &mut Connection,
        range: (Uuid, Uuid),
        suspects: Option<&[Uuid]>,
        features: &mut Features,
        pass: Pass,
    ) -> Result<Swept, StoreError> {
        let grace = pass.now.plus(-self.request.rules.grace);
        let closed_after = grace.map_err(|error| StoreError::Unprocessable(error.to_string()))?;
        audit::sweep(connection, range, suspects, closed_after, features).await
    }

    /// Mends what was found, each value only where it still is what was read. Columns come first:
    /// those of counters that are mended then move with them.
    async fn mend(
        &self,
        connection: &mut Connection,
        findings: Findings,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let Findings { counters, columns, limits, .. } = findings;
        let limits: Vec<Uuid> = limits.into_iter().collect();
        for page in limits.chunks(ORGS_PER_PAGE).take_while(|_| !self.stopped()) {
            self.write_limits(connection, page, pass).await?;
        }
        for (target, orgs) in self.request.targets.iter().zip(columns) {
            let orgs: Vec<Uuid> = orgs.into_iter().collect();
            for page in orgs.chunks(ORGS_PER_PAGE).take_while(|_| !self.stopped()) {
                self.mend_columns(connection, target, page, &counters, pass).await?;
            }
        }
        let mut orgs: BTreeSet<Uuid> = BTreeSet::new();
        let mut moving: BTreeSet<Uuid> = BTreeSet::new();
        for page in counters.chunks(ORGS_PER_PAGE).take_while(|_| !self.stopped()) {
            match self.mend_counters(connection, page, pass).await {
                Ok(done) => {
                    moving.extend(page.iter().filter(|d| !done.contains(d)).map(|d| d.org));
                }
                // One by one, then: each is looked at again while nobody else moves it.
                Err(StoreError::Conflict(_) | StoreError::Unprocessable(_)) => {
                    moving.extend(page.iter().map(|drift| drift.org));
                }
                Err(other) => return Err(other),
            }
            orgs.extend(page.iter().map(|drift| drift.org));
        }
        for org in moving.into_iter().take_while(|_| !self.stopped()) {
            self.mend_locked(connection, org, pass).await?;
        }
        let orgs: Vec<Uuid> = orgs.into_iter().collect();
        let again = self.settle(connection, Some(&orgs), pass).await?;
        self.once_more(connection, again, pass).await
    }

    /// Has users' rows show the limits that hold.
    async fn write_limits(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut batches = Batches::of(orgs.to_vec());
        while let Some(batch) = batches.next() {
            match plan_limits::write(connection, &batch.ids).await {
                Ok(written) => self.tell(|report| report.columns_written += written),
                Err(error) => {
                    self.tell(|report| report.conflicts += usize::from(is_conflict(&error)));
                    let stuck = batches.failed(batch, error).await?;
                    self.set_aside(connection, stuck, pass).await?;
                }
            }
        }
        Ok(())
    }

    /// Mends counters that still hold what was read, and returns those.
    async fn mend_counters(
        &self,
        connection: &mut Connection,
        drift: &[CounterDrift],
        pass: Pass,
    ) -> Result<Vec<CounterDrift>, StoreError> {
        let mut transaction = apply::begin(connection).await?;
        let done = audit::mend(&mut transaction, drift, pass.real).await?;
        let lines = self.log(&mut transaction, &done, pass).await?;
        transaction.commit().await?;
        self.tell(|report| report.drift(lines));
        Ok(done)
    }

    /// Mends an org whose counters moved meanwhile, or lack a row: while they are locked, and the
    /// sums are taken after that.
    async fn mend_locked(
        &self,
        connection: &mut Connection,
        org: Uuid,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut batches = Batches::of(vec![org]);
        while let Some(batch) = batches.next() {
            if let Err(error) = self.mend_locked_once(connection, org, pass).await {
                self.tell(|report| report.conflicts += usize::from(is_conflict(&error)));
                let stuck = batches.failed(batch, error).await?;
                self.set_aside(connection, stuck, pass).await?;
            }
        }
        Ok(())
    }

    async fn mend_locked_once(
        &self,
        connection: &mut Connection,
        org: Uuid,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut transaction = apply::begin(connection).await?;
        claim::lock(&mut transaction, org).await?;
        audit::lock_counters(&mut transaction, org).await?;
        let mut features = Features::default();
        let swept = self.counters(&mut transaction, (org, org), None, &mut features, pass).await?;
        let mut done = audit::mend(&mut transaction, &swept.drift, pass.real).await?;
        done.extend(audit::insert_missing(&mut transaction, &swept.drift, pass.real).await?);
        let lines = self.log(&mut transaction, &done, pass).await?;
        transaction.commit().await?;
        self.tell(|report| report.drift(lines));
        Ok(())
    }

    /// Writes the drift log in the transaction that mended. Returns the lines, for the report.
    async fn log(
        &self,
        connection: &mut Connection,
        done: &[CounterDrift],
        pass: Pass,
    ) -> Result<Vec<Mended>, StoreError> {
        let lines: Vec<Mended> = done.iter().map(line).collect::<Result<_, StoreError>>()?;
        log::log(connection, &lines, pass.mark(self.request.run)).await?;
        Ok(lines)
    }

    /// Writes columns that are wrong, with a line in the drift log, and those that have to follow
    /// the packs, without one. The table may be somebody else's, who locks its rows as he likes
    /// and has rules of his own for them.
    async fn mend_columns(
        &self,
        connection: &mut Connection,
        target: &Target,
        orgs: &[Uuid],
        counters: &[CounterDrift],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut batches = Batches::of(orgs.to_vec());
        while let Some(batch) = batches.next() {
            let ids = &batch.ids;
            let done = self.mend_columns_once(connection, target, ids, counters, pass).await;
            if let Err(error) = done {
                self.tell(|report| report.conflicts += usize::from(is_conflict(&error)));
                let stuck = batches.failed(batch, error).await?;
                self.set_aside(connection, stuck, pass).await?;
            }
        }
        Ok(())
    }

    async fn mend_columns_once(
        &self,
        connection: &mut Connection,
        target: &Target,
        orgs: &[Uuid],
        counters: &[CounterDrift],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut transaction = apply::begin(connection).await?;
        let cells = target.read(&mut transaction, orgs, Which::Synced, pass.now).await?;
        let (mut changes, mut damaged) = (Vec::new(), HashMap::new());
        for cell in &cells {
            let due = due(target, cell)?;
            if moves_there_anyway(target, cell, counters) {
                continue;
            }
            if due.is_damaged {
                damaged.insert(cell.key, mended(target, cell, due.value)?);
            }
            changes.extend(change(target, cell, &due));
        }
        let moved = target.write(&mut transaction, &changes).await?;
        let lines: Vec<Mended> = moved.iter().filter_map(|key| damaged.remove(key)).collect();
        log::log(&mut transaction, &lines, pass.mark(self.request.run)).await?;
        transaction.commit().await?;
        self.tell(|report| {
            report.columns_written += moved.len() as u64;
            report.drift(lines);
        });
        Ok(())
    }
}

/// The column differs from its counter, but holds already what the counter is mended to.
fn moves_there_anyway(target: &Target, cell: &Cell, counters: &[CounterDrift]) -> bool {
    use crate::billing::derived::{Copied, Scope};
    let user = (target.scope == Scope::User).then_some(cell.key);
    target.copied == Copied::Used
        && counters.iter().any(|drift| {
            drift.org == cell.org
                && drift.user == user
                && *drift.feature == target.feature
                && drift.period_start == cell.period_start
                && cell.held == Some(drift.after)
        })
}

/// A counter's line in the drift log.
fn line(drift: &CounterDrift) -> Result<Mended, StoreError> {
    Ok(Mended {
        org: drift.org,
        slug: drift.org.to_string(),
        subject: drift.user.unwrap_or(drift.org),
        feature: drift.feature.to_string(),
        period_start: drift.period_start,
        place: drift.place().to_owned(),
        before: drift.before,
        after: drift.after,
        difference: difference(drift.before, drift.after)?,
        reason: drift.reason(),
    })
}

/// A column's line in the drift log.
fn mended(target: &Target, cell: &Cell, after: Quantity) -> Result<Mended, StoreError> {
    use crate::billing::derived::Copied;
    let is_purchased = target.copied == Copied::PurchasedRemaining;
    Ok(Mended {
        org: cell.org,
        slug: cell.org.to_string(),
        subject: cell.key,
        feature: target.feature.clone(),
        period_start: cell.period_start,
        place: target.name.clone(),
        before: cell.held,
        after,
        difference: difference(cell.held, after)?,
        reason: if is_purchased { PURCHASED } else { COLUMN },
    })
}

fn difference(before: Option<Quantity>, after: Quantity) -> Result<Quantity, StoreError> {
    let difference = after.minus(before.unwrap_or_default());
    difference.map_err(|overflow| StoreError::Unprocessable(overflow.to_string()))
}
