//! What holds for every org.

use std::collections::BTreeMap;

use periodd::billing::org::Reason;
use periodd::billing::org::restart::Restart;
use periodd::billing::quota::{EntryKind, Included, Pack};
use periodd::billing::rollover::{MINUTES, Plan};
use periodd::billing::timeline::{CatchUp, Early, Policy};
use periodd::billing::{Instant, Period, Quantity};
use proptest::prelude::*;
use uuid::Uuid;

use crate::plan::memory::{Memory, replay};
use crate::plan::model::{self, Outcome};
use crate::plan::scenario::{FEATURES, Look, Scenario, recipes};

/// Four times as many cases as asked for by `PROPTEST_CASES`, or as usual.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    // What fails once is kept as a story with a name, not as a seed in a file.
    ProptestConfig { cases: usual.cases * 4, failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_replay_ends_where_the_rules_say(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let mut memory = Memory::of(&scenario);
        memory.catch_up(scenario.last_look);
        let expected = model::live(&scenario, periods(&scenario), scenario.last_look.now);
        prop_assert_eq!(told(&scenario, &memory), told_by(&scenario, &expected));
    }

    #[test]
    fn looking_often_ends_where_looking_once_does(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let Look { now, .. } = scenario.last_look;
        let mut once = Memory::of(&scenario);
        once.catch_up(Look { now, max_periods: usize::MAX });
        let mut often = Memory::of(&scenario);
        for look in scenario.looks.iter().chain([&scenario.last_look]) {
            // A daemon that stops after one pass, and goes on at the next look.
            often.pass(&replay(look.max_periods), look.now).expect("an org in good order");
        }
        often.catch_up(scenario.last_look);
        prop_assert_eq!(told(&scenario, &often), told(&scenario, &once));
    }

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let mut memory = Memory::of(&scenario);
        for look in scenario.looks.iter().chain([&scenario.last_look]) {
            memory.catch_up(*look);
            let before = memory.clone();
            let plan = memory.pass(&replay(look.max_periods), look.now).expect("an org");
            prop_assert!(plan.closes.is_empty() && plan.entries.is_empty(), "{plan:#?}");
            prop_assert_eq!(&plan.subscription, &None);
            prop_assert_eq!(plan.open, before.org.period.expect("a period").period);
            prop_assert_eq!(plan.derived.overage_minutes, before.org.overage_minutes);
            prop_assert_eq!(plan.recount_from, None);
        }
    }

    #[test]
    fn every_prefix_of_the_ledger_adds_up(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let mut memory = Memory::of(&scenario);
        for look in scenario.looks.iter().chain([&scenario.last_look]) {
            memory.catch_up(*look);
        }
        conserved(&memory);
        tiled(&scenario, &memory);
        drawn_as_written(&memory);
        uncovered_by_nothing(&memory);
        in_drawing_order(&memory);
    }

    #[test]
    fn what_comes_to_light_late_unbalances_nothing(recipe in recipes()) {
        let scenario = Scenario::late(&recipe);
        let mut memory = Memory::of(&scenario);
        for look in scenario.looks.iter().chain([&scenario.last_look]) {
            memory.catch_up(*look);
            conserved(&memory);
            let plan = memory.pass(&replay(12), look.now).expect("an org");
            prop_assert!(plan.closes.is_empty() && plan.entries.is_empty(), "{plan:#?}");
        }
        tiled(&scenario, &memory);
        drawn_as_written(&memory);
    }

    #[test]
    fn early_closes_the_open_period_now_and_keeps_its_end(recipe in recipes()) {
        // A pause that lasts until now covers what is closed early, and did not cover the whole.
        let scenario = Scenario { pause: None, ..Scenario::of(&recipe) };
        let now = scenario.last_look.now;
        // A pack bought at the very moment may have paid at an expiry of that moment, while the
        // period still went on; cut off there, the period would not have had it. What was drawn
        // stays drawn.
        if scenario.packs.iter().any(|pack| pack.at == now) {
            return Ok(());
        }
        let mut memory = Memory::of(&scenario);
        memory.catch_up(scenario.last_look);
        let open = memory.org.period.expect("a period").period;
        // One that has just begun is not closed early; a change of the time of day makes such.
        let age = now.since(open.start);
        if open.start < now && age < periodd::billing::timeline::SHORTEST_EARLY {
            return Ok(());
        }
        let policy = Policy { early: Early::KeepEnd, ..replay(12) };
        let plan = memory.pass(&policy, now).expect("an org");
        let splits = open.start < now && now < open.end;
        prop_assert_eq!(plan.closes.len(), usize::from(splits));
        let split = periods(&scenario).flat_map(|Period { start, end }| {
            let inside = start < now && now < end;
            let first = inside.then_some(Period { start, end: now });
            first.into_iter().chain([Period { start: if inside { now } else { start }, end }])
        });
        let expected = model::live(&scenario, split, now);
        prop_assert_eq!(told(&scenario, &memory), told_by(&scenario, &expected));
    }

    #[test]
    fn a_restart_opens_a_full_period_and_the_function_agrees_with_the_command(
        recipe in recipes()
    ) {
        let scenario = Scenario::of(&recipe);
        let now = scenario.last_look.now;
        // As above: what a pack of this moment has drawn stays drawn.
        if scenario.packs.iter().any(|pack| pack.at == now) {
            return Ok(());
        }
        let mut memory = Memory::of(&scenario);
        memory.catch_up(scenario.last_look);
        let open = memory.org.period.expect("a period").period;
        let is_young = now.since(open.start) < periodd::billing::timeline::SHORTEST_EARLY;
        if is_young || now >= open.end {
            return Ok(());
        }
        // As the function leaves it: the instant is an end among the stored ones.
        let mut called = memory.clone();
        let from = called.org.subscription.tier.clone();
        let restart = Restart { at: now, on: from.clone(), from, tier: None, is_stored: true };
        called.org.restart = Some(restart);
        let called = called.pass(&replay(12), now).expect("an org");

        let policy = Policy { early: Early::Restart { tier: None }, ..replay(12) };
        let plan = memory.pass(&policy, now).expect("an org");
        prop_assert_eq!(plan.closes.len(), 1);
        prop_assert_eq!(plan.closes[0].period, Period { start: open.start, end: now });
        prop_assert_eq!(plan.open.start, now);
        // As long as the one that follows it, but for the days of months and changes of clocks.
        let length = |period: Period| period.end.since(period.start).as_secs();
        let next = Period { start: plan.open.end, end: plan.next_ends[0] };
        let difference = (length(plan.open) - length(next)).abs();
        prop_assert!(difference <= 4 * 86_400, "{:?}, then {next:?}", plan.open);
        let told = |plan: &Plan| {
            let closes = plan.closes.iter().map(|close| (close.period, close.features.clone()));
            let closes: Vec<_> = closes.collect();
            (closes, plan.open, plan.next_ends.clone(), plan.anchored, plan.subscription.clone())
        };
        prop_assert_eq!(told(&plan), told(&called));
        prop_assert!(plan.anchored.is_some());
        conserved(&memory);
        drawn_as_written(&memory);
    }

    #[test]
    fn collapse_closes_the_open_period_and_the_missed_ones_as_one(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let now = scenario.last_look.now;
        let mut memory = Memory::of(&scenario);
        let policy = Policy { catch_up: CatchUp::Collapse, ..replay(1) };
        memory.pass(&policy, now).expect("an org");
        let (missed, later): (Vec<Period>, Vec<Period>) =
            periods(&scenario).skip(1).partition(|period| period.end <= now);
        let missed = missed.first().zip(missed.last());
        let missed = missed.map(|(first, last)| Period { start: first.start, end: last.end });
        let expected = [scenario.period(0)].into_iter().chain(missed).chain(later);
        let expected = model::live(&scenario, expected, now);
        prop_assert_eq!(told(&scenario, &memory), told_by(&scenario, &expected));
    }

    #[test]
    fn halt_lets_one_period_through_and_no_more(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let now = scenario.last_look.now;
        let mut memory = Memory::of(&scenario);
        let due = periods(&scenario).take_while(|period| period.end <= now).count();
        let halted = memory.pass(&Policy { catch_up: CatchUp::Halt, ..replay(12) }, now);
        if due > 1 {
            let since = scenario.boundaries[1];
            prop_assert_eq!(halted.err(), Some(Reason::Halted { since }));
            prop_assert!(memory.closed.is_empty() && memory.ledger.is_empty());
        } else {
            prop_assert_eq!(halted.map(|plan| plan.closes.len()), Ok(due));
        }
    }

    #[test]
    fn a_period_without_an_end_closes_nothing_and_settles_what_expires(recipe in recipes()) {
        let mut scenario = Scenario::of(&recipe);
        scenario.schedule = ("none", 1, 1, 0);
        scenario.kept.retain(|(_, number), _| *number == 0);
        scenario.boundaries = vec![scenario.boundaries[0], Instant::NEVER];
        scenario.end_date = None;
        let mut memory = Memory::of(&scenario);
        for look in scenario.looks.iter().chain([&scenario.last_look]) {
            memory.catch_up(*look);
        }
        prop_assert!(memory.closed.is_empty());
        let expected = model::live(&scenario, periods(&scenario), scenario.last_look.now);
        prop_assert_eq!(told(&scenario, &memory), told_by(&scenario, &expected));
        conserved(&memory);
    }

    #[test]
    fn an_org_without_a_period_gets_the_one_that_contains_now(recipe in recipes()) {
        let scenario = Scenario::of(&recipe);
        let now = scenario.last_look.now;
        let mut memory = Memory::of(&scenario);
        memory.org.period = None;
        let plan = memory.pass(&replay(12), now).expect("an org");
        prop_assert!(plan.closes.is_empty(), "nothing of the past is closed");
        prop_assert!(plan.entries.iter().all(|entry| entry.at <= now));
        prop_assert!(plan.open.contains(now));
        // Where the scenario's own calendar has a period there, it is that one.
        let known = periods(&scenario).skip(2).find(|period| period.contains(now));
        prop_assert!(known.is_none_or(|known| known == plan.open), "{known:?} {:?}", plan.open);
    }

    #[test]
    fn what_others_add_to_the_purchased_minutes_is_kept(recipe in recipes(), added in 1..50_i64) {
        let mut scenario = Scenario::of(&recipe);
        scenario.packs.retain(|purchase| purchase.feature != MINUTES);
        let added = scenario.quantity(added);
        let mut memory = Memory::of(&scenario);
        for look in &scenario.looks {
            memory.catch_up(*look);
        }
        memory.org.overage_minutes = memory.org.overage_minutes.plus(added).expect("in range");
        memory.catch_up(scenario.last_look);
        prop_assert_eq!(memory.org.overage_minutes, added);
        prop_assert_eq!(memory.org.overage_minutes_written, Some(Quantity::ZERO));
    }
}

/// The scenario's periods, by its own boundaries.
fn periods(scenario: &Scenario) -> impl Iterator<Item = Period> {
    (0..scenario.boundaries.len() - 1).map(|number| scenario.period(number))
}

/// Feature → used, included, drawn, uncovered.
type FeaturesTold = BTreeMap<String, [Option<Quantity>; 4]>;

/// An outcome in words and numbers that model and memory share: period, tier, feature → used,
/// included, drawn, uncovered; pack → left and moves; the rest.
#[derive(PartialEq, Debug)]
struct Told {
    closed: Vec<(Period, String, FeaturesTold)>,
    packs: BTreeMap<Uuid, (Quantity, BTreeMap<model::Move, Quantity>)>,
    open: Period,
    next_ends: Vec<Instant>,
    subscription: String,
    minutes: [Quantity; 2],
}

fn told_by(scenario: &Scenario, outcome: &Outcome) -> Told {
    let quantity = |units: i64| scenario.quantity(units);
    let closed = outcome.closed.iter().map(|closed| {
        let lines = closed.lines.iter().map(|(feature, line)| {
            let included = line.included.map(quantity);
            let [used, drawn, uncovered] =
                [line.used, line.drawn, line.uncovered].map(|units| Some(quantity(units)));
            (feature.clone(), [used, included, drawn, uncovered])
        });
        (closed.period, closed.tier.clone(), lines.collect())
    });
    let packs = outcome.packs.iter().map(|(id, story)| {
        let moves = story.moves.iter().map(|(what, units)| (*what, quantity(*units)));
        (*id, (quantity(story.left), moves.collect()))
    });
    let follows = |end: &&Instant| **end > outcome.open.end;
    Told {
        closed: closed.collect(),
        packs: packs.collect(),
        open: outcome.open,
        next_ends: scenario.boundaries.iter().filter(follows).take(3).copied().collect(),
        subscription: format!("{:?}", outcome.subscription),
        minutes: [outcome.used_minutes, outcome.purchased_minutes].map(quantity),
    }
}

fn told(scenario: &Scenario, memory: &Memory) -> Told {
    let open = memory.org.period.expect("a period").period;
    let closed = memory.closed.iter().map(|close| {
        let lines = close.features.iter().map(|usage| {
            let included = match usage.included {
                Included::Unlimited => None,
                Included::Quantity(included) => Some(included),
            };
            let numbers = [Some(usage.used), included, Some(usage.drawn), Some(usage.uncovered)];
            (usage.feature.to_string(), numbers)
        });
        (close.period, close.tier.clone(), lines.collect())
    });
    let packs = memory.packs.iter().map(|held| {
        let mut moves: BTreeMap<model::Move, Quantity> = BTreeMap::new();
        for entry in memory.ledger.iter().filter(|entry| entry.pack == held.pack.id) {
            let sum = moves.entry((entry.kind.name(), entry.at, entry.period_start)).or_default();
            *sum = sum.plus(entry.quantity).expect("in range");
        }
        moves.retain(|_, quantity| !quantity.is_zero());
        (held.pack.id, (held.pack.remaining, moves))
    });
    let known = scenario.boundaries.iter().filter(|end| **end > open.end).count();
    Told {
        closed: closed.collect(),
        packs: packs.collect(),
        open,
        next_ends: memory.org.next_period_ends.iter().take(known.min(3)).copied().collect(),
        subscription: format!("{:?}", memory.org.subscription),
        minutes: [memory.used_minutes, memory.org.overage_minutes],
    }
}

/// granted = remaining + drawn + expired, for every pack after every entry; and nothing is ever
/// less than nothing, or expired in part.
fn conserved(memory: &Memory) {
    for held in &memory.packs {
        let (mut remaining, mut drawn, mut seq) = (held.granted, Quantity::ZERO, 1);
        for entry in memory.ledger.iter().filter(|entry| entry.pack == held.pack.id) {
            seq += 1;
            remaining = remaining.minus(entry.quantity).expect("in range");
            match entry.kind {
                EntryKind::Drawn => drawn = drawn.plus(entry.quantity).expect("in range"),
                EntryKind::Expired => {
                    assert!(entry.quantity.is_positive() && remaining.is_zero(), "{entry:?}");
                    assert!(held.pack.expires_at.is_some_and(|expires| expires <= entry.at));
                }
            }
            assert!(!entry.quantity.is_zero(), "an entry that says nothing: {entry:?}");
            assert_eq!((entry.seq, entry.remaining), (seq, remaining), "{entry:?}");
            assert!(!remaining.is_negative() && !drawn.is_negative(), "{entry:?}");
            assert!(remaining <= held.granted && drawn <= held.granted, "{entry:?}");
        }
        assert_eq!(held.pack.remaining, remaining);
    }
}

/// Closed periods and the open one touch, end at the scenario's boundaries, and none is empty.
fn tiled(scenario: &Scenario, memory: &Memory) {
    let open = memory.org.period.expect("a period").period;
    let closed = memory.closed.iter().map(|close| close.period);
    let walked: Vec<Period> = closed.chain([open]).collect();
    let expected: Vec<Period> = periods(scenario).take(walked.len()).collect();
    assert_eq!(walked, expected);
    assert!(walked.iter().all(|period| period.start < period.end));
    assert!(!open.contains(scenario.boundaries[0]) || walked.len() == 1);
    assert!(open.end > scenario.last_look.now, "nothing stays due");
}

/// drawn + uncovered is the overage, drawn is what the ledger says, and no pack pays for a period
/// that had ended when it was bought, or began after it expired.
fn drawn_as_written(memory: &Memory) {
    for close in &memory.closed {
        for usage in &close.features {
            let overage = usage.included.overage(usage.used).expect("in range");
            assert_eq!(usage.drawn.plus(usage.uncovered), Ok(overage), "{close:#?}");
        }
        for feature in FEATURES {
            let mut drawn = Quantity::ZERO;
            for held in memory.packs.iter().filter(|held| &*held.pack.feature == feature) {
                let paid = memory.gone(held, |entry| {
                    entry.kind == EntryKind::Drawn && entry.period_start == close.period.start
                });
                let usable = held.pack.was_usable_for(close.period);
                assert!(usable || paid.is_zero(), "{:?} pays for {close:#?}", held.pack);
                drawn = drawn.plus(paid).expect("in range");
            }
            let usage = close.features.iter().find(|usage| &*usage.feature == feature);
            let said = usage.map_or(Quantity::ZERO, |usage| usage.drawn);
            assert_eq!(said, drawn, "{feature} in {close:#?}");
        }
    }
}

/// Where something is uncovered, no pack that was usable for the period held anything when it
/// closed: unless packs pay for nothing, because it is a level or the org was paused.
fn uncovered_by_nothing(memory: &Memory) {
    for close in memory.closed.iter().filter(|close| !close.is_paused) {
        let metered = close.features.iter().filter(|usage| !usage.is_level);
        for usage in metered.filter(|usage| usage.uncovered.is_positive()) {
            let own = memory.packs.iter().filter(|held| held.pack.feature == usage.feature);
            for held in own.filter(|held| held.pack.was_usable_for(close.period)) {
                let gone = memory.gone(held, |entry| entry.period_start <= close.period.start);
                assert_eq!(gone, held.granted, "{:?} beside {usage:?}", held.pack);
            }
        }
    }
}

/// Was a pack usable for a period at all?
trait Usable {
    fn was_usable_for(&self, period: Period) -> bool;
}

impl Usable for Pack {
    fn was_usable_for(&self, period: Period) -> bool {
        let outlived_its_start = self.expires_at.is_none_or(|expires| expires > period.start);
        self.purchased_at < period.end && outlived_its_start
    }
}

/// Whenever a pack is drawn, those before it in the order (soonest expiry, oldest purchase, id)
/// that were usable at that moment are empty.
fn in_drawing_order(memory: &Memory) {
    let mut left: BTreeMap<Uuid, Quantity> =
        memory.packs.iter().map(|held| (held.pack.id, held.granted)).collect();
    let key = |id: Uuid| {
        let pack = &memory.packs.iter().find(|held| held.pack.id == id).expect("a pack").pack;
        let expires = pack.expires_at.map_or(i64::MAX, Instant::microseconds);
        (&pack.feature, (expires, pack.purchased_at, pack.id))
    };
    for entry in &memory.ledger {
        left.insert(entry.pack, entry.remaining);
        if entry.kind == EntryKind::Expired || entry.quantity.is_negative() {
            continue;
        }
        let (feature, place) = key(entry.pack);
        let first = memory.packs.iter().map(|held| &held.pack).filter(|pack| {
            let (of, before) = key(pack.id);
            of == feature && before < place && pack.purchased_at < entry.at
        });
        for pack in first {
            // Expired packs are empty too, once the moment of their expiry has passed.
            assert!(left[&pack.id].is_zero(), "{entry:?} before {pack:?}");
        }
    }
}
