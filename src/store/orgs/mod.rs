//! Orgs: adding them, finding them by slug or id, showing them.
//!
//! Never: a closed period; a change of the calendar inside the open one.

pub mod complete;
pub mod contacts;
pub mod departures;
pub mod overrides;
pub mod packs;
pub mod pausing;
pub mod refund;
pub mod settings;
pub mod tiers;
pub mod user_limits;
pub mod users;
pub mod zones;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
mod suggest;
use crate::billing::{Instant, LocalDate, Period, Quantity, TimeOfDay};
use crate::store::db::types::Readable;

/// An org to be added, with its first period.
#[derive(Debug, Clone)]
pub struct NewOrg {
    /// Its id; drawn at random if not given.
    pub id: Option<Uuid>,
    pub slug: String,
    pub name: String,
    pub time_zone: String,
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: i16,
    /// Local time of day at which periods end.
    pub anchor_time: TimeOfDay,
    pub tier: String,
    pub period: Period,
    /// The nominal date that its end stands for.
    pub end_date: LocalDate,
    /// The ends that follow it.
    pub next_ends: Vec<Instant>,
    /// The tz database release that the end of the period comes from; `None` for an end that was
    /// chosen, which no release moves.
    pub tzdb: Option<String>,
}

/// Adds an org and returns its id.
///
/// # Errors
/// [`StoreError::Invalid`] for a slug or id that is taken, or a tier that does not exist.
pub async fn add(connection: &mut PgConnection, org: &NewOrg) -> Result<Uuid, StoreError> {
    let tiers = settings::tiers(connection).await?;
    if !tiers.contains(&org.tier) {
        return Err(StoreError::Invalid(format!(
            "unknown tier `{}`; known tiers: {}",
            org.tier,
            tiers.join(", ")
        )));
    }
    let added = sqlx::query_scalar!(
        "insert into organizations
             (id, slug, name, time_zone, cycle, anchor_day, anchor_month, subscription_tier,
              current_period_start, current_period_end, current_period_end_date,
              next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
              ends_tzdb_version, anchor_time, ends_anchor_time, period_tier)
         values (coalesce($1, periodd_new_id()), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $4,
                 $5, $6, $7, $13, $14, $14, $8)
         on conflict do nothing
         returning id",
        org.id,
        org.slug,
        org.name,
        org.time_zone,
        org.cycle,
        org.anchor_day,
        org.anchor_month,
        org.tier,
        org.period.start,
        org.period.end,
        org.end_date,
        &org.next_ends,
        org.tzdb.as_deref(),
        org.anchor_time
    );
    let added = added.fetch_optional(connection).await?;
    added.ok_or_else(|| {
        let id = org.id.map(|id| format!(" or the id {id}")).unwrap_or_default();
        StoreError::Invalid(format!("the slug `{}`{id} is already in use", org.slug))
    })
}

/// An org, as commands show it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct OrgView {
    /// The org.
    pub id: Uuid,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// tz database name.
    pub time_zone: String,
    /// Name of the cycle.
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: i16,
    /// Local time of day at which periods end.
    pub anchor_time: TimeOfDay,
    /// The tier.
    pub subscription_tier: String,
    /// The tier to come.
    pub next_subscription_tier: Option<String>,
    /// From when it may apply.
    pub next_subscription_tier_at: Option<Readable<Instant>>,
    /// As the payment provider says.
    pub subscription_status: Option<String>,
    /// When the subscription ends.
    pub subscription_ends_at: Option<Readable<Instant>>,
    /// Start of the open period.
    pub current_period_start: Option<Readable<Instant>>,
    /// End of the open period.
    pub current_period_end: Option<Readable<Instant>>,
    /// The ends that follow.
    pub next_period_ends: Readable<Vec<Instant>>,
    /// Derived: minutes used in the open period.
    pub used_minutes: Readable<Quantity>,
    /// Derived: purchased minutes left.
    pub overage_minutes: Readable<Quantity>,
    /// Periods closed so far.
    pub periods_closed: i64,
    /// Since when the org has been parked.
    pub parked_at: Option<Readable<Instant>>,
    /// Why, as a code; null: it is not, or nothing is known of the kind of reason.
    pub parked_code: Option<String>,
    /// Why.
    pub parked_reason: Option<String>,
    /// Start of the last pause; null: never paused.
    pub paused_from: Option<Readable<Instant>>,
    /// Its end; null: until the org is resumed.
    pub paused_until: Option<Readable<Instant>>,
    /// Its reason.
    pub pause_reason: Option<String>,
    /// Language and region of its emails; null: English.
    pub locale: Option<String>,
    /// The columns whose values cannot be read; they are null here.
    pub unreadable: Vec<String>,
}

impl OrgView {
    /// The row, with the columns that cannot be read named.
    fn named(self) -> Self {
        let instants = [
            ("next_subscription_tier_at", &self.next_subscription_tier_at),
            ("subscription_ends_at", &self.subscription_ends_at),
            ("current_period_start", &self.current_period_start),
            ("current_period_end", &self.current_period_end),
            ("parked_at", &self.parked_at),
            ("paused_from", &self.paused_from),
            ("paused_until", &self.paused_until),
        ];
        let instants = instants
            .map(|(column, value)| (column, value.as_ref().is_none_or(Readable::is_readable)));
        let others = [
            ("next_period_ends", self.next_period_ends.is_readable()),
            ("used_minutes", self.used_minutes.is_readable()),
            ("overage_minutes", self.overage_minutes.is_readable()),
        ];
        let unreadable = instants.into_iter().chain(others).filter(|(_, is_readable)| !is_readable);
        let unreadable = unreadable.map(|(column, _)| format!("organizations.{column}")).collect();
        Self { unreadable, ..self }
    }
}

/// Which orgs are listed, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub only: Option<Uuid>,
    /// On this tier.
    pub tier: Option<String>,
    /// In this time zone.
    pub zone: Option<String>,
    /// Parked ones alone.
    pub parked: bool,
    /// Whose period has ended at this instant, and that are not parked.
    pub due: Option<Instant>,
    /// With a slug behind this one.
    pub after: Option<String>,
    /// With this slug or one behind it.
    pub from: Option<String>,
    /// With a name that contains this, in any case of letters.
    pub name_has: Option<String>,
    /// By the end of the open period, soonest first, instead of by slug.
    pub by_end: bool,
    /// At most so many.
    pub limit: Option<i64>,
}

/// One org.
pub async fn view(database: &Database, org: Uuid) -> Result<Option<OrgView>, StoreError> {
    let filter = Filter { only: Some(org), ..Filter::default() };
    Ok(list(&mut *database.connection().await?, &filter).await?.pop())
}

/// Lists orgs.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
) -> Result<Vec<OrgView>, StoreError> {
    let orgs = sqlx::query_as!(
        OrgView,
        r#"select o.id, o.slug, o.name, o.time_zone, o.cycle, o.anchor_day, o.anchor_month,
                  o.anchor_time, o.subscription_tier, o.next_subscription_tier,
                  o.next_subscription_tier_at as "next_subscription_tier_at: Readable<Instant>",
                  o.subscription_status,
                  nullif(o.subscription_ends_at, 'infinity')
                      as "subscription_ends_at: Readable<Instant>",
                  o.current_period_start as "current_period_start: Readable<Instant>",
                  o.current_period_end as "current_period_end: Readable<Instant>",
                  coalesce(o.next_period_ends, '{}')
                      as "next_period_ends!: Readable<Vec<Instant>>",
                  o.used_minutes as "used_minutes: Readable<Quantity>",
                  o.overage_minutes as "overage_minutes: Readable<Quantity>",
                  (select count(*) from billing_periods b where b.org_id = o.id)
                      as "periods_closed!",
                  o.parked_at as "parked_at: Readable<Instant>", o.parked_code,
                  o.parked_reason, o.paused_from as "paused_from: Readable<Instant>",
                  nullif(o.paused_until, 'infinity') as "paused_until: Readable<Instant>",
                  o.pause_reason, o.locale, '{}'::text[] as "unreadable!"
           from organizations o
           where ($1::uuid is null or o.id = $1)
             and ($2::text is null or o.subscription_tier = $2)
             and ($3::text is null or o.time_zone = $3)
             and (not $4::boolean or o.parked_at is not null and o.removed_at is null)
             and ($5::timestamptz is null
                  or o.current_period_end <= $5 and o.parked_at is null)
             and ($6::text is null or o.slug > $6)
             and ($9::text is null or o.slug >= $9)
             and ($10::text is null or strpos(lower(o.name), lower($10)) > 0)
           order by case when $7::boolean then o.current_period_end end nulls last, o.slug
           limit $8"#,
        filter.only,
        filter.tier,
        filter.zone,
        filter.parked,
        filter.due,
        filter.after,
        filter.by_end,
        filter.limit,
        filter.from,
        filter.name_has
    );
    let orgs = orgs.fetch_all(connection).await?;
    Ok(orgs.into_iter().map(OrgView::named).collect())
}

/// A closed period's usage of one feature.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ClosedView {
    /// Start of the period.
    pub start: Instant,
    /// End of the period.
    pub end: Instant,
    /// The tier that granted in it.
    pub tier: String,
    /// The feature; `None` for a period without usage.
    pub feature: Option<String>,
    /// What was used.
    pub used: Option<Quantity>,
    /// What was included; `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs paid.
    pub drawn: Option<Quantity>,
    /// What nothing paid.
    pub uncovered: Option<Quantity>,
}

/// The last closed periods of an org, newest first.
pub async fn closed(
    connection: &mut PgConnection,
    org: Uuid,
    periods: i64,
) -> Result<Vec<ClosedView>, StoreError> {
    let closed = sqlx::query_as!(
        ClosedView,
        r#"select b.period_start as "start",
                  b.period_end as "end", b.tier,
                  u.feature as "feature?", u.used as "used?",
                  u.included as "included",
                  u.drawn as "drawn?",
                  u.uncovered as "uncovered?"
           from (select * from billing_periods where org_id = $1
                 order by period_start desc limit $2) b
           left join lateral unnest(b.features, b.used_each, b.included_each, b.drawn_each,
                                    b.uncovered_each)
                as u (feature, used, included, drawn, uncovered) on true
           order by b.period_start desc, u.feature"#,
        org,
        periods
    );
    Ok(closed.fetch_all(connection).await?)
}

/// The org of a slug or id; `None`: there is none.
pub async fn named(connection: &mut PgConnection, named: &str) -> Result<Option<Uuid>, StoreError> {
    let org = sqlx::query_scalar!(
        "select n.id from periodd_named($1, $2) n",
        named,
        Uuid::try_parse(named).ok()
    );
    Ok(org.fetch_one(connection).await?)
}

/// An org that a name stands for.
#[derive(Debug, Clone)]
pub struct NamedOrg {
    pub id: Uuid,
    pub time_zone: String,
    /// Start of its open period; `None`: it has none yet.
    pub open_since: Option<Instant>,
}

/// The orgs of these slugs or ids, each with its name; names of none are left out.
pub async fn all_named(
    connection: &mut PgConnection,
    named: &[&str],
) -> Result<Vec<(String, NamedOrg)>, StoreError> {
    let ids: Vec<Option<Uuid>> = named.iter().map(|name| Uuid::try_parse(name).ok()).collect();
    let rows = sqlx::query!(
        r#"select q.named as "named!", o.id, o.time_zone, o.current_period_start as open_since
           from unnest($1::text[], $2::uuid[]) as q (named, id)
           cross join lateral periodd_named(q.named, q.id) n
           join organizations o on o.id = n.id and o.removed_at is null"#,
        named as &[&str],
        &ids as &[Option<Uuid>]
    );
    let orgs = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let org = NamedOrg { id: row.id, time_zone: row.time_zone, open_since: row.open_since };
        (row.named, org)
    });
    Ok(orgs.collect())
}

/// Finds an org by slug or id.
///
/// # Errors
/// [`StoreError::Invalid`] when there is none, with the most similar slug.
pub async fn find(database: &Database, named: &str) -> Result<Uuid, StoreError> {
    let found = self::named(&mut *database.connection().await?, named).await?;
    match found {
        Some(org) => Ok(org),
        None => Err(StoreError::Invalid(suggest::no_such_org(database, named).await?)),
    }
}

/// The name of an org's time zone; UTC for an org that has just gone.
pub async fn time_zone(database: &Database, org: Uuid) -> Result<String, StoreError> {
    let zone = sqlx::query_scalar!("select time_zone from organizations where id = $1", org);
    let zone = zone.fetch_optional(&mut *database.connection().await?).await?;
    Ok(zone.unwrap_or_else(|| "UTC".to_owned()))
}

/// Finds a user of an org by email.
///
/// # Errors
/// [`StoreError::Invalid`] when there is none.
pub async fn find_user(database: &Database, org: Uuid, email: &str) -> Result<Uuid, StoreError> {
    let user = sqlx::query_scalar!(
        "select id from users where organization_id = $1 and lower(email) = lower($2)",
        org,
        email
    );
    user.fetch_optional(&mut *database.connection().await?)
        .await?
        .ok_or_else(|| StoreError::Invalid(format!("unknown user `{email}` in that org")))
}

/// Why an org is parked; `None` for one that is not.
pub async fn parked_reason(database: &Database, org: Uuid) -> Result<Option<String>, StoreError> {
    let reason = sqlx::query_scalar!(
        r#"select coalesce(parked_reason, 'no reason was given') as "reason!"
           from organizations where id = $1 and parked_at is not null"#,
        org
    );
    Ok(reason.fetch_optional(&mut *database.connection().await?).await?)
}

/// How many orgs there are that are not parked, in a zone or in all.
pub async fn count(database: &Database, zone: Option<&str>) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from organizations
           where parked_at is null and ($1::text is null or time_zone = $1)"#,
        zone
    );
    Ok(count.fetch_one(&mut *database.connection().await?).await?)
}
