//! `periodd run`, as processes on real servers: started, killed, stopped, cut off and told to go.

#[path = "../support/mod.rs"]
mod support;

mod boundaries;
mod commands;
mod drain;
mod embedded;
mod kills;
mod life;
mod outage;
mod pool;
mod process;
