//! Closing periods on a real database: the stories, two at work on the same org, and whatever
//! breaks or is killed on the way.

mod crash_points;
mod isolation;
mod killed;
mod rollover;

#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/story.rs"]
mod story;
#[path = "../support/mod.rs"]
mod support;
