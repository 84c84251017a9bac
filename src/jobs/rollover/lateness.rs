//! How long after their ends periods were closed.

use crate::billing::Instant;

/// Seconds; what took longer than the last is counted apart.
pub const BOUNDS_S: [u32; 11] = [1, 2, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400];

/// Periods that were closed, by how long after their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lateness {
    /// How many within each of [`BOUNDS_S`] and not within the one before; then those beyond.
    pub within: [u64; BOUNDS_S.len() + 1],
    /// The lateness of all of them, added up.
    pub total_ms: u64,
}

impl Lateness {
    /// Nothing was closed.
    pub fn is_none(&self) -> bool {
        self.within.iter().all(|count| *count == 0)
    }

    /// A period that ended at `end` is closed at `now`; one that is closed early is not late.
    pub fn note(&mut self, end: Instant, now: Instant) {
        let late_ms = u64::try_from(now.since(end).as_millis()).unwrap_or(0);
        let place = BOUNDS_S.iter().position(|bound| late_ms <= u64::from(*bound) * 1_000);
        self.within[place.unwrap_or(BOUNDS_S.len())] += 1;
        self.total_ms = self.total_ms.saturating_add(late_ms);
    }

    /// Adds what was closed elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (count, further) in self.within.iter_mut().zip(other.within) {
            *count += further;
        }
        self.total_ms = self.total_ms.saturating_add(other.total_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_counted_once_by_the_first_bound_that_holds_it() {
        let at = |text: &str| -> Instant { text.parse().expect("an instant") };
        let end = at("2026-03-01T00:00:00Z");
        let mut lateness = Lateness::default();
        assert!(lateness.is_none());
        for closed in ["2026-02-27T00:00:00Z", "2026-03-01T00:00:01Z", "2026-03-01T00:00:01.5Z"] {
            lateness.note(end, at(closed));
        }
        lateness.note(end, at("2026-03-09T00:00:00Z"));
        assert_eq!(lateness.within, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(lateness.total_ms, 2_500 + 8 * 86_400_000);
        let mut twice = lateness.clone();
        twice.add(&lateness);
        assert_eq!((twice.within[0], twice.total_ms), (4, 2 * lateness.total_ms));
    }
}
