//! What a failure means: who said what at which step of the conversation.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use lettre::transport::smtp;

use super::SendError;

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
            Step::Connect => SendError::Unreachable(says("turns us away")),
            Step::Login if is_later => SendError::Unreachable(says("cannot log us in now")),
            Step::Login => SendError::Credentials(says("does not accept the login")),
            Step::From if is_later => SendError::Temporary(says("takes no email now")),
            Step::From => SendError::Credentials(says("does not accept the sender")),
            Step::To => match Recipient::of(code, &self.what) {
                Recipient::Later => {
                    SendError::Temporary(says("takes no email for the recipient now"))
                }
                Recipient::Unknown => SendError::Refused(says("refuses the recipient")),
                Recipient::Misunderstood => SendError::Rejected(says("refuses the conversation")),
            },
            Step::Data | Step::Verdict if is_later => {
                SendError::Temporary(says("does not take the email now"))
            }
            Step::Data | Step::Verdict => SendError::Rejected(says("rejects the email")),
        }
    }

    fn without_reply(&self, server: &str) -> SendError {
        let what = clean(&self.what);
        match self.step {
            Step::Connect => SendError::Unreachable(format!("{server} cannot be reached: {what}")),
            Step::Login if self.is_ours => {
                SendError::Credentials(format!("{server} offers no login that we know: {what}"))
            }
            Step::Login => SendError::Unreachable(format!("{server} does not log us in: {what}")),
            Step::From | Step::To | Step::Data => {
                SendError::Temporary(format!("{server} broke off before it had the email: {what}"))
            }
            Step::Verdict => SendError::Ambiguous(format!(
                "{server} broke off before it said whether it took the email: {what}"
            )),
        }
    }
}

/// What a reply to the recipient says about the address.
enum Recipient {
    /// Nothing for good.
    Later,
    /// There is no such mailbox.
    Unknown,
    /// Nothing: the server did not understand us.
    Misunderstood,
}

impl Recipient {
    fn of(code: u16, words: &str) -> Self {
        if code < 500 {
            return Self::Later;
        }
        let mut enhanced = words.split_whitespace().next().unwrap_or_default().split('.').skip(1);
        match (code, enhanced.next(), enhanced.next()) {
            // A policy, such as a blocklist or a relay's, and a full mailbox: an administrator or
            // the recipient can change that, and the address is none the worse.
            (_, Some("7"), _) | (552, _, _) | (_, Some("2"), Some("2")) => Self::Later,
            (500..=504, _, _) => Self::Misunderstood,
            _ => Self::Unknown,
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
        for (code, what) in
            [(550, "5.1.1 no such user"), (550, ""), (551, ""), (553, "no"), (556, "")]
        {
            assert!(matches!(to(code, what), SendError::Refused(_)), "{code} {what}");
        }
        for (code, what) in [
            (450, "4.2.0 greylisted"),
            (421, ""),
            (554, "5.7.1 relay access denied"),
            (550, "5.7.26 unauthenticated"),
            (552, "quota"),
            (550, "5.2.2 mailbox full"),
        ] {
            assert!(matches!(to(code, what), SendError::Temporary(_)), "{code} {what}");
        }
        assert!(matches!(to(503, "bad sequence"), SendError::Rejected(_)));
        assert!(matches!(to(530, "5.7.0 log in first"), SendError::Credentials(_)));
    }

    #[test]
    fn what_a_server_says_is_one_short_line() {
        let error = reply(Step::Data, 554, &format!("a\r\n\x1b[31mb{}.", "x".repeat(400)));
        let SendError::Rejected(sentence) = error else { panic!("{error:?}") };
        assert!(sentence.starts_with("mail.example:25 rejects the email: 554 a [31mbxxx"));
        assert!(sentence.chars().count() < 350 && !sentence.contains(char::is_control));
    }
}
