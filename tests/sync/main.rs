//! Sync against a real database: counting, drift and its guards, late usage, derived columns,
//! retention.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

#[path = "../rollover/story.rs"]
#[allow(dead_code, reason = "the sentences that are needed here")]
mod story;
#[path = "../support/mod.rs"]
mod support;

mod counting;
mod derived;
mod drift;
mod guards;
mod late;
mod month;
mod retention;
mod together;
mod words;
