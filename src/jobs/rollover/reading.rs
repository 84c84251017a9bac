//! Reading a page: what the plans of its orgs depend on, sorted by org.
//!
//! How much that is differs from org to org: a page is as many orgs as its rows have room for, see
//! [`Room`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::billing::org::Subscription;
use crate::billing::quantity::Overflow;
use crate::billing::quota::{Draw, Feature, Included, Kept, Pack};
use crate::billing::rollover::{self, Cut, KeptLimit, OrgSnapshot, Plan, TierLimits, Usage};
use crate::billing::timeline::{Recount, Timeline};
use crate::billing::{Instant, Period, Quantity};
use crate::jobs::batches::ROWS_PER_PAGE;
use crate::store::rollover::snapshot::{
    self, Counter, Features, OrgRow, OrgUsage, TierFaults, Window,
};
use crate::store::{Connection, StoreError};

/// How many rows a page may be read for. A limit of each statement, so that what is too much is not
/// read at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(Option<usize>);

impl Room {
    /// Everything has to be read, whatever it is.
    pub(super) const ALL: Self = Self(None);

    /// The room of a page; a single org is read whatever it has.
    pub(super) fn of_page(orgs: usize) -> Self {
        Self((orgs > 1).then_some(ROWS_PER_PAGE))
    }

    /// Takes room for rows; false where there is not enough.
    fn take(&mut self, rows: usize) -> bool {
        match self.0.map(|room| room.checked_sub(rows)) {
            None => true,
            Some(left) => {
                self.0 = Some(left.unwrap_or_default());
                left.is_some()
            }
        }
    }

    /// As many rows as tell that there are too many.
    fn limit(self) -> Option<i64> {
        self.0.map(|room| i64::try_from(room).unwrap_or(i64::MAX).saturating_add(1))
    }
}

/// Reads what the plans of a page depend on.
pub(super) struct Reader<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) features: &'a mut Features,
    pub(super) now: Instant,
    /// Read packs that nobody has entered in the ledger yet as if they had been.
    pub(super) foresee_packs: bool,
    /// What is left of it while a page is read.
    pub(super) room: Room,
}

/// What was read for a page, to be taken out org by org.
#[derive(Default)]
pub(super) struct Facts {
    limits: Arc<TierLimits>,
    levels: Arc<HashSet<Feature>>,
    tier_faults: TierFaults,
    by_org: HashMap<Uuid, OrgFacts>,
    /// How many rows that took.
    pub(super) rows: usize,
}

/// What was read for one org.
#[derive(Default)]
struct OrgFacts {
    /// The windows in which metrics are counted.
    counting: Vec<Window>,
    /// What is to be counted in them.
    counted: Vec<OrgUsage>,
    /// What of that some counter holds already, where a counter is split.
    counted_before: Vec<Usage>,
    counters: Vec<Usage>,
    kept: Vec<KeptLimit>,
    /// The bounds that they were kept by.
    bounds: Vec<Period>,
    draws: Vec<Draw>,
    packs: Vec<Pack>,
    overrides: Vec<(Feature, Included)>,
    used_before: HashMap<Cut, Quantity>,
}

/// A snapshot ready to be planned, with what its plan will count.
pub(super) struct PlanBuilder {
    pub(super) snapshot: OrgSnapshot,
    pub(super) counting: Vec<Window>,
    pub(super) counted: Vec<OrgUsage>,
}

impl Reader<'_> {
    /// Reads a page; `None` where it is more than there is room for.
    pub(super) async fn read(
        &mut self,
        drafts: &[(OrgRow, Timeline)],
    ) -> Result<Option<Facts>, StoreError> {
        let mut facts = Facts::default();
        if drafts.is_empty() {
            return Ok(Some(facts));
        }
        let (limits, tier_faults) = snapshot::tier_limits(self.connection).await?;
        (facts.limits, facts.tier_faults) = (Arc::new(limits), tier_faults);
        facts.levels = Arc::new(snapshot::levels(self.connection).await?);
        // Before the counters: a metric that is counted in between is then seen twice, which the
        // apply notices, and never missed.
        if !self.uncounted(drafts, &mut facts).await? {
            return Ok(None);
        }
        let counters = self.counters(drafts).await?;
        if !self.has_room(&mut facts, counters.len()) {
            return Ok(None);
        }
        for counter in counters {
            let org = facts.by_org.entry(counter.org).or_default();
            let Usage { period_start: start, .. } = counter.usage;
            let period = Period { start, end: counter.period_end };
            if org.bounds.last() != Some(&period) {
                org.bounds.push(period);
            }
            if counter.kept != Kept::default() {
                let feature = counter.usage.feature.clone();
                org.kept.push(KeptLimit { feature, period_start: start, kept: counter.kept });
            }
            org.counters.push(counter.usage);
        }
        if !self.packs(drafts, &mut facts).await? {
            return Ok(None);
        }
        let limit = self.room.limit();
        let rows = snapshot::overrides(self.connection, &ids(drafts), limit, self.features).await?;
        if !self.has_room(&mut facts, rows.len()) {
            return Ok(None);
        }
        let rows = rows.into_iter().map(|(org, feature, included)| (org, (feature, included)));
        facts.add(rows, |org, row| org.overrides.push(row));
        Ok(Some(facts))
    }

    /// Notes rows that were read; false where there is no room for them.
    fn has_room(&mut self, facts: &mut Facts, rows: usize) -> bool {
        facts.rows += rows;
        self.room.take(rows)
    }

    async fn counters(
        &mut self,
        drafts: &[(OrgRow, Timeline)],
    ) -> Result<Vec<Counter>, StoreError> {
        // An org's start can only have been moved before its first close. Counters from before are
        // of interest then: they may reach into the open period.
        let since = |(row, timeline): &(OrgRow, Timeline)| match row.state.last_closed_end {
            Some(_) => (row.state.id, timeline.start()),
            None => (row.state.id, Instant::MIN),
        };
        let since: Vec<(Uuid, Instant)> = drafts.iter().map(since).collect();
        snapshot::counters(self.connection, &since, self.room.limit(), self.features).await
    }

    /// Has everything counted again where counters were kept by other bounds than those that hold
    /// now. False where there is no room for the counters.
    pub(super) async fn mind_moved_bounds(
        &mut self,
        drafts: &mut [(OrgRow, Timeline)],
    ) -> Result<bool, StoreError> {
        let counters = self.counters(drafts).await?;
        if self.room.0.is_some_and(|room| counters.len() > room) {
            return Ok(false);
        }
        let mut bounds: HashMap<Uuid, Vec<Period>> = HashMap::new();
        for counter in counters {
            let Usage { period_start: start, .. } = counter.usage;
            let period = Period { start, end: counter.period_end };
            bounds.entry(counter.org).or_default().push(period);
        }
        for (row, timeline) in drafts {
            let bounds = bounds.get(&row.state.id).map_or([].as_slice(), Vec::as_slice);
            if bounds.iter().any(|period| timeline.disagrees_with(*period)) {
                timeline.recount_all();
            }
        }
        Ok(true)
    }

    /// What this rollover counts: metrics that never were counted; and, where the boundaries by
    /// which they were counted no longer hold, metrics that are counted again. False where that is
    /// more than there is room for.
    async fn uncounted(
        &mut self,
        drafts: &[(OrgRow, Timeline)],
        facts: &mut Facts,
    ) -> Result<bool, StoreError> {
        let waiting = snapshot::orgs_with_uncounted(self.connection, &ids(drafts)).await?;
        let (mut fresh, mut again, mut split) = (Vec::new(), Vec::new(), Vec::new());
        for (row, timeline) in drafts {
            let org = row.state.id;
            for period in timeline.windows() {
                let window = Window { org, period };
                match timeline.recount {
                    Some(recount) if period.start >= recount.from => {
                        again.push(window);
                        if recount.splits_a_counter && period.start == recount.from {
                            split.push(window);
                        }
                    }
                    _ if waiting.contains(&org) => fresh.push(window),
                    _ => {}
                }
            }
        }
        let limit = self.room.limit();
        let Self { connection, features, .. } = self;
        if !fresh.is_empty() {
            let sums = snapshot::uncounted_sums(connection, &fresh, limit, features).await?;
            if !self.has_room(facts, sums.len()) {
                return Ok(false);
            }
            facts.add_counted(sums);
        }
        // These orgs are read alone.
        let Self { connection, features, .. } = self;
        if !again.is_empty() {
            facts.add_counted(snapshot::metric_sums(connection, &again, false, features).await?);
        }
        if !split.is_empty() {
            let sums = snapshot::metric_sums(connection, &split, true, features).await?;
            facts.add(sums, |org, usage| org.counted_before.push(usage));
        }
        let windows = fresh.into_iter().chain(again).map(|window| (window.org, window));
        facts.add(windows, |org, window| org.counting.push(window));
        Ok(true)
    }

    /// Reads packs and what was drawn from them; false where there is no room for them.
    async fn packs(
        &mut self,
        drafts: &[(OrgRow, Timeline)],
        facts: &mut Facts,
    ) -> Result<bool, StoreError> {
        let open_of =
            |(row, _): &(OrgRow, Timeline)| Some((row.state.id, row.state.period?.period.start));
        let have_drawn = drafts.iter().filter(|(row, _)| row.has_draws);
        let open_periods: Vec<(Uuid, Instant)> = have_drawn.filter_map(open_of).collect();
        let limit = self.room.limit();
        let (read, draws) = snapshot::draws(self.connection, &open_periods, limit).await?;
        if !self.has_room(facts, read) {
            return Ok(false);
        }
        let paid_already: BTreeSet<(Uuid, Uuid)> =
            draws.iter().map(|(org, draw)| (*org, draw.pack)).collect();
        facts.add(draws, |org, draw| org.draws.push(draw));
        let orgs = ids(drafts);
        let limit = self.room.limit();
        let Self { connection, features, now, foresee_packs, .. } = self;
        let mut packs = snapshot::packs(connection, &orgs, &paid_already, limit, features).await?;
        if *foresee_packs {
            packs.extend(snapshot::packs_without_entry(connection, &orgs, limit, features).await?);
        }
        let now = *now;
        if !self.has_room(facts, packs.len()) {
            return Ok(false);
        }
        let timelines: HashMap<Uuid, &Timeline> =
            drafts.iter().map(|(row, timeline)| (row.state.id, timeline)).collect();
        let cut = |org: &Uuid, pack| rollover::cut(timelines.get(org)?, pack, now);
        let cuts: Vec<(Uuid, Cut)> =
            packs.iter().filter_map(|(org, pack)| Some((*org, cut(org, pack)?))).collect();
        facts.add(packs, |org, pack| org.packs.push(pack));
        if !cuts.is_empty() {
            let answers = snapshot::used_before(self.connection, &cuts).await?;
            let answers = answers.into_iter().map(|(org, cut, used)| (org, (cut, used)));
            facts.add(answers, |org, (cut, used)| {
                org.used_before.insert(cut, used);
            });
        }
        Ok(true)
    }
}

fn ids(drafts: &[(OrgRow, Timeline)]) -> Vec<Uuid> {
    drafts.iter().map(|(row, _)| row.state.id).collect()
}

impl Facts {
    fn add<T>(
        &mut self,
        rows: impl IntoIterator<Item = (Uuid, T)>,
        put: impl Fn(&mut OrgFacts, T),
    ) {
        for (org, row) in rows {
            put(self.by_org.entry(org).or_default(), row);
        }
    }

    /// Were some of an org's counters kept by other bounds than those that hold now?
    pub(super) fn has_moved_bounds(&self, row: &OrgRow, timeline: &Timeline) -> bool {
        let bounds = self.by_org.get(&row.state.id).map_or([].as_slice(), |org| &org.bounds);
        bounds.iter().any(|period| timeline.disagrees_with(*period))
    }

    fn add_counted(&mut self, sums: Vec<OrgUsage>) {
        let sums = sums.into_iter().map(|sum| (sum.0, sum));
        self.add(sums, |org, sum| org.counted.push(sum));
    }

    /// What cannot be read of the tiers that an org is on or may come to: it has to wait.
    pub(super) fn tier_fault(&self, subscription: &Subscription, ended_tier: &str) -> Option<&str> {
        let tiers =
            [Some(subscription.tier.as_str()), subscription.next_tier.as_deref(), Some(ended_tier)];
        let fault = tiers.into_iter().flatten().find_map(|tier| self.tier_faults.get(tier));
        fault.map(String::as_str)
    }

    /// The tier that a plan leads to, where there is no such tier.
    pub(super) fn unknown_tier<'p>(&self, plan: &'p Plan) -> Option<&'p str> {
        let tier = plan.subscription.as_ref()?.after.tier.as_str();
        (!self.limits.contains_key(tier)).then_some(tier)
    }

    /// Takes out what was read for one org.
    ///
    /// # Errors
    /// [`StoreError::Unprocessable`] when usage adds up to more than a quantity can hold.
    pub(super) fn draft(
        &mut self,
        row: OrgRow,
        timeline: Timeline,
        ended_tier: Arc<str>,
    ) -> Result<PlanBuilder, StoreError> {
        let mut facts = self.by_org.remove(&row.state.id).unwrap_or_default();
        let usage = facts
            .usage(timeline.recount)
            .map_err(|overflow| StoreError::Unprocessable(overflow.to_string()))?;
        // What counters keep that go is given back to the periods that begin where theirs began.
        let windows = timeline.windows();
        let stays = |limit: &KeptLimit| {
            timeline.recount.is_none_or(|recount| limit.period_start < recount.from)
                || windows.iter().any(|window| window.start == limit.period_start)
        };
        facts.kept.retain(stays);
        let snapshot = OrgSnapshot {
            org: row.state,
            timeline,
            usage,
            kept: facts.kept,
            used_before: facts.used_before,
            packs: facts.packs,
            draws: facts.draws,
            limits: self.limits.clone(),
            levels: self.levels.clone(),
            overrides: facts.overrides,
            ended_tier,
        };
        Ok(PlanBuilder { snapshot, counting: facts.counting, counted: facts.counted })
    }
}

impl OrgFacts {
    /// Usage per feature and period, once everything is counted: what counters hold, but for
    /// those that go, and what is counted now.
    fn usage(&self, recount: Option<Recount>) -> Result<Vec<Usage>, Overflow> {
        let stays = |usage: &&Usage| recount.is_none_or(|r| usage.period_start < r.from);
        let mut usage: Vec<Usage> = self.counters.iter().filter(stays).cloned().collect();
        for moved in &self.counted_before {
            let split = usage.iter_mut().filter(|counter| counter.feature == moved.feature);
            if let Some(counter) = split.max_by_key(|counter| counter.period_start) {
                counter.used = counter.used.minus(moved.used)?;
            }
        }
        for (_, counted) in &self.counted {
            let same = |usage: &&mut Usage| {
                usage.feature == counted.feature && usage.period_start == counted.period_start
            };
            match usage.iter_mut().find(same) {
                Some(counter) => counter.used = counter.used.plus(counted.used)?,
                None => usage.push(counted.clone()),
            }
        }
        Ok(usage)
    }
}
