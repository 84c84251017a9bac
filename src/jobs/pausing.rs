//! Pausing schedules, and letting them go on.

use super::catalogue::Job;
use crate::store::runs::schedules::{self, Trigger};
use crate::store::{Database, StoreError};

/// Pauses a job until it is resumed, or changes the reason of a pause: its cron expression, and for
/// the rollover the ends of periods, too.
///
/// # Errors
/// [`StoreError::Invalid`] without a reason.
pub async fn pause_job(database: &Database, job: Job, reason: &str) -> Result<(), StoreError> {
    if reason.trim().is_empty() {
        return Err(StoreError::Invalid("the reason must not be empty".to_owned()));
    }
    let now = database.now().await?;
    let triggers: &[Trigger] = match job {
        Job::Rollover => &Trigger::ALL,
        _ => &[Trigger::Schedule],
    };
    let seed = schedules::draw_seed();
    let mut connection = database.connection().await?;
    schedules::pause(&mut connection, job.name(), triggers, reason, seed, now).await
}

/// Lets a paused job go on; false when it was not paused.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn resume_job(database: &Database, job: Job) -> Result<bool, StoreError> {
    schedules::resume(&mut *database.connection().await?, job.name()).await
}
