//! Warnings on their way: which alerts there are, what their emails say, and how they are
//! delivered.

mod alerts;
mod charts;
mod deliver;
mod events;
mod mail;
mod notices;
mod webhooks;

#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/smtp/mod.rs"]
mod smtp;
#[path = "../support/mod.rs"]
mod support;
