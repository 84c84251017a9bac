//! The rollover against a real database: stories with their worked numbers.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod bad_input;
mod bad_orgs;
mod bad_packs;
mod carry_over;
mod catch_up;
mod changes;
mod conflicts;
mod counting;
mod dry_run;
mod early;
mod endless;
mod fallen_limits;
mod levels;
mod memory;
mod packs;
mod pauses;
mod races;
mod restart_limits;
mod restarts;
mod shards;
mod stress;
mod subscribed_year;
mod subscriptions;
mod together;
mod zone_rules;
