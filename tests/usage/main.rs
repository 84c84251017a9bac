//! Usage: the functions that applications call, counting and drift, and databases that people have
//! already.

mod adoption;
mod api;
mod sync;

#[path = "../support/proxy.rs"]
#[allow(dead_code, reason = "its other cuts are for crash points")]
mod proxy;
#[path = "../support/story.rs"]
#[allow(dead_code, reason = "the sentences that are needed here")]
mod story;
#[path = "../support/mod.rs"]
mod support;
