//! Single cases that went wrong once, each with its worked numbers: May 2025 in UTC, nothing
//! included.

use periodd::billing::org::Subscription;
use periodd::billing::rollover::MINUTES;
use periodd::billing::{Instant, Quantity};
use uuid::Uuid;

use crate::plan::memory::Memory;
use crate::plan::scenario::{Look, Purchase, Scenario, Use};

/// A date of 2025 at 00:00Z, as month and day.
type Day = (i8, i8);
/// How much, bought when, expires when.
type Bought = (i64, Day, Option<Day>);

fn day((month, day): Day) -> Instant {
    format!("2025-{month:02}-{day:02}T00:00:00Z").parse().expect("an instant")
}

fn may(uses: &[(i64, Day)], packs: &[Bought]) -> Memory {
    let usage =
        |&(units, at): &(i64, Day)| Use { feature: MINUTES, at: day(at), known: day(at), units };
    let purchase = |(place, &(units, at, expires)): (usize, &Bought)| Purchase {
        id: Uuid::from_u128(place as u128),
        feature: MINUTES,
        units,
        at: day(at),
        known: day(at),
        expires_at: expires.map(day),
    };
    let tier = "free".to_owned();
    Memory::of(&Scenario {
        zone: "UTC",
        schedule: ("monthly", 1, 1, 0),
        boundaries: vec![day((5, 1)), day((6, 1))],
        dates: Vec::new(),
        end_date: None,
        scale: 1_000_000,
        limits: [].into(),
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
        uses: uses.iter().map(usage).collect(),
        packs: packs.iter().enumerate().map(purchase).collect(),
        looks: Vec::new(),
        last_look: Look { now: day((6, 3)), max_periods: 12 },
        everything_is_known: false,
    })
}

/// Looks on those days, and asserts what May used, drew and left uncovered, and what each pack
/// still holds.
#[track_caller]
fn ends_with(mut memory: Memory, looks: &[Day], may: [i64; 3], packs: &[i64]) {
    for &now in looks {
        memory.catch_up(Look { now: day(now), max_periods: 12 });
    }
    let usage = &memory.closed[0].features[0];
    assert_eq!([usage.used, usage.drawn, usage.uncovered], may.map(Quantity::units));
    let left: Vec<Quantity> = memory.packs.iter().map(|held| held.pack.remaining).collect();
    let expected: Vec<Quantity> = packs.iter().copied().map(Quantity::units).collect();
    assert_eq!(left, expected, "{:#?}", memory.ledger);
}

#[test]
fn a_pack_bought_at_the_very_end_of_a_period_does_not_pay_for_it() {
    // The first pack expires with May, and the second is bought at that instant.
    let memory = may(&[(5, (5, 10))], &[(2, (5, 1), Some((6, 1))), (9, (6, 1), None)]);
    ends_with(memory, &[(6, 3)], [5, 2, 3], &[0, 9]);
}

#[test]
fn a_pack_that_is_empty_when_it_expires_settles_nothing() {
    // By May 10 the second pack is empty, so that nobody has a reason to settle anything on that
    // day; what is used until then is paid at the close, by the pack that expires in June.
    let packs = [
        (1, (5, 1), Some((5, 5))),
        (1, (5, 1), Some((5, 10))),
        (5, (5, 1), None),
        (5, (5, 12), Some((6, 30))),
    ];
    let memory = || may(&[(3, (5, 3)), (2, (5, 9))], &packs);
    ends_with(memory(), &[(5, 5), (5, 10), (6, 3)], [5, 5, 0], &[0, 0, 4, 3]);
    ends_with(memory(), &[(6, 3)], [5, 5, 0], &[0, 0, 4, 3]);
}

#[test]
fn a_pack_that_was_empty_and_is_given_back_to_still_expires_in_its_turn() {
    // May 5: one from the first, five from the second. A correction gives three back on May 15;
    // on May 20 the second pack expires: two are drawn again, and one is lost,
    // so that nothing is left for May 25.
    let packs = [(1, (5, 1), Some((5, 5))), (5, (5, 1), Some((5, 20))), (1, (5, 7), Some((5, 15)))];
    let memory = || may(&[(6, (5, 2)), (-3, (5, 10)), (2, (5, 17)), (1, (5, 25))], &packs);
    ends_with(memory(), &[(6, 3)], [6, 5, 1], &[0, 0, 0]);
    ends_with(memory(), &[(5, 6), (6, 3)], [6, 5, 1], &[0, 0, 0]);
    ends_with(memory(), &[(5, 6), (5, 16), (5, 21), (6, 3)], [6, 5, 1], &[0, 0, 0]);
}

#[test]
fn what_was_given_back_out_of_two_draws_is_not_given_back_again() {
    // The last pack pays three on May 5 and four on May 10; of these seven, six return on May 15.
    let packs = [
        (1, (5, 1), Some((5, 5))),
        (1, (5, 6), Some((5, 10))),
        (1, (5, 11), Some((5, 15))),
        (20, (5, 1), None),
    ];
    let memory = || may(&[(4, (5, 2)), (5, (5, 8)), (-7, (5, 12))], &packs);
    ends_with(memory(), &[(6, 3)], [2, 2, 0], &[0, 0, 0, 19]);
    ends_with(memory(), &[(5, 5), (5, 10), (5, 15), (6, 3)], [2, 2, 0], &[0, 0, 0, 19]);
}
