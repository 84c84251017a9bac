//! The rollover against a real database: stories with their worked numbers.

#[path = "../support/mod.rs"]
mod support;

mod carry_over;
mod packs;
mod story;
