//! The rollover: what closing the ended periods of one org does, as a value.
//!
//! [`plan`] takes everything that is known about an org and returns a [`Plan`] that leaves
//! nothing to decide. Applying it is the store's work; printing it is a dry run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::derived::PurchasedColumn;
use super::instant::{Instant, LocalDate};
use super::org::{OrgState, Reason, StoredPeriod, Subscription, SubscriptionChange};
use super::period::{Anchor, Period};
use super::quantity::Quantity;
use super::quota::level::Carried;
use super::quota::{self, Account, Draw, Entry, Feature, Included, Kept, Moment, Pack};
use super::timeline::{OpenPeriod, Timeline};

/// The feature whose counter and packs `organizations.used_minutes` and `.overage_minutes` show.
pub const MINUTES: &str = "minutes_transcribed";

/// What every tier includes, by tier and feature. Small, and the same for all orgs.
pub type TierLimits = HashMap<String, HashMap<Feature, Included>>;

/// Usage of one feature in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub feature: Feature,
    /// The period, by its start.
    pub period_start: Instant,
    /// How much, what this rollover counts included.
    pub used: Quantity,
}

/// What the counter of one feature in one period keeps of the limits that held in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLimit {
    pub feature: Feature,
    /// The period, by its start.
    pub period_start: Instant,
    pub kept: Kept,
}

/// A question that a plan needs answered: how much was used before a pack expired?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    pub feature: Feature,
    /// From the start of the period …
    pub from: Instant,
    /// … to the expiry inside it.
    pub until: Instant,
}

/// Everything that is known about an org when its rollover is planned.
#[derive(Clone, Debug)]
pub struct OrgSnapshot {
    pub org: OrgState,
    /// What is due and what comes after.
    pub timeline: Timeline,
    /// Usage per feature and period, from the open period on.
    pub usage: Vec<Usage>,
    /// What its counters keep of limits that have fallen.
    pub kept: Vec<KeptLimit>,
    /// The answers to the questions of [`cut`].
    pub used_before: HashMap<Cut, Quantity>,
    /// Packs that hold something, or were drawn in the open period.
    pub packs: Vec<Pack>,
    /// What the open period has drawn already.
    pub draws: Vec<Draw>,
    pub limits: Arc<TierLimits>,
    /// The features that do not reset.
    pub levels: Arc<HashSet<Feature>>,
    pub overrides: Vec<(Feature, Included)>,
    /// The tier of ended subscriptions.
    pub ended_tier: Arc<str>,
}

impl OrgSnapshot {
    /// What is included of a feature in a period, by what `tier` grants and the period's counter
    /// keeps.
    fn included_in(&self, tier: &str, feature: &str, used: Quantity, period: Period) -> Included {
        let granted = self.included(tier, feature);
        let of_it =
            |limit: &&KeptLimit| limit.period_start == period.start && &*limit.feature == feature;
        match self.kept.iter().find(of_it) {
            Some(limit) => limit.kept.included(granted, used),
            None => granted,
        }
    }

    /// What `tier` includes of a feature for this org.
    pub fn included(&self, tier: &str, feature: &str) -> Included {
        let override_ = self.overrides.iter().find(|(name, _)| &**name == feature);
        override_
            .map(|(_, included)| *included)
            .or_else(|| self.limits.get(tier)?.get(feature).copied())
            .unwrap_or(Included::NONE)
    }

    fn used(&self, feature: &str, period: Period) -> Quantity {
        self.usage
            .iter()
            .find(|usage| usage.period_start == period.start && &*usage.feature == feature)
            .map_or(Quantity::ZERO, |usage| usage.used)
    }

    fn is_level(&self, feature: &str) -> bool {
        self.levels.contains(feature)
    }
}

/// The usage that has to be read before a pack is settled: an expiry that has passed, strictly
/// inside a period that closes or is open. A pack that holds nothing now may be given back to
/// before it expires.
pub fn cut(timeline: &Timeline, pack: &Pack, now: Instant) -> Option<Cut> {
    let until = pack.expires_at.filter(|at| *at <= now)?;
    let mut periods = timeline.due.iter().chain([&timeline.open.period]);
    let period = periods.find(|period| period.start < until && until < period.end)?;
    Some(Cut { feature: pack.feature.clone(), from: period.start, until })
}

/// What a rollover does to one org. Nothing is left to decide.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Plan {
    /// The org.
    pub org: Uuid,
    /// Its name for people.
    pub slug: String,
    /// Its zone, as stored: for showing the plan.
    #[serde(skip)]
    pub time_zone: String,
    /// Applies only while the org stands like this.
    #[serde(skip)]
    pub expected: Expected,
    /// The periods that close, oldest first.
    pub closes: Vec<Close>,
    /// What happens to packs, in order.
    pub entries: Vec<Entry>,
    /// What each pack mentioned in the entries held before.
    #[serde(skip)]
    pub packs_before: Vec<(Uuid, Quantity)>,
    /// The period that is open afterwards.
    pub open: Period,
    /// The nominal date of its end.
    pub open_end_date: LocalDate,
    /// The anchor of the calendar that begins there, where the cycle is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchored: Option<Anchor>,
    /// Does that end come from the org's calendar as it is set now?
    #[serde(skip)]
    pub is_nominal: bool,
    /// The ends after it.
    pub next_ends: Vec<Instant>,
    /// The ends of the local days on which all these end, where the subscription waits for a date.
    #[serde(skip)]
    pub day_ends: Vec<Instant>,
    /// Tier and subscription, when they change.
    #[serde(rename = "standing")]
    pub subscription: Option<SubscriptionChange>,
    /// Usage of the open period, for the derived columns.
    pub derived: Derived,
    /// The end of the open period before newer zone rules moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Instant>,
    /// The levels that the closes carry over, in their order.
    #[serde(skip)]
    pub carried: Vec<Carried>,
    /// From here on usage is counted again, by these boundaries.
    #[serde(skip)]
    pub recount_from: Option<Instant>,
    /// The counters whose uses under way the closes have to wait for: packs could pay for them.
    #[serde(skip)]
    pub holds: Vec<Hold>,
}

/// A counter of a period that closes, of a feature that packs could pay for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub feature: Feature,
    pub period: Period,
}

impl Plan {
    /// Does it need the org for itself, with the org's row and counters locked before anything is
    /// read? It does where usage is counted again, or where packs are settled in the period that
    /// stays open, in which somebody may be using them this very moment.
    pub fn needs_locks(&self) -> bool {
        self.recount_from.is_some()
            || self.moved_from.is_some()
            || self.entries.iter().any(|entry| entry.period_start == self.open.start)
    }
}

/// The state that a plan was made for; the guard of its compare-and-set.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The stored end of the open period.
    pub period_end: Option<Instant>,
    pub revision: i64,
    pub overage_minutes: Quantity,
}

/// A period that closes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Close {
    /// The stretch of time.
    #[serde(flatten)]
    pub period: Period,
    /// The end of the period closed before, which is this one's start; `None` for the first.
    #[serde(skip)]
    pub follows: Option<Instant>,
    /// The tier that granted in it.
    pub tier: String,
    /// How many missed periods it stands for, closed as one with one included quantity.
    #[serde(skip_serializing_if = "is_one")]
    pub merged: usize,
    /// A pause covered all of it: nothing was included, and no pack pays.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
    /// It has not ended: what it included is granted once more by the period that it opens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_early: bool,
    /// One line per feature with usage or a draw.
    pub features: Vec<ClosedUsage>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(merged: &usize) -> bool {
    *merged == 1
}

/// How one feature ends a period.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ClosedUsage {
    /// The feature.
    pub feature: Feature,
    /// It does not reset: what was used is the level at the close, what was included its limit,
    /// with the packs that raised it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_level: bool,
    /// What was used.
    pub used: Quantity,
    /// What was included.
    pub included: Included,
    /// What packs paid.
    pub drawn: Quantity,
    /// What nothing paid.
    pub uncovered: Quantity,
    /// What the packs that could have paid still hold.
    #[serde(skip)]
    pub left_in_packs: Quantity,
}

/// What the derived columns of the org's row show afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Derived {
    /// Minutes used in the open period.
    pub used_minutes: Quantity,
    /// Purchased minutes left, and whatever others had added to the column.
    pub overage_minutes: Quantity,
    /// Purchased minutes left by the packs alone.
    #[serde(skip)]
    pub overage_minutes_written: Quantity,
}

/// Plans the rollover of one org: closes what is due on its timeline, settles the packs that
/// expired by `now`, and opens the next period.
///
/// # Errors
/// The [`Reason`] to park the org for.
pub fn plan(snapshot: &OrgSnapshot, now: Instant) -> Result<Plan, Reason> {
    if let Some(pack) = snapshot.packs.iter().find(|pack| pack.remaining.is_negative()) {
        return Err(Reason::NegativePack(pack.id));
    }
    let OrgSnapshot { org, timeline, .. } = snapshot;
    let mut books = Books::open(snapshot);
    let before = books.purchased_minutes(now)?;
    let mut closes = Vec::with_capacity(timeline.due.len());
    let OpenPeriod { period: open, end } = timeline.open;
    let following = timeline.due.iter().skip(1).chain([&open]);
    let due = timeline.due.iter().zip(&timeline.due_dates).zip(following);
    for ((&period, &date), &next) in due {
        let follows = if closes.is_empty() { org.last_closed_end } else { Some(period.start) };
        closes.push(books.close(period, date, follows)?);
        books.carry_over(period, next)?;
    }
    books.settle_expiries(open, now)?;
    let derived = books.derived(open, before, now)?;
    let subscription = (books.subscription != org.subscription).then(|| SubscriptionChange {
        before: org.subscription.clone(),
        after: books.subscription.clone(),
    });
    let expected = Expected {
        period_end: org.period.map(StoredPeriod::stored_end),
        revision: org.revision,
        overage_minutes: org.overage_minutes,
    };
    Ok(Plan {
        org: org.id,
        slug: org.slug.clone(),
        time_zone: org.time_zone.clone(),
        expected,
        closes,
        packs_before: books.packs_before(),
        entries: books.ledger,
        open,
        open_end_date: end.date,
        anchored: timeline.anchored,
        is_nominal: timeline.is_nominal,
        next_ends: timeline.next_ends.clone(),
        day_ends: timeline.day_ends.clone(),
        subscription,
        derived,
        moved_from: org.period.and_then(|stored| stored.moved_from),
        carried: books.carried,
        recount_from: timeline.recount.map(|recount| recount.from),
        holds: holds(snapshot),
    })
}

/// Every feature with a pack that could pay in a period that closes, and every level. A use that
/// was allowed on such a pack and is under way when the period closes has to be in its books.
fn holds(snapshot: &OrgSnapshot) -> Vec<Hold> {
    let mut holds = Vec::new();
    for &period in &snapshot.timeline.due {
        let pays = |pack: &&Pack| {
            pack.remaining.is_positive()
                && pack.purchased_at < period.end
                && pack.expires_at.is_none_or(|expires_at| expires_at > period.start)
        };
        // What is used of a level at the very end has to be carried over, too.
        let levels = snapshot.usage.iter().map(|usage| &usage.feature);
        let levels = levels.filter(|feature| snapshot.is_level(feature));
        let bought = snapshot.packs.iter().filter(pays).map(|pack| &pack.feature);
        let mut features: Vec<&Feature> = bought.chain(levels).collect();
        features.sort_unstable();
        features.dedup();
        holds.extend(features.into_iter().map(|feature| Hold { feature: feature.clone(), period }));
    }
    holds
}

/// What an org is granted in a period, on the tier that the period is booked on.
struct Terms<'a> {
    snapshot: &'a OrgSnapshot,
    tier: &'a str,
    allowing_tier: Option<&'a str>,
}

impl Terms<'_> {
    /// What is included of a feature: what uses were allowed by until the restart stays covered.
    fn included(&self, feature: &str, used: Quantity, period: Period) -> Included {
        let included = self.snapshot.included_in(self.tier, feature, used, period);
        match self.allowing_tier {
            None => included,
            Some(tier) => included.covering(self.snapshot.included(tier, feature), used),
        }
    }
}

/// The books of one org while its rollover is planned.
struct Books<'a> {
    snapshot: &'a OrgSnapshot,
    subscription: Subscription,
    /// The tier by which uses were allowed, while what a restart ends is booked on another.
    allowing_tier: Option<&'a str>,
    accounts: Vec<(Feature, Account)>,
    ledger: Vec<Entry>,
    carried: Vec<Carried>,
}

impl<'a> Books<'a> {
    fn open(snapshot: &'a OrgSnapshot) -> Self {
        let used = snapshot.usage.iter().map(|usage| &usage.feature);
        let bought = snapshot.packs.iter().map(|pack| &pack.feature);
        let mut features: Vec<Feature> = used.chain(bought).cloned().collect();
        features.sort_unstable();
        features.dedup();
        let account = |feature: Feature| {
            let packs = snapshot.packs.iter().filter(|pack| pack.feature == feature);
            (feature.clone(), Account::new(packs.cloned().collect(), snapshot.draws.clone()))
        };
        let accounts = features.into_iter().map(account).collect();
        let mut subscription = snapshot.org.subscription.clone();
        let restart = snapshot.timeline.restart.as_ref();
        let set_before = restart.filter(|restart| restart.on != restart.from);
        let allowing_tier = set_before.map(|restart| restart.on.as_str());
        if let Some(restart) = restart {
            subscription.tier.clone_from(&restart.from);
        }
        let (ledger, carried) = (Vec::new(), Vec::new());
        Self { snapshot, subscription, allowing_tier, accounts, ledger, carried }
    }

    /// What was used of a feature in a period, with the level that the close before carries over.
    fn used(&self, feature: &str, period: Period) -> Result<Quantity, Reason> {
        let used = self.snapshot.used(feature, period);
        let carried = self
            .carried
            .iter()
            .rfind(|carried| &*carried.feature == feature && carried.period_start == period.start);
        Ok(carried.map_or(Ok(used), |carried| used.plus(carried.level))?)
    }

    /// Carries the levels of a closed period over to the one that follows it.
    fn carry_over(&mut self, closed: Period, next: Period) -> Result<(), Reason> {
        let features = self.accounts.iter().map(|(feature, _)| feature);
        let levels = features.filter(|feature| self.snapshot.is_level(feature));
        for feature in levels.cloned().collect::<Vec<_>>() {
            let level = self.used(&feature, closed)?;
            if !level.is_zero() {
                let (period_start, period_end) = (next.start, next.end);
                self.carried.push(Carried { feature, period_start, period_end, level });
            }
        }
        Ok(())
    }

    /// Closes one period: expiries inside it first, in their order, then the period itself; the
    /// tier changes that apply at its end, which stands for `date`, come last.
    fn close(
        &mut self,
        period: Period,
        date: LocalDate,
        follows: Option<Instant>,
    ) -> Result<Close, Reason> {
        let timeline = &self.snapshot.timeline;
        self.settle_expiries(period, period.end)?;
        let moment = Moment::Close(period);
        let (snapshot, allowing_tier) = (self.snapshot, self.allowing_tier);
        let is_paused = snapshot.org.pause.is_some_and(|pause| pause.covers(period));
        let mut features = Vec::with_capacity(self.accounts.len());
        let mut accounts = std::mem::take(&mut self.accounts);
        for (feature, account) in &mut accounts {
            let used = self.used(feature, period)?;
            let is_level = snapshot.is_level(feature);
            let terms = Terms { snapshot, tier: &self.subscription.tier, allowing_tier };
            let mut included = terms.included(feature, used, period);
            if is_level {
                // Packs that last beyond the period; the others have been written off.
                included = included.raised_by(account.usable(moment)?)?;
            } else if is_paused {
                included = Included::NONE;
            }
            let overage = included.overage(used)?;
            let packs_pay = !is_level && !is_paused;
            let charged = if packs_pay { overage } else { Quantity::ZERO };
            let settled = account.settle(moment, charged, &mut self.ledger)?;
            if !used.is_zero() || !settled.drawn.is_zero() {
                let left_in_packs =
                    if packs_pay { account.usable(moment)? } else { Quantity::ZERO };
                features.push(ClosedUsage {
                    feature: feature.clone(),
                    is_level,
                    used,
                    included,
                    drawn: settled.drawn,
                    uncovered: overage.minus(settled.drawn)?.or_zero(),
                    left_in_packs,
                });
            }
            account.next_period();
        }
        self.accounts = accounts;
        let tier = self.subscription.tier.clone();
        let (dates, ended_tier) = (timeline.dates, &*self.snapshot.ended_tier);
        match &timeline.restart {
            Some(restart) if period.contains(restart.at) || period.end == restart.at => {
                let row = &self.snapshot.org.subscription;
                self.subscription.at_restart(restart, row, date, dates, ended_tier);
                self.allowing_tier = None;
            }
            _ => {
                let before = self.subscription.clone();
                self.subscription.at_boundary(date, dates, ended_tier);
                if self.subscription != before {
                    self.allowing_tier = None;
                }
            }
        }
        let merged = if timeline.due.get(1) == Some(&period) { timeline.merged } else { 1 };
        let is_early = timeline.early == Some(period);
        Ok(Close { period, follows, tier, merged, is_paused, is_early, features })
    }

    /// Settles every pack that expires inside the period, up to and including `until`: at the
    /// period's very end, too, for such a pack was usable through all of it. A pack that holds
    /// nothing any more when its time comes is no reason to settle anything.
    fn settle_expiries(&mut self, period: Period, until: Instant) -> Result<(), Reason> {
        let (snapshot, allowing_tier) = (self.snapshot, self.allowing_tier);
        let terms = Terms { snapshot, tier: &self.subscription.tier, allowing_tier };
        let is_paused = snapshot.org.pause.is_some_and(|pause| pause.covers(period));
        for (feature, account) in &mut self.accounts {
            let packs_pay = !is_paused && !self.snapshot.is_level(feature);
            let mut settled = Instant::MIN;
            while let Some(at) = account.next_expiry(settled, until.min(period.end)) {
                settled = at;
                if at <= period.start {
                    account.expire(at, period.start, &mut self.ledger)?;
                    continue;
                }
                let used = if at == period.end {
                    self.snapshot.used(feature, period)
                } else {
                    let cut = Cut { feature: feature.clone(), from: period.start, until: at };
                    self.snapshot.used_before.get(&cut).copied().unwrap_or_default()
                };
                let included = terms.included(feature, used, period);
                let overage = if packs_pay { included.overage(used)? } else { Quantity::ZERO };
                account.settle(Moment::Expiry(at, period), overage, &mut self.ledger)?;
            }
        }
        Ok(())
    }

    /// Purchased minutes left, as the org's row should show them: in the period as stored before
    /// anything closes, or in the open one afterwards.
    fn purchased_minutes_in(&self, period: Period, now: Instant) -> Result<Quantity, Reason> {
        let Some((_, account)) = self.accounts.iter().find(|(name, _)| &**name == MINUTES) else {
            return Ok(Quantity::ZERO);
        };
        let usable = account.usable_at(now)?;
        let used = self.used(MINUTES, period)?;
        let (snapshot, allowing_tier) = (self.snapshot, self.allowing_tier);
        let terms = Terms { snapshot, tier: &self.subscription.tier, allowing_tier };
        let included = terms.included(MINUTES, used, period);
        let drawn = account.drawn_so_far()?;
        Ok(quota::purchased_remaining(included, drawn, usable, used)?)
    }

    fn purchased_minutes(&self, now: Instant) -> Result<Quantity, Reason> {
        let stored = self.snapshot.org.period.map(|stored| stored.period);
        self.purchased_minutes_in(stored.unwrap_or(self.snapshot.timeline.open.period), now)
    }

    /// The derived columns. What someone added to the overage column who sold minutes without a
    /// pack is kept.
    fn derived(&self, open: Period, before: Quantity, now: Instant) -> Result<Derived, Reason> {
        let org = &self.snapshot.org;
        let column = PurchasedColumn {
            held: org.overage_minutes,
            written: org.overage_minutes_written,
            granted: org.overage_minutes_granted,
        };
        let added_by_others = column.added_by_others(before)?;
        let left = self.purchased_minutes_in(open, now)?;
        Ok(Derived {
            used_minutes: self.used(MINUTES, open)?,
            overage_minutes: left.plus(added_by_others)?,
            overage_minutes_written: left,
        })
    }

    fn packs_before(&self) -> Vec<(Uuid, Quantity)> {
        let is_mentioned = |pack: &&Pack| self.ledger.iter().any(|entry| entry.pack == pack.id);
        let mentioned = self.snapshot.packs.iter().filter(is_mentioned);
        mentioned.map(|pack| (pack.id, pack.remaining)).collect()
    }
}
