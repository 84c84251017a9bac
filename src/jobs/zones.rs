//! The months of every accepted zone, kept in the database for `get_current_usage_period`.

use crate::billing::instant::OutOfRange;
use crate::billing::{Calendar, Instant};
use crate::store::db::lock_wait::LockWait;
use crate::store::db::migrate::{self, Migration};
use crate::store::orgs::zones::{self, ZoneMonths};
use crate::store::{Database, StoreError};
use crate::tz::TzData;

/// Months kept from the one that contains now: two years, so that a database which is not
/// migrated and has no daemon for that long still answers.
const MONTHS: usize = 25;

/// Brings the schema to what this program needs, and fills the zones' months.
///
/// # Errors
/// [`StoreError`] as [`migrate::migrate`] says.
pub async fn migrate(
    database: &Database,
    tz: &TzData,
    now: Instant,
) -> Result<Vec<Migration>, StoreError> {
    migrate::migrate(database, &months(tz, now), tz.release()).await
}

/// The same with a wait of the caller's for locks of others.
pub async fn migrate_waiting(
    database: &Database,
    tz: &TzData,
    now: Instant,
    wait: LockWait,
) -> Result<Vec<Migration>, StoreError> {
    migrate::migrate_waiting(database, &months(tz, now), tz.release(), wait).await
}

/// Fills the zones' months anew, so that they reach as far into the future as ever.
pub async fn refill(database: &Database, tz: &TzData, now: Instant) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    zones::fill(&mut connection, &months(tz, now), tz.release()).await
}

/// The calendar months of every accepted zone, from the one that contains `now` on.
pub fn months(tz: &TzData, now: Instant) -> Vec<ZoneMonths> {
    tz.names().iter().filter_map(|name| months_of(tz, name, now).ok()).collect()
}

fn months_of(tz: &TzData, name: &str, now: Instant) -> Result<ZoneMonths, OutOfRange> {
    let zone = tz.zone(name).map_err(|_| OutOfRange)?;
    let calendar = Calendar::months(zone);
    let (period, date) = calendar.period_at(now)?;
    let mut starts = vec![period.start];
    let mut boundary = crate::billing::Boundary { at: period.end, date };
    while starts.len() <= MONTHS {
        starts.push(boundary.at);
        boundary = calendar.following(boundary)?;
    }
    Ok(ZoneMonths { time_zone: name.to_owned(), starts })
}
