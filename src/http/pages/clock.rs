//! Times as pages show them: on one clock, with the time from now beside it.

use jiff::SignedDuration;
use serde::Serialize;

use crate::billing::when::{relative_to, shown};
use crate::billing::{Instant, Zone};
use crate::charts::When;

/// An instant, as a page shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moment {
    /// For programs.
    at: String,
    /// On the clock of the page, with the abbreviation of its zone.
    text: String,
    /// From now: "in 3 h 20 min".
    pub(super) relative: String,
}

impl Moment {
    /// On the clock of the page.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The clock of a page, or of a part of one.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: Zone,
    pub(super) now: Instant,
}

impl Clock {
    /// The name of its zone.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.name()
    }

    /// Of a zone.
    pub(super) fn of(zone: Zone, now: Instant) -> Self {
        Self { zone, now }
    }

    /// How a chart writes instants on this clock.
    pub(super) fn when(&self) -> When {
        When::local(self.zone.clone())
    }

    /// An instant on this clock.
    pub(super) fn moment(&self, at: Instant) -> Moment {
        let text = shown(&self.zone, at);
        Moment { at: at.to_string(), text, relative: relative_to(self.now, at) }
    }

    /// How long ago, or until then, in words.
    pub(super) fn relative(&self, at: Instant) -> String {
        relative_to(self.now, at)
    }

    /// An instant so long before now.
    pub(super) fn before(&self, span: SignedDuration) -> Instant {
        self.now.plus(-span).unwrap_or(self.now)
    }
}
