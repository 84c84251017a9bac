//! Emails: what they say, what they look like, and how they travel.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod content;
mod directory;
mod faults;
mod headers;
mod notices;
mod overrides;
mod pictures;
mod real;
pub(crate) mod support;
