//! Limits of several orgs at once, for whoever asks by name.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::offers::Offer;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::{Attempts, StoreError};
use crate::store::usage::limits::{Limit, WhyNot};

/// What is asked: about one feature of an org, or all that it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The org, by its slug or id.
    pub org: String,
    pub feature: Option<String>,
}

/// What is answered. The org is as it was at the same instant.
#[derive(Debug, Clone)]
pub struct Standing {
    pub org: Uuid,
    pub slug: String,
    pub time_zone: String,
    pub tier: String,
    pub subscription_status: Option<String>,
    /// When it was read.
    pub as_of: Instant,
    /// Is there a feature of the name that was asked for?
    pub is_known_feature: bool,
    /// By feature; of a feature that was asked for, it alone.
    pub limits: Vec<Limit>,
}

/// Answers all questions in one statement, as of now; `None` for an org that is not there.
pub async fn standings(
    connection: &mut PgConnection,
    questions: &[Question],
) -> Result<Vec<Option<Standing>>, StoreError> {
    let named: Vec<&str> = questions.iter().map(|question| question.org.as_str()).collect();
    let ids: Vec<Option<Uuid>> = named.iter().map(|named| Uuid::try_parse(named).ok()).collect();
    let features: Vec<Option<&str>> = questions.iter().map(|q| q.feature.as_deref()).collect();
    let rows = sqlx::query!(
        r#"select q.place as "place!", o.id as "org!", o.slug as "slug!",
                  o.time_zone as "time_zone!", o.subscription_tier as "tier!",
                  o.subscription_status, now() as "as_of!",
                  (q.feature is null or exists (
                      select from features f where f.feature = periodd_folded(q.feature)))
                      as "is_known_feature!",
                  a.feature as "feature?",
                  exists (select from features f where f.feature = a.feature and f.kind = 'level')
                      as "is_level!",
                  a.used as "used?", a.included,
                  a.is_granted as "is_granted?", a.drawn as "drawn?", a.usable as "usable?",
                  a.owed as "owed?", a.purchased_remaining as "purchased_remaining?",
                  a.allowance as effective_limit, a.remaining, a.percent,
                  a.why_not as "why_not: WhyNot", a.period_start, a.period_end
           from unnest($1::text[], $2::uuid[], $3::text[]) with ordinality
                as q (named, id, feature, place)
           cross join lateral periodd_named(q.named, q.id) n
           -- By its key, also where reading a small table as a whole seems cheaper.
           cross join lateral (select s.* from organizations s
                               where s.id = n.id and s.removed_at is null offset 0) o
           left join lateral (
               -- One feature: a join, for many orgs at once.
               select l.* from periodd_limit_used(o.id, periodd_folded(q.feature), now()) l
               where q.feature is not null
               union all
               -- All that the org has: a call of the function.
               select l.feature, l.period_start, l.period_end, l.used, l.included, l.is_granted,
                      l.drawn, l.usable, l.owed, l.allowance, l.remaining,
                      l.purchased_remaining, l.percent, l.why_not
               from periodd_allowances(o.id, now()) l
               where q.feature is null) a on true
           order by q.place, a.feature"#,
        &named as &[&str],
        &ids as &[Option<Uuid>],
        &features as &[Option<&str>]
    );
    let mut standings: Vec<Option<Standing>> = vec![None; questions.len()];
    for row in rows.fetch_all(connection).await? {
        let place = usize::try_from(row.place - 1).unwrap_or(usize::MAX);
        let Some(standing) = standings.get_mut(place) else { continue };
        let standing = standing.get_or_insert_with(|| Standing {
            org: row.org,
            slug: row.slug,
            time_zone: row.time_zone,
            tier: row.tier,
            subscription_status: row.subscription_status,
            as_of: row.as_of,
            is_known_feature: row.is_known_feature,
            limits: Vec::new(),
        });
        let Some(feature) = row.feature else { continue };
        standing.limits.push(Limit {
            feature,
            is_level: row.is_level,
            used: row.used.unwrap_or_default(),
            included: row.included,
            is_granted: row.is_granted.unwrap_or_default(),
            drawn: row.drawn.unwrap_or_default(),
            usable: row.usable.unwrap_or_default(),
            owed: row.owed.unwrap_or_default(),
            purchased_remaining: row.purchased_remaining.unwrap_or_default(),
            effective_limit: row.effective_limit,
            remaining: row.remaining,
            percent: row.percent,
            why_not: row.why_not,
            period_start: row.period_start,
            period_end: row.period_end,
        });
    }
    Ok(standings)
}

/// What became of a use.
#[derive(Debug, Clone)]
pub struct Used {
    /// Whose allowance it was.
    pub org: Uuid,
    pub allowed: bool,
    pub new_usage: Quantity,
    /// `None`: unlimited.
    pub effective_limit: Option<Quantity>,
    pub plan: Option<String>,
    pub subscription_status: Option<String>,
}

/// A use to be made, all or nothing.
#[derive(Debug, Clone)]
pub struct Use {
    /// The org that pays for it, by its slug or id; `None`: that of the user.
    pub org: Option<String>,
    /// The user whose use it is, who must belong to the org; `None`: the org's, as a whole.
    pub user: Option<Uuid>,
    /// The only org that may be asked for.
    pub only: Option<Uuid>,
    pub feature: String,
    pub amount: Quantity,
    /// A repeated key counts once.
    pub key: Option<String>,
}

/// Uses a quantity if the allowance permits, in one statement; tries again by itself where others
/// were at the same rows. `None`: there is no such org or user.
///
/// # Errors
/// [`StoreError::Refused`] with the SQLSTATE by which the function refuses.
pub async fn increment(
    connection: &mut PgConnection,
    used: &Use,
) -> Result<Option<Used>, StoreError> {
    let mut attempts = Attempts::default();
    loop {
        let made = match used.user {
            Some(user) => increment_of_user(connection, used, user).await,
            None => increment_of_org(connection, used).await,
        };
        match made {
            Err(error) if attempts.again(&error) => {}
            result => return result,
        }
    }
}

async fn increment_of_org(
    connection: &mut PgConnection,
    used: &Use,
) -> Result<Option<Used>, StoreError> {
    let Use { org, only, feature, amount, key, .. } = used;
    let id = org.as_ref().and_then(|org| Uuid::try_parse(org).ok());
    let made = sqlx::query_as!(
        Used,
        r#"select o.id as "org!", i.allowed as "allowed!", i.new_usage as "new_usage!",
                  i.effective_limit, i.plan, i.subscription_status
           from periodd_named($1, $2) n
           join organizations o on o.id = n.id and ($3::uuid is null or o.id = $3)
           cross join lateral increment_org_usage(o.id, $4, $5, $6) i"#,
        org.as_deref(),
        id,
        *only,
        feature,
        amount,
        key.as_deref()
    );
    Ok(made.fetch_optional(connection).await?)
}

async fn increment_of_user(
    connection: &mut PgConnection,
    used: &Use,
    user: Uuid,
) -> Result<Option<Used>, StoreError> {
    let Use { org, only, feature, amount, key, .. } = used;
    let id = org.as_ref().and_then(|org| Uuid::try_parse(org).ok());
    let made = sqlx::query_as!(
        Used,
        r#"select u.organization_id as "org!", i.allowed as "allowed!",
                  i.new_usage as "new_usage!", i.effective_limit, i.plan, i.subscription_status
           from periodd_named($1, $2) n
           join users u on u.id = $3 and ($1::text is null or u.organization_id = n.id)
                and ($4::uuid is null or u.organization_id = $4)
           cross join lateral increment_feature_usage(u.id, $5, $6, $7) i"#,
        org.as_deref(),
        id,
        user,
        *only,
        feature,
        amount,
        key.as_deref()
    );
    Ok(made.fetch_optional(connection).await?)
}

/// What is on sale for a feature, and the currency of a tier.
pub async fn on_sale(
    connection: &mut PgConnection,
    feature: &str,
    tier: &str,
) -> Result<(Vec<Offer>, String), StoreError> {
    let rows = sqlx::query_as!(
        Offer,
        "select code, quantity, price_cents, currency from pack_offers
         where feature = periodd_folded($1) and abs(quantity) < 1e22
           and quantity = round(quantity, 6)
         order by code",
        feature
    );
    let offers = rows.fetch_all(&mut *connection).await?;
    let currency =
        sqlx::query_scalar!("select currency from subscription_tiers where code = $1", tier);
    let currency = currency.fetch_optional(connection).await?;
    Ok((offers, currency.unwrap_or_default()))
}
