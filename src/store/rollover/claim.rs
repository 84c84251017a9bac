//! Which orgs a pass looks at: pages of ids, found through an index each, in keyset order.
//!
//! Nothing is locked and nothing is marked. Two passes may look at the same org; the guarded
//! writes of [`super::apply`] let one of them through.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::db::transaction::{LockTimeout, begin_within};

/// What there is to do for a pass.
#[expect(clippy::struct_excessive_bools, reason = "a list of independent questions")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    pub due: bool,
    /// Orgs without an open period.
    pub unopened: bool,
    /// Orgs whose following ends are missing or outdated.
    pub stale_ends: bool,
    /// Packs that expired and still hold something.
    pub expired_packs: bool,
    /// Packs that an application inserted by itself.
    pub packs_without_entry: bool,
    /// Ends that may have come from an older tz database release.
    pub old_rules: bool,
}

impl Pending {
    /// Is there nothing that takes a walk over orgs? Packs to enter in the ledger take none.
    pub fn is_quiet(self) -> bool {
        Self { packs_without_entry: false, ..self } == Self::default()
    }
}

/// Asks, in one round trip, whether there is anything to do.
///
/// Each question takes the first entry of its index. Asked by `exists`, the database takes stale
/// ends to be common, and reads the whole table only to find that there are none.
pub async fn pending(
    connection: &mut PgConnection,
    now: Instant,
    release: &str,
) -> Result<Pending, StoreError> {
    let pending = sqlx::query_as!(
        Pending,
        r#"select
            coalesce((select min(o.current_period_end) from organizations o
                      where o.parked_at is null) <= $1, false) as "due!",
            exists (select 1 from organizations o
                    where o.parked_at is null
                      and (o.current_period_start is null or o.current_period_end is null))
                as "unopened!",
            coalesce((select true from organizations o
                      where o.parked_at is null and o.has_stale_ends
                      order by o.id limit 1), false) as "stale_ends!",
            coalesce((select p.expires_at
                      from overage_packs p join organizations o on o.id = p.org_id
                      where p.remaining > 0 and p.expires_at is not null and o.parked_at is null
                      order by p.expires_at limit 1) <= $1, false) as "expired_packs!",
            exists (select 1 from overage_packs p join organizations o on o.id = p.org_id
                    where p.entries = 0 and coalesce(p.remaining, 0) >= 0 and o.parked_at is null)
                        as "packs_without_entry!",
            coalesce((select f.value from periodd_facts f where f.name = 'tzdb_release'), '') < $2
                as "old_rules!""#,
        now,
        release
    );
    Ok(pending.fetch_one(connection).await?)
}

/// A place in the order of due orgs: by end, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKey {
    /// End of the open period.
    pub end: Instant,
    pub id: Uuid,
}

impl DueKey {
    /// Before every org.
    pub const FIRST: Self = Self { end: Instant::MIN, id: Uuid::nil() };
}

/// A page of due orgs, and the place of its last one.
#[derive(Debug)]
pub struct DuePage {
    pub ids: Vec<Uuid>,
    /// Where the next page begins; `None` for an empty page.
    pub last: Option<DueKey>,
}

/// The next page of orgs whose period has ended, after `after` and not beyond `until`.
///
/// The page comes as one row of arrays: a row per org would cost the client more than all else.
pub async fn due(
    connection: &mut PgConnection,
    now: Instant,
    after: DueKey,
    until: Option<DueKey>,
    limit: i64,
) -> Result<DuePage, StoreError> {
    let until = until.unwrap_or(DueKey { end: now, id: Uuid::max() });
    let page = sqlx::query!(
        r#"select coalesce(array_agg(d.id), '{}') as "ids!", case when count(*) > 0
                       then greatest(max(d.end), '0001-01-01 00:00:00+00') end as "end",
                  (array_agg(d.id order by d.end desc, d.id desc))[1] as id
           from (select o.current_period_end as "end", o.id
                 from organizations o
                 where o.parked_at is null and o.current_period_end <= $1
                   and (o.current_period_end, o.id) > ($2, $3)
                   and (o.current_period_end, o.id) <= ($4, $5)
                 order by o.current_period_end, o.id
                 limit $6) d"#,
        now,
        after.end,
        after.id,
        until.end,
        until.id,
        limit
    );
    let page = page.fetch_one(connection).await?;
    let last = page.end.zip(page.id).map(|(end, id)| DueKey { end, id });
    Ok(DuePage { ids: page.ids, last })
}

/// How many orgs' periods have ended: for whoever looks at a bar. It reads the index over all of
/// them, so nothing else waits for it.
pub async fn count_due(connection: &mut PgConnection, now: Instant) -> Result<u64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from organizations o
           where o.parked_at is null and o.current_period_end <= $1"#,
        now
    );
    Ok(count.fetch_one(connection).await?.try_into().unwrap_or(0))
}

/// A place among the due orgs that depends on `instant` and `id`, which the caller draws at
/// random: where several passes run at once, each begins elsewhere.
pub async fn nearest_to(
    connection: &mut PgConnection,
    now: Instant,
    fraction: f64,
    id: Uuid,
) -> Result<Option<DueKey>, StoreError> {
    let end = sqlx::query_scalar!(
        r#"with bounds as (
               select min(o.current_period_end) as first
               from organizations o
               where o.parked_at is null and o.current_period_end <= $1
                 and o.current_period_end >= '0001-01-01 00:00:00+00')
           select (select o.current_period_end from organizations o
                   where o.parked_at is null
                     and o.current_period_end <= bounds.first + ($1 - bounds.first) * $2::float8
                     and o.current_period_end >= bounds.first
                   order by o.current_period_end desc limit 1)
           from bounds"#,
        now,
        fraction
    );
    let end: Option<Instant> = end.fetch_one(connection).await?;
    Ok(end.map(|end| DueKey { end, id }))
}

/// The next page of orgs without an open period, after `after` in the order of ids.
pub async fn unopened(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        "select o.id from organizations o
         where o.parked_at is null
           and (o.current_period_start is null or o.current_period_end is null)
           and o.id > $1
         order by o.id limit $2",
        after,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// The next page of orgs whose following ends are missing or came from another calendar.
pub async fn stale_ends(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        "select o.id from organizations o
         where o.parked_at is null and o.has_stale_ends and o.id > $1
         order by o.id limit $2",
        after,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// The next page of orgs whose open period's end came from an older tz database release.
pub async fn with_old_rules(
    connection: &mut PgConnection,
    release: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        "select o.id from organizations o
         where o.parked_at is null and o.ends_tzdb_version < $1 and o.id > $2
         order by o.id limit $3",
        release,
        after,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// Remembers that every end has been looked at under a tz database release. Where somebody holds
/// that row nobody waits for it for long: the next run looks at them again.
pub async fn remember_rules(
    connection: &mut PgConnection,
    release: &str,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, LockTimeout::Short).await?;
    let remembered = sqlx::query!(
        "insert into periodd_facts as f (name, value) values ('tzdb_release', $1)
         on conflict (name) do update set value = excluded.value where f.value < excluded.value",
        release
    );
    match remembered.execute(&mut *transaction).await.map_err(StoreError::from) {
        Ok(_) => Ok(transaction.commit().await?),
        Err(error) if error.is_contention() => Ok(transaction.rollback().await?),
        Err(other) => Err(other),
    }
}

/// The next page of orgs with a pack that expired and still holds something.
pub async fn with_expired_packs(
    connection: &mut PgConnection,
    now: Instant,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let page = sqlx::query_scalar!(
        "select distinct p.org_id
         from overage_packs p join organizations o on o.id = p.org_id
         where p.remaining > 0 and p.expires_at <= $1 and p.org_id > $2 and o.parked_at is null
         order by p.org_id limit $3",
        now,
        after,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// Locks an org's row until the transaction ends: for an org that others change faster than a
/// plan of it is made. Only ever one org at a time, so that nobody waits in a circle.
///
/// # Errors
/// [`StoreError::Conflict`] when the lock cannot be had.
pub async fn lock(connection: &mut PgConnection, org: Uuid) -> Result<(), StoreError> {
    sqlx::query!("select from organizations where id = $1 for no key update", org)
        .execute(connection)
        .await?;
    Ok(())
}

/// The database's clock, whenever the transaction began.
pub async fn clock(connection: &mut PgConnection) -> Result<Instant, StoreError> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#);
    Ok(now.fetch_one(connection).await?)
}

/// Locks the rows of orgs until the transaction ends, in the order of their ids.
///
/// # Errors
/// [`StoreError::Conflict`] when a lock cannot be had.
pub async fn lock_all(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!(
        "select from organizations where id = any($1) order by id for no key update",
        orgs
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Raises the revision of an org that was locked before it was read, so that every plan that was
/// made before is made again; where it is still `read`, for whoever moves the org does so as well.
///
/// An org's row is written once in a transaction: PostgreSQL checks the foreign keys of a row that
/// the same transaction has written before, and somebody may hold the tier's row.
pub async fn raise(connection: &mut PgConnection, org: Uuid, read: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "update organizations set revision = revision + 1 where id = $1 and revision = $2",
        org,
        read
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the counters of one org that is [locked](lock), from its open period on: the org's own in
/// the order of their keys, then its users', as everybody locks them. Uses under way are waited
/// for; what is read in a later statement holds them. Uses that wait here decide anew afterwards,
/// by the revision that the org has once the transaction ends.
///
/// A use that is the first of a period has no counter to be locked yet, so those that are missing
/// are made, for the features of packs or for all; [`drop_unused`] takes them away again.
///
/// # Errors
/// [`StoreError::Conflict`] when a lock cannot be had.
pub async fn hold_counters(
    connection: &mut PgConnection,
    org: Uuid,
    since: Instant,
    all_features: bool,
    real: Instant,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into usage_counters as c
             (org_id, feature, period_start, period_end, revision, updated_at)
         select o.id, f.feature, e.bounds[i], e.bounds[i + 1], o.revision + 1, $3
         from organizations o
         cross join lateral (select array[o.current_period_start, o.current_period_end]
                                    || o.next_period_ends as bounds) e
         cross join lateral generate_series(1, cardinality(e.bounds) - 1) as i
         join features f
           on $2 or f.feature in (select p.feature from overage_packs p
                                  where p.org_id = $1 and p.remaining <> 0)
         where o.id = $1 and e.bounds[i] < e.bounds[i + 1]
         order by e.bounds[i], f.feature
         on conflict (org_id, period_start, feature) do update set revision = excluded.revision",
        org,
        all_features,
        real
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "select from usage_counters where org_id = $1 and period_start >= $2
         order by period_start, feature for no key update",
        org,
        since
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "select from feature_usage where organization_id = $1 and period_start >= $2
         order by user_id, period_start, feature for no key update",
        org,
        since
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes those counters away again that [`hold_counters`] made and nobody needed.
pub async fn drop_unused(
    connection: &mut PgConnection,
    org: Uuid,
    real: Instant,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from usage_counters c
         where c.org_id = $1 and c.used = 0 and c.updated_at = $2 and c.sync_status = 'pending'
           and c.last_synced_at is null",
        org,
        real
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The next page of orgs, of a time zone or of all, that have something to be done: a period to
/// close or to open, ends to compute, a pack to settle; with `open_too`, also those whose period
/// is still open.
pub async fn of_zone(
    connection: &mut PgConnection,
    time_zone: Option<&str>,
    now: Instant,
    open_too: bool,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    // `offset 0`: packs are looked at org by org, by their index, and not hashed for each page.
    let page = sqlx::query_scalar!(
        "select o.id from organizations o
         where o.parked_at is null and ($1::text is null or o.time_zone = $1) and o.id > $2
           and ($3 or o.current_period_end <= $4
                or o.current_period_start is null or o.current_period_end is null
                or o.has_stale_ends
                or exists (select from overage_packs p
                           where p.org_id = o.id and p.remaining > 0 and p.expires_at <= $4
                           offset 0))
         order by o.id limit $5",
        time_zone,
        after,
        open_too,
        now,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// The earliest instant after `after` at which something falls due: the end of an open period, or
/// the expiry of a pack that still holds something. It may have passed. `None` if nothing does.
pub async fn next_due(
    connection: &mut PgConnection,
    after: Instant,
) -> Result<Option<Instant>, StoreError> {
    let next = sqlx::query_scalar!(
        "select least((select min(o.current_period_end) from organizations o
                       where o.parked_at is null and o.current_period_end > $1
                         and o.current_period_end between '0001-01-01 00:00:00+00'
                             and '9999-12-31 23:59:59.999998+00'),
                      (select p.expires_at
                       from overage_packs p join organizations o on o.id = p.org_id
                       where p.remaining > 0 and p.expires_at > $1 and o.parked_at is null
                         and p.expires_at between '0001-01-01 00:00:00+00'
                             and '9999-12-31 23:59:59.999999+00'
                       order by p.expires_at limit 1))",
        after
    );
    Ok(next.fetch_one(connection).await?)
}

/// Orgs of one zone whose period ends at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingAt {
    pub time_zone: String,
    pub orgs: i64,
}

/// How many orgs' periods end at an instant, by zone; counted up to `most` orgs, for on the first
/// of a month they may be everybody.
pub async fn falling(
    connection: &mut PgConnection,
    at: Instant,
    most: i64,
) -> Result<Vec<EndingAt>, StoreError> {
    let falling = sqlx::query_as!(
        EndingAt,
        r#"select f.time_zone, count(*) as "orgs!"
           from (select o.time_zone from organizations o
                 where o.parked_at is null and o.current_period_end = $1 limit $2) f
           group by 1 order by 2 desc, 1"#,
        at,
        most
    );
    Ok(falling.fetch_all(connection).await?)
}

/// The next end of a period in a zone.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ZoneBoundary {
    /// The zone.
    pub time_zone: String,
    /// When.
    pub at: Instant,
    /// How many orgs' periods end then.
    pub orgs: i64,
}

/// The next boundary of every zone in use, the earliest first. Reads every org: for people who
/// ask, not for each minute.
pub async fn zone_boundaries(
    connection: &mut PgConnection,
) -> Result<Vec<ZoneBoundary>, StoreError> {
    let boundaries = sqlx::query_as!(
        ZoneBoundary,
        r#"select z.time_zone, z.at as "at!", z.orgs as "orgs!"
           from (select distinct on (e.time_zone) e.time_zone, e.at, e.orgs
                 from (select o.time_zone, o.current_period_end as at, count(*) as orgs
                       from organizations o
                       where o.parked_at is null
                         and o.current_period_end between '0001-01-01 00:00:00+00'
                             and '9999-12-31 23:59:59.999998+00'
                       group by 1, 2) e
                 order by e.time_zone, e.at) z
           order by z.at, z.time_zone"#
    );
    Ok(boundaries.fetch_all(connection).await?)
}
