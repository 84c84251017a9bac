//! Deleting metrics that have been kept long enough, and the counters of their periods.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::quota::level::CARRIED_KEY;
use crate::store::db::error::StoreError;

/// How far an org's metrics and counters may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub org: Uuid,
    /// Start of its first period: what was used before belongs to no period, and stays.
    pub from: Instant,
    /// End of the last closed period that has been kept long enough.
    pub until: Instant,
}

/// Where the metrics and counters of some orgs may be cut: at the end of the last period that ended
/// before `ended_before` and closed before `closed_before`. Only orgs that still have any there.
///
/// The first period that stays is looked for from the last cut on, however many lie before it.
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
           left join periodd_removed r on r.org_id = o.id
           cross join lateral (select min(b.period_start) as first from billing_periods b
                               where b.org_id = o.id) f
           cross join lateral (
               select coalesce(
                   (select b.period_start from billing_periods b
                    where b.org_id = o.id
                      and b.period_start >= case when r.before <= $2 then r.before
                                                 else f.first end
                      and (b.period_end > $2 or b.closed_at >= $3)
                    order by b.period_start limit 1),
                   (select b.period_end from billing_periods b where b.org_id = o.id
                    order by b.period_start desc limit 1)) as last offset 0) c
           where f.first < c.last
             and (exists (select from usage_metrics m
                          where m.organization_id = o.id and m.created_at >= f.first
                            and m.created_at < c.last and m.counted_at is not null)
                  or exists (select from usage_counters k
                             where k.org_id = o.id and k.period_start >= f.first
                               and k.period_start < c.last))"#,
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
               from gone
               -- Nobody repeats the keys of levels that were carried over.
               where idempotency_key is not null and not starts_with(idempotency_key, $5)
               on conflict (org_id, idempotency_key) do nothing)
           select count(*) as "gone!" from gone"#,
        cut.org,
        cut.from,
        cut.until,
        limit,
        CARRIED_KEY
    );
    Ok(gone.fetch_one(connection).await?.unsigned_abs())
}

/// Deletes one batch of the counters of an org's users. Returns how many.
pub async fn remove_user_counters(
    connection: &mut PgConnection,
    cut: Cut,
    limit: i64,
) -> Result<u64, StoreError> {
    let gone = sqlx::query!(
        "delete from feature_usage f
         using (select o.user_id, o.period_start, o.feature from feature_usage o
                where o.organization_id = $1 and o.period_start >= $2 and o.period_start < $3
                limit $4) old
         where f.organization_id = $1 and f.user_id = old.user_id
           and f.period_start = old.period_start and f.feature = old.feature",
        cut.org,
        cut.from,
        cut.until,
        limit
    );
    Ok(gone.execute(connection).await?.rows_affected())
}

/// Deletes the counters of an org's first periods, about `limit` of them and each period whole, and
/// notes up to where: a counter that appears there again holds only what came afterwards. Ends with
/// the first counter that waits to be settled, which holds everything. Returns how many went.
pub async fn remove_counters(
    connection: &mut PgConnection,
    cut: Cut,
    limit: i64,
) -> Result<u64, StoreError> {
    // Whoever books late usage holds the org, and has read up to where its counters went.
    sqlx::query!("select from organizations where id = $1 for no key update", cut.org)
        .execute(&mut *connection)
        .await?;
    let bound = sqlx::query_scalar!(
        "select c.period_end from usage_counters c
         where c.org_id = $1 and c.period_start >= $2 and c.period_start < $3
         order by c.period_start, c.feature offset $4 limit 1",
        cut.org,
        cut.from,
        cut.until,
        limit
    );
    let until = bound.fetch_optional(&mut *connection).await?.unwrap_or(cut.until).min(cut.until);
    let counters = sqlx::query!(
        r#"select c.period_start, c.sync_status = 'pending' as "is_pending!"
           from usage_counters c
           where c.org_id = $1 and c.period_start >= $2 and c.period_start < $3
           order by c.period_start, c.feature for no key update"#,
        cut.org,
        cut.from,
        until
    );
    let counters = counters.fetch_all(&mut *connection).await?;
    let pending = counters.iter().find(|counter| counter.is_pending);
    let until = pending.map_or(until, |counter| counter.period_start);
    sqlx::query!(
        "update periodd_removed set counters_before = $2
         where org_id = $1 and (counters_before < $2) is not false",
        cut.org,
        until
    )
    .execute(&mut *connection)
    .await?;
    // A use may have made one since: nothing holds up what is inserted.
    let gone = sqlx::query!(
        "delete from usage_counters c
         where c.org_id = $1 and c.period_start >= $2 and c.period_start < $3
           and c.sync_status <> 'pending'",
        cut.org,
        cut.from,
        until
    );
    Ok(gone.execute(connection).await?.rows_affected())
}
