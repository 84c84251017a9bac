//! The reference: an org in memory, by the letter of the contract.
//!
//! It keeps what happened (metrics, packs, draws, closed periods) and works everything else out
//! again whenever it is asked. Quantities are whole millionths, instants whole microseconds.

use std::collections::BTreeMap;

use super::calendar::{Boundary, Calendars, Cycle};
use super::operation::{FEATURES, Operation, TIERS};

const DAY: i64 = 86_400_000_000;
/// How long after a close late usage is still charged to the closed period.
const GRACE: i64 = 3 * DAY;
/// Periods that one pass closes at most.
const PASS: usize = 12;
const UNIT: i64 = 1_000_000;

#[derive(Clone, Debug)]
struct Metric {
    feature: usize,
    at: i64,
    amount: i64,
    by_user: bool,
    is_counted: bool,
}

#[derive(Clone, Debug)]
struct Pack {
    reference: u32,
    feature: usize,
    quantity: i64,
    remaining: i64,
    bought: i64,
    expires: Option<i64>,
    drawn: i64,
    expired: i64,
    refunded: i64,
}

impl Pack {
    fn is_expired(&self, at: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    fn order(&self) -> (i64, i64) {
        (self.expires.unwrap_or(i64::MAX), self.bought)
    }
}

/// What a period drew from a pack, or gave back to it.
#[derive(Clone, Debug)]
struct Draw {
    pack: u32,
    period: i64,
    at: i64,
    amount: i64,
}

#[derive(Clone, Debug, Default)]
struct Line {
    used: i64,
    included: Option<i64>,
    drawn: i64,
    uncovered: i64,
    late: [i64; 3],
    set_aside: i64,
    /// In the books, rather than made up for what came late.
    is_closed: bool,
}

#[derive(Clone, Debug)]
struct Closed {
    start: i64,
    end: i64,
    booked_at: i64,
    tier: usize,
    is_paused: bool,
    lines: BTreeMap<usize, Line>,
}

#[derive(Clone, Debug)]
pub(super) struct Org {
    cycle: Cycle,
    tier: usize,
    next_tier: Option<(usize, Option<i64>)>,
    /// Null, where there is an override, is unlimited.
    #[expect(
        clippy::option_option,
        reason = "no override is another thing than one without limit"
    )]
    overrides: [Option<Option<i64>>; 2],
    start: i64,
    end: Boundary,
    next_ends: Vec<i64>,
    /// The calendar that the stored ends come from.
    ends_cycle: Cycle,
    /// The days on which the ends fall are stored: a tier waits for a date.
    has_days: bool,
    /// While they are not, a tier that waits is foreseen by the instants alone.
    is_foreseen: bool,
    metrics: Vec<Metric>,
    packs: Vec<Pack>,
    draws: Vec<Draw>,
    closed: Vec<Closed>,
    keys: BTreeMap<u32, (usize, i64, bool)>,
    refunds: BTreeMap<u32, (u32, Option<i64>)>,
    pause: Option<(i64, Option<i64>)>,
}

/// What an org may use of a feature now.
struct Standing {
    period: (i64, i64),
    used: i64,
    allowance: Option<i64>,
    usable: i64,
    gave_back: bool,
}

impl Org {
    /// Opened at an instant by the period that contains it.
    pub(super) fn new(calendars: &Calendars, cycle: Cycle, tier: usize, now: i64) -> Self {
        let (start, end) = calendars.around(cycle, now);
        Self {
            cycle,
            tier,
            next_tier: None,
            overrides: [None; 2],
            start,
            end,
            next_ends: calendars.following_ends(cycle, end),
            ends_cycle: cycle,
            has_days: false,
            is_foreseen: false,
            metrics: Vec::new(),
            packs: Vec::new(),
            draws: Vec::new(),
            closed: Vec::new(),
            keys: BTreeMap::new(),
            refunds: BTreeMap::new(),
            pause: None,
        }
    }

    pub(super) fn cycle(&self) -> Cycle {
        self.cycle
    }

    pub(super) fn tier(&self) -> usize {
        self.tier
    }

    pub(super) fn open(&self) -> (i64, i64) {
        (self.start, self.end.at)
    }

    /// The ends that are known after that of the open period.
    pub(super) fn next_ends(&self) -> &[i64] {
        &self.next_ends
    }

    /// Where the last closed periods began.
    pub(super) fn closed_starts(&self) -> impl Iterator<Item = i64> {
        self.closed.iter().rev().take(3).map(|closed| closed.start)
    }

    pub(super) fn references(&self) -> Vec<u32> {
        self.packs.iter().map(|pack| pack.reference).collect()
    }

    pub(super) fn granted_now(&self, feature: usize) -> Option<i64> {
        self.granted(feature, self.tier)
    }

    fn granted(&self, feature: usize, tier: usize) -> Option<i64> {
        self.overrides[feature].unwrap_or(TIERS[tier].1[feature].map(|units| units * UNIT))
    }

    /// The period of an instant, among those that are known.
    fn period_of(&self, at: i64) -> Option<(i64, i64)> {
        let closed = self.closed.iter().map(|closed| (closed.start, closed.end));
        let mut periods = closed.chain(self.open_windows());
        periods.find(|(start, end)| *start <= at && at < *end)
    }

    fn open_windows(&self) -> impl Iterator<Item = (i64, i64)> {
        let ends = [self.end.at].into_iter().chain(self.next_ends.iter().copied());
        let starts = [self.start, self.end.at].into_iter().chain(self.next_ends.iter().copied());
        starts.zip(ends)
    }

    fn sum(&self, feature: usize, (from, until): (i64, i64), counted_only: bool) -> i64 {
        let metrics = self.metrics.iter().filter(|metric| {
            metric.feature == feature
                && (from..until).contains(&metric.at)
                && (metric.is_counted || !counted_only)
        });
        metrics.map(|metric| metric.amount).sum()
    }

    fn drawn_in(&self, feature: usize, period: i64) -> i64 {
        let draws = self.draws.iter().filter(|draw| draw.period == period);
        let of_feature = draws.filter(|draw| self.pack(draw.pack).feature == feature);
        of_feature.map(|draw| draw.amount).sum()
    }

    fn pack(&self, reference: u32) -> &Pack {
        self.packs.iter().find(|pack| pack.reference == reference).expect("a pack that drew")
    }

    fn is_paused(&self, at: i64) -> bool {
        self.pause.is_some_and(|(from, until)| from <= at && until.is_none_or(|until| at < until))
    }

    fn pause_covers(&self, (start, end): (i64, i64)) -> bool {
        self.pause
            .is_some_and(|(from, until)| from <= start && until.is_none_or(|until| end <= until))
    }

    /// Draws from the packs of a feature that `pays` lets pay, in their order. Returns how much.
    fn draw(
        &mut self,
        feature: usize,
        (period, at): (i64, i64),
        due: i64,
        pays: impl Fn(&Pack) -> bool,
    ) -> i64 {
        self.packs.sort_by_key(Pack::order);
        let mut left = due;
        for pack in self.packs.iter_mut().filter(|pack| pack.feature == feature && pays(pack)) {
            let amount = left.min(pack.remaining);
            if amount > 0 {
                pack.remaining -= amount;
                pack.drawn += amount;
                left -= amount;
                self.draws.push(Draw { pack: pack.reference, period, at, amount });
            }
        }
        due - left
    }

    /// Gives back to packs, last drawn first; what returns to an expired one expires at once.
    fn give_back(&mut self, feature: usize, (period, at): (i64, i64), surplus: i64) -> i64 {
        self.packs.sort_by_key(Pack::order);
        let place = |draw: &Draw| {
            self.packs.iter().position(|pack| pack.reference == draw.pack).expect("a pack")
        };
        let mut of_period: Vec<&Draw> = self
            .draws
            .iter()
            .filter(|draw| draw.period == period && self.pack(draw.pack).feature == feature)
            .collect();
        of_period.sort_by_key(|draw| (draw.at, place(draw)));
        // What is still drawn, in the order drawn.
        let mut held: Vec<(usize, i64)> = Vec::new();
        for draw in of_period {
            let at = place(draw);
            let mut back = -draw.amount;
            if back < 0 {
                held.push((at, draw.amount));
                continue;
            }
            for (_, held) in held.iter_mut().rev().filter(|(pack, _)| *pack == at) {
                let part = back.min(*held);
                *held -= part;
                back -= part;
            }
        }
        let mut left = surplus;
        for (pack, held) in held.into_iter().rev() {
            let amount = left.min(held);
            if amount == 0 {
                continue;
            }
            left -= amount;
            let pack = &mut self.packs[pack];
            pack.remaining += amount;
            pack.drawn -= amount;
            let reference = pack.reference;
            if pack.is_expired(at) {
                pack.expired += pack.remaining;
                pack.remaining = 0;
            }
            self.draws.push(Draw { pack: reference, period, at, amount: -amount });
        }
        surplus - left
    }

    /// Settles what expires in a period, up to an instant, each expiry by the usage before it.
    /// Returns whether anything was given back.
    fn settle_expiries(&mut self, period: (i64, i64), until: i64) -> bool {
        let mut gave_back = false;
        for feature in 0..FEATURES.len() {
            let mut settled = i64::MIN;
            loop {
                let holding = self.packs.iter().filter(|pack| pack.feature == feature);
                let holding = holding.filter(|pack| pack.remaining > 0);
                let expiries = holding.filter_map(|pack| pack.expires);
                let next = expiries.filter(|at| settled < *at && *at <= until.min(period.1)).min();
                let Some(at) = next else { break };
                settled = at;
                if at > period.0 {
                    let used = self.sum(feature, (period.0, at), false);
                    let overage = self.overage(feature, self.tier, used);
                    let overage = if self.pause_covers(period) { 0 } else { overage };
                    let due = overage - self.drawn_in(feature, period.0);
                    let is_past = self.draws.iter().any(|draw| {
                        draw.period == period.0
                            && draw.at > at
                            && self.pack(draw.pack).feature == feature
                    });
                    if due > 0 {
                        self.draw(feature, (period.0, at), due, |pack| {
                            pack.bought < period.1
                                && pack.bought <= at
                                && (!pack.is_expired(at) || pack.expires == Some(at))
                        });
                    } else if due < 0 && !is_past {
                        gave_back |= self.give_back(feature, (period.0, at), -due) > 0;
                    }
                }
                for pack in self.packs.iter_mut().filter(|pack| pack.feature == feature) {
                    if pack.is_expired(at) {
                        pack.expired += pack.remaining;
                        pack.remaining = 0;
                    }
                }
            }
        }
        gave_back
    }

    fn overage(&self, feature: usize, tier: usize, used: i64) -> i64 {
        self.granted(feature, tier).map_or(0, |included| (used - included).max(0))
    }

    fn waits_for_a_date(&self) -> bool {
        self.next_tier.is_some_and(|(_, at)| at.is_some())
    }

    fn has_stale_ends(&self) -> bool {
        self.cycle != self.ends_cycle || !self.has_days && self.waits_for_a_date()
    }

    /// Is there anything for a rollover to do?
    fn is_due(&self, now: i64) -> bool {
        let holds_expired = |pack: &Pack| pack.remaining > 0 && pack.is_expired(now);
        self.end.at <= now || self.has_stale_ends() || self.packs.iter().any(holds_expired)
    }

    /// A rollover. Returns whether packs were given anything back.
    pub(super) fn roll_over(&mut self, calendars: &Calendars, now: i64) -> bool {
        if !self.is_due(now) {
            return false;
        }
        let mut gave_back = false;
        self.next_ends = calendars.following_ends(self.cycle, self.end);
        self.ends_cycle = self.cycle;
        self.has_days = self.waits_for_a_date();
        let mut closed = 0;
        while self.end.at <= now {
            if closed % PASS == 0 {
                self.has_days = self.waits_for_a_date();
            }
            closed += 1;
            self.count_between(self.start, self.end.at);
            gave_back |= self.close(calendars, now);
            let next = calendars.following(self.cycle, self.end);
            self.start = self.end.at;
            self.end = next;
            self.next_ends = calendars.following_ends(self.cycle, next);
        }
        let reach = self.next_ends.last().copied().unwrap_or(self.end.at);
        self.count_between(self.start, reach);
        gave_back |= self.settle_expiries((self.start, self.end.at), now);
        gave_back
    }

    /// Closes the open period now, unless it is younger than a minute.
    pub(super) fn close_early(&mut self, calendars: &Calendars, now: i64) {
        self.roll_over(calendars, now);
        let end = self.end;
        if now < self.start + 60 * UNIT || now >= end.at {
            return;
        }
        let reach = self.next_ends.last().copied().unwrap_or(end.at);
        self.count_between(self.start, reach);
        self.end = Boundary { at: now, date: calendars.date(self.cycle.zone, now) };
        self.close(calendars, now);
        (self.start, self.end) = (now, end);
        self.settle_expiries((now, end.at), now);
    }

    fn close(&mut self, calendars: &Calendars, now: i64) -> bool {
        let period = (self.start, self.end.at);
        let mut gave_back = self.settle_expiries(period, period.1);
        let is_paused = self.pause_covers(period);
        let mut lines = BTreeMap::new();
        for feature in 0..FEATURES.len() {
            let used = self.sum(feature, period, false);
            let included = if is_paused { Some(0) } else { self.granted(feature, self.tier) };
            let overage = included.map_or(0, |included| (used - included).max(0));
            let charged = if is_paused { 0 } else { overage };
            let due = charged - self.drawn_in(feature, period.0);
            if due > 0 {
                self.draw(feature, (period.0, period.1), due, |pack| {
                    pack.bought < period.1 && !pack.is_expired(period.0)
                });
            } else if due < 0 {
                gave_back |= self.give_back(feature, (period.0, period.1), -due) > 0;
            }
            let drawn = self.drawn_in(feature, period.0);
            if used != 0 || drawn != 0 {
                let uncovered = (overage - drawn).max(0);
                let is_closed = true;
                let line = Line { used, included, drawn, uncovered, is_closed, ..Line::default() };
                lines.insert(feature, line);
            }
        }
        let (start, end) = period;
        let (tier, booked_at) = (self.tier, now);
        self.closed.push(Closed { start, end, booked_at, tier, is_paused, lines });
        if let Some((tier, at)) = self.next_tier {
            let zone = self.cycle.zone;
            let is_due = |at: i64| {
                if self.is_foreseen {
                    at <= self.end.at
                } else {
                    calendars.date(zone, at) <= self.end.date
                }
            };
            if at.is_none_or(is_due) {
                self.tier = tier;
                self.next_tier = None;
            }
        }
        gave_back
    }

    fn count_between(&mut self, from: i64, until: i64) {
        for metric in &mut self.metrics {
            metric.is_counted |= (from..until).contains(&metric.at);
        }
    }

    /// A sync: what is uncounted is counted, and late usage decided.
    pub(super) fn sync(&mut self, now: i64) {
        let reach = self.next_ends.last().copied().unwrap_or(self.end.at);
        self.count_between(i64::MIN, reach);
        for closed in 0..self.closed.len() {
            for feature in 0..FEATURES.len() {
                self.decide_late(closed, feature, now);
            }
        }
    }

    fn decide_late(&mut self, index: usize, feature: usize, now: i64) {
        let closed = &self.closed[index];
        let (start, end) = (closed.start, closed.end);
        let is_paused = closed.is_paused;
        let mut line = closed.lines.get(&feature).cloned().unwrap_or_default();
        if !line.is_closed {
            let granted = self.granted(feature, closed.tier);
            line.included = if is_paused { Some(0) } else { granted };
        }
        let counted = self.sum(feature, (start, end), true);
        let late = counted - line.used - line.late[0] - line.set_aside;
        if late == 0 {
            return;
        }
        if now > closed.booked_at + GRACE {
            line.set_aside += late;
            self.closed[index].lines.insert(feature, line);
            return;
        }
        let charged = line.used + line.late[0] + late;
        let overage = line.included.map_or(0, |included| (charged - included).max(0));
        let (drawn, uncovered) = (line.drawn + line.late[1], line.uncovered + line.late[2]);
        let due = overage - drawn - uncovered;
        let (mut more_drawn, mut more_uncovered) = (0, due);
        if due > 0 && !is_paused {
            more_drawn = self.draw(feature, (start, now), due, |pack| {
                pack.bought < end && !pack.is_expired(start) && !pack.is_expired(now)
            });
            more_uncovered = due - more_drawn;
        } else if due < 0 {
            let rest = -due - uncovered.max(0).min(-due);
            let rest = if is_paused { 0 } else { rest };
            let returned = self.give_back(feature, (start, now), rest);
            more_drawn = -returned;
            more_uncovered = due + returned;
        }
        line.late[0] += late;
        line.late[1] += more_drawn;
        line.late[2] += more_uncovered;
        self.closed[index].lines.insert(feature, line);
    }

    /// How the org stands now, as if what is due had been closed already.
    fn standing(&self, calendars: &Calendars, feature: usize, now: i64) -> Option<Standing> {
        let now = now.max(self.start);
        let period = self.period_of(now)?;
        let used = self.sum(feature, period, true);
        let mut ahead = self.clone();
        let gave_back = {
            ahead.is_foreseen = !self.has_days;
            let mut gave_back = false;
            while ahead.end.at <= now {
                ahead.count_between(ahead.start, ahead.end.at);
                gave_back |= ahead.close(calendars, now);
                let at = self.next_ends.iter().copied().find(|at| *at > ahead.end.at)?;
                let date = calendars.date(self.cycle.zone, at);
                ahead.start = ahead.end.at;
                ahead.end = Boundary { at, date };
            }
            gave_back | ahead.settle_expiries((ahead.start, ahead.end.at), now)
        };
        let usable = ahead
            .packs
            .iter()
            .filter(|pack| pack.feature == feature && pack.bought <= now && !pack.is_expired(now));
        let usable: i64 = usable.map(|pack| pack.remaining).sum();
        let drawn = ahead.drawn_in(feature, ahead.start);
        let included = ahead.granted(feature, ahead.tier);
        let allowance = included.map(|included| included + drawn + usable);
        Some(Standing { period, used, allowance, usable, gave_back })
    }

    /// May this operation be tried now? What would make an answer depend on what the reference
    /// does not follow is left out.
    pub(super) fn allows(&self, operation: &Operation, now: i64) -> bool {
        match operation {
            // A limit that falls keeps what was used within it, by when somebody saw the fall.
            Operation::Limit { feature, included } => {
                let now = self.granted(*feature, self.tier);
                included.is_none() || now.is_some_and(|now| included.is_some_and(|to| to >= now))
            }
            Operation::Tier { tier } => *tier >= self.tier,
            Operation::NextTier { .. } | Operation::Calendar { .. } => now < self.end.at,
            Operation::Pause { .. } => now < self.end.at && self.pause.is_none(),
            Operation::Resume => now < self.end.at && self.pause.is_some(),
            _ => true,
        }
    }

    /// Does an operation, and says what the database has to answer. Where that may be stricter than
    /// the reference, the answer begins with `?`.
    pub(super) fn act(&mut self, calendars: &Calendars, operation: &Operation, now: i64) -> String {
        match operation {
            Operation::Record { feature, amount, at, by_user, key } => {
                self.record(*feature, *amount, *at, *by_user, *key)
            }
            Operation::Use { feature, amount, by_user, key } => {
                self.uses(calendars, (*feature, *amount, *by_user), *key, now)
            }
            Operation::Batch { feature, uses } => {
                let mut said = Vec::new();
                for (amount, at, key) in uses {
                    let before = self.metrics.len();
                    let outcome = self.record(*feature, *amount, *at, false, *key);
                    said.push(match outcome.as_str() {
                        "ok" if self.metrics.len() > before => "recorded",
                        "ok" => "duplicate",
                        _ => "refused",
                    });
                }
                said.join(",")
            }
            Operation::Insert { feature, amount, at, by_user } => {
                let (feature, at, amount, by_user) = (*feature, *at, *amount, *by_user);
                self.metrics.push(Metric { feature, at, amount, by_user, is_counted: false });
                "ok".to_owned()
            }
            Operation::Grant { feature, quantity, reference, bought, expires } => {
                let known = self.packs.iter().find(|pack| pack.reference == *reference);
                match known {
                    Some(pack) if pack.feature == *feature && pack.quantity == *quantity => {}
                    Some(_) => return "PB004".to_owned(),
                    None => self.buy(*feature, *quantity, *reference, *bought, *expires),
                }
                "ok".to_owned()
            }
            Operation::Pack { feature, quantity, reference, bought, expires } => {
                if self.packs.iter().any(|pack| pack.reference == *reference) {
                    return "23505".to_owned();
                }
                self.buy(*feature, *quantity, *reference, *bought, *expires);
                "ok".to_owned()
            }
            Operation::Refund { reference, quantity, key } => {
                self.refund(calendars, *reference, *quantity, *key, now)
            }
            Operation::Limit { feature, included } => {
                self.overrides[*feature] = Some(*included);
                "ok".to_owned()
            }
            Operation::Tier { tier } => {
                self.tier = *tier;
                "ok".to_owned()
            }
            Operation::NextTier { tier, at } => {
                self.next_tier = Some((*tier, *at));
                "ok".to_owned()
            }
            Operation::Calendar { cycle } => {
                self.cycle = *cycle;
                "ok".to_owned()
            }
            Operation::Pause { from, until } => {
                self.pause = Some((*from, *until));
                "ok".to_owned()
            }
            Operation::Resume => {
                self.pause = match self.pause {
                    Some((from, until)) if from <= now => {
                        Some((from, Some(until.map_or(now, |until| until.min(now)))))
                    }
                    _ => None,
                };
                "ok".to_owned()
            }
        }
    }

    fn buy(
        &mut self,
        feature: usize,
        quantity: i64,
        reference: u32,
        bought: i64,
        expires: Option<i64>,
    ) {
        let (remaining, drawn, expired, refunded) = (quantity, 0, 0, 0);
        let pack = Pack {
            reference,
            feature,
            quantity,
            remaining,
            bought,
            expires,
            drawn,
            expired,
            refunded,
        };
        self.packs.push(pack);
    }

    fn record(
        &mut self,
        feature: usize,
        amount: i64,
        at: i64,
        by_user: bool,
        key: Option<u32>,
    ) -> String {
        if let Some(known) = key.and_then(|key| self.keys.get(&key)) {
            let is_same = *known == (feature, amount, by_user);
            return if is_same { "ok" } else { "PB004" }.to_owned();
        }
        if let Some(key) = key {
            self.keys.insert(key, (feature, amount, by_user));
        }
        let reach = self.next_ends.last().copied().unwrap_or(self.end.at);
        self.metrics.push(Metric { feature, at, amount, by_user, is_counted: at < reach });
        "ok".to_owned()
    }

    fn uses(
        &mut self,
        calendars: &Calendars,
        (feature, amount, by_user): (usize, i64, bool),
        key: Option<u32>,
        now: i64,
    ) -> String {
        let Some(standing) = self.standing(calendars, feature, now) else {
            return "PB003".to_owned();
        };
        if let Some(known) = key.and_then(|key| self.keys.get(&key)) {
            let is_same = *known == (feature, amount, by_user);
            return if is_same { format!("allowed {}", standing.used) } else { "PB004".to_owned() };
        }
        let at = now.max(self.start);
        if self.is_paused(at) {
            return "refused".to_owned();
        }
        let used = standing.used + amount;
        if standing.allowance.is_some_and(|allowance| used > allowance) {
            return "refused".to_owned();
        }
        if let Some(key) = key {
            self.keys.insert(key, (feature, amount, by_user));
        }
        self.metrics.push(Metric { feature, at, amount, by_user, is_counted: true });
        let doubt = if standing.gave_back { "?" } else { "" };
        format!("{doubt}allowed {used}")
    }

    /// Takes back a use that was refused although the reference would have allowed it.
    pub(super) fn take_back(&mut self, operation: &Operation) {
        self.metrics.pop();
        if let Operation::Use { key: Some(key), .. } = operation {
            self.keys.remove(key);
        }
    }

    fn refund(
        &mut self,
        calendars: &Calendars,
        reference: u32,
        quantity: Option<i64>,
        key: u32,
        now: i64,
    ) -> String {
        if let Some(known) = self.refunds.get(&key) {
            let is_same = *known == (reference, quantity);
            return if is_same { "ok" } else { "PB004" }.to_owned();
        }
        let Some(pack) = self.packs.iter().find(|pack| pack.reference == reference) else {
            return "PB002".to_owned();
        };
        if self.end.at <= now {
            return "PB003".to_owned();
        }
        if pack.bought > now || pack.is_expired(now) {
            return "PB005".to_owned();
        }
        let feature = pack.feature;
        let remaining = pack.remaining;
        let standing = self.standing(calendars, feature, now).expect("an open period");
        let used = self.sum(feature, standing.period, false);
        let left = standing.allowance.map_or(i64::MAX, |allowance| (allowance - used).max(0));
        let most = remaining.min(standing.usable.min(left));
        if most <= 0 || quantity.is_some_and(|quantity| quantity > most) {
            return "PB005".to_owned();
        }
        let amount = quantity.unwrap_or(most);
        let pack = self.packs.iter_mut().find(|pack| pack.reference == reference).expect("found");
        pack.remaining -= amount;
        pack.refunded += amount;
        self.refunds.insert(key, (reference, quantity));
        let doubt = if standing.gave_back { "?" } else { "" };
        format!("{doubt}ok")
    }

    /// What the database has to hold, a line each, as `proof_state` says it.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("open {} {}", self.start, self.end.at),
            format!("tier {}", TIERS[self.tier].0),
        ];
        let ends: Vec<String> = self.next_ends.iter().map(i64::to_string).collect();
        lines.push(format!("next {}", ends.join(",")));
        for closed in &self.closed {
            let Closed { start, end, tier, .. } = closed;
            lines.push(format!("period {start} {end} {}", TIERS[*tier].0));
            for (feature, line) in &closed.lines {
                let name = FEATURES[*feature];
                let Line { used, included, drawn, uncovered, late, set_aside, is_closed } = line;
                if *is_closed {
                    let included = included.map_or("-".to_owned(), |units| units.to_string());
                    lines.push(format!(
                        "closed {start} {name} {used} {included} {drawn} {uncovered}"
                    ));
                }
                let [late, late_drawn, late_uncovered] = late;
                if [*late, *late_drawn, *late_uncovered, *set_aside] != [0; 4] {
                    lines.push(format!(
                        "late {start} {name} {late} {late_drawn} {late_uncovered} {set_aside}"
                    ));
                }
            }
        }
        for pack in &self.packs {
            let Pack { reference, remaining, drawn, expired, refunded, .. } = pack;
            lines.push(format!("pack p{reference} {remaining} {drawn} {expired} {refunded}"));
        }
        let closed = self.closed.iter().map(|closed| (closed.start, closed.end));
        for period in closed.chain(self.open_windows()) {
            for (feature, name) in FEATURES.iter().enumerate() {
                let used = self.sum(feature, period, true);
                if used != 0 {
                    lines.push(format!("counter {} {name} {used}", period.0));
                }
                let by_user = self.metrics.iter().filter(|metric| {
                    metric.feature == feature
                        && metric.by_user
                        && metric.is_counted
                        && (period.0..period.1).contains(&metric.at)
                });
                let used: i64 = by_user.map(|metric| metric.amount).sum();
                if used != 0 {
                    lines.push(format!("user counter {} {name} {used}", period.0));
                }
            }
        }
        lines.sort_unstable();
        lines
    }
}
