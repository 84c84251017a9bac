//! Plans of rollovers under random orgs, against a model written from the rules' text alone.
//!
//! [`scenario`] draws an org with everything that may happen to it, [`memory`] keeps it as the
//! database would and folds plans into it, [`model`] says what must come of it, unit by unit, and
//! [`properties`] compare the two. [`faults`] shows the checker every fault that it knows, and
//! [`stories`] are single cases that went wrong once.

mod faults;
mod memory;
mod model;
mod properties;
mod scenario;
mod stories;
