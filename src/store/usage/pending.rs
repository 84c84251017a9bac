//! Counters that moved since their copies were written.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// A counter whose copies are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub org: Uuid,
    /// The user, for a user's counter.
    pub user: Option<Uuid>,
    pub feature: String,
    /// The period, by its start.
    pub period_start: Instant,
    pub used: Quantity,
}

impl Pending {
    /// Org, feature and start of the period.
    pub fn counter(&self) -> CounterKey<'_> {
        (self.org, &self.feature, self.period_start)
    }
}

/// An org's counter: the org, the feature and the start of the period.
pub type CounterKey<'a> = (Uuid, &'a str, Instant);

/// The next page of orgs with pending counters, after `after` in the order of ids; parked ones are
/// left out, and no reason to stop.
pub async fn orgs(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<(Vec<Uuid>, Option<Uuid>), StoreError> {
    let rows = sqlx::query!(
        r#"with pending as (
               (select distinct c.org_id from usage_counters c
                where c.sync_status = 'pending' and c.org_id > $1 order by c.org_id limit $2)
               union
               (select distinct f.organization_id from feature_usage f
                where f.sync_status = 'pending' and f.organization_id > $1
                order by f.organization_id limit $2))
           select p.org_id as "org!", o.parked_at is not null as "is_parked!"
           from pending p join organizations o on o.id = p.org_id
           -- Said again: a merge of the two would begin with the first org of all.
           where o.id > $1
           order by p.org_id limit $2"#,
        after,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let last = rows.last().map(|row| row.org);
    Ok((rows.iter().filter(|row| !row.is_parked).map(|row| row.org).collect(), last))
}

/// Those of some orgs that have pending counters, in the order of ids, each with how many: the
/// org's own and its users'.
pub async fn counts(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<Vec<(Uuid, usize)>, StoreError> {
    let rows = sqlx::query!(
        r#"select p.org_id as "org!", count(*) as "count!"
           from (select c.org_id from usage_counters c
                 where c.org_id = any($1) and c.sync_status = 'pending'
                 union all
                 select f.organization_id from feature_usage f
                 where f.organization_id = any($1) and f.sync_status = 'pending') p
           group by 1 order by 1"#,
        orgs
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows.map(|row| (row.org, usize::try_from(row.count).unwrap_or(usize::MAX))).collect())
}

/// The pending counters of orgs, the orgs' own and their users', as far as they can be settled.
/// Once the open period has ended, and until it is closed, its counters stay pending and those
/// after it: whether its books will know of all usage is not known before, and the next one stands
/// in no copy.
pub async fn counters(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<Pending>, StoreError> {
    let rows = sqlx::query_as!(
        Pending,
        r#"select c.org_id as "org!", null::uuid as "user", c.feature as "feature!",
                  c.period_start as "period_start!", c.used as "used!"
           from usage_counters c join organizations o on o.id = c.org_id
           where c.org_id = any($1) and c.sync_status = 'pending'
             and (c.period_start >= o.current_period_start and o.current_period_end <= $2)
                 is not true
           union all
           select f.organization_id, f.user_id, f.feature, f.period_start, f.usage_count
           from feature_usage f join organizations o on o.id = f.organization_id
           where f.organization_id = any($1) and f.sync_status = 'pending'
             and (f.period_start >= o.current_period_start and o.current_period_end <= $2)
                 is not true
           order by 1, 2, 4, 3"#,
        orgs,
        now
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Those of some orgs' counters whose period has closed, by their places.
pub async fn closed(
    connection: &mut PgConnection,
    counters: &[&Pending],
) -> Result<Vec<usize>, StoreError> {
    if counters.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(counters);
    let places = sqlx::query_scalar!(
        r#"select u.place as "place!"
           from unnest($1::uuid[], $2::timestamptz[])
                    with ordinality as u (org_id, period_start, place)
           where exists (select from billing_periods b
                         where b.org_id = u.org_id and b.period_start = u.period_start)"#,
        &columns.orgs,
        &columns.starts
    );
    Ok(at_places(&places.fetch_all(connection).await?))
}

/// Sets orgs' counters synced that still hold what was read. Returns their places.
///
/// Said as "not synced" and not as "pending", here and for users: each is found by its key. The
/// index of pending ones looks empty to statistics that are older than the last burst of usage, and
/// would be walked from end to end for every page.
pub async fn set_orgs_synced(
    connection: &mut PgConnection,
    counters: &[&Pending],
    now: Instant,
) -> Result<Vec<usize>, StoreError> {
    if counters.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(counters);
    let places = sqlx::query_scalar!(
        r#"update usage_counters c set sync_status = 'synced', last_synced_at = $5
           from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::numeric[])
                    with ordinality as u (org_id, feature, period_start, used, place)
           where c.org_id = u.org_id and c.feature = u.feature
             and c.period_start = u.period_start and c.used = u.used
             and c.sync_status <> 'synced'
           returning u.place as "place!""#,
        &columns.orgs,
        &columns.features as &[&str],
        &columns.starts,
        &columns.used,
        now
    );
    Ok(at_places(&places.fetch_all(connection).await?))
}

/// Sets orgs' counters pending again, whose usage is still to be settled.
pub async fn set_orgs_pending(
    connection: &mut PgConnection,
    counters: &[CounterKey<'_>],
) -> Result<(), StoreError> {
    if counters.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = counters.iter().map(|(org, ..)| *org).collect();
    let features: Vec<&str> = counters.iter().map(|(_, feature, _)| *feature).collect();
    let starts: Vec<Instant> = counters.iter().map(|(.., start)| *start).collect();
    sqlx::query!(
        "update usage_counters c set sync_status = 'pending'
         from unnest($1::uuid[], $2::text[], $3::timestamptz[])
                  as u (org_id, feature, period_start)
         where c.org_id = u.org_id and c.feature = u.feature
           and c.period_start = u.period_start and c.sync_status <> 'pending'",
        &orgs,
        &features as &[&str],
        &starts
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets users' counters synced that still hold what was read. Returns their places.
pub async fn set_users_synced(
    connection: &mut PgConnection,
    counters: &[&Pending],
    now: Instant,
) -> Result<Vec<usize>, StoreError> {
    if counters.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(counters);
    let places = sqlx::query_scalar!(
        r#"update feature_usage f set sync_status = 'synced', last_synced_at = $6
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::numeric[])
                    with ordinality as u (org_id, user_id, feature, period_start, used, place)
           where f.organization_id = u.org_id and f.user_id = u.user_id
             and f.feature = u.feature and f.period_start = u.period_start
             and f.usage_count = u.used and f.sync_status <> 'synced'
           returning u.place as "place!""#,
        &columns.orgs,
        &columns.users as &[Option<Uuid>],
        &columns.features as &[&str],
        &columns.starts,
        &columns.used,
        now
    );
    let places = places.fetch_all(connection).await?;
    Ok(at_places(&places))
}

/// Sets users' counters pending again, whose copies turned out to be written by somebody else.
pub async fn set_users_pending(
    connection: &mut PgConnection,
    counters: &[&Pending],
) -> Result<(), StoreError> {
    let columns = Columns::of(counters);
    sqlx::query!(
        "update feature_usage f set sync_status = 'pending'
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
                  as u (org_id, user_id, feature, period_start)
         where f.organization_id = u.org_id and f.user_id = u.user_id
           and f.feature = u.feature and f.period_start = u.period_start",
        &columns.orgs,
        &columns.users as &[Option<Uuid>],
        &columns.features as &[&str],
        &columns.starts
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn at_places(places: &[i64]) -> Vec<usize> {
    places.iter().filter_map(|place| usize::try_from(place - 1).ok()).collect()
}

/// Columns of counters for `unnest`.
struct Columns<'a> {
    orgs: Vec<Uuid>,
    users: Vec<Option<Uuid>>,
    features: Vec<&'a str>,
    starts: Vec<Instant>,
    used: Vec<Quantity>,
}

impl<'a> Columns<'a> {
    fn of(counters: &[&'a Pending]) -> Self {
        Self {
            orgs: counters.iter().map(|counter| counter.org).collect(),
            users: counters.iter().map(|counter| counter.user).collect(),
            features: counters.iter().map(|counter| counter.feature.as_str()).collect(),
            starts: counters.iter().map(|counter| counter.period_start).collect(),
            used: counters.iter().map(|counter| counter.used).collect(),
        }
    }
}

/// Has the copies of the open counters of orgs and features written again: what they depend on
/// besides usage has moved.
pub async fn mark(
    connection: &mut PgConnection,
    counters: &[(Uuid, &str)],
    now: Instant,
) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = counters.iter().map(|(org, _)| *org).collect();
    let features: Vec<&str> = counters.iter().map(|(_, feature)| *feature).collect();
    sqlx::query!(
        "insert into usage_counters as c (org_id, feature, period_start, period_end, updated_at)
         select o.id, u.feature, o.current_period_start, o.current_period_end, $3
         from (select distinct * from unnest($1::uuid[], $2::text[]) as u (org_id, feature)) u
         join organizations o on o.id = u.org_id
         where o.current_period_start < o.current_period_end
         order by 1, 3, 2
         on conflict (org_id, period_start, feature) do update set sync_status = 'pending'",
        &orgs,
        &features as &[&str],
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
