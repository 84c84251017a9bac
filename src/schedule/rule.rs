//! What becomes of the occurrences that are due: run this one, leave those out, for this reason.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

use super::timetable::Timetable;
use crate::billing::Instant;
use crate::billing::clock::{Doubt, is_ahead};

/// How late an occurrence may begin before it counts as missed, where missed ones are left out:
/// the restart of a process or of a database is no reason to leave a night's work out.
const PROMPT: SignedDuration = SignedDuration::from_mins(1);
/// Occurrences looked at in one decision: what an outage of a day leaves of a line that happens
/// every second. More of them take several decisions.
const MOST_AT_ONCE: usize = 100_000;

/// What the configuration says about one schedule, beside its timetable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Missed occurrences are made up for by one run; otherwise they are left out.
    pub makes_up: bool,
    /// The longest delay of an occurrence.
    pub jitter: Duration,
}

/// How a schedule stands, as the ledger has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleState {
    /// Every occurrence up to here has been decided about.
    pub settled: Instant,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    pub running: Option<Running>,
    /// What tells this database's jitter from that of others.
    pub seed: i64,
}

/// A run that has been begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    pub occurrence: Instant,
    /// The lease has run out: its process is gone, or stands still.
    pub abandoned: bool,
}

/// What is to be done about a schedule now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Nothing before then; `None`: never again.
    Wait(Option<Instant>),
    /// Settle what is due.
    Settle(Settlement),
    /// Begin an abandoned run again.
    TakeOver(Instant),
    /// A clock that ran ahead has settled what has not come yet: only what is past stays settled.
    SetBack,
}

/// How the occurrences up to `upto` are settled. At least one of the two is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// The last occurrence that this is about.
    pub upto: Instant,
    /// Those that are left out.
    pub skip: Option<Skip>,
    /// The one that is run.
    pub run: Option<Instant>,
}

/// Consecutive occurrences that are left out for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skip {
    pub first: Instant,
    pub last: Instant,
    pub count: u64,
    pub reason: Reason,
    /// More about why, as a sentence.
    pub because: Option<String>,
}

/// Why an occurrence is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Somebody paused the job.
    Paused,
    /// The run before it is still going.
    Overlapped,
    /// Nobody was there in time.
    TooLate,
    /// The database's clock was not believed, or had run ahead.
    Clock,
}

impl Reason {
    /// As the ledger has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Overlapped => "overlapped",
            Self::TooLate => "too late",
            Self::Clock => "clock",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decides about one schedule.
pub fn decide(
    timetable: &Timetable,
    policy: Policy,
    state: &ScheduleState,
    now: Instant,
) -> Decision {
    if let Some(running) = state.running
        && running.abandoned
        && state.paused.is_none()
    {
        return Decision::TakeOver(running.occurrence);
    }
    if is_ahead(state.settled, now) {
        return Decision::SetBack;
    }
    let due_at = |occurrence| due_at(occurrence, policy.jitter, state.seed);
    let mut due: Vec<Instant> = Vec::new();
    let mut later = None;
    for occurrence in timetable.after(state.settled) {
        if due_at(occurrence) > now || due.len() == MOST_AT_ONCE {
            later = Some(occurrence);
            break;
        }
        due.push(occurrence);
    }
    let (Some(&first), Some(&last)) = (due.first(), due.last()) else {
        return Decision::Wait(later.map(due_at));
    };
    let all = |reason, because| Settlement {
        upto: last,
        skip: Some(Skip { first, last, count: due.len() as u64, reason, because }),
        run: None,
    };
    let is_cut_short = due.len() == MOST_AT_ONCE && later.is_some_and(|next| due_at(next) <= now);
    let is_prompt = now.since(due_at(last)) <= PROMPT;
    Decision::Settle(if let Some(why) = &state.paused {
        all(Reason::Paused, Some(why.clone()))
    } else if let Some(running) = state.running {
        let because = format!("the run of {} was still active", running.occurrence);
        all(Reason::Overlapped, Some(because))
    } else if is_cut_short || !(policy.makes_up || is_prompt) {
        all(Reason::TooLate, None)
    } else {
        // The newest one runs, and makes up for those before it.
        let missed = due.iter().rev().nth(1).map(|&before| Skip {
            first,
            last: before,
            count: due.len() as u64 - 1,
            reason: Reason::TooLate,
            because: Some(format!("covered by the run of {last}")),
        });
        Settlement { upto: last, skip: missed, run: Some(last) }
    })
}

/// Decides about one schedule while the database's clock is not believed. Nothing is begun. Of what
/// is due the newest occurrence is kept, for whoever believes the clock again, where missed ones
/// are made up for; the others are left out. `expected` is what time it is as far as anybody knows.
pub fn decide_in_doubt(
    timetable: &Timetable,
    policy: Policy,
    state: &ScheduleState,
    doubt: &Doubt,
) -> Decision {
    if is_ahead(state.settled, doubt.expected) {
        // What is wrong with it is known once the clock is.
        return Decision::Wait(None);
    }
    // Whether a run is abandoned is not known by this clock; and none is begun beside it.
    let state = ScheduleState { running: None, ..state.clone() };
    let Decision::Settle(mut settlement) = decide(timetable, policy, &state, doubt.expected) else {
        return Decision::Wait(None);
    };
    let because = Some(doubt.to_string());
    match (settlement.run.take(), &mut settlement.skip) {
        (Some(_), None) => return Decision::Wait(None),
        (Some(_), Some(skip)) => {
            settlement.upto = skip.last;
            (skip.reason, skip.because) = (Reason::Clock, because);
        }
        (None, Some(skip)) if skip.reason == Reason::TooLate => {
            (skip.reason, skip.because) = (Reason::Clock, because);
        }
        (None, _) => {}
    }
    Decision::Settle(settlement)
}

/// When an occurrence falls due: up to the jitter later, always by the same delay, so that every
/// replica waits for the same instant.
pub fn due_at(occurrence: Instant, jitter: Duration, seed: i64) -> Instant {
    let longest = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
    if longest == 0 {
        return occurrence;
    }
    let drawn = scattered(occurrence.microseconds().cast_unsigned() ^ seed.cast_unsigned());
    let delay = i64::try_from(drawn % longest.saturating_add(1)).unwrap_or(0);
    occurrence.plus(SignedDuration::from_micros(delay)).unwrap_or(occurrence)
}

/// The finaliser of `SplitMix64`: neighbours in, strangers out.
fn scattered(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Decides about the boundary that falls due next: the end of a period, of which the database says
/// when the earliest is that nobody has settled. What is settled and still due (an org that was
/// added with a past end, or left after conflicts) is the sweep's, and hides no other.
pub fn decide_boundary(state: &ScheduleState, next_due: Option<Instant>, now: Instant) -> Decision {
    match (state.running, &state.paused) {
        (Some(running), None) if running.abandoned => {
            return Decision::TakeOver(running.occurrence);
        }
        _ if is_ahead(state.settled, now) => return Decision::SetBack,
        // A rollover goes on until nothing is due: what falls due meanwhile is its own.
        (Some(_), _) => return Decision::Wait(None),
        (None, _) => {}
    }
    let Some(due) = next_due.filter(|due| *due > state.settled) else {
        return Decision::Wait(None);
    };
    if due > now {
        return Decision::Wait(Some(due));
    }
    Decision::Settle(match &state.paused {
        Some(why) => {
            let (reason, because) = (Reason::Paused, Some(why.clone()));
            let skip = Skip { first: due, last: due, count: 1, reason, because };
            Settlement { upto: due, skip: Some(skip), run: None }
        }
        // It closes whatever is due, so all boundaries up to now are settled with it.
        None => Settlement { upto: now, skip: None, run: Some(due) },
    })
}
