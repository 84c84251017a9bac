//! The database going away and coming back: said once each, with patience in between.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::StoreError;

/// The first wait of an outage; each one is twice as long as the one before …
const FIRST: Duration = Duration::from_millis(500);
/// … up to this, so that work goes on soon after the database is back.
const LONGEST: Duration = Duration::from_secs(8);

/// Is the database away, and since when?
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<(Instant, Duration)>,
}

impl Outage {
    /// Notes a failure, and says how long to wait before the next attempt. A failure that is no
    /// outage is said each time: it should not happen at all.
    pub(super) fn failed(&mut self, error: &StoreError) -> Duration {
        let is_outage = matches!(error, StoreError::Unavailable(_));
        let wait = self.since.map_or(FIRST, |(_, wait)| (wait * 2).min(LONGEST));
        if self.since.is_none() && is_outage {
            tracing::error!(%error, "the database is away; runs wait until it is back");
        } else if !is_outage {
            tracing::error!(%error, "the schedules could not be worked on");
        }
        let since = self.since.map_or_else(Instant::now, |(since, _)| since);
        self.since = Some((since, wait));
        wait
    }

    /// Notes that the database answers. True when it had not before.
    pub(super) fn over(&mut self) -> bool {
        let Some((since, _)) = self.since.take() else { return false };
        let away_secs = since.elapsed().as_secs();
        tracing::info!(away_secs, "the database is back; what is due is made up for");
        true
    }
}
