//! What keeps running: schedules, the daemon, the service that it is, the private cluster, and a
//! pooler in between.

mod cluster;
mod daemon;
mod pooler;
mod schedule;
mod service;

#[path = "../support/mod.rs"]
mod support;
