//! What follows from an attempt: pure, but for the jitter.

use jiff::SignedDuration;

use crate::billing::Instant;
use crate::mail::SendError;
use crate::store::alerts::late_emails::TOO_LATE;
use crate::store::messages::outbox::{Claimed, Fault, Settled, State};

/// The wait after the first failed attempt; it doubles with each. Twelve attempts span about two
/// days.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(90);
/// The longest wait: twice a day is often enough for a server that has been away for long.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(13);
/// An email that the server does not take from us waits as after so many failed attempts: for most
/// of an hour.
const BARRED_LIKE: i32 = 6;
/// How much earlier or later, so that those that failed together do not come back together.
const JITTER: f64 = 0.2;

/// What is kept of an email that was not sent because nobody wants it any more.
const UNWANTED: &str =
    "not sent: since it was queued, the address opted out, was removed or was found to be invalid";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was accepted.
    Sent(String),
    /// Not this time.
    Postponed(String),
    /// It cannot be written as long as something that emails share is wrong: a template, say. No
    /// email is given up for that.
    Waits(String),
    /// It is never to be sent.
    GivenUp(String),
    /// There is no such address.
    NoSuchAddress(String),
    /// Its period has ended.
    TooLate,
    /// Whom it was queued for does not want it any more, or is not there any more.
    Unwanted,
    /// There was no server to talk to.
    Unreachable(String),
    /// The server does not accept the login: no email is given up for that.
    LockedOut(String),
    /// The server takes no email from us, whomever it is for: no email is given up for that.
    Refused(String),
    /// The server takes no email from us for this recipient: the email is not given up for that.
    Barred(String),
    /// The server refuses the recipient for good, and does not say what for.
    Declined(String),
    /// The server refuses the email for good.
    Rejected(String),
    /// It was not begun: the lease would not have lasted, or there was no use in it.
    NotTried,
}

impl From<SendError> for Outcome {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Temporary(why) | SendError::Ambiguous(why) => Self::Postponed(why),
            SendError::Unreachable(why) => Self::Unreachable(why),
            SendError::Refused(why) => Self::NoSuchAddress(why),
            SendError::Rejected(why) => Self::Rejected(why),
            SendError::Declined(why) => Self::Declined(why),
            SendError::Barred(why) => Self::Barred(why),
            SendError::Account(why) => Self::Refused(why),
            SendError::Credentials(why) => Self::LockedOut(why),
        }
    }
}

impl Outcome {
    /// The server's words, where it refused one email for good: whether that is the email's fault,
    /// others tell.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Barred(why)
            | Self::Declined(why)
            | Self::Rejected(why)
            | Self::NoSuchAddress(why) => Some(why),
            _ => None,
        }
    }

    /// What becomes of an email after so many attempts, of which this is one: the last that is
    /// allowed gives it up.
    pub(super) fn within(self, attempts: i32, max_attempts: u32) -> Self {
        let is_last = u32::try_from(attempts).is_ok_and(|attempts| attempts + 1 >= max_attempts);
        match self {
            // Where the server does not say what for, it may be over tomorrow.
            Self::Declined(why) => Self::Postponed(why).within(attempts, max_attempts),
            Self::Rejected(why) => Self::GivenUp(why),
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
            Self::LockedOut(why) | Self::Refused(why) | Self::Waits(why) => {
                (State::Due, email.attempts, wait(1, chance), Some(why.clone()))
            }
            Self::Barred(why) => {
                (State::Due, email.attempts, wait(BARRED_LIKE, chance), Some(why.clone()))
            }
            Self::Declined(why) => (State::Due, failed, again, Some(why.clone())),
            Self::GivenUp(why) | Self::Rejected(why) => {
                (State::GivenUp, failed, SignedDuration::ZERO, Some(why.clone()))
            }
            Self::NoSuchAddress(why) => {
                (State::Suppressed, failed, SignedDuration::ZERO, Some(why.clone()))
            }
            Self::TooLate => {
                (State::GivenUp, email.attempts, SignedDuration::ZERO, Some(TOO_LATE.to_owned()))
            }
            Self::Unwanted => {
                (State::Suppressed, email.attempts, SignedDuration::ZERO, Some(UNWANTED.to_owned()))
            }
            Self::NotTried => (State::Due, email.attempts, SignedDuration::ZERO, None),
        };
        let next_attempt_at = now.plus(wait).unwrap_or(now);
        let fault = self.fault();
        Settled { org: email.org, id: email.id, state, attempts, next_attempt_at, answer, fault }
    }

    /// Why the email waits, where it is not its own fault.
    const fn fault(&self) -> Option<Fault> {
        match self {
            Self::LockedOut(_) => Some(Fault::Login),
            Self::Unreachable(_) => Some(Fault::Server),
            Self::Refused(_) | Self::Barred(_) => Some(Fault::Refused),
            _ => None,
        }
    }
}

/// The wait after so many failed attempts.
pub(super) fn wait(failed: i32, chance: f64) -> SignedDuration {
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
        let barred = || Outcome::Barred("relay".to_owned());
        assert_eq!(barred().within(1_000, 12), barred());
        let declined = || Outcome::Declined("no".to_owned());
        assert!(matches!(declined().within(0, 12), Outcome::Postponed(_)));
        assert!(matches!(declined().within(11, 12), Outcome::GivenUp(_)));
    }
}
