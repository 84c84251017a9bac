//! The commands as a person uses them: the real binary, a real database, the answer and what is in
//! the tables afterwards.

#[path = "../support/schemas.rs"]
mod schema_files;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod completions;
mod connections;
mod doctor;
mod explain;
mod import;
mod interrupt;
mod refund;
mod schemas;
mod set;
#[path = "../support/smtp/mod.rs"]
mod smtp;
mod status;
mod suggestions;
mod terminal;
mod tiers;
