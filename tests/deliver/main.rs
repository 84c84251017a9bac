//! Deliver: every email is accepted at least once, and only ever as one message, whatever its
//! server does and whoever is killed.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/smtp/mod.rs"]
mod smtp;

mod faults;
mod killed;
mod outbox;
