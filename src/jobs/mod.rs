//! The verbs: each reads, has `billing` decide, has `store` write, and reports.
//!
//! Never: a statement, a rule of billing, the layout of an answer.

pub mod alerts;
mod batches;
mod by_hand;
pub mod catalogue;
pub mod cells;
mod checks;
pub mod columns;
pub mod counts;
pub mod deliver;
pub mod doctor;
pub(crate) mod events;
pub mod explain;
pub(crate) mod export;
pub mod finding;
pub mod instance;
mod ledger;
pub mod limits;
mod mail_findings;
pub mod orgs;
mod outlook;
pub mod pace;
mod pack_entries;
mod parking;
mod pausing;
pub mod refund;
pub mod retention;
pub mod roles;
pub mod rollover;
pub mod settings;
pub(crate) mod statements;
pub mod status;
pub mod stop;
pub mod sync;
pub mod tiers;
pub mod usage;
pub mod zones;

pub use batches::Left;
pub use by_hand::{ByHand, Done, Entered};
pub use ledger::{Entry, ended};
pub use pausing::{pause_job, resume_job};
