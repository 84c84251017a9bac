//! Statements of closed periods: what was used, who paid for it and what it cost. Everything is
//! read for many periods at once, by their keys, and ends at a bound that is said.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::reports::overview::Entry;

/// Rows of each kind that a statement has at most. One more is read, and refused by the reader.
pub const MOST: usize = 500;

/// Which periods are read: an org's by their starts, a place for each.
#[derive(Debug, Default, Clone)]
pub struct Keys {
    orgs: Vec<Uuid>,
    starts: Vec<Instant>,
}

impl Keys {
    /// One period.
    pub fn one(org: Uuid, start: Instant) -> Self {
        Self { orgs: vec![org], starts: vec![start] }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.orgs.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.orgs.is_empty()
    }

    /// Some of them.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Self> {
        let both = self.orgs.chunks(size).zip(self.starts.chunks(size));
        both.map(|(orgs, starts)| Self { orgs: orgs.to_vec(), starts: starts.to_vec() })
    }
}

impl FromIterator<(Uuid, Instant)> for Keys {
    fn from_iter<I: IntoIterator<Item = (Uuid, Instant)>>(keys: I) -> Self {
        let (orgs, starts) = keys.into_iter().unzip();
        Self { orgs, starts }
    }
}

/// Which closed periods statements are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Those of one org; `None`: everybody's.
    pub org: Option<Uuid>,
    /// Those that begin from here …
    pub from: Instant,
    /// … and before this.
    pub before: Instant,
    /// Those that were closed from here.
    pub closed_since: Instant,
}

/// The first periods of a scope, by their starts.
pub async fn keys(
    connection: &mut PgConnection,
    scope: Scope,
    limit: i64,
) -> Result<Keys, StoreError> {
    let Scope { org, from, before, closed_since } = scope;
    if let Some(org) = org {
        let keys = sqlx::query!(
            "select org_id, period_start from billing_periods
             where org_id = $1 and period_start >= $2 and period_start < $3 and closed_at >= $4
             order by period_start limit $5",
            org,
            from,
            before,
            closed_since,
            limit
        );
        let keys = keys.fetch_all(connection).await?;
        return Ok(keys.into_iter().map(|row| (row.org_id, row.period_start)).collect());
    }
    let keys = sqlx::query!(
        "select org_id, period_start from billing_periods
         where period_start >= $1 and period_start < $2 and closed_at >= $3
         order by period_start, org_id limit $4",
        from,
        before,
        closed_since,
        limit
    );
    let keys = keys.fetch_all(connection).await?;
    Ok(keys.into_iter().map(|row| (row.org_id, row.period_start)).collect())
}

/// A closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPeriod {
    /// Its place among the keys, from 1.
    pub place: i64,
    pub org: Uuid,
    pub slug: String,
    pub name: String,
    pub start: Instant,
    pub end: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The org's zone at the close, or the one that it has where that is unknown.
    pub time_zone: String,
    /// Business time of the close.
    pub closed_at: Instant,
    /// Currency of the prices that the close kept.
    pub currency: Option<String>,
    /// May some of its metrics have been removed since?
    pub is_thinned: bool,
}

/// The periods with these keys, as far as they are closed.
pub async fn periods(
    connection: &mut PgConnection,
    keys: &Keys,
) -> Result<Vec<ClosedPeriod>, StoreError> {
    let periods = sqlx::query_as!(
        ClosedPeriod,
        r#"select k.place as "place!", b.org_id as org, o.slug, o.name, b.period_start as start,
                  b.period_end as "end", b.tier, coalesce(b.time_zone, o.time_zone) as "time_zone!",
                  b.closed_at, b.currency,
                  exists (select from periodd_removed r
                          where r.org_id = b.org_id and r.before > b.period_start) as "is_thinned!"
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select * from billing_periods
               where org_id = k.org and period_start = k.start offset 0) b
           cross join lateral (
               select slug, name, time_zone from organizations where id = k.org offset 0) o
           order by k.place"#,
        &keys.orgs,
        &keys.starts
    );
    Ok(periods.fetch_all(connection).await?)
}

/// What was used of a feature, and how that was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The place of its period.
    pub place: i64,
    pub feature: String,
    /// What one unit is called.
    pub unit: String,
    pub used: Quantity,
    /// `None` is unlimited.
    pub included: Option<Quantity>,
    pub drawn: Quantity,
    pub uncovered: Quantity,
    /// Hundredths of the currency for an uncovered unit.
    pub price: Option<Quantity>,
}

/// Usage of closed periods, by feature.
pub async fn usage(
    connection: &mut PgConnection,
    keys: &Keys,
) -> Result<Vec<UsageRow>, StoreError> {
    let rows = sqlx::query_as!(
        UsageRow,
        r#"select k.place as "place!", u.feature as "feature!",
                  coalesce(f.unit, 'units') as "unit!", u.used as "used!: Quantity",
                  u.included as "included: Quantity",
                  u.drawn as "drawn!: Quantity", u.uncovered as "uncovered!: Quantity",
                  u.price as "price: Quantity"
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select u.* from billing_periods b
               cross join lateral unnest(
                   b.features, b.used_each, b.included_each, b.drawn_each, b.uncovered_each,
                   coalesce(b.uncovered_prices, '{}'))
                   as u (feature, used, included, drawn, uncovered, price)
               where b.org_id = k.org and b.period_start = k.start
               order by u.feature limit $3) u
           left join features f on f.feature = u.feature
           order by k.place, u.feature"#,
        &keys.orgs,
        &keys.starts,
        one_more()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Late usage of a closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// The place of its period.
    pub place: i64,
    pub feature: String,
    /// late, or `set_aside`.
    pub kind: String,
    pub used: Quantity,
    pub drawn: Quantity,
    pub uncovered: Quantity,
    /// Hundredths of the currency for an uncovered unit, as it was when this was written.
    pub price: Option<Quantity>,
    pub currency: Option<String>,
    pub reason: Option<String>,
    pub decided_at: Instant,
}

/// The adjustments of closed periods, by feature, the first decided first.
pub async fn adjustments(
    connection: &mut PgConnection,
    keys: &Keys,
) -> Result<Vec<Adjustment>, StoreError> {
    let rows = sqlx::query_as!(
        Adjustment,
        r#"select k.place as "place!", a.feature, a.kind, a.used, a.drawn, a.uncovered,
                  b.uncovered_price_cents as "price: Quantity", b.currency as "currency?",
                  a.reason, a.decided_at
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select * from billing_adjustments
               where org_id = k.org and period_start = k.start
               order by feature, seq limit $3) a
           cross join lateral (
               select * from periodd_adjusted_price(
                                 a.org_id, a.period_start, a.feature, a.seq) offset 0) b
           order by k.place, a.feature, a.seq"#,
        &keys.orgs,
        &keys.starts,
        one_more()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A pack that was bought within a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    /// The place of the period.
    pub place: i64,
    pub pack: Uuid,
    pub reference: Option<String>,
    pub feature: String,
    pub quantity: Quantity,
    /// What it was sold for, in hundredths of the currency.
    pub price_cents: Option<i64>,
    pub currency: Option<String>,
    pub purchased_at: Instant,
}

/// The packs that were bought within closed periods, the first first: those that came from another
/// org are that org's purchases.
pub async fn bought(connection: &mut PgConnection, keys: &Keys) -> Result<Vec<Bought>, StoreError> {
    let rows = sqlx::query_as!(
        Bought,
        r#"select k.place as "place!", p.id as pack, p.reference, p.feature, p.quantity,
                  p.price_cents, p.currency, p.purchased_at
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select period_end as "end" from billing_periods
               where org_id = k.org and period_start = k.start offset 0) b
           cross join lateral (
               select * from overage_packs q
               where q.org_id = k.org and q.purchased_at >= k.start and q.purchased_at < b.end
                 and not exists (select from periodd_moved_packs m
                                 where m.org_id = q.org_id and m.pack_id = q.id)
               order by purchased_at, id limit $3) p
           order by k.place, p.purchased_at, p.id"#,
        &keys.orgs,
        &keys.starts,
        one_more()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A refund of a pack within a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The place of the period.
    pub place: i64,
    pub pack: Uuid,
    pub reference: Option<String>,
    pub feature: String,
    pub quantity: Quantity,
    /// What had been refunded of the pack before, and its quantity when it was sold, whichever org
    /// bought it.
    pub before: Quantity,
    pub sold: Quantity,
    /// What that was sold for, in hundredths of the currency.
    pub price_cents: Option<i64>,
    pub currency: Option<String>,
    pub refunded_at: Instant,
}

/// The refunds of packs within closed periods, the first first. What a pack was sold for is known
/// of the org that bought it, from which it may have moved.
pub async fn refunds(
    connection: &mut PgConnection,
    keys: &Keys,
) -> Result<Vec<Refund>, StoreError> {
    let rows = sqlx::query_as!(
        Refund,
        r#"select k.place as "place!", e.pack_id as pack, p.reference, p.feature, e.quantity,
                  x.before as "before!: Quantity", s.quantity as "sold!: Quantity", s.price_cents,
                  s.currency, e.at as refunded_at
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select period_end as "end" from billing_periods
               where org_id = k.org and period_start = k.start offset 0) b
           cross join lateral (
               select * from overage_entries
               where org_id = k.org and kind = 'refunded' and at >= k.start and at < b.end
               order by at, pack_id, seq limit $3) e
           cross join lateral (
               select * from overage_packs
               where org_id = k.org and id = e.pack_id offset 0) p
           cross join lateral (
               select coalesce(sum(quantity), 0) as before from overage_entries
               where org_id = k.org and pack_id = e.pack_id and kind = 'refunded'
                 and seq < e.seq offset 0) x
           cross join lateral (
               with recursive sold as (
                   select p.org_id, p.id, p.quantity, p.price_cents, p.currency, 0 as step
                   union all
                   select q.org_id, q.id, q.quantity, q.price_cents, q.currency, w.step + 1
                   from sold w
                   cross join lateral (
                       select from_org, from_pack from periodd_moved_packs
                       where org_id = w.org_id and pack_id = w.id
                       order by recorded_at limit 1) m
                   cross join lateral (
                       select * from overage_packs
                       where org_id = m.from_org and id = m.from_pack offset 0) q
                   where w.step < $4)
               select * from sold order by step desc limit 1) s
           order by k.place, e.at, e.pack_id, e.seq"#,
        &keys.orgs,
        &keys.starts,
        one_more(),
        MOST_MOVES
    );
    Ok(rows.fetch_all(connection).await?)
}

/// How often a pack may have moved before nobody looks for its price any more.
const MOST_MOVES: i32 = 100;

/// What a pack paid for a period, over all its draws and what was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The place of the period.
    pub place: i64,
    pub pack: Uuid,
    pub reference: Option<String>,
    pub feature: String,
    pub quantity: Quantity,
    /// What the pack held after the last of them.
    pub remaining: Quantity,
}

/// What packs paid for closed periods, in the order in which they were drawn first.
pub async fn paid(connection: &mut PgConnection, keys: &Keys) -> Result<Vec<Paid>, StoreError> {
    let rows = sqlx::query_as!(
        Paid,
        r#"select k.place as "place!", e.pack_id as pack, p.reference, p.feature,
                  e.quantity as "quantity!: Quantity", e.remaining as "remaining!: Quantity"
           from unnest($1::uuid[], $2::timestamptz[]) with ordinality as k (org, start, place)
           cross join lateral (
               select pack_id, sum(quantity) as quantity, min(at) as at,
                      (array_agg(remaining order by seq desc))[1] as remaining
               from overage_entries
               where org_id = k.org and period_start = k.start and kind = 'drawn'
               group by pack_id order by min(at), pack_id limit $3) e
           cross join lateral (
               select reference, feature from overage_packs
               where org_id = k.org and id = e.pack_id offset 0) p
           order by k.place, e.at, e.pack_id"#,
        &keys.orgs,
        &keys.starts,
        one_more()
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Entries of the ledger that concern a closed period, oldest first: draws for it, and what was
/// granted, expired or refunded within it.
pub async fn entries(
    connection: &mut PgConnection,
    period: &ClosedPeriod,
) -> Result<Vec<Entry>, StoreError> {
    let entries = sqlx::query_as!(
        Entry,
        r#"select e.pack_id as pack, p.reference, p.feature, e.kind, e.quantity, e.remaining, e.at,
                  e.period_start
           from overage_entries e
           join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
           where e.org_id = $1
             and (e.period_start = $2 or e.period_start is null and e.at >= $2 and e.at < $3)
           order by e.at, e.pack_id, e.seq limit $4"#,
        period.org,
        period.start,
        period.end,
        most()
    );
    Ok(entries.fetch_all(connection).await?)
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}

/// One more, by which a reader knows that there are too many.
fn one_more() -> i64 {
    most().saturating_add(1)
}
