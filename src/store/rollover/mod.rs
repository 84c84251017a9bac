//! What a rollover reads and writes: which orgs are due, all that a plan depends on in one
//! snapshot, and the statements that apply a plan.
//!
//! What is read is locked or guarded when it is acted upon, in the order org, counters, user
//! counters, users. Every write is gated by the row that moved, so a plan that is applied twice
//! changes nothing the second time. Nothing is decided here.
//!
//! Never: a decision; a write for an org whose row did not move.

pub mod apply;
mod carry;
pub mod claim;
pub(in crate::store) mod guards;
pub mod planned;
mod prices;
pub mod snapshot;
pub mod unsettled;
