//! Deliver: every email is accepted at least once, and only ever as one message, whatever its
//! server does and whoever is killed.

mod away;
mod faults;
mod killed;
mod outbox;
mod resend;
mod shared;
