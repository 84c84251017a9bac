//! Limits that have fallen: what had been used within them stays included in their period.
//!
//! Whoever counts something sees what is granted and remembers it in the counter:
//! `periodd_at_least` says how. Where a limit moves, that is seen here at once, before anything
//! else is counted.

use sqlx::PgConnection;
use uuid::Uuid;

use super::counting;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::usage;

/// What counters keep that are about to go, because everything in them is counted again.
#[derive(Debug, Default)]
pub struct KeptLimits {
    orgs: Vec<Uuid>,
    starts: Vec<Instant>,
    features: Vec<String>,
    at_least: Vec<Quantity>,
    seen: Vec<Option<Quantity>>,
}

/// What the counters of orgs keep that begin at an instant or later, each org from its own.
pub async fn from(
    connection: &mut PgConnection,
    from: &[(Uuid, Instant)],
) -> Result<KeptLimits, StoreError> {
    let (orgs, instants): (Vec<Uuid>, Vec<Instant>) = from.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"select c.org_id, c.period_start, c.feature, c.included_at_least, c.included_seen
           from unnest($1::uuid[], $2::timestamptz[]) as s (org_id, at)
           cross join lateral (
               select x.* from usage_counters x
               where x.org_id = s.org_id and x.period_start >= s.at
               offset 0) c
           where c.included_seen is not null or c.included_at_least > 0"#,
        &orgs,
        &instants
    );
    let mut kept = KeptLimits::default();
    for row in rows.fetch_all(connection).await? {
        kept.orgs.push(row.org_id);
        kept.starts.push(row.period_start);
        kept.features.push(row.feature);
        kept.at_least.push(row.included_at_least);
        kept.seen.push(row.included_seen);
    }
    Ok(kept)
}

/// Gives it back to the counters of periods that begin where theirs began.
pub async fn give_back(connection: &mut PgConnection, kept: &KeptLimits) -> Result<(), StoreError> {
    if kept.orgs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update usage_counters c
         set included_at_least = periodd_at_least(c.included_seen, c.used, u.at_least, u.seen),
             included_seen = coalesce(c.included_seen, u.seen)
         from (select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::numeric[],
                                    $5::numeric[])
                                 as u (org_id, period_start, feature, at_least, seen)
               order by org_id, period_start, feature) u
         where c.org_id = u.org_id and c.period_start = u.period_start
           and c.feature = u.feature",
        &kept.orgs,
        &kept.starts,
        &kept.features,
        &kept.at_least,
        &kept.seen as &[Option<Quantity>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How often counters are read that somebody else had moved before they were written.
const READS: usize = 3;

/// Has the counters of orgs remember what is granted now, and keep what was used within more. Usage
/// that is not counted yet may come from before: a counter that waits for some is left to whoever
/// counts it. The orgs' rows come first, as everybody locks them.
pub async fn see_limits(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<(), StoreError> {
    for _ in 0..READS {
        let missed = sqlx::query_scalar!(
            r#"with n as materialized (
                   select c.org_id, c.period_start, c.feature, c.used, c.included_seen as before,
                          s.included_seen as after
                   from unnest($1::uuid[]) as a (org_id)
                   join organizations o on o.id = a.org_id
                   cross join lateral (
                       select x.* from usage_counters x
                       where x.org_id = o.id
                         and x.period_start in (o.current_period_start, o.restarted_at)
                       offset 0) c
                   cross join lateral periodd_seen(c.org_id, c.feature, c.period_start) s
                   where c.included_seen is distinct from s.included_seen
                     and not exists (
                         select from usage_metrics m
                         where m.organization_id = c.org_id and m.counted_at is null
                           and m.created_at >= c.period_start and m.created_at < c.period_end)
                   order by c.org_id, c.period_start, c.feature),
               moved as (
                   update usage_counters c
                   set included_at_least = periodd_at_least(n.after, c.used, c.included_at_least,
                                                            c.included_seen),
                       included_seen = n.after
                   from n
                   where c.org_id = n.org_id and c.period_start = n.period_start
                     and c.feature = n.feature and c.used = n.used
                     and c.included_seen is not distinct from n.before
                   returning c.org_id)
               select (select count(*) from n) - (select count(*) from moved) as "missed!""#,
            orgs
        );
        if missed.fetch_one(&mut *connection).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// The same for one org whose limit is about to move, or has just moved, within a transaction that
/// holds its row: what waits to be counted is counted first, for it was used before.
pub async fn count_and_see(
    connection: &mut PgConnection,
    org: Uuid,
    real: Instant,
) -> Result<(), StoreError> {
    let waiting = counting::waiting_in(connection, &[org], true).await?;
    let windows = counting::windows(connection, &waiting).await?;
    if !windows.is_empty() {
        usage::count(connection, &windows, real).await?;
    }
    see_limits(connection, &[org]).await
}
