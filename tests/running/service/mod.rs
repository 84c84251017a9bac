//! The daemon as a service: what its manager hears, what its log says, and the units themselves.
//!
//! Here the manager is a socket; `make test-systemd` asks systemd itself.

// Helpers stand outside of test functions, where the lint does not look for its exception.
#![allow(clippy::unwrap_used)]

mod life;
mod logs;
mod manager;
mod secrets;
mod units;
