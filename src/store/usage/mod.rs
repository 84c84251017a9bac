//! Counting metrics into their counters, and taking counts back.
//!
//! Never: a metric that is counted twice; a rounded quantity.

pub mod asked;
pub mod batch;
pub mod counting;
pub mod kept;
pub mod level;
pub mod limits;
pub mod pending;
pub mod ranges;
pub mod usage_file;
pub mod watched;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::billing::rollover::Usage;
use crate::billing::{Instant, Quantity};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::rollover::snapshot::{OrgUsage, Window, WindowColumns};

/// What was counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// How much, per org, feature and window.
    pub usage: Vec<OrgUsage>,
    pub metrics: u64,
}

/// Counts the uncounted metrics in windows: stamps them and adds them to the counters of orgs
/// and users, in one statement.
///
/// Whoever reaches a metric first stamps it; nobody else counts it again. Nobody knows when a
/// metric came: where a limit has fallen since its counter saw it, all that is counted now was used
/// within the higher one.
pub async fn count(
    connection: &mut PgConnection,
    windows: &[Window],
    now: Instant,
) -> Result<Counted, StoreError> {
    let WindowColumns { orgs, starts, ends } = windows.into();
    let rows = sqlx::query!(
        r#"with stamped as (
               update usage_metrics m set counted_at = $4
               from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                        as w (org_id, period_start, period_end)
               where m.organization_id = w.org_id and m.counted_at is null
                 and m.created_at >= w.period_start and m.created_at < w.period_end
               returning m.organization_id as org_id, m.user_id,
                         periodd_folded(m.metric_type) as feature,
                         m.metric_value, w.period_start, w.period_end),
           features_seen as (
               insert into features (feature)
               select distinct feature from stamped
               on conflict (feature) do nothing),
           sums as (
               select org_id, feature, period_start, period_end, sum(metric_value) as used,
                      count(*) as metrics
               from stamped group by 1, 2, 3, 4),
           org_counters as (
               insert into usage_counters as c
                   (org_id, feature, period_start, period_end, used, updated_at, included_seen)
               select s.org_id, s.feature, s.period_start, s.period_end, s.used, $4,
                      (select i.included_seen
                       from periodd_seen(s.org_id, s.feature, s.period_start) i)
               from sums s order by s.org_id, s.period_start, s.feature
               on conflict (org_id, period_start, feature) do update
                   set used = c.used + excluded.used, sync_status = 'pending',
                       updated_at = excluded.updated_at,
                       included_at_least = periodd_at_least(
                           excluded.included_seen, c.used + excluded.used, c.included_at_least,
                           c.included_seen),
                       included_seen = coalesce(excluded.included_seen, c.included_seen)
               returning c.org_id),
           -- After the orgs' own, as everybody locks them; parts of a statement that do not ask for
           -- each other run in an order of the database's.
           user_counters as (
               insert into feature_usage as c
                   (organization_id, user_id, feature, period_start, period_end, usage_count,
                    updated_at)
               select org_id, user_id, feature, period_start, period_end, sum(metric_value), $4
               from stamped
               where user_id is not null and (select count(*) from org_counters) > 0
               group by 1, 2, 3, 4, 5 order by 1, 2, 4, 3
               on conflict (organization_id, user_id, period_start, feature) do update
                   set usage_count = c.usage_count + excluded.usage_count,
                       sync_status = 'pending', updated_at = excluded.updated_at)
           select org_id as "org_id!", feature as "feature!", period_start as "period_start!",
                  used as "used!", metrics as "metrics!"
           from sums"#,
        &orgs,
        &starts,
        &ends,
        now
    )
    .fetch_all(connection)
    .await?;
    let metrics = rows.iter().map(|row| row.metrics.unsigned_abs()).sum();
    let usage = rows.into_iter().map(|row| {
        let feature = row.feature.as_str().into();
        (row.org_id, Usage { feature, period_start: row.period_start, used: row.used })
    });
    Ok(Counted { usage: usage.collect(), metrics })
}

/// Takes back the counts of orgs from an instant on, each from its own: the boundaries by which
/// they were counted no longer hold. Counters that begin there or later go, the one that reaches
/// across ends there, and the metrics wait to be counted again.
///
/// The orgs and their counters have to be locked by an earlier statement, see
/// [`hold_counters`](crate::store::rollover::claim::hold_counters): the snapshot of this one would
/// be older than what it waits for, and the order in which its parts run is the database's.
pub async fn uncount(
    connection: &mut PgConnection,
    from: &[(Uuid, Instant)],
    now: Instant,
) -> Result<(), StoreError> {
    let (orgs, instants): (Vec<Uuid>, Vec<Instant>) = from.iter().copied().unzip();
    sqlx::query!(
        r#"with since as (
               select * from unnest($1::uuid[], $2::timestamptz[]) as s (org_id, at)),
           unstamped as (
               update usage_metrics m set counted_at = null
               from since s
               where m.organization_id = s.org_id and m.created_at >= s.at
                 and m.counted_at is not null
               returning m.organization_id as org_id, m.user_id,
                         periodd_folded(m.metric_type) as feature,
                         m.metric_value, m.created_at),
           gone as (
               delete from usage_counters c using since s
               where c.org_id = s.org_id and c.period_start >= s.at),
           shortened as (
               update usage_counters c
               set period_end = s.at, sync_status = 'pending', updated_at = $3,
                   used = c.used - coalesce((
                       select sum(u.metric_value) from unstamped u
                       where u.org_id = c.org_id and u.feature = c.feature
                         and u.created_at < c.period_end), 0)
               from since s
               where c.org_id = s.org_id and c.period_start < s.at and c.period_end > s.at
               returning c.org_id),
           user_gone as (
               delete from feature_usage c using since s
               where c.organization_id = s.org_id and c.period_start >= s.at)
           update feature_usage c
           set period_end = s.at, sync_status = 'pending', updated_at = $3,
               usage_count = c.usage_count - coalesce((
                   select sum(u.metric_value) from unstamped u
                   where u.org_id = c.organization_id and u.user_id = c.user_id
                     and u.feature = c.feature and u.created_at < c.period_end), 0)
           from since s
           where c.organization_id = s.org_id and c.period_start < s.at and c.period_end > s.at"#,
        &orgs,
        &instants,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Usage to be recorded.
#[derive(Debug, Clone)]
pub struct NewUsage {
    pub org: Uuid,
    pub feature: String,
    /// How much; negative for a correction.
    pub quantity: Quantity,
    pub user: Option<Uuid>,
    pub used_at: Instant,
    /// A repeated key counts once.
    pub key: Option<String>,
}

/// Usage as it stands recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub metric: Uuid,
    pub feature: String,
    pub quantity: Quantity,
    pub user: Option<Uuid>,
    pub used_at: Instant,
    pub recorded_at: Instant,
    /// An earlier call with the same key recorded it.
    pub is_repeat: bool,
}

/// Records usage unconditionally. A repeated key records nothing, and returns what it recorded.
///
/// # Errors
/// [`StoreError::Invalid`] for an org, user or feature that does not exist, and for a key that was
/// used for something else.
pub async fn record(database: &Database, usage: &NewUsage) -> Result<Recorded, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    let metric = sqlx::query_scalar!(
        r#"select record_usage($1, $2, $3, $4, $5, $6) as "id!""#,
        usage.org,
        usage.feature,
        usage.quantity,
        usage.user,
        usage.used_at,
        usage.key
    );
    let metric = metric.fetch_one(&mut *transaction).await.map_err(StoreError::of_call)?;
    // What this transaction recorded bears its time.
    let recorded = sqlx::query_as!(
        Recorded,
        r#"select id as "metric!", periodd_folded(metric_type) as "feature!",
                  metric_value as "quantity!", user_id as "user", created_at as "used_at!",
                  recorded_at as "recorded_at!", recorded_at <> now() as "is_repeat!"
           from usage_metrics where organization_id = $1 and id = $2
           union all
           select metric_id, feature, quantity, user_id, used_at, recorded_at, true
           from periodd_usage_keys
           where org_id = $1 and idempotency_key = $3 and metric_id = $2"#,
        usage.org,
        metric,
        usage.key
    );
    let recorded = recorded.fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(recorded)
}

/// Columns of usage for `unnest`.
struct UsageColumns<'a> {
    orgs: Vec<Uuid>,
    features: Vec<&'a str>,
    quantities: Vec<Quantity>,
    users: Vec<Option<Uuid>>,
    used_at: Vec<Instant>,
    keys: Vec<Option<&'a str>>,
}

impl<'a> From<&'a [NewUsage]> for UsageColumns<'a> {
    fn from(usage: &'a [NewUsage]) -> Self {
        Self {
            orgs: usage.iter().map(|one| one.org).collect(),
            features: usage.iter().map(|one| one.feature.as_str()).collect(),
            quantities: usage.iter().map(|one| one.quantity).collect(),
            users: usage.iter().map(|one| one.user).collect(),
            used_at: usage.iter().map(|one| one.used_at).collect(),
            keys: usage.iter().map(|one| one.key.as_deref()).collect(),
        }
    }
}

/// Inserts metrics and nothing else: they stay uncounted until someone counts them. Returns how
/// many were new, for a repeated key is inserted once.
///
/// # Errors
/// As every write; [`StoreError::Unprocessable`] for an org that does not exist.
pub async fn insert_metrics(database: &Database, usage: &[NewUsage]) -> Result<u64, StoreError> {
    let columns = UsageColumns::from(usage);
    let inserted = sqlx::query!(
        "insert into usage_metrics (organization_id, metric_type, metric_value, user_id,
                                    created_at, idempotency_key)
         select * from unnest($1::uuid[], $2::text[], $3::numeric[], $4::uuid[],
                              $5::timestamptz[], $6::text[])
                    as u (org_id, feature, quantity, user_id, used_at, key)
         where not exists (select from periodd_usage_keys k
                           where k.org_id = u.org_id and k.idempotency_key = u.key)
         on conflict (organization_id, idempotency_key) do nothing",
        &columns.orgs,
        &columns.features as &[&str],
        &columns.quantities,
        &columns.users as &[Option<Uuid>],
        &columns.used_at,
        &columns.keys as &[Option<&str>]
    );
    let inserted = inserted.execute(&mut *database.connection().await?).await?;
    Ok(inserted.rows_affected())
}
