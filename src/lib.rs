//! periodd closes billing periods on time.

pub mod billing;
pub mod config;
pub mod tzdata;
