//! Emails and webhooks: what they say, and how they travel.
//!
//! A job composes a [`Letter`] from facts and stores it; [`render()`] turns it into an [`Email`],
//! purely, as often as it has to be tried; a [`Transport`] carries it.
//!
//! Never: a clock or a random number while an email is rendered; a fact that becomes a header, a
//! recipient or markup.

pub mod email;
pub mod letter;
pub mod notice;
pub mod render;
pub mod samples;
pub mod templates;
pub mod transport;
mod units;
pub mod vendor;
mod view;
pub mod webhook;

pub use crate::billing::address;
pub use crate::locale::is_known_locale;
pub use email::Email;
pub use letter::{Basis, Envelope, Forecast, Letter, Recommended, Sender};
pub use render::{RenderError, render, render_notice};
pub use templates::Templates;
pub use transport::{SendError, Sent, Transport};
