//! What follows from an attempt: pure, but for the jitter.

use jiff::SignedDuration;

use crate::billing::Instant;
use crate::mail::SendError;
use crate::store::outbox::{Claimed, Settled, State, TOO_LATE};

/// The wait after the first failed attempt; it doubles with each. Twelve attempts span about two
/// days.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(90);
/// The longest wait: twice a day is often enough for a server that has been away for long.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(13);
/// How much earlier or later, so that those that failed together do not come back together.
const JITTER: f64 = 0.2;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was accepted.
    Sent(String),
    /// Not this time.
    Postponed(String),
    /// It is never to be sent.
    GivenUp(String),
    /// There is no such address.
    NoSuchAddress(String),
    /// Its period has ended.
    TooLate,
    /// There was no server to talk to.
    Unreachable(String),
    /// The server does not let us in: no email is given up for that.
    LockedOut(String),
    /// It was not begun: the lease would not have lasted, or there was no use in it.
    NotTried,
}

impl From<SendError> for Outcome {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Temporary(why) | SendError::Ambiguous(why) => Self::Postponed(why),
            SendError::Unreachable(why) => Self::Unreachable(why),
            SendError::Refused(why) => Self::NoSuchAddress(why),
            SendError::Rejected(why) => Self::GivenUp(why),
            SendError::Credentials(why) => Self::LockedOut(why),
        }
    }
}

impl Outcome {
    /// What becomes of an email after so many attempts, of which this is one: the last that is
    /// allowed gives it up.
    pub(super) fn within(self, attempts: i32, max_attempts: u32) -> Self {
        let is_last = u32::try_from(attempts).is_ok_and(|attempts| attempts + 1 >= max_attempts);
        match self {
            Self::Postponed(why) | Self::Unreachable(why) if is_last => {
                Self::GivenUp(format!("given up after {max_attempts} attempts: {why}"))
            }
            other => other,
        }
    }

    /// What is to be written, at `now` in real time. `chance` in `[0, 1)` is the jitter.
    pub(super) fn settled(&self, email: &Claimed, now: Instant, chance: f64) -> Settled {
        let failed = email.attempts.saturating_add(1);
        let again = wait(failed, chance);
        let (state, attempts, wait, answer) = match self {
            Self::Sent(answer) => {
                (State::Sent, email.attempts, SignedDuration::ZERO, Some(answer.clone()))
            }
            Self::Postponed(why) | Self::Unreachable(why) => {
                (State::Due, failed, again, Some(why.clone()))
            }
            Self::LockedOut(why) => {
                (State::Due, email.attempts, wait(1, chance), Some(why.clone()))
            }
            Self::GivenUp(why) => (State::GivenUp, failed, SignedDuration::ZERO, Some(why.clone())),
            Self::NoSuchAddress(why) => {
                (State::Suppressed, failed, SignedDuration::ZERO, Some(why.clone()))
            }
            Self::TooLate => {
                (State::GivenUp, email.attempts, SignedDuration::ZERO, Some(TOO_LATE.to_owned()))
            }
            Self::NotTried => (State::Due, email.attempts, SignedDuration::ZERO, None),
        };
        let next_attempt_at = now.plus(wait).unwrap_or(now);
        Settled { org: email.org, id: email.id, state, attempts, next_attempt_at, answer }
    }
}

/// The wait after so many failed attempts.
fn wait(failed: i32, chance: f64) -> SignedDuration {
    let doublings = u32::try_from(failed - 1).unwrap_or(0).min(20);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_attempts_span_about_two_days() {
        let waits = (1..12).map(|failed| wait(failed, 0.5).as_secs());
        let hours = waits.sum::<i64>() / 3600;
        assert!((36..=54).contains(&hours), "{hours} hours");
        assert!(wait(i32::MAX, 0.999) < SignedDuration::from_hours(16));
        assert!(wait(1, 0.0) < wait(1, 0.5) && wait(1, 0.5) < wait(1, 0.999));
    }

    #[test]
    fn only_the_last_attempt_gives_up_and_a_wrong_password_never_does() {
        let postponed = || Outcome::Postponed("450".to_owned());
        assert_eq!(postponed().within(10, 12), postponed());
        assert!(matches!(postponed().within(11, 12), Outcome::GivenUp(_)));
        let locked_out = || Outcome::LockedOut("535".to_owned());
        assert_eq!(locked_out().within(1_000, 12), locked_out());
    }
}
