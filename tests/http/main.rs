//! The HTTP server, over real sockets: what clients ask, and what strangers try.

mod events;
mod guests;
mod increments;
mod limits;
mod metrics;
mod own_task;
mod pages;
mod problems;
mod served;
mod stream;
mod sync;
mod tokens;
mod unsubscribe;

#[path = "../support/client.rs"]
mod client;
#[path = "../support/mod.rs"]
mod support;
