//! The verbs: each reads, has `billing` decide, has `store` write, and reports.

pub mod adoption;
pub mod alerts;
pub mod deliver;
pub mod demo;
pub mod orgs;
pub mod retention;
pub mod rollover;
pub mod stop;
pub mod sync;
pub mod zones;
