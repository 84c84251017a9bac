//! Which readings of the database's clock are believed: case by case, and whatever happens.

use jiff::SignedDuration;
use periodd::billing::clock::{Memory, Reading, TOLERANCE, Verdict, Witness};
use proptest::prelude::*;

use crate::support::at;

const START: &str = "2026-05-01T12:00:00Z";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A reading so many seconds after the start, with what the two clocks are off by then.
fn reading(passed: i64, database_off: i64, machine_off: i64) -> Reading {
    let moved = |by: i64| at(START).plus(SignedDuration::from_secs(by)).expect("in range");
    Reading {
        database: moved(passed + database_off),
        machine: moved(passed + machine_off),
        awake: SignedDuration::from_secs(10_000 + passed),
        took: SignedDuration::from_millis(5),
    }
}

/// What is remembered after one reading that was right.
fn right() -> Memory {
    let mut memory = Memory::default();
    memory.believe(reading(0, 0, 0));
    memory
}

fn is_doubted(memory: &Memory, reading: &Reading) -> bool {
    matches!(memory.judge(reading), Verdict::Doubted(_))
}

#[test]
fn a_jump_is_not_believed_and_the_time_that_has_passed_is_expected() {
    for jump in [61, 3 * HOUR, 40 * DAY, 1900 * DAY, -61, -HOUR] {
        let Verdict::Doubted(doubt) = right().judge(&reading(15, jump, 0)) else {
            panic!("{jump} is believed")
        };
        assert_eq!(doubt.expected, at("2026-05-01T12:00:15Z"), "{jump}");
        assert_eq!(doubt.witness, Witness::Elapsed);
    }
    for corrected in [0, 59, -59] {
        assert_eq!(right().judge(&reading(15, corrected, 0)), Verdict::Right, "{corrected}");
    }
    // A long sleep, or a night without any reading, is no jump.
    assert_eq!(right().judge(&reading(40 * DAY, 0, 0)), Verdict::Right);
}

#[test]
fn where_time_has_passed_by_the_database_this_machines_clock_need_not_be_right() {
    for machine_off in [3 * HOUR, -40 * DAY] {
        assert_eq!(right().judge(&reading(15, 0, machine_off)), Verdict::Right);
    }
}

#[test]
fn the_first_reading_is_compared_with_this_machine_and_with_what_others_believed() {
    let mut memory = Memory::default();
    assert_eq!(memory.judge(&reading(0, 30, 0)), Verdict::Right);
    let Verdict::Doubted(doubt) = memory.judge(&reading(0, 3 * HOUR, 0)) else {
        panic!("believed")
    };
    assert_eq!((doubt.expected, doubt.witness), (at(START), Witness::Machine));
    let Verdict::Doubted(doubt) = memory.judge(&reading(0, 0, 3 * HOUR)) else {
        panic!("believed")
    };
    assert_eq!(doubt.expected, at(START), "whichever is behind");
    // Another machine believed it a moment ago: this one's clock is wrong.
    memory.elsewhere = Some(at("2026-05-01T11:59:50Z"));
    assert_eq!(memory.judge(&reading(0, 0, 3 * HOUR)), Verdict::Right);
    assert!(is_doubted(&memory, &reading(0, 3 * HOUR, 0)));
}

/// What the first reading of a machine comes to, three hours ahead of another machine's last word,
/// which is heard again each second or not; and after so many seconds.
fn first_reading(another_lives: bool, seconds: i64) -> Verdict {
    let mut memory = Memory::default();
    let both_ahead = |at: i64| reading(at, 3 * HOUR, 3 * HOUR);
    for second in 0..=seconds {
        let word =
            at(START).plus(SignedDuration::from_secs(if another_lives { second } else { 0 }));
        let awake = SignedDuration::from_secs(10_000 + second);
        memory.recall(None, Some(word.expect("an instant")), awake);
    }
    memory.judge(&both_ahead(seconds))
}

#[test]
fn a_first_reading_far_ahead_of_a_machine_that_runs_is_not_believed() {
    let witness = |verdict| match verdict {
        Verdict::Doubted(doubt) => Some((doubt.witness, doubt.expected)),
        _ => None,
    };
    let expected = |seconds| at(START).plus(SignedDuration::from_secs(seconds)).expect("in range");
    for seconds in [1, 20, 60, 3600] {
        let verdict = first_reading(true, seconds);
        assert_eq!(witness(verdict), Some((Witness::Elsewhere, expected(seconds))), "{seconds}");
    }
    // Where nobody else runs, all were switched off for as long.
    assert!(matches!(witness(first_reading(false, 20)), Some((Witness::Unheard, _))));
    assert_eq!(first_reading(false, 25), Verdict::Right);
    // That other machine may be switched off meanwhile.
    let mut memory = Memory::default();
    for (second, word) in [(0, 0), (1, 1), (27, 1)] {
        let word = at(START).plus(SignedDuration::from_secs(word)).expect("in range");
        memory.recall(None, Some(word), SignedDuration::from_secs(10_000 + second));
    }
    assert_eq!(memory.judge(&reading(27, 3 * HOUR, 3 * HOUR)), Verdict::Right);
}

#[test]
fn a_jump_of_both_clocks_is_believed_once_it_has_lasted_as_long_as_it_is_wide() {
    let (memory, jump) = (right(), 10 * 60);
    assert!(is_doubted(&memory, &reading(15, jump, jump)));
    assert!(is_doubted(&memory, &reading(jump - 1, jump, jump)));
    assert!(is_doubted(&memory, &reading(jump + 1, jump, 0)), "this machine's says otherwise");
    assert_eq!(memory.judge(&reading(jump + 1, jump, jump)), Verdict::Right);
}

#[test]
fn a_clock_that_was_set_back_with_this_machines_does_nothing_too_early() {
    let mut memory = right();
    let back = reading(15, -3 * HOUR, -3 * HOUR);
    assert_eq!(memory.judge(&back), Verdict::Lags);
    // It is no measure yet: the clock that was right before is still known.
    assert_eq!(memory.judge(&reading(30, 0, 0)), Verdict::Right);
    let later = reading(3 * HOUR, -3 * HOUR, -3 * HOUR);
    assert_eq!(memory.judge(&later), Verdict::Right);
    memory.believe(later);
    assert!(is_doubted(&memory, &reading(3 * HOUR + 15, 0, 0)));
}

#[test]
fn a_clock_that_runs_fast_is_not_believed_a_minute_more_at_each_step() {
    let mut memory = right();
    let believed = (1..1_000).take_while(|step| {
        // Four times as fast as time, looked at every 15 seconds.
        let reading = reading(step * 15, step * 45, 0);
        let is_right = memory.judge(&reading) == Verdict::Right;
        if is_right {
            memory.believe(reading);
        }
        is_right
    });
    assert_eq!(believed.count(), 1);
}

#[test]
fn a_database_that_takes_its_time_to_answer_is_not_doubted_for_that() {
    // It read its clock somewhere in the ten minutes that the answer took.
    for database_off in [0, -300, -600] {
        let slow = Reading { took: SignedDuration::from_mins(10), ..reading(900, database_off, 0) };
        assert_eq!(right().judge(&slow), Verdict::Right, "{database_off}");
    }
    let slow = Reading { took: SignedDuration::from_mins(10), ..reading(900, -700, 0) };
    assert!(is_doubted(&right(), &slow));
}

#[test]
fn who_starts_goes_by_what_this_machine_believed_last_until_that_is_taken_back() {
    let mut memory = Memory::default();
    memory.recall(Some(reading(0, 0, 0)), None, SignedDuration::ZERO);
    let ahead = reading(15, 3 * HOUR, 3 * HOUR);
    assert!(is_doubted(&memory, &ahead), "both clocks are wrong");
    // An older word than one's own says nothing.
    memory.recall(Some(reading(-100, 0, 0)), None, SignedDuration::ZERO);
    assert!(is_doubted(&memory, &ahead));
    memory.recall(None, None, SignedDuration::ZERO);
    assert_eq!(memory.judge(&ahead), Verdict::Right, "a person said that it is right");
}

/// What becomes of the two clocks between two steps: seconds that pass, and what each is set by.
fn steps() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let set = prop_oneof![3 => Just(0), 1 => -100..100i64, 1 => -50 * DAY..50 * DAY];
    prop::collection::vec((1..120i64, set.clone(), set), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_believed_has_not_moved_much_further_than_time_has_passed(steps in steps()) {
        let mut memory = right();
        let (mut passed, mut database_off, mut machine_off) = (0, 0, 0);
        for (span, database, machine) in steps {
            passed += span;
            database_off += database;
            machine_off += machine;
            let reading = reading(passed, database_off, machine_off);
            let before = memory.last.expect("one was right");
            let held = reading.awake.saturating_sub(before.awake);
            let advance = reading.database.since(before.database);
            match memory.judge(&reading) {
                Verdict::Right => {
                    let allowed = held * 2 + TOLERANCE * 2 + SignedDuration::from_secs(1);
                    prop_assert!(advance <= allowed, "{advance:?} in {held:?}");
                    memory.believe(reading);
                }
                Verdict::Lags => prop_assert!(advance < held),
                Verdict::Doubted(doubt) => {
                    prop_assert_eq!(doubt.database, reading.database);
                    prop_assert!(doubt.expected.since(before.database) <= held + TOLERANCE * 2);
                }
            }
        }
    }
}
