//! How charts write instants: in one zone, which they name.

use crate::billing::when::shown;
use crate::billing::{Instant, LocalDate, Zone};

/// The zone in which every instant of a chart is written, and whose days its axes show.
#[derive(Clone, Debug)]
pub struct When {
    zone: Zone,
}

impl When {
    /// In UTC.
    pub fn utc() -> Self {
        Self::local(Zone::utc())
    }

    /// In that zone: an org's, or the reader's.
    pub fn local(zone: Zone) -> Self {
        Self { zone }
    }

    /// The zone.
    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// `2026-12-01 00:00 CET`.
    pub(super) fn at(&self, at: Instant) -> String {
        shown(&self.zone, at)
    }

    /// `15:00`, to the second where it is not a full minute.
    pub(super) fn clock(&self, at: Instant) -> String {
        let is_full = at.microseconds().rem_euclid(60_000_000) < 1_000_000;
        self.zone.local_as(at, if is_full { "%H:%M" } else { "%H:%M:%S" })
    }

    /// `15:00 CET`.
    pub(super) fn clock_in_zone(&self, at: Instant) -> String {
        format!("{} {}", self.clock(at), self.zone.local_as(at, "%Z"))
    }

    /// `Nov 21`.
    pub(super) fn day(&self, at: Instant) -> String {
        day(self.zone.date(at))
    }

    /// `Nov 21 2026`.
    pub(super) fn day_of_year(&self, at: Instant) -> String {
        self.zone.date(at).0.strftime("%b %-d %Y").to_string()
    }

    /// What axes say of it: `times in Europe/Berlin`.
    pub(super) fn said(&self) -> String {
        format!("times in {}", self.zone.name())
    }
}

/// `Nov 21`.
pub(super) fn day(date: LocalDate) -> String {
    date.0.strftime("%b %-d").to_string()
}
