//! periodd closes billing periods on time.

pub mod billing;
pub mod store;
pub mod tzdata;
