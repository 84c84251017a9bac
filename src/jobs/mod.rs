//! The verbs: each reads, has `billing` decide, has `store` write, and reports.

pub mod demo;
pub mod adoption;
pub mod orgs;
pub mod rollover;
pub mod zones;
