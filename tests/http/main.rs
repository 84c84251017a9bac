//! The HTTP server, over real sockets: what clients ask, and what strangers try.

mod acts;
mod behind;
mod card;
mod event_table;
mod events;
mod guests;
mod history;
mod increments;
mod limits;
mod listener;
mod live;
mod metrics;
mod nginx;
mod overviews;
mod own_task;
mod pages;
mod problems;
mod rules;
mod seeds;
mod served;
mod socket;
mod stream;
mod sync;
mod times;
mod tokens;
mod unsubscribe;

#[path = "../support/client.rs"]
mod client;
#[path = "../support/pgbouncer.rs"]
mod pgbouncer;
#[path = "../support/mod.rs"]
mod support;
