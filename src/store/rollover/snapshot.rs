//! Reading a page of orgs: everything that their plans depend on, in a handful of statements
//! over the whole page.
//!
//! The order matters. The org's row comes first: its revision, checked again when the plan is
//! applied, tells of packs granted or refunded since. Uncounted metrics come before counters: a
//! metric that someone counts in between is seen twice, which the apply notices, and never missed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::org::pause::Pause;
use crate::billing::org::restart::Restart;
use crate::billing::org::{OrgState, StoredPeriod, Subscription};
use crate::billing::quota::{Draw, Feature, Included, Kept, Pack};
use crate::billing::rollover::{Cut, TierLimits, Usage};
use crate::billing::{Instant, LocalDate, Period, Quantity, TimeOfDay};
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;

/// An org's row.
#[derive(Debug)]
pub struct OrgRow {
    pub state: OrgState,
    /// The stored following ends are missing or came from another calendar.
    pub has_stale_ends: bool,
    /// The open period has drawn on packs already: at an expiry inside it, or for late usage.
    pub has_draws: bool,
}

/// The rows of those orgs of a page that are not parked.
pub async fn orgs(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<OrgRow>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select o.id, o.slug, o.revision, o.time_zone, o.cycle, o.anchor_day, o.anchor_month,
                  o.anchor_time, o.ends_anchor_time,
                  o.current_period_start, o.current_period_end, o.current_period_end_date,
                  o.next_period_ends, o.ends_time_zone, o.ends_tzdb_version,
                  o.overage_minutes, o.overage_minutes_written,
                  o.overage_minutes_granted, o.subscription_tier,
                  o.next_subscription_tier, o.next_subscription_tier_at,
                  o.subscription_status,
                  nullif(o.subscription_ends_at, 'infinity') as subscription_ends_at,
                  o.period_tier, o.restarted_at, o.restarted_from, o.restarted_on,
                  o.restarted_tier, o.skipped_end_date,
                  o.paused_from, nullif(o.paused_until, 'infinity') as paused_until,
                  -- Where the open period begins, if a period ends there and none begins: both are
                  -- looked up where this close is about to write. History is asked otherwise.
                  case when (select true from billing_periods b
                             where b.period_end = o.current_period_start and b.org_id = o.id)
                            and (select true from billing_periods b
                                 where b.period_start = o.current_period_start
                                   and b.org_id = o.id) is null
                       then o.current_period_start
                       else (select b.period_end from billing_periods b where b.org_id = o.id
                             order by b.period_start desc limit 1)
                  end as last_closed_end,
                  o.has_stale_ends,
                  (select count(*) from overage_entries e
                   where e.org_id = o.id and e.period_start = o.current_period_start
                     and e.kind = 'drawn') > 0 as "has_draws!"
           from organizations o
           where o.id = any($1) and o.parked_at is null"#,
        ids
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(OrgRow::from).collect())
}

struct Row {
    id: Uuid,
    slug: String,
    revision: i64,
    time_zone: String,
    cycle: String,
    anchor_day: i16,
    anchor_month: i16,
    anchor_time: TimeOfDay,
    ends_anchor_time: TimeOfDay,
    current_period_start: Option<Instant>,
    current_period_end: Option<Instant>,
    current_period_end_date: Option<LocalDate>,
    next_period_ends: Option<Vec<Instant>>,
    ends_time_zone: Option<String>,
    ends_tzdb_version: Option<String>,
    overage_minutes: Quantity,
    overage_minutes_written: Option<Quantity>,
    overage_minutes_granted: Quantity,
    subscription_tier: String,
    next_subscription_tier: Option<String>,
    next_subscription_tier_at: Option<Instant>,
    subscription_status: Option<String>,
    subscription_ends_at: Option<Instant>,
    period_tier: Option<String>,
    restarted_at: Option<Instant>,
    restarted_from: Option<String>,
    restarted_on: Option<String>,
    restarted_tier: Option<String>,
    skipped_end_date: Option<LocalDate>,
    paused_from: Option<Instant>,
    paused_until: Option<Instant>,
    last_closed_end: Option<Instant>,
    has_stale_ends: bool,
    has_draws: bool,
}

impl From<Row> for OrgRow {
    fn from(row: Row) -> Self {
        let ends = row.current_period_start.zip(row.current_period_end);
        let period = ends.map(|(start, end)| StoredPeriod {
            period: Period { start, end },
            end_date: row.current_period_end_date,
            moved_from: None,
        });
        let subscription = Subscription {
            tier: row.subscription_tier,
            next_tier: row.next_subscription_tier,
            next_tier_at: row.next_subscription_tier_at,
            status: row.subscription_status,
            ends_at: row.subscription_ends_at,
        };
        let restart = row.restarted_at.map(|at| Restart {
            at,
            from: row.restarted_from.unwrap_or_else(|| subscription.tier.clone()),
            on: row.restarted_on.unwrap_or_else(|| subscription.tier.clone()),
            // Whatever was written since stays.
            tier: row.restarted_tier.map(|_| subscription.tier.clone()),
            is_stored: true,
        });
        Self {
            state: OrgState {
                id: row.id,
                slug: row.slug,
                revision: row.revision,
                time_zone: row.time_zone,
                cycle: row.cycle,
                anchor_day: row.anchor_day,
                anchor_month: row.anchor_month,
                anchor_time: row.anchor_time,
                period,
                next_period_ends: row.next_period_ends.unwrap_or_default(),
                ends_time_zone: row.ends_time_zone,
                ends_anchor_time: row.ends_anchor_time,
                ends_tzdb: row.ends_tzdb_version,
                last_closed_end: row.last_closed_end,
                subscription,
                period_tier: row.period_tier,
                restart,
                skipped_end_date: row.skipped_end_date,
                pause: row.paused_from.map(|from| Pause { from, until: row.paused_until }),
                overage_minutes: row.overage_minutes,
                overage_minutes_written: row.overage_minutes_written,
                overage_minutes_granted: row.overage_minutes_granted,
            },
            has_stale_ends: row.has_stale_ends,
            has_draws: row.has_draws,
        }
    }
}

/// Tiers with a limit that cannot be read, and which: whoever is on such a tier waits, and nobody
/// else is concerned.
pub type TierFaults = HashMap<String, String>;

/// What every tier includes: each tier that there is has its entry, if it includes nothing an empty
/// one.
pub async fn tier_limits(
    connection: &mut PgConnection,
) -> Result<(TierLimits, TierFaults), StoreError> {
    let rows = sqlx::query!(
        r#"select t.code as "tier!", l.feature as "feature?",
                  l.included as "included: Readable<Quantity>"
           from subscription_tiers t left join tier_limits l on l.tier = t.code"#
    );
    let (mut limits, mut faults) = (TierLimits::new(), TierFaults::new());
    for row in rows.fetch_all(connection).await? {
        let tier = limits.entry(row.tier.clone()).or_default();
        let Some(feature) = row.feature else { continue };
        let included = match row.included.map(Readable::value) {
            None => None,
            Some(Some(included)) => Some(included),
            Some(None) => {
                let what = format!(
                    "tier_limits.included of tier {}, feature {feature}, cannot be read",
                    row.tier
                );
                faults.insert(row.tier, what);
                continue;
            }
        };
        tier.insert(feature.into(), Included::from(included));
    }
    Ok((limits, faults))
}

/// The features that do not reset.
pub async fn levels(connection: &mut PgConnection) -> Result<HashSet<Feature>, StoreError> {
    let levels = sqlx::query_scalar!("select feature from features where kind = 'level'");
    Ok(levels.fetch_all(connection).await?.into_iter().map(Feature::from).collect())
}

/// A stretch of time of one org.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub org: Uuid,
    pub period: Period,
}

/// Arrays for `unnest`, one per column.
#[derive(Debug, Default)]
pub(in crate::store) struct WindowColumns {
    pub orgs: Vec<Uuid>,
    pub starts: Vec<Instant>,
    pub ends: Vec<Instant>,
}

impl From<&[Window]> for WindowColumns {
    fn from(windows: &[Window]) -> Self {
        Self {
            orgs: windows.iter().map(|window| window.org).collect(),
            starts: windows.iter().map(|window| window.period.start).collect(),
            ends: windows.iter().map(|window| window.period.end).collect(),
        }
    }
}

/// Usage of an org, as read.
pub type OrgUsage = (Uuid, Usage);

/// Interns feature names: there are few of them, and many rows that name one.
#[derive(Debug, Default)]
pub struct Features(HashMap<String, Feature>);

impl Features {
    pub(in crate::store) fn name(&mut self, name: String) -> Feature {
        if let Some(known) = self.0.get(&name) {
            return known.clone();
        }
        let feature: Feature = Arc::from(name.as_str());
        self.0.insert(name, feature.clone());
        feature
    }
}

/// Which orgs of a page have metrics that were never counted; most have none.
pub async fn orgs_with_uncounted(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<HashSet<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct m.organization_id from usage_metrics m
         where m.organization_id = any($1) and m.counted_at is null",
        orgs
    );
    Ok(orgs.fetch_all(connection).await?.into_iter().collect())
}

/// Sums the metrics per feature within windows that were never counted. As with the other reads of
/// a page, no more than `limit` rows.
///
/// # Errors
/// As every read; [`StoreError::Unprocessable`] for a sum beyond 10^22.
pub async fn uncounted_sums(
    connection: &mut PgConnection,
    windows: &[Window],
    limit: Option<i64>,
    features: &mut Features,
) -> Result<Vec<OrgUsage>, StoreError> {
    let WindowColumns { orgs, starts, ends } = windows.into();
    let rows = sqlx::query_as!(
        UsageRow,
        r#"select w.org_id as "org_id!", w.period_start as "period_start!",
                  periodd_folded(m.metric_type) as "feature!", sum(m.metric_value) as "used!"
           from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                    as w (org_id, period_start, period_end)
           join usage_metrics m on m.organization_id = w.org_id
                and m.created_at >= w.period_start and m.created_at < w.period_end
           where m.counted_at is null
           group by w.org_id, w.period_start, periodd_folded(m.metric_type)
           limit $4"#,
        &orgs,
        &starts,
        &ends,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.into_usage(features)).collect())
}

/// Sums the metrics per feature within windows: all of them, or those that were counted.
///
/// # Errors
/// As every read; [`StoreError::Unprocessable`] for a sum beyond 10^22.
pub async fn metric_sums(
    connection: &mut PgConnection,
    windows: &[Window],
    counted_only: bool,
    features: &mut Features,
) -> Result<Vec<OrgUsage>, StoreError> {
    let WindowColumns { orgs, starts, ends } = windows.into();
    let rows = sqlx::query_as!(
        UsageRow,
        r#"select w.org_id as "org_id!", w.period_start as "period_start!",
                  periodd_folded(m.metric_type) as "feature!", sum(m.metric_value) as "used!"
           from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
                    as w (org_id, period_start, period_end)
           join usage_metrics m on m.organization_id = w.org_id
                and m.created_at >= w.period_start and m.created_at < w.period_end
           where m.counted_at is not null or not $4
           group by w.org_id, w.period_start, periodd_folded(m.metric_type)"#,
        &orgs,
        &starts,
        &ends,
        counted_only
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.into_usage(features)).collect())
}

struct UsageRow {
    org_id: Uuid,
    feature: String,
    period_start: Instant,
    used: Quantity,
}

impl UsageRow {
    fn into_usage(self, features: &mut Features) -> OrgUsage {
        let feature = features.name(self.feature);
        (self.org_id, Usage { feature, period_start: self.period_start, used: self.used })
    }
}

/// A counter, with the bounds that it was kept by.
#[derive(Debug, Clone)]
pub struct Counter {
    pub org: Uuid,
    pub usage: Usage,
    /// The end of its period when it was made.
    pub period_end: Instant,
    /// What it keeps of limits that have fallen.
    pub kept: Kept,
}

/// The counters of orgs from an instant on, each from its own.
pub async fn counters(
    connection: &mut PgConnection,
    since: &[(Uuid, Instant)],
    limit: Option<i64>,
    features: &mut Features,
) -> Result<Vec<Counter>, StoreError> {
    let (orgs, starts): (Vec<Uuid>, Vec<Instant>) = since.iter().copied().unzip();
    // One row of arrays: there is a counter per org and feature, too many to take one by one.
    let columns = sqlx::query!(
        r#"select coalesce(array_agg(c.org_id), '{}') as "orgs!",
                  coalesce(array_agg(c.feature), '{}') as "features!",
                  coalesce(array_agg(c.period_start), '{}') as "starts!",
                  coalesce(array_agg(c.period_end), '{}') as "ends!",
                  coalesce(array_agg(c.used), '{}') as "used!",
                  coalesce(array_agg(c.included_at_least), '{}') as "at_least!",
                  coalesce(array_agg(c.included_seen), '{}')
                      as "seen!: Vec<Option<Quantity>>"
           from (select x.* from unnest($1::uuid[], $2::timestamptz[]) as s (org_id, period_start)
                 join usage_counters x on x.org_id = s.org_id and x.period_start >= s.period_start
                 limit $3) c"#,
        &orgs,
        &starts,
        limit
    );
    let columns = columns.fetch_one(connection).await?;
    let periods = columns.starts.into_iter().zip(columns.ends);
    let kept = columns.at_least.into_iter().zip(columns.seen);
    let used = columns.used.into_iter().zip(kept);
    let counters = columns.orgs.into_iter().zip(columns.features).zip(periods).zip(used);
    let counters = counters.map(|(((org, feature), (period_start, period_end)), (used, kept))| {
        let usage = Usage { feature: features.name(feature), period_start, used };
        let (at_least, seen) = kept;
        Counter { org, usage, period_end, kept: Kept { at_least, seen } }
    });
    Ok(counters.collect())
}

/// Sums metrics of one feature each, from a period's start to an expiry inside it.
pub async fn used_before(
    connection: &mut PgConnection,
    cuts: &[(Uuid, Cut)],
) -> Result<Vec<(Uuid, Cut, Quantity)>, StoreError> {
    let orgs: Vec<Uuid> = cuts.iter().map(|(org, _)| *org).collect();
    let features: Vec<String> = cuts.iter().map(|(_, cut)| cut.feature.to_string()).collect();
    let starts: Vec<Instant> = cuts.iter().map(|(_, cut)| cut.from).collect();
    let ends: Vec<Instant> = cuts.iter().map(|(_, cut)| cut.until).collect();
    let rows = sqlx::query!(
        r#"select c.place as "place!",
                  coalesce((select sum(m.metric_value) from usage_metrics m
                            where m.organization_id = c.org_id
                              and m.created_at >= c.start and m.created_at < c.until
                              and periodd_folded(m.metric_type) = c.feature), 0) as "used!"
           from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
                    with ordinality as c (org_id, feature, start, until, place)
           order by c.place"#,
        &orgs,
        &features,
        &starts,
        &ends
    );
    let rows = rows.fetch_all(connection).await?;
    let answers = cuts.iter().zip(rows);
    Ok(answers.map(|((org, cut), row)| (*org, cut.clone(), row.used)).collect())
}

/// What the open periods of orgs have drawn already, and how many rows were read for it: draws of
/// closed periods among them.
///
/// The draws are found by org and not by a join with the periods: as long as few orgs have drawn
/// anything, the database would take the whole index to be shorter than one page's way into it,
/// and keep to that plan while the index grows.
pub async fn draws(
    connection: &mut PgConnection,
    periods: &[(Uuid, Instant)],
    limit: Option<i64>,
) -> Result<(usize, Vec<(Uuid, Draw)>), StoreError> {
    let starts: HashMap<Uuid, Instant> = periods.iter().copied().collect();
    let Some(earliest) = starts.values().min().copied() else { return Ok((0, Vec::new())) };
    let orgs: Vec<Uuid> = starts.keys().copied().collect();
    let rows = sqlx::query!(
        r#"select e.org_id, e.pack_id, e.quantity, e.at, e.period_start as "period_start!"
           from overage_entries e
           where e.org_id = any($1) and e.kind = 'drawn' and e.period_start >= $2
           order by e.org_id, e.at, e.pack_id, e.seq
           limit $3"#,
        &orgs,
        earliest,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let read = rows.len();
    let rows = rows.into_iter();
    let of_the_period = rows.filter(|row| starts.get(&row.org_id) == Some(&row.period_start));
    let draw = |pack, quantity, at| Draw { pack, quantity, at };
    Ok((read, of_the_period.map(|r| (r.org_id, draw(r.pack_id, r.quantity, r.at))).collect()))
}

/// The packs of orgs that hold something, and those named besides.
pub async fn packs(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    besides: &BTreeSet<(Uuid, Uuid)>,
    limit: Option<i64>,
    features: &mut Features,
) -> Result<Vec<(Uuid, Pack)>, StoreError> {
    let holding = sqlx::query_as!(
        PackRow,
        r#"select p.org_id, p.id, p.feature, p.remaining as "remaining!", p.purchased_at,
                  nullif(p.expires_at, 'infinity') as expires_at, p.entries
           from overage_packs p
           where p.org_id = any($1) and p.remaining <> 0 and (p.entries > 0 or p.remaining < 0)
           limit $2"#,
        orgs,
        limit
    );
    let mut rows = holding.fetch_all(&mut *connection).await?;
    if !besides.is_empty() {
        // Pairs, for two lists would be tried each with each.
        let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = besides.iter().copied().unzip();
        let spent = sqlx::query_as!(
            PackRow,
            r#"select p.org_id, p.id, p.feature, p.remaining as "remaining!", p.purchased_at,
                      nullif(p.expires_at, 'infinity') as expires_at, p.entries
               from unnest($1::uuid[], $2::uuid[]) as b (org_id, id)
               join overage_packs p on p.org_id = b.org_id and p.id = b.id
               where p.remaining = 0"#,
            &orgs,
            &ids
        );
        rows.extend(spent.fetch_all(connection).await?);
    }
    Ok(rows.into_iter().map(|row| row.into_pack(features)).collect())
}

/// The packs of orgs that applications inserted by themselves and nobody has entered in the
/// ledger yet, as they will stand once that is done: see
/// [`crate::store::orgs::packs::enter_in_ledger`].
pub async fn packs_without_entry(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    limit: Option<i64>,
    features: &mut Features,
) -> Result<Vec<(Uuid, Pack)>, StoreError> {
    let rows = sqlx::query_as!(
        PackRow,
        r#"select p.org_id, p.id, p.feature, coalesce(p.remaining, p.quantity) as "remaining!",
                  p.purchased_at, nullif(p.expires_at, 'infinity') as expires_at,
                  case when coalesce(p.remaining, p.quantity) = p.quantity then 1 else 2 end
                      as "entries!"
           from overage_packs p
           where p.org_id = any($1) and p.entries = 0 and coalesce(p.remaining, p.quantity) > 0
           limit $2"#,
        orgs,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.into_pack(features)).collect())
}

/// Which orgs of a page have packs that applications inserted by themselves and nobody has entered
/// in the ledger yet; most have none.
pub async fn orgs_with_unseen_packs(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<HashSet<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct p.org_id from overage_packs p
         where p.org_id = any($1) and p.entries = 0 and coalesce(p.remaining, p.quantity) >= 0",
        orgs
    );
    Ok(orgs.fetch_all(connection).await?.into_iter().collect())
}

struct PackRow {
    org_id: Uuid,
    id: Uuid,
    feature: String,
    remaining: Quantity,
    purchased_at: Instant,
    expires_at: Option<Instant>,
    entries: i32,
}

impl PackRow {
    fn into_pack(self, features: &mut Features) -> (Uuid, Pack) {
        let pack = Pack {
            id: self.id,
            feature: features.name(self.feature),
            remaining: self.remaining,
            purchased_at: self.purchased_at,
            expires_at: self.expires_at,
            entries: self.entries,
        };
        (self.org_id, pack)
    }
}

/// The overrides of orgs.
pub async fn overrides(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    limit: Option<i64>,
    features: &mut Features,
) -> Result<Vec<(Uuid, Feature, Included)>, StoreError> {
    let rows = sqlx::query!(
        "select org_id, feature, included from limit_overrides where org_id = any($1) limit $2",
        orgs,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let named = rows
        .into_iter()
        .map(|row| (row.org_id, features.name(row.feature), Included::from(row.included)));
    Ok(named.collect())
}

/// The slugs of orgs, for orgs whose row cannot be read as a whole.
pub async fn slugs(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    let rows = sqlx::query!("select id, slug from organizations where id = any($1)", orgs);
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.slug)).collect())
}
