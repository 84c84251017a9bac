//! The verbs: each reads, has `billing` decide, has `store` write, and reports.

pub mod demo;
pub mod import;
pub mod orgs;
pub mod rollover;
pub mod zones;
