//! The commands as a person uses them: the real binary, a real database, the answer and what is in
//! the tables afterwards.

#[path = "../support/mod.rs"]
mod support;

mod completions;
mod doctor;
mod explain;
mod import;
mod interrupt;
mod refund;
mod set;
mod status;
mod suggestions;
mod tiers;
