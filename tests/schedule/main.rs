//! Schedules: when lines fall due, what becomes of what is due, and the ledger of it, on a clock
//! that the test moves.

#[path = "../support/mod.rs"]
mod support;

mod fencing;
mod lanes;
mod ledger;
mod oracle;
mod rule;
mod year;
