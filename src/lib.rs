//! periodd closes billing periods on time.

pub mod billing;
pub mod cli;
pub mod clock;
pub mod tzdata;
