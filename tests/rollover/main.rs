//! The rollover against a real database: stories with their worked numbers.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod bad_orgs;
mod carry_over;
mod catch_up;
mod changes;
mod conflicts;
mod counting;
mod dry_run;
mod early;
mod packs;
mod story;
mod subscriptions;
mod together;
mod zone_rules;
