//! Charts: values in, SVG text or rows of a terminal out.
//!
//! Never: a clock, a file, a database, a log line; text that is not escaped.

mod scale;

pub mod figure;
pub mod picture;
