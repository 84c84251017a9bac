//! What the letters of emails are composed of: facts of alerts, usage by day, offers.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::offers::Offer;
use crate::billing::{Instant, Period, Quantity};
use crate::store::db::error::StoreError;

/// The facts of an email that is to be composed.
#[derive(Debug, Clone)]
pub struct Facts {
    pub org: Uuid,
    pub id: Uuid,
    pub slug: String,
    /// The org's name for people.
    pub name: String,
    /// tz database name, as stored.
    pub time_zone: String,
    /// Language and region, as stored.
    pub locale: Option<String>,
    /// The currency of the org's tier.
    pub currency: String,
    pub feature: String,
    /// What one unit of it is called.
    pub unit: Option<String>,
    /// Does it not reset?
    pub is_level: bool,
    pub period: Period,
    /// Has that period been closed already?
    pub is_closed: bool,
    /// The percentage.
    pub threshold: i16,
    /// Was it crossed because the limit fell?
    pub limit_change: bool,
    pub basis: String,
    pub used: Quantity,
    pub included: Option<Quantity>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    pub purchased: Quantity,
}

struct Row {
    org_id: Uuid,
    id: Uuid,
    slug: String,
    name: String,
    time_zone: String,
    locale: Option<String>,
    currency: String,
    feature: String,
    unit: Option<String>,
    is_level: bool,
    period_start: Instant,
    period_end: Instant,
    is_closed: bool,
    threshold: i16,
    limit_change: bool,
    basis: String,
    used: Quantity,
    included: Option<Quantity>,
    drawn: Quantity,
    purchased: Quantity,
}

impl From<Row> for Facts {
    fn from(row: Row) -> Self {
        Self {
            org: row.org_id,
            id: row.id,
            slug: row.slug,
            name: row.name,
            time_zone: row.time_zone,
            locale: row.locale,
            currency: row.currency,
            feature: row.feature,
            unit: row.unit,
            is_level: row.is_level,
            period: Period { start: row.period_start, end: row.period_end },
            is_closed: row.is_closed,
            threshold: row.threshold,
            limit_change: row.limit_change,
            basis: row.basis,
            used: row.used,
            included: row.included,
            drawn: row.drawn,
            purchased: row.purchased,
        }
    }
}

/// The facts of emails, as they were when their alerts were decided.
pub async fn facts(
    connection: &mut PgConnection,
    emails: &[(Uuid, Uuid)],
) -> Result<Vec<Facts>, StoreError> {
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = emails.iter().copied().unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select m.org_id, m.id, o.slug, o.name, o.time_zone, o.locale, t.currency, m.feature,
                  f.unit as "unit?", coalesce(f.kind = 'level', false) as "is_level!",
                  m.period_start, m.period_end,
                  exists (select from billing_periods b
                          where b.org_id = m.org_id and b.period_start = m.period_start)
                      as "is_closed!",
                  a.threshold, a.limit_change, a.basis, a.used, a.included, a.drawn, a.purchased
           from unnest($1::uuid[], $2::uuid[]) as asked (org_id, id)
           join periodd_outbox m on m.org_id = asked.org_id and m.id = asked.id
           join periodd_alerts a on a.org_id = m.org_id and a.period_start = m.period_start
                and a.feature = m.feature and a.generation = m.generation
                and a.threshold = m.threshold
           join organizations o on o.id = m.org_id
           join subscription_tiers t on t.code = o.subscription_tier
           left join features f on f.feature = m.feature"#,
        &orgs,
        &ids
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Facts::from).collect())
}

/// The facts of an email about a notice.
#[derive(Debug, Clone)]
pub struct NoticeFacts {
    pub org: Uuid,
    pub id: Uuid,
    pub slug: String,
    /// The org's name for people.
    pub name: String,
    /// tz database name, as stored.
    pub time_zone: String,
    /// Language and region, as stored.
    pub locale: Option<String>,
    /// What is said, as JSON.
    pub facts: String,
    /// Start of the last period that was closed.
    pub closed_start: Option<Instant>,
    /// When the billing cycle was restarted, until that is closed.
    pub restarted_at: Option<Instant>,
    /// Since when the org has been set aside.
    pub parked_at: Option<Instant>,
}

/// The facts of emails about notices, as they were when these were decided, and how the orgs stand
/// now.
pub async fn notices(
    connection: &mut PgConnection,
    emails: &[(Uuid, Uuid)],
) -> Result<Vec<NoticeFacts>, StoreError> {
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = emails.iter().copied().unzip();
    let rows = sqlx::query_as!(
        NoticeFacts,
        r#"select m.org_id as org, m.id, o.slug, o.name, o.time_zone, o.locale,
                  n.facts as "facts!",
                  (select max(b.period_start) from billing_periods b where b.org_id = m.org_id)
                      as closed_start,
                  o.restarted_at, o.parked_at
           from unnest($1::uuid[], $2::uuid[]) as asked (org_id, id)
           join periodd_outbox m on m.org_id = asked.org_id and m.id = asked.id
           join periodd_notices n on n.org_id = m.org_id and n.id = m.notice
           join organizations o on o.id = m.org_id
           where n.facts is not null"#,
        &orgs,
        &ids
    );
    Ok(rows.fetch_all(connection).await?)
}

/// What one unit of each feature is called.
pub async fn units(connection: &mut PgConnection) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sqlx::query!("select feature, unit from features order by feature");
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.feature, row.unit)).collect())
}

/// What the letters of one org share.
#[derive(Debug, Clone)]
pub struct About {
    pub slug: String,
    /// The org's name for people.
    pub name: String,
    /// tz database name, as stored.
    pub time_zone: String,
    /// Language and region, as stored.
    pub locale: Option<String>,
    /// The currency of the org's tier.
    pub currency: String,
    /// What one unit of the feature is called.
    pub unit: Option<String>,
    /// Does the feature not reset?
    pub is_level: bool,
    /// Start of the open period.
    pub period_start: Option<Instant>,
    /// End of the open period.
    pub period_end: Option<Instant>,
    /// Thresholds of the org's own.
    pub thresholds: Option<Vec<i16>>,
    /// A basis of the org's own: `allowance` or `included`.
    pub basis: Option<String>,
}

/// What the letters of one org about a feature share.
pub async fn about(
    connection: &mut PgConnection,
    org: Uuid,
    feature: &str,
) -> Result<About, StoreError> {
    let about = sqlx::query_as!(
        About,
        r#"select o.slug, o.name, o.time_zone, o.locale, t.currency,
                  (select f.unit from features f where f.feature = $2),
                  exists (select 1 from features f where f.feature = $2 and f.kind = 'level')
                      as "is_level!",
                  o.current_period_start as period_start, o.current_period_end as period_end,
                  coalesce(s.thresholds, a.thresholds) as thresholds,
                  coalesce(s.basis, a.basis) as basis
           from organizations o
           join subscription_tiers t on t.code = o.subscription_tier
           left join org_alert_settings s on s.org_id = o.id and s.feature = $2
           left join org_alert_settings a on a.org_id = o.id and a.feature = '*'
           where o.id = $1"#,
        org,
        feature
    );
    Ok(about.fetch_one(connection).await?)
}

/// Days whose usage is asked for: where they begin and where the last one ends, rising.
#[derive(Debug, Clone)]
pub struct Days<'a> {
    pub org: Uuid,
    pub feature: &'a str,
    /// One more than there are days.
    pub boundaries: &'a [Instant],
}

/// What was used of a feature on each of some days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Per day.
    pub days: Vec<Quantity>,
    /// Was anything used in a period that ended before the first of them?
    pub is_older: bool,
}

/// Sums usage by day, in one walk over the metrics of each org; nothing of levels, which have no
/// pace. The days are the caller's: here
/// metrics are only sorted in between the instants that are given.
pub async fn used_by_day(
    connection: &mut PgConnection,
    asked: &[Days<'_>],
) -> Result<Vec<Used>, StoreError> {
    let orgs: Vec<Uuid> = asked.iter().map(|one| one.org).collect();
    let features: Vec<&str> = asked.iter().map(|one| one.feature).collect();
    let mut boundaries: Vec<Instant> = Vec::new();
    let (mut from, mut upto) = (Vec::new(), Vec::new());
    let place = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    for one in asked {
        from.push(place(boundaries.len() + 1));
        boundaries.extend(one.boundaries);
        upto.push(place(boundaries.len()));
    }
    let rows = sqlx::query!(
        r#"with asked as materialized (
               select a.place, a.org_id, a.feature,
                      ($5::timestamptz[])[a.first : a.last] as days
               from unnest($1::uuid[], $2::text[], $3::int[], $4::int[])
                        with ordinality as a (org_id, feature, first, last, place))
           select a.place as "place!",
                  exists (select from usage_counters c
                          where c.org_id = a.org_id and c.feature = a.feature
                            and c.period_end <= a.days[1] and c.used > 0)
                  and not exists (select from features f
                                  where f.feature = a.feature and f.kind = 'level')
                      as "is_older!",
                  d.day as "day?", d.used as "used?"
           from asked a
           left join lateral (
               select width_bucket(m.created_at, a.days) as day, sum(m.metric_value) as used
               from usage_metrics m
               where m.organization_id = a.org_id
                 and m.created_at >= a.days[1] and m.created_at < a.days[cardinality(a.days)]
                 and periodd_folded(m.metric_type) = a.feature
                 and not exists (select from features f
                                 where f.feature = a.feature and f.kind = 'level')
               group by 1) d on true"#,
        &orgs,
        &features as &[&str],
        &from,
        &upto,
        &boundaries
    );
    let days = |one: &Days<'_>| vec![Quantity::ZERO; one.boundaries.len().saturating_sub(1)];
    let mut used: Vec<Used> =
        asked.iter().map(|one| Used { days: days(one), is_older: false }).collect();
    for row in rows.fetch_all(connection).await? {
        let Some(one) = usize::try_from(row.place - 1).ok().and_then(|place| used.get_mut(place))
        else {
            continue;
        };
        one.is_older |= row.is_older;
        let day = row.day.and_then(|day| usize::try_from(day - 1).ok());
        if let (Some(slot), Some(sum)) = (day.and_then(|day| one.days.get_mut(day)), row.used) {
            *slot = sum;
        }
    }
    Ok(used)
}

/// What is on sale, with the feature that each pack pays for. An offer of a quantity that no
/// program counts with is not on sale: emails go without it.
pub async fn offers(connection: &mut PgConnection) -> Result<Vec<(String, Offer)>, StoreError> {
    let rows = sqlx::query!(
        "select feature, code, quantity, price_cents, currency from pack_offers
         where abs(quantity) < 1e22 and quantity = round(quantity, 6) order by code"
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let (quantity, price_cents) = (row.quantity, row.price_cents);
        (row.feature, Offer { code: row.code, quantity, price_cents, currency: row.currency })
    });
    Ok(rows.collect())
}
