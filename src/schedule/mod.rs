//! When jobs run: the occurrences of a cron line in a time zone, and the rule that decides what
//! becomes of those that are due.
//!
//! Pure: instants in, decisions out. Who asks (`daemon`) reads the clock and writes the ledger.
//!
//! Never: a clock, a database; an occurrence that neither runs nor is skipped with a reason.

pub mod rule;
pub mod scheduled;
pub mod timetable;

pub use rule::{
    Decision, Policy, Reason, Running, ScheduleState, Settlement, Skip, decide, decide_boundary,
    decide_in_doubt, due_at,
};
pub use scheduled::{Scheduled, expected};
pub use timetable::Timetable;
