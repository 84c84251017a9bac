//! Standard Webhooks 1.0: the symmetric signature.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How long a key may be, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets that sign: the one, and while it is replaced the other.
const MOST: usize = 2;

/// The secrets of an endpoint, which nobody gets to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(Vec<Vec<u8>>);

/// What is not a secret. Never says what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSecret {
    /// Another form.
    #[error(
        "invalid secret; write `whsec_` and the base64 of 24 to 64 random bytes, such as \
         `echo whsec_$(openssl rand -base64 32)` prints"
    )]
    Form,
    /// None, or too many.
    #[error("write one secret, or two while it is replaced")]
    Count,
}

impl Secrets {
    /// Reads one secret or two.
    ///
    /// # Errors
    /// [`BadSecret`] for anything else.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, BadSecret> {
        let keys: Vec<Vec<u8>> = texts.map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > MOST { Err(BadSecret::Count) } else { Ok(Self(keys)) }
    }

    /// The signatures of a message, by each secret.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut signatures = String::new();
        for key in &self.0 {
            let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
            signing.update(format!("{id}.{timestamp}.").as_bytes());
            signing.update(body);
            let separator = if signatures.is_empty() { "" } else { " " };
            let signature = STANDARD.encode(signing.sign());
            let _ = write!(signatures, "{separator}v1,{signature}");
        }
        signatures
    }
}

fn key(text: &str) -> Result<Vec<u8>, BadSecret> {
    let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret::Form)?;
    let key = STANDARD.decode(encoded).map_err(|_| BadSecret::Form)?;
    if LENGTHS.contains(&key.len()) { Ok(key) } else { Err(BadSecret::Form) }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secrets = Secrets::read([secret].into_iter()).expect("a secret");
        let signature =
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_both_and_no_other_form_is_taken() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let both = Secrets::read([one, two].into_iter()).expect("two secrets");
        let signed = both.sign("id", 1, b"{}");
        let alone = |secret| Secrets::read([secret].into_iter()).expect("one").sign("id", 1, b"{}");
        assert_eq!(signed, format!("{} {}", alone(one), alone(two)));
        for bad in ["", "secret", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(Secrets::read([bad].into_iter()), Err(BadSecret::Form), "{bad}");
        }
        assert_eq!(Secrets::read(std::iter::empty()), Err(BadSecret::Count));
        assert_eq!(Secrets::read([one, two, one].into_iter()), Err(BadSecret::Count));
        assert!(!format!("{both:?}").contains("Mf"), "{both:?}");
    }
}
