//! Emails: what they say, and how they travel.
//!
//! A job composes a [`Letter`] from facts and stores it; [`render`](render::render) turns it into
//! an [`Email`](email::Email), purely, as often as it has to be tried; a
//! [`Transport`](transport::Transport) carries it.

pub mod letter;

pub use letter::{Basis, Envelope, Forecast, Letter, Recommended, Sender};
