//! Boundaries: the worked vectors, and the rule as a property over every zone.

mod changes;
mod everywhere;
pub(crate) mod oracle;
mod vectors;
