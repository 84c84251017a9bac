//! The tick: tokio-cron-scheduler rings once a second, in UTC, and does nothing else.
//!
//! It drops ticks when it is busy, keeps the UTC offset of a job's creation for good, and falls
//! silent while the machine's clock is set back. So it decides nothing, and nothing waits for it
//! alone: a tick only makes the loop look whether something is due, as its own timer does.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Every second; in UTC, because no zone is given.
const EVERY_SECOND: &str = "* * * * * *";

/// The ticking scheduler: one per process, because taking one down leaves tasks behind.
pub(super) struct Tick {
    scheduler: JobScheduler,
}

impl Tick {
    /// Begins to tell `ring` of every second.
    pub(super) async fn start(ring: Arc<Notify>) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let job = Job::new_async(EVERY_SECOND, move |_, _| {
            let ring = Arc::clone(&ring);
            Box::pin(async move { ring.notify_one() })
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    /// Ends the ticking.
    pub(super) async fn stop(mut self) -> Result<(), JobSchedulerError> {
        self.scheduler.shutdown().await
    }
}
