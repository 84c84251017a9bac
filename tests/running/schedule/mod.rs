//! Schedules: when lines fall due, what becomes of what is due, and the ledger of it, on a clock
//! that the test moves.

mod ahead;
mod clock;
mod fencing;
mod given_up;
mod held;
mod lanes;
mod ledger;
mod oracle;
mod rule;
mod year;
