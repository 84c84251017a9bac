//! Closing periods on a real database: the stories, two at work on the same org, and whatever
//! breaks or is killed on the way.

mod isolation;
mod killed;
mod rollover;

#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/story.rs"]
mod story;
#[path = "../support/mod.rs"]
mod support;
