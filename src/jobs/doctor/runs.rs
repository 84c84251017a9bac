//! Do runs end in time, and does somebody keep periodd waiting?

use super::Context;
use crate::jobs::finding::Finding;
use crate::jobs::status;
use crate::store::StoreError;

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let schedules = context.config.schedule.all();
    let timeouts: Vec<_> =
        schedules.iter().map(|(job, schedule)| (*job, schedule.timeout.0)).collect();
    status::held_up(context.database, &timeouts).await
}
