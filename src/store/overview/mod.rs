//! What takes all open counters to know: usage over all orgs, read once an hour and kept.
//!
//! Never: a row of another hour that is written; a lock on an org's rows.

pub mod kept;
pub mod taken;
