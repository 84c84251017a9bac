//! The rules: when a period ends, who pays for usage, what a rollover does.
//!
//! Pure. Nothing here reads a clock, a file, a database or the environment, and nothing logs:
//! every function takes what it needs and returns a value. That is what makes a dry run, a
//! replay after an outage and a property test the same thing as the real run.
//!
//! Never: a clock, a file, a database, the environment, a log line; a boundary that is computed
//! outside of [`period`]; a float.

pub mod address;
pub mod catalogue;
pub mod check;
pub mod clock;
pub mod derived;
pub(crate) mod drift;
pub mod events;
pub mod forecast;
pub mod instant;
pub mod late;
pub mod notice;
pub mod offers;
pub mod org;
pub mod parking;
pub mod period;
pub mod price;
pub mod quantity;
pub mod quota;
pub mod recipients;
pub mod rollover;
pub mod series;
mod shapes;
pub mod threshold;
pub mod timeline;
pub mod usage;
pub mod when;

pub use instant::time_of_day::TimeOfDay;
pub use instant::{Instant, LocalDate};
pub use period::{Anchor, Boundary, Calendar, Cycle, LocalTime, Period, Zone};
pub use quantity::Quantity;
pub use when::When;
