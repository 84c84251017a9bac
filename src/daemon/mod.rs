//! The daemon: what `periodd run` is made of.

pub mod notify;
