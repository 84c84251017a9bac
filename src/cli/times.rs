//! Times as people read them: one notation in every command.
//!
//! A time of an org is local to the org, with the abbreviation of its zone: `2026-12-01 00:00 CET`.
//! What belongs to no org, and everything with `--utc`, is in UTC. Seconds are shown where there
//! are any.

use crate::billing::when::{relative_to, shown};
use crate::billing::{Instant, Zone};
use crate::tz::TzData;

/// How a command writes times.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    tz: TzData,
    utc: bool,
    now: Instant,
}

impl Times {
    /// In UTC alone with `utc`; `now` is what relative times are relative to.
    pub(crate) fn new(tz: TzData, utc: bool, now: Instant) -> Self {
        Self { tz, utc, now }
    }

    /// Times in a zone by its name; in UTC if nobody knows it.
    pub(crate) fn local(&self, zone: &str) -> Local {
        let zone = if self.utc { None } else { self.tz.zone(zone).ok() };
        Local { zone: zone.unwrap_or_else(Zone::utc), now: self.now }
    }

    /// Times of what belongs to no org.
    pub(crate) fn utc(&self) -> Local {
        Local { zone: Zone::utc(), now: self.now }
    }
}

/// Times in one zone.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    zone: Zone,
    now: Instant,
}

impl Local {
    /// `2026-12-01 00:00 CET`.
    pub(crate) fn at(&self, at: Instant) -> String {
        shown(&self.zone, at)
    }

    /// The same with the time relative to now beside it: `2026-12-01 00:00 CET (in 3 d)`.
    pub(crate) fn beside(&self, at: Instant) -> String {
        if at == Instant::NEVER {
            return self.at(at);
        }
        format!("{} ({})", self.at(at), self.relative(at))
    }

    /// The time relative to now: `in 3 d 4 h`, `12 min ago`.
    pub(crate) fn relative(&self, at: Instant) -> String {
        relative_to(self.now, at)
    }
}

#[cfg(test)]
mod tests {
    // By its whole name: what is used of the room above would need this file, too.
    use crate::billing::Instant;
    use crate::cli::times::Times;
    use crate::tz::TzData;

    #[test]
    fn a_time_is_local_to_its_zone_or_in_utc() {
        let now: Instant = "2026-11-30T12:00:00Z".parse().unwrap();
        let end: Instant = "2026-11-30T22:00:00Z".parse().unwrap();
        let odd: Instant = "2026-11-30T11:58:07.123456Z".parse().unwrap();
        let times = |utc| Times::new(TzData::bundled(), utc, now);
        let beirut = times(false).local("Asia/Beirut");
        assert_eq!(beirut.beside(end), "2026-12-01 00:00 EET (in 10 h)");
        assert_eq!(beirut.beside(odd), "2026-11-30 13:58:07 EET (1 min ago)");
        assert_eq!(times(true).local("Asia/Beirut").at(end), "2026-11-30 22:00 UTC");
        assert_eq!(times(false).local("No/Such").at(end), "2026-11-30 22:00 UTC");
        assert_eq!(times(false).utc().at(end), "2026-11-30 22:00 UTC");
    }
}
