//! An error that comes again and again: said once, and then now and then how often it came.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause between two lines about the same failures; each is twice as long as the one
/// before …
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// So many different errors of one row of failures are said in full.
const MOST_TEXTS: usize = 8;

/// What the log is to say of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Say {
    /// All of it: it is new.
    InFull,
    /// That it goes on: so many failures, the first so long ago.
    Again {
        /// How many there were.
        times: u64,
        /// Seconds since the first.
        since_secs: u64,
    },
    /// Nothing: it was said.
    Nothing,
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    row: Option<Failures>,
}

#[derive(Debug)]
struct Failures {
    texts: HashSet<String>,
    times: u64,
    since: Instant,
    said: Instant,
    pause: Duration,
}

impl Repeats {
    /// Notes a failure, and says what the log is to say of it.
    pub(super) fn failed(&mut self, text: &str) -> Say {
        let now = Instant::now();
        let row = self.row.get_or_insert_with(|| Failures {
            texts: HashSet::new(),
            times: 0,
            since: now,
            said: now,
            pause: FIRST_PAUSE,
        });
        row.times += 1;
        if row.texts.len() < MOST_TEXTS && row.texts.insert(text.to_owned()) {
            row.said = now;
            return Say::InFull;
        }
        if now.duration_since(row.said) < row.pause {
            return Say::Nothing;
        }
        row.said = now;
        row.pause = (row.pause * 2).min(LONGEST_PAUSE);
        Say::Again { times: row.times, since_secs: now.duration_since(row.since).as_secs() }
    }

    /// It went well: what fails next is new.
    pub(super) fn over(&mut self) {
        self.row = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_error_is_said_once_and_then_counted_with_growing_pauses() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.failed("no table"), Say::InFull);
        let mut said = Vec::new();
        for _ in 0..24 * 3600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            if let Say::Again { times, since_secs } = repeats.failed("no table") {
                assert_eq!(times, since_secs + 1);
                said.push(since_secs);
            }
        }
        assert_eq!(said[..3], [60, 180, 420]);
        assert!(said.len() < 32, "a day has few lines: {said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn errors_that_take_turns_are_each_said_once_and_endless_new_ones_are_counted() {
        let mut repeats = Repeats::default();
        let said = |repeats: &mut Repeats, text: &str| repeats.failed(text) == Say::InFull;
        assert!(said(&mut repeats, "a") && said(&mut repeats, "b"));
        assert!(!said(&mut repeats, "a") && !said(&mut repeats, "b"));
        let others = (0..1000).filter(|n| said(&mut repeats, &n.to_string())).count();
        assert_eq!(others, MOST_TEXTS - 2);
        repeats.over();
        assert!(said(&mut repeats, "a"), "after a success it is new");
    }
}
