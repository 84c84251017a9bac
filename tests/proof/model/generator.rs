//! What happens next, from a seed.

use super::calendar::{Calendars, Cycle, ZONES};
use super::operation::{FEATURES, Job, Operation, Step, TIERS};
use super::reference::Org;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 2026-03-05, when every run begins.
const BEGINNING: i64 = 1_772_668_800 * SECOND;
/// No run goes beyond 2036.
const END: i64 = 2_082_758_400 * SECOND;

pub(super) struct Generator {
    random: fastrand::Rng,
    now: i64,
    references: u32,
    /// The last keyed operation of each org, to be repeated.
    keyed: Vec<Option<Operation>>,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let now = BEGINNING + random.i64(0..60 * DAY);
        Self { random, now, references: 0, keyed: Vec::new() }
    }

    pub(super) fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn org(&mut self, calendars: &Calendars) -> Org {
        let cycle = self.cycle();
        let tier = self.random.usize(..TIERS.len());
        self.keyed.push(None);
        Org::new(calendars, cycle, tier, self.now)
    }

    fn cycle(&mut self) -> Cycle {
        let name = ["monthly", "monthly", "weekly", "daily", "quarterly"][self.random.usize(..5)];
        let day = match name {
            "weekly" => self.random.i64(1..=7),
            "daily" => 1,
            _ => [1, 1, 15, 29, 31][self.random.usize(..5)],
        };
        let month = if name == "quarterly" { self.random.i64(1..=12) } else { 1 };
        Cycle { zone: self.random.usize(..ZONES.len()), name, day, month }
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.random.u32(..number) == 0
    }

    fn some(&mut self, orgs: &[Option<Org>]) -> usize {
        self.random.usize(..orgs.len())
    }

    /// A stretch of time, its operations and the jobs after it.
    pub(super) fn round(&mut self, orgs: &[Option<Org>]) -> Vec<Step> {
        self.advance(orgs);
        let mut steps = Vec::new();
        for _ in 0..self.random.usize(1..16 * orgs.len()) {
            let number = self.some(orgs);
            let Some(org) = &orgs[number] else { continue };
            let operation = self.operation(org, number);
            let now = self.now;
            steps.push(Step::Act { org: number, now, operation });
            if self.one_in(4) {
                self.now += self.random.i64(0..30 * SECOND);
            }
        }
        let cut = self.one_in(20).then(|| self.random.bool());
        steps.push(Step::Commit { cut });
        for _ in 0..self.random.usize(1..=2) {
            let job = match self.random.u32(..20) {
                0..8 => Job::Rollover,
                8 => Job::Early { org: self.some(orgs) },
                9..16 => Job::Sync,
                16 => Job::Audit,
                17..19 => Job::Alerts,
                _ => Job::Retention,
            };
            let cut = self.one_in(10).then(|| self.random.u32(..120));
            steps.push(Step::Job { job, now: self.now, cut });
        }
        steps
    }

    fn advance(&mut self, orgs: &[Option<Org>]) {
        let step = match self.random.u32(..40) {
            0..12 => self.random.i64(0..10 * SECOND),
            12..20 => self.random.i64(0..DAY),
            20..28 => self.random.i64(0..20 * DAY),
            28..36 => {
                let number = self.some(orgs);
                let end = orgs[number].as_ref().map_or(0, |org| org.open().1);
                (end - self.now).max(0) + self.random.i64(-1..=1)
            }
            36..38 => self.random.i64(20 * DAY..430 * DAY),
            _ => -self.random.i64(0..DAY),
        };
        if self.now + step < END {
            self.now += step;
        }
    }

    fn feature(&mut self) -> usize {
        self.random.usize(..FEATURES.len())
    }

    fn quantity(&mut self) -> i64 {
        let units = self.random.i64(1..40) * SECOND;
        if self.one_in(6) { units + self.random.i64(1..SECOND) } else { units }
    }

    /// An instant that matters to an org, or one nearby.
    fn instant(&mut self, org: &Org) -> i64 {
        let edges: Vec<i64> = [org.open().0, org.open().1]
            .into_iter()
            .chain(org.next_ends().iter().copied())
            .chain(org.closed_starts())
            .collect();
        match self.random.u32(..10) {
            0..5 => self.now,
            5..7 => self.now - self.random.i64(0..3 * DAY),
            7 => self.now - self.random.i64(0..60 * DAY),
            8 => edges[self.random.usize(..edges.len())] + self.random.i64(-1..=1),
            _ => {
                let near = edges[self.random.usize(..edges.len())];
                near + self.random.i64(-DAY..DAY)
            }
        }
    }

    fn key(&mut self) -> Option<u32> {
        self.one_in(5).then(|| self.random.u32(..200))
    }

    fn operation(&mut self, org: &Org, number: usize) -> Operation {
        if self.one_in(12)
            && let Some(again) = self.keyed[number].clone()
        {
            return again;
        }
        let operation = self.fresh(org);
        let has_key = match &operation {
            Operation::Record { key, .. } | Operation::Use { key, .. } => key.is_some(),
            Operation::Refund { .. } | Operation::Grant { .. } => true,
            _ => false,
        };
        if has_key {
            self.keyed[number] = Some(operation.clone());
        }
        operation
    }

    fn fresh(&mut self, org: &Org) -> Operation {
        let (feature, by_user) = (self.feature(), self.random.bool());
        match self.random.u32(..100) {
            0..35 => {
                let amount = if self.one_in(4) { self.quantity() } else { SECOND };
                Operation::Use { feature, amount, by_user, key: self.key() }
            }
            35..55 => {
                let sign = if self.one_in(5) { -1 } else { 1 };
                let (amount, at) = (sign * self.quantity(), self.instant(org));
                Operation::Record { feature, amount, at, by_user, key: self.key() }
            }
            55..60 => {
                let one = |_: usize| (self.quantity(), self.instant(org), self.key());
                Operation::Batch { feature, uses: (0..3).map(one).collect() }
            }
            60..72 => {
                let sign = if self.one_in(6) { -1 } else { 1 };
                let (amount, at) = (sign * self.quantity(), self.instant(org));
                Operation::Insert { feature, amount, at, by_user }
            }
            72..84 => self.pack(org, feature),
            84..88 => {
                let references = org.references();
                let reference = if references.is_empty() {
                    0
                } else {
                    references[self.random.usize(..references.len())]
                };
                let quantity = self.random.bool().then(|| self.quantity());
                Operation::Refund { reference, quantity, key: self.random.u32(..100) }
            }
            88..91 => {
                let more = self.random.i64(0..50) * SECOND;
                let included = org.granted_now(feature).map(|now| now + more);
                Operation::Limit { feature, included }
            }
            91 => Operation::Tier { tier: self.random.usize(..TIERS.len()) },
            92..94 => {
                let at = self.random.bool().then(|| self.now + self.random.i64(0..90 * DAY));
                Operation::NextTier { tier: self.random.usize(..TIERS.len()), at }
            }
            94..96 => Operation::Calendar { cycle: self.cycle() },
            96..98 => {
                let from = if self.random.bool() { self.now } else { org.open().1 };
                let until = self.random.bool().then(|| from + self.random.i64(DAY..90 * DAY));
                Operation::Pause { from, until }
            }
            _ => Operation::Resume,
        }
    }

    fn pack(&mut self, org: &Org, feature: usize) -> Operation {
        self.references += 1;
        let reference = self.references;
        let base = match self.random.u32(..6) {
            0..3 => self.now + i64::from(reference % 7),
            3 => org.open().0,
            _ => self.now - self.random.i64(0..40 * DAY),
        };
        let way = self.random.u32(..10);
        // No two packs are alike in all that their order asks for but their ids.
        let bought = if (4..8).contains(&way) { base } else { base - i64::from(reference) };
        let expires = match way {
            0..4 => None,
            4..8 => Some(bought + self.random.i64(1..60 * DAY)),
            8 => Some(org.open().1),
            _ => Some(self.now + self.random.i64(1..DAY)),
        };
        let expires = expires.filter(|expires| *expires > bought);
        let quantity = self.quantity();
        if self.one_in(4) {
            Operation::Pack { feature, quantity, reference, bought, expires }
        } else {
            Operation::Grant { feature, quantity, reference, bought, expires }
        }
    }
}
