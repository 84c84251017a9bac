//! Emails: what they say, what they look like, and how they travel.

mod pictures;
mod support;
