//! Mail servers for tests: a real one, and one that does what the test says.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every binary uses its own part of this"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

mod real;
mod scripted;

pub use real::{Certificates, RealServer, Security};
pub use scripted::{Act, ScriptedServer, Verb};

/// An email that a server accepted.
#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    /// Who had logged in.
    #[serde(default)]
    pub user: Option<String>,
    /// Did it come over TLS?
    #[serde(default)]
    pub tls: bool,
    /// The message, as it came.
    pub data: String,
}

impl Received {
    /// The value of a header that stands on one line.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.data.split("\r\n\r\n").next()?;
        head.split("\r\n").find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The Message-ID without its angle brackets.
    pub fn message_id(&self) -> &str {
        let id = self.header("Message-ID").expect("every email has a Message-ID");
        id.trim_start_matches('<').trim_end_matches('>')
    }
}
