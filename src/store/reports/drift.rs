//! What the dashboard asks about drift: the newest entries of the log, summed and one by one.

use sqlx::PgConnection;

use super::overview::MOST;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// Days and places that are told apart, and orgs that are named.
const ROWS: i64 = 200;
const NAMED: i64 = 20;

/// What was repaired in one place on one day.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which of the days.
    pub day: usize,
    /// Where: `table.column`.
    pub place: String,
    pub repairs: i64,
    pub orgs: i64,
    /// When the last of them was found.
    pub last: Instant,
}

/// Repairs by day and by place, of the last [`MOST`]. Days are the caller's: where each begins, and
/// where the last one ends; the newest first.
pub async fn by_day(
    connection: &mut PgConnection,
    days: &[Instant],
) -> Result<Vec<Place>, StoreError> {
    let rows = sqlx::query!(
        r#"select width_bucket(d.found_at, $1::timestamptz[]) as "day!",
                  left(d.place, 400) as "place!",
                  count(*) as "repairs!", count(distinct d.org_id) as "orgs!",
                  max(d.found_at) as "last!"
           from (select found_at, place, org_id from periodd_drift
                 where found_at >= ($1::timestamptz[])[1]
                 order by found_at desc limit $2) as d
           group by 1, 2 order by 1 desc, 3 desc, 2 limit $3"#,
        days as &[Instant],
        MOST,
        ROWS
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| Place {
        day: usize::try_from(row.day - 1).unwrap_or_default(),
        place: row.place,
        repairs: row.repairs,
        orgs: row.orgs,
        last: row.last,
    });
    Ok(rows.collect())
}

/// An org whose numbers were repaired.
#[derive(Debug, Clone)]
pub struct Drifting {
    pub slug: String,
    pub repairs: i64,
    /// Places that were repaired there.
    pub places: Vec<String>,
    pub last: Instant,
}

/// The orgs with most repairs, among the last [`MOST`] since an instant.
pub async fn orgs(
    connection: &mut PgConnection,
    since: Instant,
) -> Result<Vec<Drifting>, StoreError> {
    let rows = sqlx::query_as!(
        Drifting,
        r#"select o.slug, d.repairs as "repairs!", d.places as "places!", d.last as "last!"
           from (select org_id, count(*) as repairs, max(found_at) as last,
                        (array_agg(distinct place))[1:8] as places
                 from (select org_id, found_at, left(place, 400) as place from periodd_drift
                       where found_at >= $1 order by found_at desc limit $2) as newest
                 group by org_id order by 2 desc, 3 desc, org_id limit $3) as d
           join organizations o on o.id = d.org_id
           order by 2 desc, 4 desc, o.slug"#,
        since,
        MOST,
        NAMED
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A repair.
#[derive(Debug, Clone)]
pub struct Repair {
    pub found_at: Instant,
    pub slug: String,
    pub feature: String,
    pub place: String,
    /// What it held; `None`: there was no row.
    pub before: Option<Quantity>,
    pub after: Quantity,
    /// What was wrong.
    pub reason: String,
    /// The run that repaired it.
    pub run: Option<i64>,
}

/// The newest repairs.
pub async fn newest(connection: &mut PgConnection, limit: i64) -> Result<Vec<Repair>, StoreError> {
    let rows = sqlx::query_as!(
        Repair,
        r#"select d.found_at, o.slug as "slug!", left(d.feature, 400) as "feature!",
                  left(d.place, 400) as "place!", d.before, d.after,
                  left(d.reason, 400) as "reason!", d.run
           from (select * from periodd_drift order by found_at desc limit $1) as d
           cross join lateral (
               select slug from organizations where id = d.org_id offset 0) as o
           order by d.found_at desc, d.recorded_at desc, d.id"#,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
