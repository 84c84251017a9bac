//! An org in memory: read for a plan as the store reads it, and plans folded into it as the store
//! applies them, with the guards that the schema has.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use periodd::billing::check::check;
use periodd::billing::org::pause::Pause;
use periodd::billing::org::{OrgState, Reason, StoredPeriod};
use periodd::billing::quota::{Draw, Entry, EntryKind, Feature, Included, Kept, Pack};
use periodd::billing::rollover::{
    self, Close, Cut, KeptLimit, OrgSnapshot, Plan, TierLimits, Usage,
};
use periodd::billing::timeline::{CatchUp, Early, Policy, Timeline};
use periodd::billing::{Calendar, Instant, Period, Quantity};
use uuid::Uuid;

use crate::plan::scenario::{Look, Scenario, TIERS, time_of_day};

/// An org with its packs, their ledger and its closed periods.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) org: OrgState,
    pub(crate) packs: Vec<Held>,
    /// What happened to packs, in the order in which it was written.
    pub(crate) ledger: Vec<Entry>,
    pub(crate) closed: Vec<Close>,
    /// What the org's row shows of minutes used.
    pub(crate) used_minutes: Quantity,
    calendar: Calendar,
    uses: Vec<Metric>,
    limits: Arc<TierLimits>,
    overrides: Vec<(Feature, Included)>,
    kept: Vec<KeptLimit>,
    levels: Arc<HashSet<Feature>>,
    everything_is_known: bool,
}

/// What was used of a feature when, and since when that is known.
#[derive(Clone)]
struct Metric {
    feature: Feature,
    at: Instant,
    known: Instant,
    quantity: Quantity,
}

/// A pack, how much was granted with it, and since when it is known.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) pack: Pack,
    known: Instant,
    pub(crate) granted: Quantity,
}

/// The policy of a replay.
pub(crate) fn replay(max_periods: usize) -> Policy {
    let ended_tier = TIERS[2].to_owned();
    Policy { catch_up: CatchUp::Replay, max_periods, ended_tier, early: Early::No }
}

impl Memory {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let included =
            |units: Option<i64>| Included::from(units.map(|units| scenario.quantity(units)));
        let mut limits = TierLimits::new();
        for ((tier, feature), units) in &scenario.limits {
            let tier = limits.entry((*tier).to_owned()).or_default();
            tier.insert((*feature).into(), included(*units));
        }
        let overrides = scenario.overrides.iter();
        let uses = scenario.uses.iter();
        let metric = |used: &crate::plan::scenario::Use| Metric {
            feature: used.feature.into(),
            at: used.at,
            known: used.known,
            quantity: scenario.quantity(used.units),
        };
        Self {
            org: org(scenario),
            packs: packs(scenario),
            ledger: Vec::new(),
            closed: Vec::new(),
            used_minutes: Quantity::ZERO,
            calendar: scenario.calendar(),
            uses: uses.map(metric).collect(),
            limits: Arc::new(limits),
            overrides: overrides.map(|(name, units)| ((*name).into(), included(*units))).collect(),
            kept: scenario.kept.iter().map(|kept| kept_limit(scenario, kept)).collect(),
            levels: Arc::new(scenario.levels.iter().map(|level| (*level).into()).collect()),
            everything_is_known: scenario.everything_is_known,
        }
    }

    /// Reads what a plan depends on.
    pub(crate) fn read(&self, policy: &Policy, now: Instant) -> Result<OrgSnapshot, Reason> {
        let timeline = Timeline::of(&self.org, &self.calendar, policy, now)?;
        let packs = self.packs_to_read(now);
        let cuts = packs.iter().filter_map(|pack| rollover::cut(&timeline, pack, now));
        let used_before: HashMap<Cut, Quantity> = cuts
            .map(|cut| {
                let window = Period { start: cut.from, end: cut.until };
                let used = self.used(&cut.feature, window, now).unwrap_or_default();
                (cut, used)
            })
            .collect();
        Ok(OrgSnapshot {
            org: self.org.clone(),
            usage: self.usage(&timeline, now),
            kept: self.kept.clone(),
            used_before,
            packs,
            draws: self.draws(),
            limits: self.limits.clone(),
            levels: self.levels.clone(),
            overrides: self.overrides.clone(),
            ended_tier: policy.ended_tier.as_str().into(),
            timeline,
        })
    }

    /// Plans, has the plan checked, and folds it.
    pub(crate) fn pass(&mut self, policy: &Policy, now: Instant) -> Result<Plan, Reason> {
        let plan = rollover::plan(&self.read(policy, now)?, now)?;
        assert_eq!(check(&plan), [], "the checker finds fault with {plan:#?}");
        self.fold(&plan);
        Ok(plan)
    }

    /// Passes until nothing is due. Returns the plans.
    pub(crate) fn catch_up(&mut self, Look { now, max_periods }: Look) -> Vec<Plan> {
        let mut plans = Vec::new();
        loop {
            let plan = self.pass(&replay(max_periods), now).expect("an org that can be processed");
            let (closes, is_due) = (plan.closes.len(), plan.open.end <= now);
            assert!(closes <= max_periods, "more periods in one pass than allowed");
            assert!(!is_due || closes == max_periods, "a pass that leaves something undone");
            plans.push(plan);
            if !is_due {
                return plans;
            }
        }
    }

    /// Writes a plan down as the store would.
    pub(crate) fn fold(&mut self, plan: &Plan) {
        let stored = self.org.period.map(|stored| stored.period);
        assert_eq!(plan.expected.period_end, stored.map(|period| period.end));
        assert_eq!(plan.expected.revision, self.org.revision);
        assert_eq!(plan.expected.overage_minutes, self.org.overage_minutes);
        for close in &plan.closes {
            self.close(close);
        }
        for (pack, before) in &plan.packs_before {
            assert_eq!(self.held(*pack).pack.remaining, *before, "the guard of pack {pack}");
        }
        for entry in &plan.entries {
            self.write(entry);
        }
        for carried in &plan.carried {
            // As the store does: by a metric at the start of the period that follows.
            self.uses.push(Metric {
                feature: carried.feature.clone(),
                at: carried.period_start,
                known: Instant::MIN,
                quantity: carried.level,
            });
        }
        if let Some(change) = &plan.subscription {
            assert_eq!(change.before, self.org.subscription);
            self.org.subscription = change.after.clone();
        }
        let end_date = Some(plan.open_end_date);
        self.org.period = Some(StoredPeriod { period: plan.open, end_date, moved_from: None });
        self.org.next_period_ends.clone_from(&plan.next_ends);
        self.used_minutes = plan.derived.used_minutes;
        self.org.overage_minutes = plan.derived.overage_minutes;
        self.org.overage_minutes_written = Some(plan.derived.overage_minutes_written);
    }

    /// Every closed period touches the one before it: the schema's foreign key.
    fn close(&mut self, close: &Close) {
        assert!(close.period.start < close.period.end, "an empty period");
        assert_eq!(close.follows, self.org.last_closed_end, "a gap or an overlap");
        assert!(close.follows.is_none_or(|follows| follows == close.period.start));
        self.org.last_closed_end = Some(close.period.end);
        self.closed.push(close.clone());
    }

    fn write(&mut self, entry: &Entry) {
        let Held { pack, .. } = self.held(entry.pack);
        pack.remaining = pack.remaining.minus(entry.quantity).expect("in range");
        pack.entries += 1;
        assert_eq!((pack.entries, pack.remaining), (entry.seq, entry.remaining), "{entry:?}");
        assert!(!pack.remaining.is_negative(), "a pack has a negative quantity after {entry:?}");
        self.ledger.push(entry.clone());
    }

    /// What those entries took out of a pack.
    pub(crate) fn gone(&self, held: &Held, which: impl Fn(&Entry) -> bool) -> Quantity {
        let own = self.ledger.iter().filter(|entry| entry.pack == held.pack.id && which(entry));
        Quantity::sum(own.map(|entry| entry.quantity)).expect("in range")
    }

    fn held(&mut self, pack: Uuid) -> &mut Held {
        self.packs.iter_mut().find(|held| held.pack.id == pack).expect("a pack of this org")
    }

    fn is_known(&self, known: Instant, now: Instant) -> bool {
        self.everything_is_known || known <= now
    }

    /// Packs that hold something, and those that the open period has drawn from.
    fn packs_to_read(&self, now: Instant) -> Vec<Pack> {
        let drawn = self.draws();
        let is_read = |held: &&Held| {
            let Held { pack, known, .. } = held;
            let matters =
                !pack.remaining.is_zero() || drawn.iter().any(|draw| draw.pack == pack.id);
            matters && self.is_known(*known, now)
        };
        self.packs.iter().filter(is_read).map(|held| held.pack.clone()).collect()
    }

    /// What the open period has drawn, by instant, pack and place in the pack's ledger.
    fn draws(&self) -> Vec<Draw> {
        let open = self.org.period.map(|stored| stored.period.start);
        let mut entries: Vec<&Entry> = self
            .ledger
            .iter()
            .filter(|e| e.kind == EntryKind::Drawn && Some(e.period_start) == open)
            .collect();
        entries.sort_by_key(|entry| (entry.at, entry.pack, entry.seq));
        let draw = |e: &Entry| Draw { pack: e.pack, quantity: e.quantity, at: e.at };
        entries.into_iter().map(draw).collect()
    }

    fn usage(&self, timeline: &Timeline, now: Instant) -> Vec<Usage> {
        let mut usage = Vec::new();
        for period in timeline.windows() {
            for feature in crate::plan::scenario::FEATURES {
                if let Some(used) = self.used(feature, period, now) {
                    usage.push(Usage { feature: feature.into(), period_start: period.start, used });
                }
            }
        }
        usage
    }

    /// The sum of what was used of a feature in a period; `None` where nothing was.
    fn used(&self, feature: &str, period: Period, now: Instant) -> Option<Quantity> {
        let counts = |metric: &&Metric| {
            &*metric.feature == feature
                && period.contains(metric.at)
                && self.is_known(metric.known, now)
        };
        let used: Vec<Quantity> =
            self.uses.iter().filter(counts).map(|metric| metric.quantity).collect();
        (!used.is_empty()).then(|| Quantity::sum(used).expect("in range"))
    }
}

fn org(scenario: &Scenario) -> OrgState {
    let (cycle, anchor_day, anchor_month, anchor_time) = scenario.schedule;
    OrgState {
        id: Uuid::from_u128(1),
        slug: "acme".to_owned(),
        revision: 0,
        time_zone: scenario.zone.to_owned(),
        cycle: cycle.to_owned(),
        anchor_day: i16::try_from(anchor_day).expect("a day"),
        anchor_month: i16::try_from(anchor_month).expect("a month"),
        anchor_time: time_of_day(anchor_time),
        period: Some(StoredPeriod {
            period: scenario.period(0),
            end_date: scenario.end_date,
            moved_from: None,
        }),
        next_period_ends: Vec::new(),
        ends_time_zone: None,
        ends_anchor_time: time_of_day(anchor_time),
        ends_tzdb: None,
        last_closed_end: None,
        subscription: scenario.subscription.clone(),
        period_tier: None,
        restart: None,
        skipped_end_date: None,
        pause: scenario.pause.map(|(from, until)| Pause { from, until }),
        overage_minutes: Quantity::ZERO,
        overage_minutes_written: None,
        overage_minutes_granted: Quantity::ZERO,
    }
}

/// What the counter of a period keeps: what somebody has seen fall.
fn kept_limit(
    scenario: &Scenario,
    (&(feature, number), &units): (&(&'static str, usize), &i64),
) -> KeptLimit {
    let kept = Kept { at_least: scenario.quantity(units), seen: None };
    KeptLimit { feature: feature.into(), period_start: scenario.period(number).start, kept }
}

fn packs(scenario: &Scenario) -> Vec<Held> {
    let held = |purchase: &crate::plan::scenario::Purchase| {
        let granted = scenario.quantity(purchase.units);
        let pack = Pack {
            id: purchase.id,
            feature: purchase.feature.into(),
            remaining: granted,
            purchased_at: purchase.at,
            expires_at: purchase.expires_at,
            entries: 1,
        };
        Held { pack, granted, known: purchase.known }
    };
    scenario.packs.iter().map(held).collect()
}
