//! When jobs run: the occurrences of a cron line in a time zone, and the rule that decides what
//! becomes of those that are due.
//!
//! Pure: instants in, decisions out. Who asks (`daemon`) reads the clock and writes the ledger.

pub mod rule;
pub mod timetable;

pub use rule::{
    Decision, Policy, Reason, Running, Settlement, Skip, Standing, decide, decide_boundary, due_at,
};
pub use timetable::Timetable;
