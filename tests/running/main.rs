//! What keeps running: schedules, the daemon, the service that it is, the private cluster, and a
//! pooler in between.

mod cluster;
mod daemon;
mod failover;
mod pooler;
mod schedule;
mod service;

#[path = "../support/client.rs"]
#[allow(dead_code, reason = "what the server's own tests need")]
mod client;
#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/mod.rs"]
mod support;
