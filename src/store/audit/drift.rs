//! The drift log, and purchases without a pack.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// Whose work a mend is, and when.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The run's number in the ledger; `None` for one that is not in it.
    pub run: Option<i64>,
    pub now: Instant,
    pub real: Instant,
}

/// A value that was found wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Mended {
    /// The org.
    pub org: Uuid,
    /// Its name for people, as far as it is known.
    pub slug: String,
    /// Whose row: the user's id, or the org's.
    pub subject: Uuid,
    /// The feature.
    pub feature: String,
    /// The period, by its start.
    pub period_start: Instant,
    /// Where: `table.column`.
    pub place: String,
    /// What it held; `None`: there was no row.
    pub before: Option<Quantity>,
    /// What it should hold.
    pub after: Quantity,
    /// After less before.
    pub difference: Quantity,
    /// What was wrong.
    pub reason: &'static str,
}

/// Writes lines of the drift log.
pub async fn log(
    connection: &mut PgConnection,
    mended: &[Mended],
    mark: Mark,
) -> Result<(), StoreError> {
    if mended.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = mended.iter().map(|line| line.org).collect();
    let subjects: Vec<Uuid> = mended.iter().map(|line| line.subject).collect();
    let features: Vec<&str> = mended.iter().map(|line| line.feature.as_str()).collect();
    let starts: Vec<Instant> = mended.iter().map(|line| line.period_start).collect();
    let places: Vec<&str> = mended.iter().map(|line| line.place.as_str()).collect();
    let before: Vec<Option<Quantity>> = mended.iter().map(|line| line.before).collect();
    let after: Vec<Quantity> = mended.iter().map(|line| line.after).collect();
    let differences: Vec<Quantity> = mended.iter().map(|line| line.difference).collect();
    let reasons: Vec<&str> = mended.iter().map(|line| line.reason).collect();
    sqlx::query!(
        "insert into periodd_drift
             (org_id, subject, feature, period_start, place, before, after, difference, reason,
              run, found_at)
         select u.*, $10, $11
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[],
                     $6::numeric[], $7::numeric[], $8::numeric[], $9::text[]) as u",
        &orgs,
        &subjects,
        &features as &[&str],
        &starts,
        &places as &[&str],
        &before as &[Option<Quantity>],
        &after,
        &differences,
        &reasons as &[&str],
        mark.run,
        mark.now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A line of the drift log, as it is read again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Line {
    /// When it was found, in business time.
    pub found_at: Instant,
    /// The org, by its slug.
    pub org: String,
    /// The org's zone, for its times.
    #[serde(skip)]
    pub time_zone: String,
    /// The feature.
    pub feature: String,
    /// The period, by its start.
    pub period_start: Instant,
    /// Where.
    pub place: String,
    /// Whose row.
    pub subject: Option<Uuid>,
    /// What it held.
    pub before: Option<Quantity>,
    /// What it holds since.
    pub after: Quantity,
    /// After less before.
    pub difference: Quantity,
    /// What was wrong.
    pub reason: String,
    /// The run that repaired it.
    pub run: Option<i64>,
}

/// Which lines are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub org: Option<Uuid>,
    pub feature: Option<String>,
    /// Found at this instant or later.
    pub since: Option<Instant>,
}

/// The drift that was found, newest first.
pub async fn list(
    database: &Database,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Line>, StoreError> {
    let lines = sqlx::query_as!(
        Line,
        "select d.found_at, o.slug as org, o.time_zone, d.feature, d.period_start, d.place,
                d.subject, d.before, d.after, d.difference, d.reason, d.run
         from periodd_drift d join organizations o on o.id = d.org_id
         where ($1::uuid is null or d.org_id = $1) and ($2::text is null or d.feature = $2)
           and ($3::timestamptz is null or d.found_at >= $3)
         order by d.found_at desc, d.recorded_at desc, d.id limit $4",
        filter.org,
        filter.feature,
        filter.since,
        limit
    );
    Ok(lines.fetch_all(&mut *database.connection().await?).await?)
}

/// Deletes one batch of lines that were found before an instant, of everybody or of some orgs.
/// Returns how many.
pub async fn remove_before(
    connection: &mut PgConnection,
    before: Instant,
    orgs: Option<&[Uuid]>,
    limit: i64,
) -> Result<u64, StoreError> {
    let gone = sqlx::query!(
        "delete from periodd_drift d
         using (select org_id, id from periodd_drift
                where found_at < $1 and ($3::uuid[] is null or org_id = any($3))
                order by found_at limit $2) old
         where d.org_id = old.org_id and d.id = old.id",
        before,
        limit,
        orgs
    );
    Ok(gone.execute(connection).await?.rows_affected())
}
