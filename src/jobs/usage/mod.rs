//! Usage that others report: from a file, or as events.
//!
//! Never: usage without a key that may be repeated.

pub mod events;
pub mod file;
