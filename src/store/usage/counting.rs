//! What is still to be counted, and in which periods: found through the index of uncounted
//! metrics, which is small whatever the size of the table.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Period};
use crate::store::db::error::StoreError;
use crate::store::rollover::snapshot::Window;

/// An org with metrics that wait to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    pub org: Uuid,
    /// When the first of them was used.
    pub first: Instant,
    /// When the last of them was used; `None` when there may be later ones.
    pub last: Option<Instant>,
}

/// A page of orgs with waiting metrics.
#[derive(Debug)]
pub struct WaitingPage {
    /// Those that are not parked.
    pub orgs: Vec<Waiting>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Uuid>,
}

/// The next page of orgs with metrics that wait, after `after` in the order of ids: so many that
/// about `metrics` are waiting in all, an org always whole.
pub async fn waiting(
    connection: &mut PgConnection,
    after: Uuid,
    metrics: i64,
) -> Result<WaitingPage, StoreError> {
    let rows = sqlx::query!(
        r#"with waiting as materialized (
               select m.organization_id as org_id, m.created_at
               from usage_metrics m
               where m.counted_at is null and m.organization_id > $1
               order by m.organization_id limit $2)
           select w.org_id as "org!", w.first as "first!", w.last as "last!",
                  w.metrics as "metrics!", o.parked_at is not null as "is_parked!"
           from (select org_id, count(*) as metrics,
                        -- Instants that no program reads lie outside of all periods as well.
                        least(greatest(min(created_at), '0001-01-01 00:00:00+00'),
                              '9999-12-30 00:00:00+00') as first,
                        least(greatest(max(created_at), '0001-01-01 00:00:00+00'),
                              '9999-12-30 00:00:00+00') as last
                 from waiting group by 1) w
           join organizations o on o.id = w.org_id
           -- Said again: a merge of the two would begin with the first org of all.
           where o.id > $1
           order by w.org_id"#,
        after,
        metrics
    );
    let rows = rows.fetch_all(connection).await?;
    // The last org of a full page may have more than was looked at.
    let is_full = rows.iter().map(|row| row.metrics).sum::<i64>() >= metrics;
    let next = rows.last().filter(|_| is_full).map(|row| row.org);
    let orgs = rows.iter().filter(|row| !row.is_parked).map(|row| Waiting {
        org: row.org,
        first: row.first,
        last: (next != Some(row.org)).then_some(row.last),
    });
    Ok(WaitingPage { orgs: orgs.collect(), next })
}

/// What waits in some orgs; in parked ones only if they are to be served, too.
pub async fn waiting_in(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    parked_too: bool,
) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query!(
        r#"select m.organization_id as "org!",
                  least(greatest(min(m.created_at), '0001-01-01 00:00:00+00'),
                        '9999-12-30 00:00:00+00') as "first!",
                  least(greatest(max(m.created_at), '0001-01-01 00:00:00+00'),
                        '9999-12-30 00:00:00+00') as "last!"
           from usage_metrics m join organizations o on o.id = m.organization_id
           where m.organization_id = any($1) and m.counted_at is null
             and (o.parked_at is null or $2)
           group by 1 order by 1"#,
        orgs,
        parked_too
    );
    let rows = rows.fetch_all(connection).await?;
    let waiting =
        rows.iter().map(|row| Waiting { org: row.org, first: row.first, last: Some(row.last) });
    Ok(waiting.collect())
}

/// The stored periods of orgs, closed, open and to come, that their waiting metrics fall into.
pub async fn windows(
    connection: &mut PgConnection,
    waiting: &[Waiting],
) -> Result<Vec<Window>, StoreError> {
    let orgs: Vec<Uuid> = waiting.iter().map(|waiting| waiting.org).collect();
    let firsts: Vec<Instant> = waiting.iter().map(|waiting| waiting.first).collect();
    let lasts: Vec<Option<Instant>> = waiting.iter().map(|waiting| waiting.last).collect();
    let rows = sqlx::query!(
        r#"with waiting as (
               select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                   as w (org_id, first, last))
           select b.org_id as "org!", b.period_start as "start!", b.period_end as "end!"
           from waiting w join billing_periods b on b.org_id = w.org_id
                -- From the period on that contains the first of them: they touch.
                and b.period_start >= coalesce((select max(x.period_start) from billing_periods x
                                                where x.org_id = w.org_id
                                                  and x.period_start <= w.first), w.first)
                and b.period_end > w.first and (w.last is null or b.period_start <= w.last)
           union all
           select o.id, e.bounds[i], e.bounds[i + 1]
           from waiting w
           join organizations o on o.id = w.org_id,
                lateral (select array[o.current_period_start, o.current_period_end]
                                || o.next_period_ends as bounds) e,
                generate_series(1, cardinality(e.bounds) - 1) as i
           where o.current_period_start < o.current_period_end
             and e.bounds[i + 1] > w.first and (w.last is null or e.bounds[i] <= w.last)
           order by 1, 2"#,
        &orgs,
        &firsts,
        &lasts as &[Option<Instant>]
    );
    let rows = rows.fetch_all(connection).await?;
    let window = |org, start, end| Window { org, period: Period { start, end } };
    Ok(rows.iter().map(|row| window(row.org, row.start, row.end)).collect())
}

/// Stamps the metrics of orgs from before their first period: they count in no counter. Returns
/// how many.
pub async fn stamp_before_first(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<u64, StoreError> {
    let stamped = sqlx::query!(
        "with firsts as (
             select o.id as org_id,
                    coalesce((select min(b.period_start) from billing_periods b
                              where b.org_id = o.id), o.current_period_start) as first
             from organizations o
             where o.id = any($1) and o.current_period_start < o.current_period_end)
         update usage_metrics m set counted_at = $2
         from firsts f
         where m.organization_id = f.org_id and m.counted_at is null and m.created_at < f.first",
        orgs,
        now
    );
    Ok(stamped.execute(connection).await?.rows_affected())
}
