//! Adjustments of closed periods: what late usage is decided by, and writing what was decided.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::late::{Adjustment, Closed};
use crate::billing::quota::Feature;
use crate::billing::quota::level::CARRIED_KEY;
use crate::billing::{Instant, Period, Quantity};
use crate::store::db::error::StoreError;
use crate::store::events;
use crate::store::orgs::packs;
use crate::store::usage::pending::{self, Pending};

/// One feature of a closed period whose counter has moved.
#[derive(Debug, Clone)]
pub struct LateCounter {
    pub org: Uuid,
    pub slug: String,
    pub feature: Feature,
    /// The books, and what has been counted in all.
    pub closed: Closed,
    /// The counter as it was read with them.
    pub counter: Quantity,
    /// Retention has removed what the counter held at the close: it holds what came since then, and
    /// goes with what is decided about that.
    pub is_remainder: bool,
    /// The period's metrics are all still there.
    pub has_its_metrics: bool,
}

/// Reads the books of closed periods beside their counters, in one snapshot.
///
/// A feature that was not used by the close has no line in the books; what the period's tier
/// includes now is taken for it.
pub async fn closed(
    connection: &mut PgConnection,
    counters: &[&Pending],
) -> Result<Vec<LateCounter>, StoreError> {
    let orgs: Vec<Uuid> = counters.iter().map(|counter| counter.org).collect();
    let features: Vec<&str> = counters.iter().map(|counter| counter.feature.as_str()).collect();
    let starts: Vec<Instant> = counters.iter().map(|counter| counter.period_start).collect();
    let rows = sqlx::query!(
        r#"select p.org_id as "org!", o.slug, p.feature as "feature!", b.period_start,
                  b.period_end, b.closed_at, c.used as counter,
                  coalesce(u.used, 0) as "used!", coalesce(u.drawn, 0) as "drawn!",
                  coalesce(u.uncovered, 0) as "uncovered!",
                  case when u.feature is not null then u.included
                       when b.is_paused and f.kind is distinct from 'level' then 0
                       else i.included end as included,
                  b.is_paused, coalesce(f.kind = 'level', false) as "is_level!",
                  a.late as "late!", a.set_aside as "set_aside!", a.drawn as "late_drawn!",
                  a.uncovered as "late_uncovered!", a.adjustments as "adjustments!",
                  (r.before is null or b.period_start >= r.before) as "has_its_metrics!",
                  coalesce(b.period_start < r.counters_before, false) as "is_remainder!"
           from unnest($1::uuid[], $2::text[], $3::timestamptz[])
                    as p (org_id, feature, period_start)
           join organizations o on o.id = p.org_id
           join usage_counters c on c.org_id = p.org_id and c.feature = p.feature
                and c.period_start = p.period_start
           join billing_periods b on b.org_id = p.org_id and b.period_start = p.period_start
           left join lateral unnest(b.features, b.used_each, b.included_each, b.drawn_each,
                                    b.uncovered_each)
                as u (feature, used, included, drawn, uncovered) on u.feature = p.feature
           cross join lateral periodd_included(p.org_id, p.feature, b.tier) i
           left join features f on f.feature = p.feature
           left join periodd_removed r on r.org_id = p.org_id
           cross join lateral (
               select coalesce(sum(x.used) filter (where x.kind = 'late'), 0) as late,
                      coalesce(sum(x.used) filter (where x.kind = 'set_aside'), 0) as set_aside,
                      coalesce(sum(x.drawn), 0) as drawn,
                      coalesce(sum(x.uncovered), 0) as uncovered,
                      coalesce(max(x.seq), 0) as adjustments
               from billing_adjustments x
               where x.org_id = p.org_id and x.period_start = p.period_start
                 and x.feature = p.feature) a
           order by p.org_id, p.period_start, p.feature"#,
        &orgs,
        &features as &[&str],
        &starts
    );
    let rows = rows.fetch_all(connection).await?;
    let late = rows.into_iter().map(|row| {
        let sum = |a: Quantity, b: Quantity| {
            a.plus(b).map_err(|overflow| StoreError::Unprocessable(overflow.to_string()))
        };
        let charged = sum(row.used, row.late)?;
        let counted = if row.is_remainder {
            sum(sum(charged, row.set_aside)?, row.counter)?
        } else {
            row.counter
        };
        Ok(LateCounter {
            org: row.org,
            slug: row.slug,
            counter: row.counter,
            is_remainder: row.is_remainder,
            feature: row.feature.as_str().into(),
            closed: Closed {
                period: Period { start: row.period_start, end: row.period_end },
                closed_at: row.closed_at,
                included: row.included.into(),
                is_level: row.is_level,
                is_paused: row.is_paused,
                charged,
                set_aside: row.set_aside,
                drawn: sum(row.drawn, row.late_drawn)?,
                uncovered: sum(row.uncovered, row.late_uncovered)?,
                adjustments: row.adjustments,
                counted,
            },
            has_its_metrics: row.has_its_metrics,
        })
    });
    late.collect()
}

/// Locks the row of an org whose packs are about to move, so that no rollover plans with them
/// meanwhile: one planned before is planned again. Packs that an application inserted by itself are
/// entered in the ledger: what comes late is charged once, and has to find them.
pub async fn begin(connection: &mut PgConnection, org: Uuid) -> Result<(), StoreError> {
    packs::enter_in_ledger(connection, &[org]).await?;
    sqlx::query!("update organizations set revision = revision + 1 where id = $1", org)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes one adjustment with everything that belongs to it.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody else adjusted the same feature, or a pack does not hold
/// any more what was read: the transaction has to be dropped then.
pub async fn write(
    connection: &mut PgConnection,
    late: &LateCounter,
    adjustment: &Adjustment,
    now: Instant,
) -> Result<(), StoreError> {
    let start = late.closed.period.start;
    sqlx::query!(
        "insert into billing_adjustments
             (org_id, feature, period_start, seq, kind, used, drawn, uncovered, reason, decided_at,
              uncovered_price_cents, currency, keeps_price)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, k.uncovered_price_cents, k.currency, true
         from (select) one left join periodd_closed_price($1, $3, $2) k on true",
        late.org,
        &*late.feature,
        start,
        adjustment.seq,
        adjustment.kind.name(),
        adjustment.used,
        adjustment.drawn,
        adjustment.uncovered,
        adjustment.reason,
        now
    )
    .execute(&mut *connection)
    .await?;
    if late.is_remainder {
        // It is in the books now, and must not be found again.
        let gone = sqlx::query!(
            "delete from usage_counters c
             where c.org_id = $1 and c.period_start = $2 and c.feature = $3 and c.used = $4",
            late.org,
            start,
            &*late.feature,
            late.counter
        );
        if gone.execute(&mut *connection).await?.rows_affected() != 1 {
            return Err(StoreError::Conflict("usage was counted meanwhile".to_owned()));
        }
    }
    if !adjustment.entries.is_empty() {
        packs::lock_intent(connection, late.org, &late.feature).await?;
    }
    for &(pack, before) in &adjustment.packs_before {
        let last = adjustment.entries.iter().rfind(|entry| entry.pack == pack);
        let Some(last) = last else { continue };
        let moved = sqlx::query!(
            "update overage_packs p set remaining = $3, entries = $4
             where p.org_id = $1 and p.id = $2 and p.remaining = $5",
            late.org,
            pack,
            last.remaining,
            last.seq,
            before
        );
        if moved.execute(&mut *connection).await?.rows_affected() != 1 {
            return Err(StoreError::Conflict("a pack changed meanwhile".to_owned()));
        }
    }
    for entry in &adjustment.entries {
        sqlx::query!(
            "insert into overage_entries
                 (org_id, pack_id, seq, kind, quantity, at, period_start, remaining)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            late.org,
            entry.pack,
            entry.seq,
            entry.kind.name(),
            entry.quantity,
            entry.at,
            entry.period_start,
            entry.remaining
        )
        .execute(&mut *connection)
        .await?;
    }
    if !adjustment.entries.is_empty() {
        let keys = adjustment.entries.iter().map(|entry| (entry.pack, entry.seq));
        let (entered, seqs): (Vec<Uuid>, Vec<i32>) = keys.unzip();
        let orgs = vec![late.org; entered.len()];
        events::enter_entries(connection, &orgs, &entered, &seqs).await?;
        pending::mark(connection, &[(late.org, &*late.feature)], now).await?;
    }
    if adjustment.in_open_period {
        // Once, because the adjustment above is written once: without a key, for any key could be
        // somebody else's already. What a level carries over is known by the start of its key.
        sqlx::query!(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                        idempotency_key)
             values ($1, $2, $3, $4, $5 || gen_random_uuid()::text)",
            late.org,
            &*late.feature,
            adjustment.used,
            now,
            late.closed.is_level.then_some(CARRIED_KEY)
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
