//! Usage: what others report, from a file or as events; and its history.
//!
//! Never: usage without a key that may be repeated.

pub mod backtest;
pub mod events;
pub mod file;
pub mod history;
