//! Deleting metrics that have been kept long enough.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// How far an org's metrics may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub org: Uuid,
    /// Start of its first period: what was used before belongs to no period, and stays.
    pub from: Instant,
    /// End of the last closed period that has been kept long enough.
    pub until: Instant,
}

/// Where the metrics of some orgs may be cut: at the end of the last period that ended before
/// `ended_before` and closed before `closed_before`. Only orgs that still have any there.
pub async fn cuts(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    ended_before: Instant,
    closed_before: Instant,
) -> Result<Vec<Cut>, StoreError> {
    let cuts = sqlx::query_as!(
        Cut,
        r#"select o.id as "org!", f.first as "from!", c.last as "until!"
           from unnest($1::uuid[]) as o (id)
           cross join lateral (select min(b.period_start) as first from billing_periods b
                               where b.org_id = o.id) f
           cross join lateral (
               select max(b.period_end) as last from billing_periods b
               where b.org_id = o.id and b.period_end <= $2
                 and not exists (select from billing_periods x
                                 where x.org_id = o.id and x.period_start <= b.period_start
                                   and x.closed_at >= $3)) c
           where c.last is not null
             and exists (select from usage_metrics m
                         where m.organization_id = o.id and m.created_at >= f.first
                           and m.created_at < c.last and m.counted_at is not null)"#,
        orgs,
        ended_before,
        closed_before
    );
    Ok(cuts.fetch_all(connection).await?)
}

/// Notes up to where metrics may be gone; before the first of them goes.
pub async fn note(connection: &mut PgConnection, cuts: &[Cut]) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = cuts.iter().map(|cut| cut.org).collect();
    let until: Vec<Instant> = cuts.iter().map(|cut| cut.until).collect();
    sqlx::query!(
        "insert into periodd_removed as r (org_id, before)
         select * from unnest($1::uuid[], $2::timestamptz[])
         on conflict (org_id) do update set before = excluded.before
             where r.before < excluded.before",
        &orgs,
        &until
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes one batch of an org's metrics, and keeps their keys: a key outlives its metric. Returns
/// how many.
pub async fn remove(
    connection: &mut PgConnection,
    cut: Cut,
    limit: i64,
) -> Result<u64, StoreError> {
    let gone = sqlx::query_scalar!(
        r#"with gone as (
               delete from usage_metrics m
               using (select o.id from usage_metrics o
                      where o.organization_id = $1 and o.created_at >= $2 and o.created_at < $3
                        and o.counted_at is not null
                      limit $4) old
               where m.organization_id = $1 and m.id = old.id
               returning m.*),
           kept as (
               insert into periodd_usage_keys (org_id, idempotency_key, metric_id, user_id,
                                               feature, quantity, used_at, recorded_at)
               select organization_id, idempotency_key, id, user_id, periodd_folded(metric_type),
                      metric_value, created_at, recorded_at
               from gone where idempotency_key is not null
               on conflict (org_id, idempotency_key) do nothing)
           select count(*) as "gone!" from gone"#,
        cut.org,
        cut.from,
        cut.until,
        limit
    );
    Ok(gone.fetch_one(connection).await?.unsigned_abs())
}
