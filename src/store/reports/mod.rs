//! Reads for people: what `explain`, `status`, `doctor` and histories show.
//!
//! They read in one snapshot, lock nothing and write nothing.
//!
//! Never: a lock, a write.

pub mod closed;
pub mod departures;
pub mod doctor;
pub mod drift;
pub mod emails;
pub mod explain;
pub mod facts;
pub mod history;
pub mod overview;
pub mod picture;
pub mod sample;
pub mod statement;
pub mod status;
