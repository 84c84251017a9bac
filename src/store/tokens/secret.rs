//! Secrets of the HTTP server, tokens and sessions: made here, shown once, kept as a digest.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What every token begins with, so that scanners for leaked secrets know it.
pub const PREFIX: &str = "pd_";
/// Random bytes in a token.
const BYTES: usize = 32;
/// Hexadecimal digits of the checksum at its end: a misspelt token is told from a wrong one without
/// asking the database.
const CHECKSUM: usize = 8;

/// A token; shown once, and nowhere written. (No `Debug`.)
pub struct Secret(String);

impl Secret {
    /// A new one, of 256 random bits.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        let body = format!("{PREFIX}{}", hex(&bytes));
        let checksum = checksum(&body);
        Ok(Self(body + &checksum))
    }

    /// Reads a token; `None` for text that cannot be one.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if digits.len() != 2 * BYTES + CHECKSUM || !digits.bytes().all(is_hex) {
            return None;
        }
        let (body, end) = text.split_at(text.len() - CHECKSUM);
        (checksum(body) == end).then(|| Self(text.to_owned()))
    }

    /// The token, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it: its SHA-256.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

fn checksum(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes())[..CHECKSUM / 2])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_a_misspelt_one_is_not() {
        let token = Secret::random().expect("randomness");
        let text = token.reveal();
        assert_eq!(text.len(), PREFIX.len() + 72);
        assert_eq!(Secret::read(text).map(|t| t.digest()), Some(token.digest()));
        let last = if text.ends_with('0') { "1" } else { "0" };
        let misspelt = format!("{}{last}", &text[..text.len() - 1]);
        for wrong in [misspelt.as_str(), &text[1..], "pd_", "", &text.to_uppercase()] {
            assert!(Secret::read(wrong).is_none(), "{wrong}");
        }
    }
}
