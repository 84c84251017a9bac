//! Emails on their way: the outbox with its attempts, and what each email says.
//!
//! An email is recorded in the transaction that has a reason for it. It is claimed, then sent
//! outside any transaction, then settled; an attempt whose outcome is unknown is recorded as such.
//!
//! Never: the network; an email without the transaction that has its reason.

pub mod content;
pub mod outbox;
