//! Auditing counters: reading them beside the sums of their metrics, mending those that differ,
//! and remembering how many metrics there were.
//!
//! Never: a counter that is set while it holds something else than was read.

pub mod adjust;
pub mod derived;
pub(in crate::store) mod derived_catalogue;
pub mod drift;
pub mod plan_limits;
pub mod retention;
pub mod verify;

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::Transaction;
use crate::billing::drift::{CounterDrift, HeldMetrics};
use crate::billing::quota::Feature;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::db::transaction::LockTimeout;
use crate::store::rollover::snapshot::Features;

/// What was read of a page of orgs.
#[derive(Debug, Default)]
pub struct Swept {
    pub orgs_with_counters: u64,
    pub holds_usage: bool,
    /// Counters that are not the sum of their counted metrics.
    pub drift: Vec<CounterDrift>,
    /// Orgs whose own columns of usage and packs may say something else than they should: see
    /// [`Target::is_swept`](crate::store::audit::derived::Target::is_swept).
    pub columns: Vec<Uuid>,
    /// How many metrics each period holds.
    pub held: Vec<HeldMetrics>,
    /// The bounds of the periods that were looked at, of suspects.
    pub bounds: HashMap<Uuid, Vec<Instant>>,
}

/// Begins the transaction of a page. It writes notes and nothing else, which count only once
/// [`remember`] has said so and waited for the disk: they need not wait for it one by one. An org's
/// metrics are summed in a hash table that fits in the nearest cache: to sort them first, as a
/// planner prefers that expects a few, takes a tenth longer.
pub async fn begin(
    connection: &mut PgConnection,
    wait: LockTimeout,
) -> Result<Transaction<'_>, StoreError> {
    let begin = match wait {
        LockTimeout::Long => {
            "begin; set local enable_seqscan = off; set local enable_sort = off; \
             set local synchronous_commit = off; set local lock_timeout = '5s'"
        }
        LockTimeout::Short => {
            "begin; set local enable_seqscan = off; set local enable_sort = off; \
             set local synchronous_commit = off; set local lock_timeout = '500ms'"
        }
    };
    Ok(sqlx::Connection::begin_with(connection, begin).await?)
}

/// The next page of orgs, after `after` in the order of ids; with the last id looked at.
pub async fn orgs(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        r#"select coalesce(array_agg(p.id order by p.id), '{}') as "ids!"
           from (select o.id from organizations o where o.id > $1 order by o.id limit $2) p"#,
        after,
        limit
    );
    Ok(page.fetch_one(connection).await?)
}

/// Is there any metric at all?
pub async fn any_metric(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(r#"select exists (select 1 from usage_metrics) as "any!""#);
    Ok(any.fetch_one(connection).await?)
}

/// Reads the counters of the orgs from `first` to `last` beside the sums of their counted metrics,
/// in one snapshot: those of the open period, of the ones to come, and of those that closed after
/// `closed_after`. Parked orgs are left out, and so are periods whose metrics retention has
/// removed: what is not kept any more says nothing about their counters, however far back is
/// looked.
///
/// A metric's period is looked up among the stored bounds, which touch: they rise without a gap.
/// Most metrics are of the open period, and need no search. Bounds are returned of `suspects`
/// alone, and then nobody else is read: they are many for each org, and rarely needed.
///
/// # Errors
/// As every read; [`StoreError::Unprocessable`] for a sum beyond 10^22.
#[expect(clippy::too_many_lines, reason = "one statement, so that it sees one snapshot")]
pub async fn sweep(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
    suspects: Option<&[Uuid]>,
    closed_after: Instant,
    features: &mut Features,
) -> Result<Swept, StoreError> {
    let row = sqlx::query!(
        r#"with orgs as materialized (
               select o.id as org_id,
                      case when (select l.closed_at from billing_periods l where l.org_id = o.id
                                 order by l.period_start desc limit 1) > $4
                           then array(select b.period_start from billing_periods b
                                      where b.org_id = o.id
                                        and b.period_start >= (
                                            select min(x.period_start) from billing_periods x
                                            where x.org_id = o.id and x.closed_at > $4)
                                        and b.period_start >= coalesce(
                                            (select r.before from periodd_removed r
                                             where r.org_id = o.id), '-infinity')
                                      order by 1)
                           else '{}' end
                      || array[o.current_period_start, o.current_period_end]
                      || o.next_period_ends as bounds,
                      o.current_period_start, o.current_period_end, o.used_minutes,
                      o.overage_minutes, o.overage_minutes_written
               from organizations o
               where o.id between $1 and $2 and ($3::uuid[] is null or o.id = any($3))
                 and o.parked_at is null and o.current_period_start < o.current_period_end),
           metrics as materialized (
               select o.org_id, x.*,
                      case when x.period_start = o.current_period_start then o.current_period_end
                           else o.bounds[array_position(o.bounds, x.period_start) + 1]
                      end as period_end
               from orgs o
               cross join lateral (
                   select case when m.created_at >= o.current_period_start
                                    and m.created_at < o.current_period_end
                               then o.current_period_start
                               else o.bounds[width_bucket(m.created_at, o.bounds)]
                          end as period_start,
                          m.metric_type, m.user_id,
                          sum(m.metric_value) filter (where m.counted_at is not null) as used,
                          count(*) as metrics
                   from usage_metrics m
                   where m.organization_id = o.org_id and m.created_at >= o.bounds[1]
                     and m.created_at < o.bounds[cardinality(o.bounds)]
                   group by 1, 2, 3) x),
           org_sums as (
               select org_id, period_start, periodd_folded(metric_type) as feature,
                      sum(used) as used from metrics group by 1, 2, 3),
           user_sums as (
               select org_id, period_start, periodd_folded(metric_type) as feature, user_id,
                      sum(used) as used
               from metrics where user_id is not null group by 1, 2, 3, 4),
           counters as materialized (
               select c.org_id, c.period_start, c.feature, c.used,
                      -- Does its org's own column say the same? Null where it has none.
                      case when c.feature = 'minutes_transcribed'
                                and c.period_start = o.current_period_start
                           then o.used_minutes = round(c.used, 6) end as is_copied
               from orgs o
               join usage_counters c on c.org_id = o.org_id and c.period_start >= o.bounds[1]),
           user_counters as (
               select f.organization_id as org_id, f.period_start, f.feature, f.user_id,
                      f.usage_count as used
               from orgs o
               join feature_usage f on f.organization_id = o.org_id
                    and f.period_start >= o.bounds[1]),
           differing as materialized (
               select coalesce(c.org_id, s.org_id) as org_id, null::uuid as user_id,
                      coalesce(c.feature, s.feature) as feature,
                      coalesce(c.period_start, s.period_start) as period_start,
                      c.used as before, coalesce(s.used, 0) as after
               from counters c
               full join org_sums s on s.org_id = c.org_id and s.period_start = c.period_start
                    and s.feature = c.feature
               where coalesce(c.used, 0) <> coalesce(s.used, 0)
               union all
               select coalesce(c.org_id, s.org_id), coalesce(c.user_id, s.user_id),
                      coalesce(c.feature, s.feature),
                      coalesce(c.period_start, s.period_start), c.used, coalesce(s.used, 0)
               from user_counters c
               full join user_sums s on s.org_id = c.org_id and s.user_id = c.user_id
                    and s.period_start = c.period_start and s.feature = c.feature
               where coalesce(c.used, 0) <> coalesce(s.used, 0)),
           -- The end of one that begins at no bound is null.
           compared as (
               select d.*, o.bounds[array_position(o.bounds, d.period_start) + 1] as period_end
               from differing d join orgs o on o.org_id = d.org_id),
           columns as (
               select o.org_id
               from orgs o
               where o.overage_minutes <> 0 or o.overage_minutes_written <> 0
                  or o.org_id in (select org_id from counters where not is_copied)
                  or o.used_minutes <> 0
                     and o.org_id not in (select org_id from counters where is_copied is not null)
                  or exists (select from overage_packs p
                             where p.org_id = o.org_id and p.remaining <> 0)),
           held as (
               select org_id, period_start, period_end, sum(metrics)::bigint as metrics
               from metrics group by 1, 2, 3)
           select n.orgs as "orgs!", n.holds_usage as "holds_usage!",
                  array(select org_id from columns) as "columns!",
                  d.orgs as "drift_orgs!", d.users as "drift_users!: Vec<Option<Uuid>>",
                  d.features as "drift_features!", d.starts as "drift_starts!",
                  d.ends as "drift_ends!: Vec<Option<Instant>>",
                  d.before as "drift_before!: Vec<Option<Quantity>>", d.after as "drift_after!",
                  h.orgs as "held_orgs!", h.starts as "held_starts!", h.ends as "held_ends!",
                  h.metrics as "held_metrics!", b.orgs as "bound_orgs!", b.bounds as "bounds!"
           from (select count(distinct org_id) as orgs, coalesce(bool_or(used <> 0), false)
                            as holds_usage from counters) n,
                (select coalesce(array_agg(org_id), '{}') as orgs,
                        coalesce(array_agg(user_id), '{}') as users,
                        coalesce(array_agg(feature), '{}') as features,
                        coalesce(array_agg(period_start), '{}') as starts,
                        coalesce(array_agg(period_end), '{}') as ends,
                        coalesce(array_agg(before), '{}') as before,
                        coalesce(array_agg(after), '{}') as after
                 from compared) d,
                (select coalesce(array_agg(org_id), '{}') as orgs,
                        coalesce(array_agg(period_start), '{}') as starts,
                        coalesce(array_agg(period_end), '{}') as ends,
                        coalesce(array_agg(metrics), '{}') as metrics
                 from held) h,
                (select coalesce(array_agg(o.org_id), '{}') as orgs,
                        coalesce(array_agg(x.bound), '{}') as bounds
                 from orgs o, unnest(o.bounds) as x (bound)
                 where $3 is not null) b"#,
        first,
        last,
        suspects,
        closed_after
    );
    let row = row.fetch_one(connection).await?;
    let mut swept = Swept {
        orgs_with_counters: row.orgs.unsigned_abs(),
        holds_usage: row.holds_usage,
        columns: row.columns,
        ..Swept::default()
    };
    let periods = row.drift_starts.into_iter().zip(row.drift_ends);
    let values = row.drift_before.into_iter().zip(row.drift_after);
    let whose = row.drift_orgs.into_iter().zip(row.drift_users).zip(row.drift_features);
    for ((((org, user), feature), (start, end)), (before, after)) in whose.zip(periods).zip(values)
    {
        let (feature, period_start, period_end) = (features.name(feature), start, end);
        let drift = CounterDrift { org, user, feature, period_start, period_end, before, after };
        swept.drift.push(drift);
    }
    let periods = row.held_starts.into_iter().zip(row.held_ends).zip(row.held_metrics);
    let held = row.held_orgs.into_iter().zip(periods);
    let held = held.map(|(org, ((start, end), metrics))| HeldMetrics { org, start, end, metrics });
    swept.held = held.collect();
    for (org, bound) in row.bound_orgs.into_iter().zip(row.bounds) {
        swept.bounds.entry(org).or_default().push(bound);
    }
    Ok(swept)
}

/// Sets counters to the sums of their metrics where they still hold what was read in the same
/// snapshot as the sums. Returns what was mended: what is missing moved meanwhile and has to be
/// read again.
///
/// Counters that are missing are left to [`insert_missing`].
pub async fn mend(
    connection: &mut PgConnection,
    drift: &[CounterDrift],
    real: Instant,
) -> Result<Vec<CounterDrift>, StoreError> {
    let (of_users, of_orgs): (Vec<&CounterDrift>, Vec<&CounterDrift>) =
        drift.iter().filter(|drift| drift.before.is_some()).partition(|drift| drift.user.is_some());
    let mut mended = Vec::new();
    if !of_orgs.is_empty() {
        let columns = Columns::of(&of_orgs);
        let places = sqlx::query_scalar!(
            r#"update usage_counters c
               set used = u.after, discrepancy_count = c.discrepancy_count + 1,
                   sync_status = 'pending', last_synced_at = $6, updated_at = $6
               from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[])
                        with ordinality as u (org_id, feature, period_start, before, after, place)
               where c.org_id = u.org_id and c.feature = u.feature
                 and c.period_start = u.period_start and c.used = u.before
               returning u.place as "place!""#,
            &columns.orgs,
            &columns.features as &[&str],
            &columns.starts,
            &columns.before as &[Option<Quantity>],
            &columns.after,
            real
        );
        let places = places.fetch_all(&mut *connection).await?;
        mended.extend(at_places(&of_orgs, &places));
    }
    if !of_users.is_empty() {
        let columns = Columns::of(&of_users);
        let places = sqlx::query_scalar!(
            r#"update feature_usage c
               set usage_count = u.after, discrepancy_count = c.discrepancy_count + 1,
                   sync_status = 'pending', last_synced_at = $7, updated_at = $7
               from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::numeric[],
                           $6::numeric[])
                        with ordinality
                        as u (org_id, user_id, feature, period_start, before, after, place)
               where c.organization_id = u.org_id and c.user_id = u.user_id
                 and c.feature = u.feature and c.period_start = u.period_start
                 and c.usage_count = u.before
               returning u.place as "place!""#,
            &columns.orgs,
            &columns.users as &[Option<Uuid>],
            &columns.features as &[&str],
            &columns.starts,
            &columns.before as &[Option<Quantity>],
            &columns.after,
            real
        );
        let places = places.fetch_all(connection).await?;
        mended.extend(at_places(&of_users, &places));
    }
    Ok(mended)
}

/// Writes counters that are missing. The org's row has to be locked, so that its bounds stay what
/// they were read as.
pub async fn insert_missing(
    connection: &mut PgConnection,
    drift: &[CounterDrift],
    real: Instant,
) -> Result<Vec<CounterDrift>, StoreError> {
    let missing = |drift: &&CounterDrift| drift.before.is_none() && drift.period_end.is_some();
    let (of_users, of_orgs): (Vec<&CounterDrift>, Vec<&CounterDrift>) =
        drift.iter().filter(missing).partition(|drift| drift.user.is_some());
    let mut mended = Vec::new();
    for drift in of_orgs {
        let done = sqlx::query!(
            "insert into usage_counters
                 (org_id, feature, period_start, period_end, used, discrepancy_count,
                  last_synced_at, updated_at)
             values ($1, $2, $3, $4, $5, 1, $6, $6)
             on conflict (org_id, period_start, feature) do nothing",
            drift.org,
            &*drift.feature,
            drift.period_start,
            drift.period_end,
            drift.after,
            real
        );
        if done.execute(&mut *connection).await?.rows_affected() == 1 {
            mended.push(drift.clone());
        }
    }
    for drift in of_users {
        let done = sqlx::query!(
            "insert into feature_usage
                 (organization_id, user_id, feature, period_start, period_end, usage_count,
                  discrepancy_count, last_synced_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, 1, $7, $7)
             on conflict (organization_id, user_id, period_start, feature) do nothing",
            drift.org,
            drift.user,
            &*drift.feature,
            drift.period_start,
            drift.period_end,
            drift.after,
            real
        );
        if done.execute(&mut *connection).await?.rows_affected() == 1 {
            mended.push(drift.clone());
        }
    }
    Ok(mended)
}

/// Locks the counters of one org until the transaction ends, for an org whose counters never stand
/// still: its own first, then its users', as everybody locks them.
///
/// # Errors
/// [`StoreError::Conflict`] when a lock cannot be had.
pub async fn lock_counters(connection: &mut PgConnection, org: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "select from usage_counters where org_id = $1
         order by period_start, feature for no key update",
        org
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "select from feature_usage where organization_id = $1
         order by user_id, period_start, feature for no key update",
        org
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn at_places<'a>(
    drift: &'a [&'a CounterDrift],
    places: &'a [i64],
) -> impl Iterator<Item = CounterDrift> + 'a {
    let index = |place: &i64| usize::try_from(place - 1).ok();
    places.iter().filter_map(move |place| drift.get(index(place)?).map(|drift| (*drift).clone()))
}

/// Columns of drift for `unnest`.
struct Columns<'a> {
    orgs: Vec<Uuid>,
    users: Vec<Option<Uuid>>,
    features: Vec<&'a str>,
    starts: Vec<Instant>,
    before: Vec<Option<Quantity>>,
    after: Vec<Quantity>,
}

impl<'a> Columns<'a> {
    fn of(drift: &[&'a CounterDrift]) -> Self {
        let feature = |drift: &&'a CounterDrift| -> &'a str {
            let feature: &Feature = &drift.feature;
            feature
        };
        Self {
            orgs: drift.iter().map(|drift| drift.org).collect(),
            users: drift.iter().map(|drift| drift.user).collect(),
            features: drift.iter().map(feature).collect(),
            starts: drift.iter().map(|drift| drift.period_start).collect(),
            before: drift.iter().map(|drift| drift.before).collect(),
            after: drift.iter().map(|drift| drift.after).collect(),
        }
    }
}

/// What the last complete audit remembered about the orgs of a page.
pub async fn remembered(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
) -> Result<Vec<HeldMetrics>, StoreError> {
    let pages = sqlx::query!(
        "select a.orgs, a.starts, a.ends, a.metrics
         from periodd_audited a
         where a.is_complete and a.first_org <= $2 and a.last_org >= $1",
        first,
        last
    );
    let mut held = Vec::new();
    for page in pages.fetch_all(connection).await? {
        let periods = page.starts.into_iter().zip(page.ends).zip(page.metrics);
        for (org, ((start, end), metrics)) in page.orgs.into_iter().zip(periods) {
            if first <= org && org <= last {
                held.push(HeldMetrics { org, start, end, metrics });
            }
        }
    }
    Ok(held)
}

/// Notes what a page of orgs holds. It counts once the whole audit is through, and
/// [`remember`] has said so.
pub async fn note(
    connection: &mut PgConnection,
    audit: Uuid,
    (first, last): (Uuid, Uuid),
    held: &[HeldMetrics],
) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = held.iter().map(|held| held.org).collect();
    let starts: Vec<Instant> = held.iter().map(|held| held.start).collect();
    let ends: Vec<Instant> = held.iter().map(|held| held.end).collect();
    let metrics: Vec<i64> = held.iter().map(|held| held.metrics).collect();
    sqlx::query!(
        "insert into periodd_audited (audit, first_org, last_org, orgs, starts, ends, metrics)
         values ($1, $2, $3, $4, $5, $6, $7)",
        audit,
        first,
        last,
        &orgs,
        &starts,
        &ends,
        &metrics
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has the notes of a run count from now on, in the place of those of the audit before.
pub async fn remember(connection: &mut PgConnection, audit: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "with others as (delete from periodd_audited where audit <> $1)
         update periodd_audited set is_complete = true where audit = $1",
        audit
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Throws the notes of a run away that came to nothing.
pub async fn forget(connection: &mut PgConnection, audit: Uuid) -> Result<(), StoreError> {
    let gone = sqlx::query!("delete from periodd_audited where audit = $1", audit);
    gone.execute(connection).await?;
    Ok(())
}

/// Forgets how many metrics the periods of one org held: what it lost was meant to go.
pub async fn forget_org(connection: &mut PgConnection, org: Uuid) -> Result<(), StoreError> {
    let forgotten = sqlx::query!(r#"select periodd_forget_held($1)::text as "done!""#, org);
    forgotten.fetch_one(connection).await?;
    Ok(())
}
