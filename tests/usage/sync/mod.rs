//! Sync against a real database: counting, drift and its guards, late usage, derived columns,
//! retention.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod away;
mod beside;
mod counting;
mod derived;
mod drift;
mod guards;
mod held;
mod late;
mod month;
mod refused;
mod retention;
mod together;
mod words;
