//! Features, tiers and packs on sale: as the tables say, and as the configuration wants them.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::billing::catalogue::{Catalogue, Deed, Feature, Kind, Offer, Step, Tier};
use crate::billing::quota::Included;
use crate::billing::quota::level::FeatureKind;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// What the tables say.
pub async fn read(connection: &mut PgConnection) -> Result<Catalogue, StoreError> {
    let features = sqlx::query!("select feature, unit, kind from features order by feature");
    let features = features.fetch_all(&mut *connection).await?;
    let tiers = sqlx::query!(
        r#"select code, coalesce(name, code) as "name!", monthly_price_cents, currency
           from subscription_tiers"#
    );
    let mut tiers: BTreeMap<String, Tier> = tiers
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .map(|row| {
            let tier = Tier {
                name: row.name,
                price_cents: row.monthly_price_cents,
                currency: row.currency,
                limits: BTreeMap::new(),
                prices: BTreeMap::new(),
            };
            (row.code, tier)
        })
        .collect();
    let limits = sqlx::query!(
        r#"select tier, feature, included as "included: Quantity",
                  uncovered_price_cents as "price: Quantity"
           from tier_limits"#
    );
    for row in limits.fetch_all(&mut *connection).await? {
        if let Some(tier) = tiers.get_mut(&row.tier) {
            if let Some(price) = row.price {
                tier.prices.insert(row.feature.clone(), price);
            }
            tier.limits.insert(row.feature, Included::from(row.included));
        }
    }
    let offers = sqlx::query!(
        r#"select code, feature, quantity as "quantity: Quantity", price_cents, currency
           from pack_offers"#
    );
    let offers = offers.fetch_all(connection).await?.into_iter().map(|row| {
        let (feature, quantity) = (row.feature, row.quantity);
        (
            row.code,
            Offer { feature, quantity, price_cents: row.price_cents, currency: row.currency },
        )
    });
    Ok(Catalogue {
        features: features
            .into_iter()
            .map(|row| {
                let kind = Some(FeatureKind::named(&row.kind));
                (row.feature, Feature { unit: Some(row.unit), kind })
            })
            .collect(),
        tiers,
        offers: offers.collect(),
    })
}

/// Those of these tiers that an org is on, or goes to.
pub async fn in_use(
    connection: &mut PgConnection,
    tiers: &[String],
) -> Result<Vec<String>, StoreError> {
    let used = sqlx::query_scalar!(
        r#"select t.code as "code!" from unnest($1::text[]) as t (code)
           where exists (select from organizations o where o.subscription_tier = t.code)
              or exists (select from organizations o where o.next_subscription_tier = t.code)"#,
        tiers
    );
    Ok(used.fetch_all(connection).await?)
}

/// An org that has used more of a feature in its open period than it may.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Over {
    /// The org, by its slug.
    pub org: String,
    /// Its tier.
    pub tier: String,
    /// The feature.
    pub feature: String,
    /// What it has used.
    pub used: Quantity,
    /// What it may use.
    pub allowance: Quantity,
}

/// The orgs on some tiers that are over a limit at an instant, by slug.
pub async fn over(
    connection: &mut PgConnection,
    tiers: &[String],
    now: Instant,
) -> Result<Vec<Over>, StoreError> {
    let over = sqlx::query_as!(
        Over,
        r#"select o.slug as org, o.subscription_tier as tier, c.feature, c.used,
                  a.allowance as "allowance!"
           from organizations o
           join usage_counters c
                on c.org_id = o.id and c.period_start <= $2 and c.period_end > $2 and c.used > 0
           cross join lateral periodd_limit(o.id, c.feature, $2) a
           where o.subscription_tier = any($1) and a.period_start = c.period_start
             and c.used > a.allowance
           order by o.slug, c.feature"#,
        tiers,
        now
    );
    Ok(over.fetch_all(connection).await?)
}

/// Brings the tables to what the configuration wants, within a transaction: what is wanted is
/// written, and what the steps remove is removed.
///
/// # Errors
/// [`StoreError::Unprocessable`] when an org has come to use what was to be removed.
pub async fn apply(
    connection: &mut PgConnection,
    wanted: &Catalogue,
    steps: &[Step],
) -> Result<(), StoreError> {
    let removed = |kind| {
        let steps = steps.iter().filter(move |s| s.kind == kind && s.deed == Deed::Remove);
        steps.map(|step| step.name.clone()).collect::<Vec<_>>()
    };
    let stored = read(connection).await?;
    write_features(connection, wanted).await?;
    write_tiers(connection, wanted, &stored, &removed(Kind::Price)).await?;
    write_offers(connection, wanted).await?;
    sqlx::query!(
        "delete from tier_limits l
         where l.tier || ' ' || l.feature = any($1) or l.tier = any($2)",
        &removed(Kind::Limit),
        &removed(Kind::Tier)
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from subscription_tiers where code = any($1)", &removed(Kind::Tier))
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from pack_offers where code = any($1)", &removed(Kind::Offer))
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_features(
    connection: &mut PgConnection,
    wanted: &Catalogue,
) -> Result<(), StoreError> {
    let names: Vec<String> = wanted.features.keys().cloned().collect();
    let units: Vec<Option<String>> =
        wanted.features.values().map(|feature| feature.unit.clone()).collect();
    let kinds: Vec<Option<&str>> =
        wanted.features.values().map(|feature| feature.kind.map(FeatureKind::name)).collect();
    sqlx::query!(
        "insert into features as f (feature, unit, kind)
         select w.feature, coalesce(w.unit, k.unit, 'units'), coalesce(w.kind, k.kind, 'metered')
         from unnest($1::text[], $2::text[], $3::text[]) as w (feature, unit, kind)
         left join features k on k.feature = w.feature
         on conflict (feature) do update set unit = excluded.unit, kind = excluded.kind
             where (f.unit, f.kind) <> (excluded.unit, excluded.kind)",
        &names,
        &units as &[Option<String>],
        &kinds as &[Option<&str>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes tiers and limits. A price that the configuration does not name is kept as it is stored,
/// unless it is to be removed.
async fn write_tiers(
    connection: &mut PgConnection,
    wanted: &Catalogue,
    stored: &Catalogue,
    removed_prices: &[String],
) -> Result<(), StoreError> {
    let codes: Vec<String> = wanted.tiers.keys().cloned().collect();
    let names: Vec<String> = wanted.tiers.values().map(|tier| tier.name.clone()).collect();
    let prices: Vec<i64> = wanted.tiers.values().map(|tier| tier.price_cents).collect();
    let currencies: Vec<String> = wanted.tiers.values().map(|tier| tier.currency.clone()).collect();
    sqlx::query!(
        "insert into subscription_tiers (code, name, monthly_price_cents, currency)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
         on conflict (code) do update
             set name = excluded.name, monthly_price_cents = excluded.monthly_price_cents,
                 currency = excluded.currency",
        &codes,
        &names,
        &prices,
        &currencies
    )
    .execute(&mut *connection)
    .await?;
    let limits = wanted.tiers.iter().flat_map(|(code, tier)| {
        let limits = tier.limits.iter();
        limits.map(move |(feature, included)| {
            let kept = || {
                let price = stored.tiers.get(code)?.prices.get(feature)?;
                let is_removed = removed_prices.contains(&format!("{code} {feature}"));
                (!is_removed).then_some(*price)
            };
            let price = tier.prices.get(feature).copied().or_else(kept);
            (code.clone(), feature.clone(), included.column(), price)
        })
    });
    let (mut tiers, mut features) = (Vec::<String>::new(), Vec::<String>::new());
    let (mut included, mut prices) = (Vec::<Option<Quantity>>::new(), Vec::new());
    for (code, feature, quantity, price) in limits {
        tiers.push(code);
        features.push(feature);
        included.push(quantity);
        prices.push(price);
    }
    sqlx::query!(
        "insert into tier_limits (tier, feature, included, uncovered_price_cents)
         select * from unnest($1::text[], $2::text[], $3::numeric[], $4::numeric[])
         on conflict (tier, feature) do update
             set included = excluded.included,
                 uncovered_price_cents = excluded.uncovered_price_cents",
        &tiers,
        &features,
        &included as &[Option<Quantity>],
        &prices as &[Option<Quantity>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_offers(connection: &mut PgConnection, wanted: &Catalogue) -> Result<(), StoreError> {
    let offers = &wanted.offers;
    let codes: Vec<String> = offers.keys().cloned().collect();
    let features: Vec<String> = offers.values().map(|offer| offer.feature.clone()).collect();
    let quantities: Vec<Quantity> = offers.values().map(|offer| offer.quantity).collect();
    let prices: Vec<i64> = offers.values().map(|offer| offer.price_cents).collect();
    let currencies: Vec<String> = offers.values().map(|offer| offer.currency.clone()).collect();
    sqlx::query!(
        "insert into pack_offers (code, feature, quantity, price_cents, currency)
         select * from unnest($1::text[], $2::text[], $3::numeric[], $4::bigint[], $5::text[])
         on conflict (code) do update
             set feature = excluded.feature, quantity = excluded.quantity,
                 price_cents = excluded.price_cents, currency = excluded.currency",
        &codes,
        &features,
        &quantities,
        &prices,
        &currencies
    )
    .execute(connection)
    .await?;
    Ok(())
}
