//! Late usage: what a closed period's counter holds beyond what was closed and adjusted.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Job, Pass};
use crate::billing::late::{self, Adjustment};
use crate::billing::quota::{Draw, Pack};
use crate::billing::{Instant, Quantity};
use crate::store::audit::adjust::{self, LateCounter};
use crate::store::rollover::snapshot::{self, Features, Window};
use crate::store::usage::pending::{self, Pending};
use crate::store::{Connection, LockTimeout, StoreError, begin_within, server_now};

impl Job<'_> {
    /// Decides the late usage of one org, in a transaction of its own. It is looked at `again`
    /// where packs moved, or usage was charged to its open period.
    pub(super) async fn late(
        &self,
        connection: &mut Connection,
        org: Uuid,
        pass: Pass,
        again: &mut Vec<Uuid>,
    ) -> Result<(), StoreError> {
        let mut batches = self.batches(vec![org]);
        while let Some(batch) = batches.next() {
            let decided = self.late_once(connection, org, batch.wait, pass).await;
            let Some(decided) = batches.outcome(connection, batch, decided).await? else {
                continue;
            };
            let moves_on = |adjustment: &Adjustment| {
                adjustment.in_open_period || !adjustment.entries.is_empty()
            };
            if decided.iter().any(|(_, adjustment)| moves_on(adjustment)) {
                again.push(org);
            }
            self.tell(|report| {
                for (late, adjustment) in &decided {
                    let start = late.closed.period.start;
                    report.late(&late.slug, &late.feature, start, adjustment);
                }
            });
        }
        self.set_aside(connection, batches, pass).await
    }

    async fn late_once(
        &self,
        connection: &mut Connection,
        org: Uuid,
        wait: LockTimeout,
        pass: Pass,
    ) -> Result<Vec<(LateCounter, Adjustment)>, StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
        // The org's row first: no rollover settles its packs meanwhile.
        adjust::begin(&mut transaction, org).await?;
        let counters = pending::counters(&mut transaction, &[org], pass.now).await?;
        let of_orgs: Vec<&Pending> =
            counters.iter().filter(|counter| counter.user.is_none()).collect();
        let closed = pending::closed(&mut transaction, &of_orgs).await?;
        let closed: Vec<&Pending> =
            closed.into_iter().filter_map(|at| of_orgs.get(at)).copied().collect();
        let late = adjust::closed(&mut transaction, &closed).await?;
        let late = believed(&mut transaction, late).await?;
        let Paying { mut packs, draws } = paying(&mut transaction, org, &late).await?;
        let mut decided = Vec::new();
        for late in late {
            let start = late.closed.period.start;
            let draws = draws.get(&start).cloned().unwrap_or_default();
            let of_feature: Vec<Pack> =
                packs.iter().filter(|pack| pack.feature == late.feature).cloned().collect();
            let rules = self.request.rules;
            let adjustment = late::decide(&late.closed, &of_feature, draws, rules, pass.now);
            let adjustment =
                adjustment.map_err(|undecided| StoreError::Unprocessable(undecided.to_string()))?;
            let Some(adjustment) = adjustment else { continue };
            adjust::write(&mut transaction, &late, &adjustment, pass.now).await?;
            // The next period of the same feature finds the packs as this one leaves them.
            for entry in &adjustment.entries {
                if let Some(pack) = packs.iter_mut().find(|pack| pack.id == entry.pack) {
                    (pack.remaining, pack.entries) = (entry.remaining, entry.seq);
                }
            }
            decided.push((late, adjustment));
        }
        let is_decided = |counter: &&&Pending| {
            decided.iter().any(|(late, _)| {
                *late.feature == counter.feature
                    && late.closed.period.start == counter.period_start
                    && late.counter == counter.used
            })
        };
        let settled: Vec<&Pending> = closed.iter().filter(is_decided).copied().collect();
        let real = server_now(&mut transaction).await?;
        pending::set_orgs_synced(&mut transaction, &settled, real).await?;
        transaction.commit().await?;
        Ok(decided)
    }
}

/// Those counters that are the sum of their metrics. One that is not has drifted: an audit mends
/// it first, and what is late after that is decided then.
async fn believed(
    connection: &mut Connection,
    late: Vec<LateCounter>,
) -> Result<Vec<LateCounter>, StoreError> {
    let window = |late: &LateCounter| Window { org: late.org, period: late.closed.period };
    let mut windows: Vec<Window> = late.iter().map(window).collect();
    windows.dedup();
    let mut features = Features::default();
    let sums = snapshot::metric_sums(connection, &windows, true, &mut features).await?;
    let sum = |late: &LateCounter| -> Quantity {
        let same = |usage: &&snapshot::OrgUsage| {
            usage.1.period_start == late.closed.period.start && usage.1.feature == late.feature
        };
        sums.iter().find(same).map(|usage| usage.1.used).unwrap_or_default()
    };
    let is_sound = |late: &LateCounter| !late.has_its_metrics || sum(late) == late.closed.counted;
    Ok(late.into_iter().filter(is_sound).collect())
}

/// The packs that may pay, and what closed periods have drawn, by their start.
struct Paying {
    packs: Vec<Pack>,
    draws: HashMap<Instant, Vec<Draw>>,
}

async fn paying(
    connection: &mut Connection,
    org: Uuid,
    late: &[LateCounter],
) -> Result<Paying, StoreError> {
    let mut starts: Vec<Instant> = late.iter().map(|late| late.closed.period.start).collect();
    starts.dedup();
    let mut draws = HashMap::new();
    let mut besides = BTreeSet::new();
    for start in starts {
        let (_, drawn) = snapshot::draws(connection, &[(org, start)], None).await?;
        besides.extend(drawn.iter().map(|(org, draw)| (*org, draw.pack)));
        draws.insert(start, drawn.into_iter().map(|(_, draw)| draw).collect());
    }
    let mut features = Features::default();
    let packs = snapshot::packs(connection, &[org], &besides, None, &mut features).await?;
    Ok(Paying { packs: packs.into_iter().map(|(_, pack)| pack).collect(), draws })
}
