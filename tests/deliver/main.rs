//! Deliver: every email is accepted at least once, and only ever as one message, whatever its
//! server does and whoever is killed.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/smtp/mod.rs"]
#[allow(unused_imports, reason = "every test binary uses its own part of this")]
mod smtp;

mod faults;
mod killed;
mod outbox;
