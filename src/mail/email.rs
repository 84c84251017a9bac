//! An email, ready to travel.

/// An email as it is shown and sent. Rendering the same letter again gives the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    /// The sender's bare address.
    pub from: String,
    /// The recipient's bare address.
    pub to: String,
    /// The Message-ID without its angle brackets.
    pub message_id: String,
    /// What a file of it is called, without an ending: when, for whom, at which percentage, which.
    pub file_stem: String,
    /// The subject, one line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The whole message as RFC 5322 wants it: headers and both parts, ASCII, lines ended by
    /// CRLF.
    pub message: Vec<u8>,
}
