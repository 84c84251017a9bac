//! The commands as a person uses them: the real binary, a real database, the answer and what is in
//! the tables afterwards.

mod backtest;
mod bad_input;
mod capacity;
mod cli;
mod clock;
mod completions;
mod config;
mod connections;
mod dashboard;
mod demo;
mod departures;
mod doctor;
mod explain;
mod export;
mod foreign_settings;
mod held;
mod import;
mod interrupt;
mod lists;
mod odd_cells;
mod own_schema;
mod parking;
mod proposed;
mod refund;
mod schemas;
mod set;
mod statements;
mod status;
mod suggestions;
mod terminal;
mod tiers;
mod transcripts;
mod verbs;

#[allow(dead_code, reason = "pages are all that is asked for here")]
#[path = "../support/client.rs"]
mod client;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/schemas.rs"]
mod schema_files;
#[path = "../support/smtp/mod.rs"]
mod smtp;
#[path = "../support/mod.rs"]
mod support;
