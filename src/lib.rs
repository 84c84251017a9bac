//! periodd closes billing periods on time.

pub mod account;
pub mod billing;
pub mod capacity;
pub mod charts;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
mod csv;
pub mod daemon;
pub mod demo;
pub mod files;
pub mod http;
pub mod import;
pub mod jobs;
mod locale;
pub mod mail;
pub mod schedule;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod tz;
