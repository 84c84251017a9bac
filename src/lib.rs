//! periodd closes billing periods on time.

pub mod billing;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod jobs;
pub mod mail;
pub mod schedule;
pub mod store;
pub mod telemetry;
pub mod tzdata;
