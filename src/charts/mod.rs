//! Charts: values in, SVG text or rows of a terminal out.
//!
//! A chart is drawn for the width of its place, so that its text is never scaled, and says the same
//! three times: as a picture, as a sentence (`finding`) and as a table. Where a width leaves no
//! room for a picture there is the table alone. How things look is said by classes, which
//! [`STYLE`] gives light and dark colours; what two marks mean differs in shape as well as in
//! colour. Elements have no ids, so that a page may show one chart in several widths.
//!
//! All text goes through `canvas`, which measures it and puts it only where it meets no other text.
//! What finds no place is in the table.
//!
//! Never: a clock, a file, a database, a log line; an attribute `style`, a script, an id; text that
//! is not escaped; a number that the table does not have.

mod axis;
mod bands;
mod canvas;
mod chart;
mod hatch;
mod measure;
mod numbers;
mod path;
mod scale;
mod shapes;
mod when;

pub mod closes;
pub mod days;
pub mod drawdown;
pub mod figure;
pub mod lanes;
pub mod lateness;
pub mod period;
pub mod picture;
pub mod tenths;
pub mod wave;

pub use chart::{Chart, Heading, Table, Width};
pub use when::When;

/// The colours and strokes of every chart, light and dark; what stands on the page's own
/// background has a contrast of 3:1 (marks) or 4.5:1 (text) and more.
pub const STYLE: &str = include_str!("charts.css");
