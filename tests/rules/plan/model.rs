//! What must come of an org, by the rules' text, one unit at a time.
//!
//! Nothing here is fast or clever. Every unit of a pack lies in the pack, on the period's pile of
//! drawn units, or is gone; time goes from one moment to the next.

use std::collections::BTreeMap;

use periodd::billing::org::Subscription;
use periodd::billing::rollover::MINUTES;
use periodd::billing::{Instant, Period};
use uuid::Uuid;

use crate::plan::scenario::{FEATURES, Scenario, TIERS};

/// How one feature ends a period, in units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) used: i64,
    pub(crate) included: Option<i64>,
    pub(crate) drawn: i64,
    pub(crate) uncovered: i64,
}

/// A closed period.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Closed {
    pub(crate) period: Period,
    pub(crate) tier: String,
    pub(crate) lines: BTreeMap<String, Line>,
}

/// What a moment took out of a pack: kind, instant, start of the period that it belongs to.
pub(crate) type Move = (&'static str, Instant, Instant);

/// Where a pack's units went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Story {
    pub(crate) left: i64,
    pub(crate) moves: BTreeMap<Move, i64>,
}

/// Everything that must have come of an org by now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) closed: Vec<Closed>,
    pub(crate) packs: BTreeMap<Uuid, Story>,
    pub(crate) open: Period,
    pub(crate) subscription: Subscription,
    pub(crate) used_minutes: i64,
    pub(crate) purchased_minutes: i64,
}

/// Lives an org's life up to `now`, over the given periods.
pub(crate) fn live(
    scenario: &Scenario,
    periods: impl Iterator<Item = Period>,
    now: Instant,
) -> Outcome {
    let mut shelves = FEATURES.map(|feature| Shelf::of(scenario, feature));
    let mut subscription = scenario.subscription.clone();
    let mut closed = Vec::new();
    for period in periods {
        let tier = subscription.tier.clone();
        for shelf in &mut shelves {
            shelf.pile.clear();
            shelf.settle_expiries(scenario, period, &tier, now);
        }
        if period.end > now {
            return outcome(scenario, shelves, closed, period, subscription, now);
        }
        let lines = shelves
            .iter_mut()
            .map(|shelf| (shelf.feature.to_owned(), shelf.close(scenario, period, &tier)));
        let lines = lines.filter(|(_, line)| line.used != 0 || line.drawn != 0).collect();
        closed.push(Closed { period, tier, lines });
        cross(scenario, &mut subscription, period.end);
    }
    panic!("the scenario's boundaries end before {now}")
}

/// What happens to tier and subscription at a boundary, which stands for a date, as instants do in
/// the org's zone. Where both are due, the subscription has
/// ended, and the tier to come with it; one that was sold for later is not touched.
fn cross(scenario: &Scenario, subscription: &mut Subscription, boundary: Instant) {
    let zone = scenario.calendar().zone;
    let place = scenario.boundaries.iter().position(|at| *at == boundary);
    // An early close is no boundary.
    let date = place.map_or_else(|| zone.date(boundary), |place| scenario.dates[place]);
    let is_due = subscription.next_tier_at.is_none_or(|at| zone.date(at) <= date);
    let next = if is_due { subscription.next_tier.take() } else { None };
    if is_due {
        subscription.next_tier_at = None;
    }
    if subscription.ends_at.is_some_and(|ends_at| zone.date(ends_at) <= date) {
        TIERS[2].clone_into(&mut subscription.tier);
        subscription.status = Some("canceled".to_owned());
        subscription.ends_at = None;
    } else if let Some(next) = next {
        subscription.tier = next;
    }
}

fn outcome(
    scenario: &Scenario,
    shelves: [Shelf; 2],
    closed: Vec<Closed>,
    open: Period,
    subscription: Subscription,
    now: Instant,
) -> Outcome {
    let minutes = shelves.iter().find(|shelf| shelf.feature == MINUTES).expect("minutes");
    let known = |at: Instant| scenario.everything_is_known || at <= now;
    let since = since(scenario, MINUTES, open);
    let inside = scenario.uses.iter().filter(|u| u.feature == MINUTES && since.contains(u.at));
    let used = inside.filter(|u| known(u.at)).map(|u| u.units).sum();
    Outcome {
        used_minutes: used,
        purchased_minutes: minutes.purchased_remaining(
            scenario,
            &subscription.tier,
            (open, used),
            now,
        ),
        closed,
        packs: shelves.into_iter().flat_map(|shelf| shelf.packs).map(Pack::told).collect(),
        open,
        subscription,
    }
}

/// From when on uses count in a period: from its start, or ever since for a level.
fn since(scenario: &Scenario, feature: &str, period: Period) -> Period {
    let is_level = scenario.levels.contains(feature);
    Period { start: if is_level { scenario.boundaries[0] } else { period.start }, ..period }
}

/// Does the org's pause last through a period?
fn is_paused(scenario: &Scenario, period: Period) -> bool {
    scenario.pause.is_some_and(|(from, until)| {
        from <= period.start && until.is_none_or(|until| until >= period.end)
    })
}

/// What is included in a period: what is granted, or more where a limit has fallen in it.
fn included(scenario: &Scenario, tier: &str, feature: &str, period: Period) -> Option<i64> {
    let granted = granted(scenario, tier, feature)?;
    let of_it = |((name, number), _): &(&(&str, usize), &i64)| {
        *name == feature && scenario.period(*number).start == period.start
    };
    Some(scenario.kept.iter().find(of_it).map_or(granted, |(_, kept)| granted.max(*kept)))
}

fn granted(scenario: &Scenario, tier: &str, feature: &str) -> Option<i64> {
    if let Some(overridden) = scenario.overrides.get(feature) {
        return *overridden;
    }
    let of_tier = |((name, of), _): &(&(&str, &str), &Option<i64>)| *name == tier && *of == feature;
    scenario.limits.iter().find(of_tier).map_or(Some(0), |(_, units)| *units)
}

/// A feature's packs, and the units that the period under way has drawn, last one on top.
struct Shelf {
    feature: &'static str,
    packs: Vec<Pack>,
    pile: Vec<usize>,
}

struct Pack {
    id: Uuid,
    bought: Instant,
    expires: Option<Instant>,
    story: Story,
}

impl Pack {
    fn told(self) -> (Uuid, Story) {
        let mut story = self.story;
        story.moves.retain(|_, units| *units != 0);
        (self.id, story)
    }

    fn has_expired(&self, at: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    fn write_off(&mut self, at: Instant, period: Period) {
        *self.story.moves.entry(("expired", at, period.start)).or_default() += self.story.left;
        self.story.left = 0;
    }
}

impl Shelf {
    fn of(scenario: &Scenario, feature: &'static str) -> Self {
        let own = scenario.packs.iter().filter(|purchase| purchase.feature == feature);
        let mut packs: Vec<Pack> = own
            .map(|purchase| Pack {
                id: purchase.id,
                bought: purchase.at,
                expires: purchase.expires_at,
                story: Story { left: purchase.units, ..Story::default() },
            })
            .collect();
        // Soonest expiry, then oldest purchase, then id; never is later than any instant.
        packs.sort_by_key(|pack| {
            (pack.expires.map_or(i64::MAX, Instant::microseconds), pack.bought, pack.id)
        });
        Self { feature, packs, pile: Vec::new() }
    }

    /// Goes through the expiries up to now, in their order, of packs that still hold something
    /// when their time comes.
    fn settle_expiries(&mut self, scenario: &Scenario, period: Period, tier: &str, now: Instant) {
        let until = period.end.min(now);
        let next = |shelf: &Self| {
            let holding = shelf.packs.iter().filter(|pack| pack.story.left > 0);
            holding.filter_map(|pack| pack.expires).filter(|at| *at <= until).min()
        };
        while let Some(at) = next(self) {
            // A pack that expired before the period, or as it began, never was usable for it.
            if at > period.start {
                let before = Period { start: period.start, end: at };
                // Usable at its own settlement, and otherwise in [bought, expires); a period
                // never draws on what is bought at its end or later.
                self.pay(scenario, before, tier, at, period, |pack| {
                    pack.bought <= at
                        && pack.bought < period.end
                        && pack.expires.is_none_or(|expires| expires >= at)
                });
            }
            let expired = self.packs.iter_mut().filter(|pack| pack.has_expired(at));
            expired.for_each(|pack| pack.write_off(at, period));
        }
    }

    fn close(&mut self, scenario: &Scenario, period: Period, tier: &str) -> Line {
        let is_usable = |pack: &Pack| {
            pack.bought < period.end && pack.expires.is_none_or(|expires| expires > period.start)
        };
        self.pay(scenario, period, tier, period.end, period, is_usable);
        let used = self.used(scenario, period);
        let mut included = included(scenario, tier, self.feature, period);
        if scenario.levels.contains(self.feature) {
            // Packs raise the limit of a level, while they last, by what they hold.
            let usable = self.packs.iter().filter(|pack| is_usable(pack));
            let raised = usable.map(|pack| pack.story.left).sum::<i64>();
            included = included.map(|included| included + raised);
        } else if is_paused(scenario, period) {
            included = Some(0);
        }
        let drawn = i64::try_from(self.pile.len()).expect("few");
        let overage = included.map_or(0, |included| (used - included).max(0));
        Line { used, included, drawn, uncovered: overage - drawn }
    }

    /// Draws, or gives back, unit by unit, until the pile is as high as the overage.
    fn pay(
        &mut self,
        scenario: &Scenario,
        so_far: Period,
        tier: &str,
        at: Instant,
        period: Period,
        usable: impl Fn(&Pack) -> bool,
    ) {
        let used = self.used(scenario, so_far);
        let pays = !scenario.levels.contains(self.feature) && !is_paused(scenario, period);
        let overage = included(scenario, tier, self.feature, period)
            .filter(|_| pays)
            .map_or(0, |included| usize::try_from(used - included).unwrap_or(0));
        while self.pile.len() < overage {
            let pays = |pack: &Pack| pack.story.left > 0 && usable(pack);
            let Some(place) = self.packs.iter().position(pays) else { break };
            self.move_unit(place, at, period, 1);
            self.pile.push(place);
        }
        while self.pile.len() > overage {
            let place = self.pile.pop().expect("higher than the overage");
            self.move_unit(place, at, period, -1);
            if self.packs[place].has_expired(at) {
                self.packs[place].write_off(at, period);
            }
        }
    }

    fn move_unit(&mut self, place: usize, at: Instant, period: Period, unit: i64) {
        let story = &mut self.packs[place].story;
        story.left -= unit;
        *story.moves.entry(("drawn", at, period.start)).or_default() += unit;
    }

    fn used(&self, scenario: &Scenario, period: Period) -> i64 {
        let (uses, period) = (scenario.uses.iter(), since(scenario, self.feature, period));
        let counts = uses.filter(|u| u.feature == self.feature && period.contains(u.at));
        counts.map(|u| u.units).sum()
    }

    /// min(remaining of usable packs, max(0, allowance − used)).
    fn purchased_remaining(
        &self,
        scenario: &Scenario,
        tier: &str,
        (open, used): (Period, i64),
        now: Instant,
    ) -> i64 {
        let usable = self.packs.iter().filter(|p| p.bought <= now && !p.has_expired(now));
        let left: i64 = usable.map(|pack| pack.story.left).sum();
        let drawn = i64::try_from(self.pile.len()).expect("few");
        included(scenario, tier, self.feature, open)
            .map_or(left, |included| left.min((included + drawn + left - used).max(0)))
    }
}
