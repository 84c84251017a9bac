//! Alerts: which thresholds are told of, when, and to whom. Each test tells the story of one org,
//! on a database of its own.

mod away;
mod commands;
mod levels;
mod limits;
mod many;
mod meanwhile;
mod periods;
mod recipients;
mod retention;
mod story;
