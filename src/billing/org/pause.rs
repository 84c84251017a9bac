//! A pause: for how long an org uses nothing and is billed for nothing.
//!
//! While it lasts, increments are refused. A period that lies within it altogether is closed as
//! paused: it includes nothing, and no pack pays. One that it only touches is closed as any other:
//! what it includes was there before the pause, or is there after it.

use crate::billing::{Instant, Period};

/// The last pause of an org, past or present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Pause {
    /// When it begins.
    pub from: Instant,
    /// When it ends; null: when it is resumed.
    pub until: Option<Instant>,
}

impl Pause {
    /// Is the org paused at an instant?
    pub fn contains(self, at: Instant) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// Is a period paused from its start to its end?
    pub fn covers(self, period: Period) -> bool {
        self.from <= period.start && self.until.is_none_or(|until| period.end <= until)
    }
}

/// When a pause is to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// At once.
    Now,
    /// When the open period ends.
    PeriodEnd,
}

/// Why an org is not paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Which of its periods the last pause covered is not in the books yet.
    #[error("its period has ended and is not closed yet")]
    Due,
    /// There is no open period, or one that never ends.
    #[error("it has no open period that ends")]
    NoEnd,
    /// The pause would end before it begins.
    #[error("the pause would end before it begins")]
    Ended,
}

/// The pause of an org that is asked to pause. One that is paused, or will be, keeps the beginning
/// and gets the new end.
///
/// # Errors
/// [`Refused`].
pub fn pause(
    last: Option<Pause>,
    (beginning, until): (Beginning, Option<Instant>),
    open_end: Option<Instant>,
    now: Instant,
) -> Result<Pause, Refused> {
    if open_end.is_some_and(|end| end <= now) {
        return Err(Refused::Due);
    }
    let is_over = |pause: &Pause| pause.until.is_some_and(|until| until <= now);
    let from = match (last.filter(|last| !is_over(last)), beginning) {
        (Some(last), _) => last.from,
        (None, Beginning::Now) => now,
        (None, Beginning::PeriodEnd) => {
            open_end.filter(|end| *end != Instant::NEVER).ok_or(Refused::NoEnd)?
        }
    };
    if until.is_some_and(|until| until <= from.max(now)) {
        return Err(Refused::Ended);
    }
    Ok(Pause { from, until })
}

/// What is left of the last pause of an org that resumes: it ends now, or never begins. `None`: the
/// org is not paused.
pub fn resume(last: Option<Pause>, now: Instant) -> Option<Option<Pause>> {
    let last = last.filter(|last| last.until.is_none_or(|until| until > now))?;
    Some((last.from <= now).then_some(Pause { until: Some(now), ..last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Instant {
        Instant::from_microseconds(day * 86_400_000_000).unwrap()
    }

    #[test]
    fn only_a_period_within_the_pause_is_paused() {
        let period = |start, end| Period { start: at(start), end: at(end) };
        let pause = Pause { from: at(10), until: Some(at(20)) };
        for (start, end, is_covered) in
            [(10, 20, true), (12, 15, true), (9, 15, false), (15, 21, false), (0, 10, false)]
        {
            assert_eq!(pause.covers(period(start, end)), is_covered, "{start} to {end}");
        }
        assert!(pause.contains(at(10)) && !pause.contains(at(20)) && !pause.contains(at(9)));
        let open = Pause { from: at(10), until: None };
        assert!(open.covers(period(10, 9_000)) && open.contains(at(9_000)));
    }

    #[test]
    fn a_pause_begins_once_and_may_end_later() {
        let (now, end) = (at(10), Some(at(31)));
        let paused = |last, asked| pause(last, asked, end, now);
        let open = Pause { from: now, until: None };
        assert_eq!(paused(None, (Beginning::Now, None)), Ok(open));
        let later = Pause { from: at(31), until: Some(at(60)) };
        assert_eq!(paused(None, (Beginning::PeriodEnd, Some(at(60)))), Ok(later));
        let ended = Pause { until: Some(at(20)), ..later };
        assert_eq!(paused(Some(later), (Beginning::Now, Some(at(20)))), Err(Refused::Ended));
        assert_eq!(paused(Some(ended), (Beginning::Now, None)), Ok(Pause { until: None, ..later }));
        let over = Pause { from: at(1), until: Some(at(10)) };
        assert_eq!(paused(Some(over), (Beginning::Now, None)), Ok(open));
        assert_eq!(paused(None, (Beginning::Now, Some(now))), Err(Refused::Ended));
        let asked = (Beginning::PeriodEnd, None);
        assert_eq!(pause(None, asked, Some(Instant::NEVER), now), Err(Refused::NoEnd));
        assert_eq!(pause(None, asked, None, now), Err(Refused::NoEnd));
        assert_eq!(pause(None, asked, Some(now), now), Err(Refused::Due));
    }

    #[test]
    fn to_resume_ends_a_pause_or_takes_it_back() {
        let pause = |from, until: Option<i64>| Some(Pause { from: at(from), until: until.map(at) });
        assert_eq!(resume(pause(5, None), at(10)), Some(pause(5, Some(10))));
        assert_eq!(resume(pause(5, Some(20)), at(10)), Some(pause(5, Some(10))));
        assert_eq!(resume(pause(15, None), at(10)), Some(None));
        assert_eq!(resume(pause(5, Some(10)), at(10)), None);
        assert_eq!(resume(None, at(10)), None);
    }
}
