//! The rules of the schema and of the statements, held against the catalogue of a migrated
//! database: what lets the tables be sharded by org later, and what keeps bad values out now.

mod dump;
mod earlier;
mod functions;
mod inserts;
mod keys;
mod migrations;
mod periods;
mod plans;
mod quantities;
mod ranges;
mod refusals;
mod rules;
mod sources;
mod sql;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod words;
