//! A transaction per customer.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::support::Server;

/// Workers, each with a connection.
pub(crate) const CONNECTIONS: usize = 8;

/// What a cron script with a worker per customer does: lock, read, decide, write, commit.
pub(crate) async fn roll(server: &Server, database: &str, orgs: u64) -> Duration {
    let mut connection = server.connect(database).await;
    let query = format!("select id from organizations order by id limit {orgs}");
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.expect("orgs");
    let mut workers = tokio::task::JoinSet::new();
    let started = Instant::now();
    for share in ids.chunks(ids.len().div_ceil(CONNECTIONS)) {
        let mut connection = server.connect(database).await;
        let share = share.to_vec();
        workers.spawn(async move {
            for id in share {
                customer(&mut connection, id).await.expect("a rollover of one org");
            }
        });
    }
    workers.join_all().await;
    started.elapsed()
}

async fn customer(connection: &mut PgConnection, id: uuid::Uuid) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query("select from organizations where id = $1 for update")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    let usage = sqlx::query(
        "select greatest(0, c.used - t.included) as overage
         from organizations o
         join tier_limits t on t.tier = o.subscription_tier and t.feature = 'minutes_transcribed'
         join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
         where o.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    let overage: Option<rust_decimal::Decimal> = usage.map(|usage| usage.get("overage"));
    sqlx::query(
        "insert into billing_periods (org_id, period_start, period_end, time_zone, tzdb_version,
                                      tier, closed_at, features, used_each, included_each,
                                      drawn_each, uncovered_each)
         select o.id, o.current_period_start, o.current_period_end, o.time_zone, '2099z',
                o.subscription_tier, now(), u.features, u.used, u.included,
                array_fill($2::numeric, u.length), array_fill(0::numeric, u.length)
         from organizations o
         cross join lateral (
             select coalesce(array_agg(c.feature), '{}') as features,
                    coalesce(array_agg(c.used), '{}') as used,
                    coalesce(array_agg(t.included), '{}') as included,
                    array[count(*)::int] as length
             from usage_counters c
             join tier_limits t on t.tier = o.subscription_tier and t.feature = c.feature
             where c.org_id = o.id and c.period_start = o.current_period_start) u
         where o.id = $1",
    )
    .bind(id)
    .bind(overage.unwrap_or_default())
    .execute(&mut *tx)
    .await?;
    if let Some(overage) = overage.filter(|overage| !overage.is_zero()) {
        sqlx::query(
            "with p as (
                 update overage_packs set remaining = remaining - $2, entries = entries + 1
                 where org_id = $1 returning *)
             insert into overage_entries (org_id, pack_id, seq, kind, quantity, at,
                                          period_start, remaining)
             select p.org_id, p.id, p.entries, 'drawn', $2, o.current_period_end,
                    o.current_period_start, p.remaining
             from p join organizations o on o.id = p.org_id",
        )
        .bind(id)
        .bind(overage)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "update organizations o
         set current_period_start = z.ended, current_period_end = z.next[1],
             current_period_end_date = '2026-07-01', next_period_ends = z.next[2:4],
             used_minutes = 0
         from bench_zones z where o.id = $1 and z.name = o.time_zone",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
