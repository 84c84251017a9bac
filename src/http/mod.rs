//! The HTTP server: the usage API, health, metrics, unsubscription and the dashboard.
//!
//! It has no rule of its own: whatever the SQL functions and the commands say holds here, word for
//! word. `routes` is the one table of what there is; the router and the description
//! (`/api/openapi.json`) are made from it.
//!
//! hyper drops whatever it was doing for a client that hangs up. So each request is worked on in a
//! task of its own (`call`), which nobody drops: what takes too long is ended by the database.
//!
//! Never: a rule that SQL or a command does not have; a handler that the client's connection can
//! drop; a token, a query or a body in the log.

mod access;
mod answer;
mod beat;
mod call;
mod card;
mod customer;
mod event_table;
mod events;
mod explained;
mod facts;
mod file;
mod guard;
mod handshake;
mod health;
mod history;
mod increment;
mod limits;
mod listen;
mod messages;
mod metrics;
mod openapi;
mod own_door;
mod page;
mod pages;
mod poller;
mod problem;
mod pulse;
mod quantity;
mod reading;
mod routes;
mod saved;
mod scrape;
mod seen;
mod server;
mod settings;
mod shared;
mod socket;
mod stream;
mod streams;
mod sync;
mod syncs;
mod together;
mod turns;
mod unsubscribe;

pub use listen::ListenError;
pub use saved::{Error as SaveError, save};
pub use server::{Running, Server, ServerError};
pub use shared::Surroundings;
