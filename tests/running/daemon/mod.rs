//! `periodd run`, as processes on real servers: started, killed, stopped, cut off and told to go.

mod batches;
mod boundaries;
mod clock;
mod commands;
mod drain;
mod embedded;
mod faketime;
mod frozen;
mod hostile;
mod http;
mod kills;
mod life;
mod outage;
mod pool;
pub(crate) mod process;
