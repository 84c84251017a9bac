//! Facts for whoever watches: asked every few seconds, so each question is bounded and goes
//! through an index.

use sqlx::PgConnection;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::reports::status::MANY;
use crate::store::runs::Outcome;

/// Orgs of one zone whose periods have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// As the orgs name it.
    pub time_zone: String,
    /// How many.
    pub orgs: i64,
    /// The first of these ends.
    pub oldest: Instant,
}

/// Orgs whose periods have ended at `now`, by zone: of the [`MANY`] that have waited longest.
pub async fn backlog(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Vec<Backlog>, StoreError> {
    let rows = sqlx::query_as!(
        Backlog,
        r#"with due as materialized (
               select time_zone, current_period_end as at from organizations
               where parked_at is null and current_period_end <= $1
                 and current_period_end >= '0001-01-01 00:00:00+00'
               order by current_period_end, id limit $2)
           select time_zone, min(at) as "oldest!", count(*) as "orgs!" from due
           group by time_zone order by time_zone"#,
        now,
        MANY
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A row of the ledger that is finished.
#[derive(Debug, Clone)]
pub struct Ended {
    pub id: i64,
    pub job: String,
    pub outcome: Outcome,
    /// How many occurrences it stands for.
    pub occurrences: i64,
    pub started_at: Option<Instant>,
    pub finished_at: Instant,
    /// What it did, as JSON.
    pub counts: Option<String>,
}

/// Rows that were finished at `since` or later, in real time; the oldest first, `limit` at most.
pub async fn ended(
    connection: &mut PgConnection,
    since: Instant,
    limit: i64,
) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query_as!(
        Ended,
        r#"select id, job, outcome as "outcome: Outcome", occurrences, started_at,
                  finished_at as "finished_at!", counts::text
           from periodd_runs where finished_at >= $1 and outcome <> 'running'
           order by finished_at, id limit $2"#,
        since,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// What the server itself knows of two tables, without a look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Orgs, when they were last analysed; `None`: never.
    pub orgs: Option<i64>,
    /// Metrics that were inserted since the server's statistics began.
    pub metrics_inserted: Option<i64>,
}

/// Reads what the server knows.
pub async fn sizes(connection: &mut PgConnection) -> Result<Sizes, StoreError> {
    let sizes = sqlx::query_as!(
        Sizes,
        r#"select (select reltuples::bigint from pg_class
                   where oid = 'organizations'::regclass and reltuples >= 0) as orgs,
                  (select n_tup_ins from pg_stat_user_tables
                   where relid = 'usage_metrics'::regclass) as metrics_inserted"#
    );
    Ok(sizes.fetch_one(connection).await?)
}
