//! Boundaries: the worked vectors, and the rule as a property over every zone.

mod changes;
mod everywhere;
mod oracle;
mod vectors;
