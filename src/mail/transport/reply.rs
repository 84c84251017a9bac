//! What a failure means: who said what at which step of the conversation.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use lettre::transport::smtp;

use super::SendError;
use super::words::{About, about};

/// The steps of a conversation with a mail server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Up to the server's introduction, encryption included.
    Connect,
    /// Logging in.
    Login,
    /// Naming the sender.
    From,
    /// Naming the recipient.
    To,
    /// Asking to send the email, and sending it.
    Data,
    /// Everything is sent, and the server has the word.
    Verdict,
}

/// What went wrong at which step.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) step: Step,
    /// The three digits of the server's reply, if it gave one.
    pub(super) code: Option<u16>,
    /// Was it us who would not go on, with what the server offers?
    is_ours: bool,
    what: String,
}

impl Fault {
    pub(super) fn new(step: Step, error: &smtp::Error) -> Self {
        let code = error.status().map(u16::from);
        // The crate's own words ("permanent error (550)") say less than the server's.
        let what = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Self { step, code, is_ours: error.is_client(), what }
    }

    /// A reply that is none at this point of the conversation.
    pub(super) fn unexpected(step: Step, reply: &smtp::response::Response) -> Self {
        let words: Vec<&str> = reply.message().collect();
        let code = Some(u16::from(reply.code()));
        Self { step, code, is_ours: false, what: words.join(" ") }
    }

    /// Something that was not said over the wire.
    pub(super) fn other(step: Step, what: impl fmt::Display) -> Self {
        Self { step, code: None, is_ours: false, what: what.to_string() }
    }

    /// Nothing was said for too long.
    pub(super) fn silence(step: Step, limit: Duration) -> Self {
        Self::other(step, format!("no answer within {} s", limit.as_secs_f64()))
    }

    /// Did the connection end, rather than this email?
    pub(super) fn is_of_connection(&self) -> bool {
        self.code.is_none_or(|code| code == 421)
    }

    /// The verdict, for an email that was on its way to `server`.
    pub(super) fn judge(&self, server: &str) -> SendError {
        let Some(code) = self.code else { return self.without_reply(server) };
        let words = clean(&format!("{code} {}", self.what));
        let says = |what: &str| format!("{server} {what}: {words}");
        let is_later = code < 500;
        match self.step {
            // 530: login required, 534: too weak, 535: wrong, 538: needs encryption.
            _ if [530, 534, 535, 538].contains(&code) => {
                SendError::Credentials(says("does not accept the login"))
            }
            Step::Connect => SendError::Unreachable(says("refuses the connection")),
            Step::Login if is_later => SendError::Unreachable(says("cannot log in now")),
            Step::Login => SendError::Credentials(says("does not accept the login")),
            Step::From if is_later => SendError::Temporary(says("accepts no email now")),
            Step::From => SendError::Account(says("does not accept the sender")),
            Step::To if is_later => {
                SendError::Temporary(says("accepts no email for the recipient now"))
            }
            Step::Data | Step::Verdict if is_later => {
                SendError::Temporary(says("does not accept the email now"))
            }
            Step::To => match about(code, &self.what, true) {
                About::Mailbox => SendError::Refused(says("refuses the recipient")),
                About::Full => SendError::Temporary(says("accepts no email for the recipient now")),
                About::Account => SendError::Account(says("does not accept the sender")),
                About::Us => SendError::Barred(says("accepts no email from here")),
                // The server did not understand us.
                About::Unknown if (500..=504).contains(&code) => {
                    SendError::Rejected(says("refuses the session"))
                }
                About::Unknown => SendError::Declined(says("refuses the recipient")),
            },
            Step::Data | Step::Verdict => match about(code, &self.what, false) {
                About::Mailbox => SendError::Refused(says("refuses the recipient")),
                About::Account => SendError::Account(says("does not accept the sender")),
                About::Us => SendError::Barred(says("accepts no email from here")),
                About::Full => SendError::Temporary(says("does not accept the email now")),
                About::Unknown => SendError::Rejected(says("rejects the email")),
            },
        }
    }

    fn without_reply(&self, server: &str) -> SendError {
        let what = clean(&self.what);
        match self.step {
            Step::Connect => SendError::Unreachable(format!("{server} cannot be reached: {what}")),
            Step::Login if self.is_ours => {
                SendError::Credentials(format!("{server} offers no supported login method: {what}"))
            }
            Step::Login => SendError::Unreachable(format!("{server} refuses the login: {what}")),
            Step::From | Step::To | Step::Data => SendError::Temporary(format!(
                "{server} disconnected before it had the email: {what}"
            )),
            Step::Verdict => SendError::Ambiguous(format!(
                "{server} disconnected before it confirmed the email: {what}"
            )),
        }
    }
}

/// The longest sentence that is kept of what a server says.
const LONGEST_CHARS: usize = 300;

/// One line without control characters, not too long: it goes into tables and logs.
fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(LONGEST_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(step: Step, code: u16, what: &str) -> SendError {
        Fault { step, code: Some(code), is_ours: false, what: what.to_owned() }
            .judge("mail.example:25")
    }

    #[test]
    fn only_an_unknown_mailbox_is_the_addresss_fault() {
        let to = |code, what| reply(Step::To, code, what);
        for (code, what) in [(550, "5.1.1 no such user"), (550, "user unknown"), (553, "5.1.3 no")]
        {
            assert!(matches!(to(code, what), SendError::Refused(_)), "{code} {what}");
        }
        for (code, what) in [
            (450, "4.2.0 greylisted"),
            (450, "5.1.1 no such user"),
            (421, ""),
            (552, "quota"),
            (550, "5.2.2 mailbox full"),
        ] {
            assert!(matches!(to(code, what), SendError::Temporary(_)), "{code} {what}");
        }
        for (code, what) in [(554, "5.7.1 relay access denied"), (550, "5.7.26 unauthenticated")] {
            assert!(matches!(to(code, what), SendError::Barred(_)), "{code} {what}");
        }
        for (code, what) in [(550, ""), (551, ""), (553, "no"), (556, "")] {
            assert!(matches!(to(code, what), SendError::Declined(_)), "{code} {what}");
        }
        assert!(matches!(to(503, "bad sequence"), SendError::Rejected(_)));
        assert!(matches!(to(530, "5.7.0 log in first"), SendError::Credentials(_)));
    }

    #[test]
    fn a_sender_is_refused_at_any_step_and_costs_no_email() {
        for (step, what) in [
            (Step::From, "who are you"),
            (Step::To, "5.4.5 Daily user sending limit exceeded"),
            (Step::Verdict, "does not match a verified Sender Identity"),
        ] {
            assert!(matches!(reply(step, 550, what), SendError::Account(_)), "{what}");
        }
        assert!(matches!(reply(Step::Verdict, 550, "relay not permitted"), SendError::Barred(_)));
    }

    #[test]
    fn what_a_server_says_is_one_short_line() {
        let error = reply(Step::Data, 554, &format!("a\r\n\x1b[31mb{}.", "x".repeat(400)));
        let SendError::Rejected(sentence) = error else { panic!("{error:?}") };
        assert!(sentence.starts_with("mail.example:25 rejects the email: 554 a [31mbxxx"));
        assert!(sentence.chars().count() < 350 && !sentence.contains(char::is_control));
    }
}
