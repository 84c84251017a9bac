//! The verbs: each reads, has `billing` decide, has `store` write, and reports.

pub mod adoption;
pub mod alerts;
pub mod deliver;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod finding;
pub mod orgs;
pub mod pace;
pub mod refund;
pub mod retention;
pub mod rollover;
pub mod settings;
pub mod status;
pub mod stop;
pub mod sync;
pub mod tiers;
pub mod usage_file;
pub mod zones;
