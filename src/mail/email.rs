//! An email, ready to travel.

/// An email as it is shown and sent. Rendering the same letter again gives the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    pub from: String,
    pub to: String,
    /// The Message-ID without its angle brackets.
    pub message_id: String,
    /// What a file of it is called, without an ending: when, for whom, at which percentage, which.
    pub file_stem: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The whole message as RFC 5322 wants it: headers and both parts, ASCII, lines ended by
    /// CRLF.
    pub message: Vec<u8>,
}
