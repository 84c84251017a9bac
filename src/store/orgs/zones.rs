//! Calendar months of every accepted zone, for `get_current_usage_period`; and the tz database
//! release that this database has seen.

use sqlx::PgConnection;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// When calendar months begin in one zone.
#[derive(Debug, Clone)]
pub struct ZoneMonths {
    pub time_zone: String,
    /// First instants of consecutive months, rising.
    pub starts: Vec<Instant>,
}

/// Writes the months of all zones in one statement.
pub async fn fill(
    connection: &mut PgConnection,
    months: &[ZoneMonths],
    release: &str,
) -> Result<(), StoreError> {
    let names: Vec<&str> = months.iter().map(|zone| zone.time_zone.as_str()).collect();
    let starts: Vec<Instant> = months.iter().flat_map(|zone| zone.starts.iter().copied()).collect();
    let mut ends = Vec::with_capacity(months.len());
    let mut end = 0;
    for zone in months {
        end += i32::try_from(zone.starts.len()).unwrap_or(i32::MAX);
        ends.push(end);
    }
    // Not a macro: this runs inside the migration that creates the table.
    sqlx::query(
        "insert into periodd_zone_months (time_zone, starts, tzdb_version)
         select z.name, ($2::timestamptz[])[coalesce(z.before, 0) + 1 : z.upto], $4
         from (select name, upto, lag(upto) over (order by place) as before
               from unnest($1::text[], $3::int[]) with ordinality as u (name, upto, place)) z
         on conflict (time_zone) do update
             set starts = excluded.starts, tzdb_version = excluded.tzdb_version
             where periodd_zone_months.tzdb_version <= excluded.tzdb_version",
    )
    .bind(&names)
    .bind(&starts)
    .bind(&ends)
    .bind(release)
    .execute(connection)
    .await?;
    Ok(())
}
