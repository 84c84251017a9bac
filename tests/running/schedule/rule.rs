//! What the rule decides, case by case.

use std::time::Duration;

use periodd::billing::Instant;
use periodd::schedule::{
    Decision, Policy, Reason, Running, ScheduleState, Settlement, Skip, decide, decide_boundary,
    due_at,
};

use crate::schedule::oracle::timetable;
use crate::support::at;

const ONCE: Policy = Policy { makes_up: true, jitter: Duration::ZERO };
const SKIP: Policy = Policy { makes_up: false, jitter: Duration::ZERO };

fn settled(until: &str) -> ScheduleState {
    ScheduleState { settled: at(until), paused: None, running: None, seed: 7 }
}

/// A job at half past every hour.
fn hourly(policy: Policy, state: &ScheduleState, now: &str) -> Decision {
    decide(&timetable("0 30 * * * *", "UTC"), policy, state, at(now))
}

fn runs(decision: &Decision) -> Option<Instant> {
    let Decision::Settle(settlement) = decision else { return None };
    settlement.run
}

#[track_caller]
fn skips(decision: Decision) -> (Instant, Instant, u64, Reason) {
    let Decision::Settle(Settlement { skip: Some(skip), .. }) = decision else {
        panic!("{decision:?} skips nothing")
    };
    let Skip { first, last, count, reason, .. } = skip;
    (first, last, count, reason)
}

#[test]
fn nothing_is_due_before_its_time_and_the_next_one_is_known() {
    let state = settled("2026-05-01T10:30:00Z");
    let waits = Decision::Wait(Some(at("2026-05-01T11:30:00Z")));
    assert_eq!(hourly(ONCE, &state, "2026-05-01T11:29:59.999999Z"), waits);
    let decided = hourly(SKIP, &state, "2026-05-01T11:30:00Z");
    assert_eq!(runs(&decided), Some(at("2026-05-01T11:30:00Z")));
}

#[test]
fn after_an_outage_one_run_makes_up_for_all_or_none_does() {
    let state = settled("2026-05-01T10:30:00Z");
    let back = "2026-05-01T15:10:00Z";
    let once = hourly(ONCE, &state, back);
    assert_eq!(runs(&once), Some(at("2026-05-01T14:30:00Z")));
    let missed = (at("2026-05-01T11:30:00Z"), at("2026-05-01T13:30:00Z"), 3, Reason::TooLate);
    assert_eq!(skips(once), missed);
    let skip = hourly(SKIP, &state, back);
    assert_eq!(runs(&skip), None);
    assert_eq!(skips(skip), (missed.0, at("2026-05-01T14:30:00Z"), 4, Reason::TooLate));
}

#[test]
fn a_restart_around_the_occurrence_is_no_reason_to_leave_it_out() {
    let decided = hourly(SKIP, &settled("2026-05-01T10:30:00Z"), "2026-05-01T11:30:40Z");
    assert_eq!(runs(&decided), Some(at("2026-05-01T11:30:00Z")));
}

#[test]
fn what_is_due_while_the_job_runs_or_is_paused_is_left_out() {
    let occurrence = at("2026-05-01T10:30:00Z");
    let running = Some(Running { occurrence, abandoned: false });
    let state = ScheduleState { running, ..settled("2026-05-01T10:30:00Z") };
    let one = (at("2026-05-01T11:30:00Z"), at("2026-05-01T11:30:00Z"), 1);
    let overlapped = hourly(ONCE, &state, "2026-05-01T11:30:00Z");
    assert_eq!(runs(&overlapped), None);
    assert_eq!(skips(overlapped), (one.0, one.1, one.2, Reason::Overlapped));
    let state = ScheduleState { paused: Some("moving".to_owned()), ..state };
    let paused = hourly(ONCE, &state, "2026-05-01T11:30:00Z");
    assert_eq!(skips(paused), (one.0, one.1, one.2, Reason::Paused));
}

#[test]
fn an_abandoned_run_is_taken_over_unless_the_job_is_paused() {
    let occurrence = at("2026-05-01T10:30:00Z");
    let running = Some(Running { occurrence, abandoned: true });
    let state = ScheduleState { running, ..settled("2026-05-01T10:30:00Z") };
    let now = "2026-05-01T10:45:00Z";
    assert_eq!(hourly(ONCE, &state, now), Decision::TakeOver(occurrence));
    let boundary = decide_boundary(&state, None, at(now));
    assert_eq!(boundary, Decision::TakeOver(occurrence));
    let paused = ScheduleState { paused: Some("moving".to_owned()), ..state };
    assert!(matches!(hourly(ONCE, &paused, now), Decision::Wait(Some(_))));
}

#[test]
fn a_month_of_seconds_is_left_out_in_few_rows_and_ends_in_a_run() {
    let timetable = timetable("* * * * * *", "UTC");
    let (mut state, now) = (settled("2026-05-01T00:00:00Z"), at("2026-05-04T00:00:00Z"));
    let (mut left_out, mut rows) = (0, 0);
    let run = loop {
        let Decision::Settle(settlement) = decide(&timetable, ONCE, &state, now) else {
            panic!("something is due")
        };
        let skip = settlement.skip.expect("left out");
        assert_eq!(skip.last.since(skip.first).as_secs(), i64::try_from(skip.count).unwrap() - 1);
        (left_out, rows) = (left_out + skip.count, rows + 1);
        state.settled = settlement.upto;
        if let Some(run) = settlement.run {
            break run;
        }
    };
    assert_eq!((left_out, rows, run), (3 * 86_400 - 1, 3, now));
}

#[test]
fn jitter_is_the_same_for_everybody_and_another_one_each_time() {
    let jitter = Duration::from_mins(5);
    let first = at("2026-05-01T03:30:00Z");
    let delays: Vec<_> = (0..200)
        .map(|night| {
            let occurrence = first.plus(jiff::SignedDuration::from_hours(24 * night)).unwrap();
            let due = due_at(occurrence, jitter, 7);
            assert_eq!(due, due_at(occurrence, jitter, 7));
            due.since(occurrence)
        })
        .collect();
    assert!(
        delays.iter().all(|delay| !delay.is_negative() && *delay <= jitter.try_into().unwrap())
    );
    let late = delays.iter().filter(|delay| delay.as_secs() > 150).count();
    assert!((60..140).contains(&late), "{late} of 200 in the second half");
    assert_ne!(due_at(first, jitter, 7), due_at(first, jitter, 8), "each database has its own");
    // It waits for that instant, and is not late at it.
    let policy = Policy { jitter, ..ONCE };
    let due = due_at(at("2026-05-01T11:30:00Z"), jitter, 7);
    let state = settled("2026-05-01T10:30:00Z");
    let table = timetable("0 30 * * * *", "UTC");
    let before = due.plus(jiff::SignedDuration::from_micros(-1)).unwrap();
    assert_eq!(decide(&table, policy, &state, before), Decision::Wait(Some(due)));
    assert!(runs(&decide(&table, policy, &state, due)).is_some());
}

#[test]
fn a_boundary_is_run_once_and_what_stays_due_is_the_sweeps() {
    let state = settled("2026-05-01T10:00:00Z");
    let (due, now) = (at("2026-05-01T15:00:00Z"), at("2026-05-01T15:00:00.2Z"));
    let early = at("2026-05-01T14:00:00Z");
    assert_eq!(decide_boundary(&state, Some(due), early), Decision::Wait(Some(due)));
    let run = Settlement { upto: now, skip: None, run: Some(due) };
    assert_eq!(decide_boundary(&state, Some(due), now), Decision::Settle(run));
    let after = ScheduleState { settled: now, ..state.clone() };
    assert_eq!(decide_boundary(&after, Some(due), now), Decision::Wait(None));
    let running = Some(Running { occurrence: due, abandoned: false });
    let busy = ScheduleState { running, ..state.clone() };
    assert_eq!(decide_boundary(&busy, Some(due), now), Decision::Wait(None));
    let paused = ScheduleState { paused: Some("moving".to_owned()), ..state };
    assert_eq!(skips(decide_boundary(&paused, Some(due), now)), (due, due, 1, Reason::Paused));
}
