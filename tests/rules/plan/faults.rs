//! The checker: a good plan has no fault, and each fault that it knows is found in a plan that
//! has it.

use periodd::billing::check::{Fault, check};
use periodd::billing::org::Subscription;
use periodd::billing::quota::{EntryKind, Included};
use periodd::billing::rollover::{MINUTES, Plan};
use periodd::billing::{Instant, Period, Quantity};
use proptest::prelude::*;
use uuid::Uuid;

use crate::plan::memory::{Memory, replay};
use crate::plan::scenario::{Purchase, Scenario, Use, recipes};

fn instant(text: &str) -> Instant {
    text.parse().expect("an instant")
}

/// A good plan: two closed periods, a draw, something uncovered, and a pack that expires.
fn plan() -> Plan {
    let start = instant("2025-05-01T00:00:00Z");
    let pack = |id, units, expires_at: Option<&str>| Purchase {
        id: Uuid::from_u128(id),
        feature: MINUTES,
        units,
        at: start,
        known: start,
        expires_at: expires_at.map(instant),
    };
    let used = |at, units| Use { feature: MINUTES, at: instant(at), known: start, units };
    let tier = "free".to_owned();
    let scenario = Scenario {
        zone: "UTC",
        schedule: ("monthly", 1, 1, 0),
        boundaries: vec![start, instant("2025-06-01T00:00:00Z")],
        dates: Vec::new(),
        end_date: None,
        scale: 1_000_000,
        limits: [(("free", MINUTES), Some(10))].into(),
        overrides: [].into(),
        kept: [].into(),
        levels: [].into(),
        pause: None,
        subscription: Subscription {
            tier,
            next_tier: None,
            next_tier_at: None,
            status: None,
            ends_at: None,
        },
        uses: vec![used("2025-05-02T00:00:00Z", 14), used("2025-06-02T00:00:00Z", 18)],
        packs: vec![pack(1, 7, Some("2025-05-10T00:00:00Z")), pack(2, 5, None)],
        looks: Vec::new(),
        last_look: crate::plan::scenario::Look {
            now: instant("2025-07-02T00:00:00Z"),
            max_periods: 12,
        },
        everything_is_known: true,
    };
    let now = scenario.last_look.now;
    let plan = Memory::of(&scenario).pass(&replay(12), now).expect("an org in good order");
    assert_eq!(plan.closes.len(), 2);
    assert_eq!(plan.closes[1].features[0].uncovered, Quantity::units(3));
    let kinds: Vec<EntryKind> = plan.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Drawn, EntryKind::Expired, EntryKind::Drawn]);
    plan
}

/// Spoils the good plan and asserts that exactly these faults are found, each with a sentence.
#[track_caller]
fn finds(spoil: impl FnOnce(&mut Plan), expected: impl FnOnce(&Plan) -> Vec<Fault>) {
    let mut plan = plan();
    spoil(&mut plan);
    let faults = check(&plan);
    assert_eq!(faults, expected(&plan));
    assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
}

/// The line of minutes in a plan's closed period of that number.
fn fault(
    plan: &Plan,
    close: usize,
    of: fn(Period, Box<periodd::billing::rollover::ClosedUsage>) -> Fault,
) -> Fault {
    let close = &plan.closes[close];
    of(close.period, Box::new(close.features.last().expect("minutes").clone()))
}

#[test]
fn a_good_plan_has_no_fault() {
    assert_eq!(check(&plan()), []);
}

#[test]
fn an_empty_period() {
    finds(|plan| plan.open.end = plan.open.start, |plan| vec![Fault::EmptyPeriod(plan.open)]);
}

#[test]
fn periods_with_a_gap_between_them() {
    finds(
        |plan| plan.open.start = instant("2025-07-01T00:00:00.000001Z"),
        |plan| vec![Fault::DoNotTouch(plan.closes[1].period, plan.open)],
    );
}

#[test]
fn periods_that_overlap() {
    finds(
        |plan| plan.open.start = instant("2025-06-30T23:59:59.999999Z"),
        |plan| vec![Fault::DoNotTouch(plan.closes[1].period, plan.open)],
    );
}

#[test]
fn a_first_period_that_goes_beyond_the_stored_end() {
    let later = instant("2025-06-01T00:00:01Z");
    finds(
        |plan| plan.expected.period_end = Some(instant("2025-05-31T23:59:59Z")),
        |plan| vec![Fault::WrongStart(plan.closes[0].period)],
    );
    finds(
        |plan| plan.closes[1].follows = Some(later),
        |plan| vec![Fault::WrongStart(plan.closes[1].period)],
    );
}

#[test]
fn following_ends_that_stand_still_or_fall() {
    finds(|plan| plan.next_ends[0] = plan.open.end, |_| vec![Fault::EndsNotRising]);
    finds(|plan| plan.next_ends.swap(1, 2), |_| vec![Fault::EndsNotRising]);
}

#[test]
fn a_level_that_is_not_carried_over() {
    finds(
        |plan| plan.closes[0].features[0].is_level = true,
        |plan| vec![fault(plan, 0, Fault::NotCarried)],
    );
}

#[test]
fn overage_that_is_neither_drawn_nor_uncovered() {
    finds(
        |plan| plan.closes[1].features[0].uncovered = Quantity::units(2),
        |plan| vec![fault(plan, 1, Fault::Unbalanced)],
    );
    finds(
        |plan| plan.closes[0].features[0].included = Included::Unlimited,
        |plan| vec![fault(plan, 0, Fault::Unbalanced)],
    );
    // Negative numbers that add up all the same.
    finds(
        |plan| {
            let usage = &mut plan.closes[1].features[0];
            (usage.drawn, usage.uncovered) = (Quantity::units(9), Quantity::units(-1));
        },
        |plan| vec![fault(plan, 1, Fault::Unbalanced)],
    );
}

#[test]
fn something_uncovered_although_a_pack_still_holds_something() {
    finds(
        |plan| plan.closes[1].features[0].left_in_packs = Quantity::units(1),
        |plan| vec![fault(plan, 1, Fault::UncoveredBesidePack)],
    );
}

#[test]
fn a_feature_twice_in_one_period() {
    finds(
        |plan| {
            let usage = plan.closes[0].features[0].clone();
            plan.closes[0].features.push(usage);
        },
        |plan| vec![fault(plan, 0, Fault::Repeated)],
    );
}

#[test]
fn entries_that_do_not_add_up_to_what_their_pack_holds() {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let finds_pack = |spoil: fn(&mut Plan), pack| {
        finds(spoil, |_| vec![Fault::PackDoesNotAddUp(pack)]);
    };
    finds_pack(|plan| plan.entries[2].remaining = Quantity::units(1), second);
    finds_pack(|plan| plan.entries[2].quantity = Quantity::units(4), second);
    // Drawn below nothing, with sums that agree.
    finds_pack(
        |plan| {
            plan.entries[2].quantity = Quantity::units(6);
            plan.entries[2].remaining = Quantity::units(-1);
        },
        second,
    );
    // Expired in part.
    finds_pack(
        |plan| {
            plan.entries[1].quantity = Quantity::units(1);
            plan.entries[1].remaining = Quantity::units(2);
        },
        first,
    );
    // Of a pack that nobody read.
    finds_pack(|plan| plan.packs_before.retain(|(pack, _)| *pack == Uuid::from_u128(1)), second);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A draw that is written down as more than it was never slips through, whatever the org.
    #[test]
    fn a_draw_of_another_size_is_found_in_any_plan(recipe in recipes(), which in any::<usize>()) {
        let scenario = Scenario::of(&recipe);
        let memory = Memory::of(&scenario);
        let now = scenario.last_look.now;
        let snapshot = memory.read(&replay(12), now).expect("an org in good order");
        let mut plan = periodd::billing::rollover::plan(&snapshot, now).expect("a plan");
        prop_assume!(!plan.entries.is_empty());
        let which = which % plan.entries.len();
        let entry = &mut plan.entries[which];
        entry.quantity = entry.quantity.plus(scenario.quantity(1)).expect("in range");
        let pack = entry.pack;
        prop_assert!(check(&plan).contains(&Fault::PackDoesNotAddUp(pack)));
    }
}
