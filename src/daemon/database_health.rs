//! The database going away and coming back: said once each, with patience in between.

use std::time::Duration;

use tokio::time::Instant;

use super::repeats::{Repeats, Say};
use crate::store::StoreError;

/// The first wait of an outage; each one is twice as long as the one before …
const FIRST: Duration = Duration::from_millis(500);
/// … up to this, so that work goes on soon after the database is back.
const LONGEST: Duration = Duration::from_secs(8);

/// Is the database away, and since when?
#[derive(Debug, Default)]
pub(super) struct DatabaseHealth {
    since: Option<Instant>,
    wait: Option<Duration>,
    is_slow: bool,
    others: Repeats,
}

impl DatabaseHealth {
    /// Is the database away?
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Notes a failure, and says how long to wait before the next attempt. What is no outage is
    /// said once, and then counted.
    pub(super) fn failed(&mut self, error: &StoreError) -> Duration {
        let wait = self.wait.map_or(FIRST, |wait| (wait * 2).min(LONGEST));
        self.wait = Some(wait);
        if !matches!(error, StoreError::Unavailable(_)) {
            match self.others.failed(&error.to_string()) {
                Say::InFull => tracing::error!(%error, "the schedules could not be processed"),
                Say::Again { times, since_secs } => {
                    tracing::error!(%error, times, since_secs, "still failing: the schedules");
                }
                Say::Nothing => {}
            }
        } else if self.since.is_none() {
            tracing::error!(%error, "the database is unavailable; runs wait until it is back");
            self.since = Some(Instant::now());
        }
        wait
    }

    /// Notes that an answer is a long time coming.
    pub(super) fn slow(&mut self) {
        if !std::mem::replace(&mut self.is_slow, true) && !self.is_on() {
            tracing::warn!("the database is slow to answer; waiting for it");
        }
    }

    /// Notes that the database answers. True when it had not before.
    pub(super) fn over(&mut self) -> bool {
        self.is_slow = false;
        self.wait = None;
        self.others.over();
        let Some(since) = self.since.take() else { return false };
        let away_secs = since.elapsed().as_secs();
        tracing::info!(away_secs, "the database is back; catching up");
        true
    }
}
