//! What no index bounds, read of a sample: the first orgs by their ids, which are random. Where
//! there are no more orgs than that, it is everything.

use sqlx::PgConnection;
use uuid::Uuid;

use super::overview::MOST;
use crate::billing::quota::level::CARRIED_KEY;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// What was used of a feature on a day.
#[derive(Debug, Clone)]
pub struct OnDay {
    pub feature: String,
    /// Which of the days.
    pub day: usize,
    pub used: Quantity,
}

/// Usage by day, whether counted or not, of the first [`MOST`] orgs. Days are the caller's: where
/// each begins, and where the last one ends.
pub async fn by_day(
    connection: &mut PgConnection,
    days: &[Instant],
) -> Result<Vec<OnDay>, StoreError> {
    let rows = sqlx::query!(
        r#"select periodd_folded(m.metric_type) as "feature!",
                  width_bucket(m.created_at, $1::timestamptz[]) as "day!",
                  sum(m.metric_value) as "used!"
           from (select id from organizations order by id limit $2) as s
           cross join lateral (
               select u.metric_type, u.metric_value, u.created_at
               from usage_metrics u
               where u.organization_id = s.id
                 and u.created_at >= ($1::timestamptz[])[1]
                 and u.created_at < ($1::timestamptz[])[cardinality($1::timestamptz[])]
                 and (u.idempotency_key is null or not starts_with(u.idempotency_key, $3))
               offset 0) as m
           group by 1, 2 having abs(sum(m.metric_value)) < 1e22"#,
        days as &[Instant],
        MOST,
        CARRIED_KEY
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| OnDay {
        feature: row.feature,
        day: usize::try_from(row.day - 1).unwrap_or_default(),
        used: row.used,
    });
    Ok(rows.collect())
}

/// What became of packs of a feature.
#[derive(Debug, Clone)]
pub struct Packs {
    pub feature: String,
    pub sold: Quantity,
    pub drawn: Quantity,
    /// What expired unused.
    pub expired: Quantity,
    pub refunded: Quantity,
    /// What packs still hold.
    pub held: Quantity,
}

/// What was sold, drawn, expired and refunded since an instant, in business time, and what is still
/// held, of the first [`MOST`] orgs.
pub async fn packs(
    connection: &mut PgConnection,
    since: Instant,
) -> Result<Vec<Packs>, StoreError> {
    let rows = sqlx::query_as!(
        Packs,
        r#"select p.feature as "feature!",
                  coalesce(sum(e.sold), 0) as "sold!", coalesce(sum(e.drawn), 0) as "drawn!",
                  coalesce(sum(e.expired), 0) as "expired!",
                  coalesce(sum(e.refunded), 0) as "refunded!", sum(p.held) as "held!"
           from (select id from organizations order by id limit $2) as s
           cross join lateral (
               select k.org_id, k.id, k.feature, coalesce(k.remaining, k.quantity) as held,
                      exists (select from periodd_moved_packs m
                              where m.org_id = k.org_id and m.pack_id = k.id) as has_moved
               from overage_packs k where k.org_id = s.id offset 0) as p
           left join lateral (
               select sum(l.quantity) filter (where l.kind = 'granted' and not p.has_moved) as sold,
                      sum(l.quantity) filter (where l.kind = 'drawn') as drawn,
                      sum(l.quantity) filter (where l.kind = 'expired') as expired,
                      sum(l.quantity) filter (where l.kind = 'refunded') as refunded
               from overage_entries l
               where l.org_id = p.org_id and l.pack_id = p.id and l.at >= $1) as e on true
           group by p.feature
           having abs(sum(p.held)) < 1e22
              and abs(coalesce(sum(abs(e.sold) + abs(e.drawn) + abs(e.expired)), 0)) < 1e22
           order by p.feature"#,
        since,
        MOST
    );
    Ok(rows.fetch_all(connection).await?)
}

/// An org that is named on a page.
#[derive(Debug, Clone)]
pub struct Named {
    pub id: Uuid,
    pub slug: String,
    /// The currency of its tier.
    pub currency: String,
}

/// The names of some orgs; of those that are gone, none.
pub async fn named(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<Vec<Named>, StoreError> {
    let rows = sqlx::query_as!(
        Named,
        "select o.id, o.slug, t.currency
         from organizations o join subscription_tiers t on t.code = o.subscription_tier
         where o.id = any($1)",
        orgs
    );
    Ok(rows.fetch_all(connection).await?)
}
