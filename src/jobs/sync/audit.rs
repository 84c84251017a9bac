//! The audit: a sweep that only reads, a guard that may refuse, and then the mending.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::derived::{ORGS_PER_PAGE, change, due};
use super::report::LeftOut;
use super::sold::SoldCell;
use super::{Error, Job, Pass, Scope};
use crate::billing::drift::{self, CounterDrift, HeldMetrics, Loss, Seen};
use crate::billing::{Instant, Quantity};
use crate::store::audit::derived::{Cell, Target, Which};
use crate::store::audit::drift::{self as log, Mended};
use crate::store::audit::{self, Swept};
use crate::store::rollover::snapshot::Features;
use crate::store::rollover::unsettled::{self, Unsettled};
use crate::store::usage::pending::{self, CounterKey};
use crate::store::{
    Connection, LockTimeout, StoreError,
    audit::plan_limits,
    begin_within,
    rollover::{claim, snapshot},
    server_now,
};

/// Why a column was mended.
const COLUMN: &str = "the column differed from its counter";
const PURCHASED: &str = "the column was lower than what periodd had written to it";

/// What a sweep found.
#[derive(Default)]
struct Findings {
    seen: Seen,
    counters: Vec<CounterDrift>,
    /// Orgs with a column that is wrong or has to follow the packs, by the target's place.
    columns: Vec<BTreeSet<Uuid>>,
    /// Orgs whose users' rows show another limit than holds. That is no drift: limits move.
    limits: BTreeSet<Uuid>,
    /// Counters of closed periods with usage that is in no book. That is no drift: it came late.
    unsettled: Vec<Unsettled>,
    to_change: HashSet<Uuid>,
    holds_usage: bool,
}

impl Findings {
    /// Has nothing mended of these orgs.
    fn leave_out(&mut self, orgs: &BTreeSet<Uuid>) {
        self.counters.retain(|drift| !orgs.contains(&drift.org));
        self.to_change.retain(|org| !orgs.contains(org));
        for columns in &mut self.columns {
            columns.retain(|org| !orgs.contains(org));
        }
    }
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
        let mut reading = begin_within(connection, LockTimeout::Long).await?;
        let page = audit::orgs(&mut reading, self.after, limit).await?;
        reading.commit().await?;
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
        let columns = vec![BTreeSet::new(); self.request.columns.targets.len()];
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
        let losing = findings.seen.orgs_with_losses();
        if !self.request.force {
            findings.leave_out(&losing);
        }
        findings.seen.orgs_to_change = findings.to_change.len() as u64;
        findings.seen.all_metrics_gone =
            findings.holds_usage && !audit::any_metric(&mut connection).await?;
        let verdict = drift::judge(&findings.seen, self.request.max_fix_ratio);
        if self.request.check {
            if let Err(refusal) = verdict {
                self.tell(|report| report.refusal = Some(refusal.to_string()));
            }
            let losses = std::mem::take(&mut findings.seen.losses);
            return Ok(self.report_losses(&mut connection, losses).await?);
        }
        if let (Err(refusal), false) = (verdict, self.request.force) {
            self.forget_notes(&mut connection).await;
            return Err(Error::Refused(refusal));
        }
        let losses = std::mem::take(&mut findings.seen.losses);
        self.report_losses(&mut connection, losses).await?;
        self.mend(&mut connection, findings, pass).await?;
        if self.stopped() {
            return Ok(());
        }
        if self.notes() {
            audit::remember(&mut connection, self.audit).await?;
        } else if self.request.force {
            // These orgs' losses were meant: the next audit compares with what there is now.
            for org in losing {
                audit::forget_org(&mut connection, org).await?;
            }
        }
        Ok(())
    }

    /// Reports the orgs that lost metrics, each once: they are left out, unless that was forced.
    async fn report_losses(
        &self,
        connection: &mut Connection,
        losses: Vec<Loss>,
    ) -> Result<(), StoreError> {
        if self.request.force || losses.is_empty() {
            return Ok(());
        }
        let orgs: Vec<Uuid> = losses.iter().map(|loss| loss.org).collect();
        let slugs = snapshot::slugs(connection, &orgs).await?;
        for Loss { org, period_start, then, now } in losses {
            let slug = slugs.get(&org).cloned().unwrap_or_else(|| org.to_string());
            self.tell(|report| {
                report.left_out.push(LeftOut { org: slug, period_start, then, now });
            });
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
            let mut batches = self.batches(page);
            while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
                let (ids, wait) = (&batch.ids, batch.wait);
                let swept = self
                    .sweep_page(&mut connection, ids, wait, &mut features, findings, pass)
                    .await;
                if batches.outcome(&mut connection, batch, swept).await?.is_some() {
                    self.tell(|_| ());
                }
            }
            self.set_aside(&mut connection, batches, pass).await?;
        }
    }

    async fn sweep_page(
        &self,
        connection: &mut Connection,
        ids: &[Uuid],
        wait: LockTimeout,
        features: &mut Features,
        findings: &Mutex<Findings>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
            return Ok(());
        };
        let range = (*first, *last);
        let mut transaction = audit::begin(connection, wait).await?;
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
        for (place, target) in self.request.columns.targets.iter().enumerate() {
            let at = if target.is_swept() { &swept.columns } else { ids };
            if at.is_empty() {
                continue;
            }
            let cells = target.read(&mut transaction, at, Which::Synced, pass.now).await?;
            for cell in &cells {
                let due = due(target, cell)?;
                if due.without_pack.is_positive() {
                    sold.push(SoldCell::new(target, cell, due.without_pack));
                }
                if due.is_damaged && !moves_there_anyway(target, cell, &swept.drift) {
                    wrong.push((place, mended(target, cell, due.value)?));
                } else if change(target, cell, &due).is_some() {
                    following.push((place, cell.org));
                }
            }
        }
        let limits = plan_limits::outdated(&mut transaction, ids).await?;
        let closed_after = self.closed_after(pass)?;
        let unsettled = unsettled::find(&mut transaction, ids, closed_after).await?;
        // Nothing but the notes, which do not count until the audit is through.
        if self.notes() {
            // Who lost metrics is compared with what there was, until somebody says that it is
            // right so.
            let losing: BTreeSet<Uuid> = losses.iter().map(|loss| loss.org).collect();
            let is_losing = |held: &&HeldMetrics| !self.request.force && losing.contains(&held.org);
            let now = swept.held.iter().filter(|held| !is_losing(held));
            let held: Vec<HeldMetrics> =
                now.chain(then.iter().filter(is_losing)).copied().collect();
            audit::note(&mut transaction, self.audit, range, &held).await?;
        }
        transaction.commit().await?;
        self.report_sold(connection, &sold, pass).await?;
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
        findings.seen.orgs += ids.len() as u64;
        findings.seen.losses.extend(losses);
        findings.to_change.extend(swept.drift.iter().map(|drift| drift.org));
        findings.to_change.extend(wrong.iter().map(|(_, line)| line.org));
        findings.counters.extend(swept.drift);
        findings.limits.extend(limits);
        findings.unsettled.extend(unsettled);
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
        audit::sweep(connection, range, suspects, self.closed_after(pass)?, features).await
    }

    /// Periods that closed after this are within their grace.
    fn closed_after(&self, pass: Pass) -> Result<Instant, StoreError> {
        let grace = pass.now.plus(-self.request.rules.grace);
        grace.map_err(|error| StoreError::Unprocessable(error.to_string()))
    }

    /// Mends what was found, each value only where it still is what was read. Columns come first:
    /// those of counters that are mended then move with them.
    async fn mend(
        &self,
        connection: &mut Connection,
        findings: Findings,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let Findings { counters, columns, limits, unsettled, .. } = findings;
        let limits: Vec<Uuid> = limits.into_iter().collect();
        for page in limits.chunks(ORGS_PER_PAGE).take_while(|_| !self.stopped()) {
            self.write_limits(connection, page, pass).await?;
        }
        for (target, orgs) in self.request.columns.targets.iter().zip(columns) {
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
                Err(error) if error.is_contention() || error.may_concern_one_row() => {
                    moving.extend(page.iter().map(|drift| drift.org));
                }
                Err(other) => return Err(other),
            }
            orgs.extend(page.iter().map(|drift| drift.org));
        }
        self.mend_locked(connection, moving, pass).await?;
        let late: BTreeSet<Uuid> = unsettled.iter().map(|one| one.org).collect();
        let late: Vec<Uuid> = late.into_iter().collect();
        for page in late.chunks(ORGS_PER_PAGE).take_while(|_| !self.stopped()) {
            self.mark(connection, page, &unsettled, pass).await?;
        }
        orgs.extend(late);
        let orgs: Vec<Uuid> = orgs.into_iter().collect();
        let again = self.settle(connection, Some(&orgs), pass).await?;
        self.once_more(connection, again, pass).await
    }

    /// Has the usage settled that came beside the close of its period.
    async fn mark(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        unsettled: &[Unsettled],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut batches = self.batches(orgs.to_vec());
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let ids: HashSet<Uuid> = batch.ids.iter().copied().collect();
            let of_batch: Vec<&Unsettled> =
                unsettled.iter().filter(|one| ids.contains(&one.org)).collect();
            let marked = mark_once(connection, &of_batch, batch.wait).await;
            batches.outcome(connection, batch, marked).await?;
        }
        self.set_aside(connection, batches, pass).await
    }

    /// Has users' rows show the limits that hold.
    async fn write_limits(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut batches = self.batches(orgs.to_vec());
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let written = write_limits_once(connection, &batch.ids, batch.wait).await;
            if let Some(written) = batches.outcome(connection, batch, written).await? {
                self.tell(|report| report.columns_written += written);
            }
        }
        self.set_aside(connection, batches, pass).await
    }

    /// Mends counters that still hold what was read, and returns those.
    async fn mend_counters(
        &self,
        connection: &mut Connection,
        drift: &[CounterDrift],
        pass: Pass,
    ) -> Result<Vec<CounterDrift>, StoreError> {
        let mut transaction = begin_within(connection, self.wait()).await?;
        let real = server_now(&mut transaction).await?;
        let done = audit::mend(&mut transaction, drift, real).await?;
        let lines = self.log(&mut transaction, &done, pass).await?;
        transaction.commit().await?;
        self.tell(|report| report.drift(lines));
        Ok(done)
    }

    /// Mends orgs whose counters moved meanwhile, or lack a row, one by one: while they are locked,
    /// and the sums are taken after that.
    async fn mend_locked(
        &self,
        connection: &mut Connection,
        orgs: BTreeSet<Uuid>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let orgs: Vec<Uuid> = orgs.into_iter().collect();
        for page in orgs.chunks(ORGS_PER_PAGE) {
            let mut batches = self.batches(page.to_vec()).one_by_one();
            while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
                let mut done = Ok(());
                for org in &batch.ids {
                    done = self.mend_locked_once(connection, *org, batch.wait, pass).await;
                }
                batches.outcome(connection, batch, done).await?;
            }
            self.set_aside(connection, batches, pass).await?;
        }
        Ok(())
    }

    async fn mend_locked_once(
        &self,
        connection: &mut Connection,
        org: Uuid,
        wait: LockTimeout,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
        claim::lock(&mut transaction, org).await?;
        audit::lock_counters(&mut transaction, org).await?;
        let mut features = Features::default();
        let swept = self.counters(&mut transaction, (org, org), None, &mut features, pass).await?;
        let real = server_now(&mut transaction).await?;
        let mut done = audit::mend(&mut transaction, &swept.drift, real).await?;
        done.extend(audit::insert_missing(&mut transaction, &swept.drift, real).await?);
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
        let mut batches = self.batches(orgs.to_vec());
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let (ids, wait) = (&batch.ids, batch.wait);
            let done = self.mend_columns_once(connection, target, ids, wait, counters, pass).await;
            batches.outcome(connection, batch, done).await?;
        }
        self.set_aside(connection, batches, pass).await
    }

    async fn mend_columns_once(
        &self,
        connection: &mut Connection,
        target: &Target,
        orgs: &[Uuid],
        wait: LockTimeout,
        counters: &[CounterDrift],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
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

async fn mark_once(
    connection: &mut Connection,
    unsettled: &[&Unsettled],
    wait: LockTimeout,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let counters: Vec<CounterKey<'_>> = unsettled.iter().map(|one| one.counter()).collect();
    pending::set_orgs_pending(&mut transaction, &counters).await?;
    Ok(transaction.commit().await?)
}

async fn write_limits_once(
    connection: &mut Connection,
    orgs: &[Uuid],
    wait: LockTimeout,
) -> Result<u64, StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let written = plan_limits::write(&mut transaction, orgs).await?;
    transaction.commit().await?;
    Ok(written)
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
