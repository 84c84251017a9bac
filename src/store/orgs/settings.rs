//! What people set of an org: its calendar, its tier, its contacts; and setting it aside.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::notice::Kind;
use crate::billing::org::Subscription;
use crate::billing::parking::ParkedCode;
use crate::billing::recipients::ContactRole;
use crate::billing::{Instant, LocalDate, TimeOfDay};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;

/// What is set of an org, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Moves with every change that a plan must not overlook.
    pub revision: i64,
    pub name: String,
    pub time_zone: String,
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: i16,
    /// Local time of day at which periods end.
    pub anchor_time: TimeOfDay,
    /// The tier that grants now.
    pub tier: String,
    pub next_tier: Option<String>,
    /// From when it may apply.
    pub next_tier_at: Option<Instant>,
    /// As the payment provider says.
    pub status: Option<String>,
    pub ends_at: Option<Instant>,
    /// Language and region of its emails; `None`: English.
    pub locale: Option<String>,
    /// Alert thresholds of the org's own, in percent; `None`: as the configuration says.
    pub thresholds: Option<Vec<i16>>,
    /// The nominal date that the end after the open period's passes over.
    pub skipped_end_date: Option<LocalDate>,
    /// End of the open period; not written.
    pub period_end: Option<Instant>,
    /// The nominal date of that end; not written.
    pub period_end_date: Option<LocalDate>,
}

impl Settings {
    /// Tier and subscription.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            tier: self.tier.clone(),
            next_tier: self.next_tier.clone(),
            next_tier_at: self.next_tier_at,
            status: self.status.clone(),
            ends_at: self.ends_at,
        }
    }
}

/// Reads what is set of an org.
///
/// # Errors
/// [`StoreError::Invalid`] when it is gone.
pub async fn read(connection: &mut PgConnection, org: Uuid) -> Result<Settings, StoreError> {
    let settings = sqlx::query_as!(
        Settings,
        "select revision, name, time_zone, cycle, anchor_day, anchor_month, anchor_time,
                subscription_tier as tier, next_subscription_tier as next_tier,
                next_subscription_tier_at as next_tier_at, subscription_status as status,
                nullif(subscription_ends_at, 'infinity') as ends_at, locale,
                (select s.thresholds from org_alert_settings s
                 where s.org_id = $1 and s.feature = '*') as thresholds,
                skipped_end_date, current_period_end as period_end,
                current_period_end_date as period_end_date
         from organizations where id = $1",
        org
    );
    settings
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| StoreError::Invalid(format!("the org {org} has just gone")))
}

/// Writes what is set of an org, if its row still stands as it was read. A rollover that was
/// planned before is planned again.
///
/// # Errors
/// [`StoreError::Conflict`] when the row has moved since.
pub async fn write(
    connection: &mut PgConnection,
    org: Uuid,
    settings: &Settings,
) -> Result<(), StoreError> {
    let moved = sqlx::query!(
        "update organizations
         set name = $3, time_zone = $4, cycle = $5, anchor_day = $6, anchor_month = $7,
             subscription_tier = $8, next_subscription_tier = $9,
             next_subscription_tier_at = $10, subscription_status = $11,
             subscription_ends_at = $12, locale = $13, anchor_time = $14,
             skipped_end_date = $15,
             revision = revision + 1
         where id = $1 and revision = $2",
        org,
        settings.revision,
        settings.name,
        settings.time_zone,
        settings.cycle,
        settings.anchor_day,
        settings.anchor_month,
        settings.tier,
        settings.next_tier.as_deref(),
        settings.next_tier_at,
        settings.status.as_deref(),
        settings.ends_at,
        settings.locale.as_deref(),
        settings.anchor_time,
        settings.skipped_end_date
    );
    match moved.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::Conflict("the org's row does not stand as it was read".to_owned())),
        _ => Ok(()),
    }
}

/// Writes the thresholds of an org's own, for every feature without a row of its own; with `None`
/// the configuration's apply again.
pub async fn write_thresholds(
    connection: &mut PgConnection,
    org: Uuid,
    thresholds: Option<&[i16]>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into org_alert_settings (org_id, feature, thresholds) values ($1, '*', $2)
         on conflict (org_id, feature) do update set thresholds = excluded.thresholds",
        org,
        thresholds
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds those who get an org's emails, and removes others. One that is there already stays as it
/// is: also one that wants no warnings. Who is named gets emails again, also if a mail server did
/// not know the address; returns those addresses.
pub async fn change_contacts(
    connection: &mut PgConnection,
    org: Uuid,
    add: &[String],
    remove: &[String],
) -> Result<Vec<String>, StoreError> {
    sqlx::query!(
        "with gone as (
             delete from org_contacts c using unnest($3::text[]) as r (email)
             where c.org_id = $1 and lower(btrim(c.email, E' \\t\\r\\n')) = lower(r.email))
         insert into org_contacts (org_id, email)
         select $1, a.email from unnest($2::text[]) as a (email)
         where not exists (select from org_contacts c
                           where c.org_id = $1 and lower(c.email) = lower(a.email))
         on conflict do nothing",
        org,
        add,
        remove
    )
    .execute(&mut *connection)
    .await?;
    let revived = sqlx::query_scalar!(
        "delete from periodd_suppressions x using unnest($2::text[]) as a (email)
         where x.org_id = $1 and x.email = lower(a.email) returning x.email",
        org,
        add
    );
    Ok(revived.fetch_all(connection).await?)
}

/// How many users an org has.
pub async fn count_users(connection: &mut PgConnection, org: Uuid) -> Result<i64, StoreError> {
    let users = sqlx::query_scalar!(
        r#"select count(*) as "count!" from users where organization_id = $1"#,
        org
    );
    Ok(users.fetch_one(connection).await?)
}

/// Someone who gets an org's emails.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Contact {
    /// The address.
    pub email: String,
    /// Since when it wants no warnings.
    pub opted_out_at: Option<Instant>,
    /// `billing`, `technical` or `owner`; null: every kind of email.
    pub role: Option<String>,
    /// The kinds of emails that it gets, whatever its role; null: by its role.
    pub kinds: Option<Vec<String>>,
    /// The kinds of emails that it unsubscribed from.
    pub opted_out_of: Option<Vec<String>>,
}

/// Names the role of a contact, or none; false where there is no such contact.
pub async fn write_role(
    connection: &mut PgConnection,
    org: Uuid,
    email: &str,
    role: Option<ContactRole>,
) -> Result<bool, StoreError> {
    let written = sqlx::query!(
        "update org_contacts c set role = $3
         where c.org_id = $1 and lower(btrim(c.email, E' \\t\\r\\n')) = lower($2)",
        org,
        email,
        role.map(ContactRole::name)
    );
    Ok(written.execute(connection).await?.rows_affected() > 0)
}

/// Names the kinds of emails that a contact gets, or leaves them to its role; false where there is
/// no such contact.
pub async fn write_kinds(
    connection: &mut PgConnection,
    org: Uuid,
    email: &str,
    kinds: Option<&[Kind]>,
) -> Result<bool, StoreError> {
    let kinds: Option<Vec<&str>> =
        kinds.map(|kinds| kinds.iter().map(|kind| kind.name()).collect());
    let written = sqlx::query!(
        "update org_contacts c set kinds = $3
         where c.org_id = $1 and lower(btrim(c.email, E' \\t\\r\\n')) = lower($2)",
        org,
        email,
        kinds.as_deref() as Option<&[&str]>
    );
    Ok(written.execute(connection).await?.rows_affected() > 0)
}

/// Who gets an org's emails; nobody listed: its users do.
pub async fn contacts(
    connection: &mut PgConnection,
    org: Uuid,
) -> Result<Vec<Contact>, StoreError> {
    let contacts = sqlx::query_as!(
        Contact,
        "select email, opted_out_at, role, kinds, opted_out_of
         from org_contacts where org_id = $1 order by email",
        org
    );
    Ok(contacts.fetch_all(connection).await?)
}

/// Every tier's code.
pub async fn tiers(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let tiers = sqlx::query_scalar!("select code from subscription_tiers order by code");
    Ok(tiers.fetch_all(connection).await?)
}

/// Why and since when an org is parked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Parking {
    /// Since when; null: the row holds no readable instant.
    pub at: Option<Instant>,
    /// Why, as a code; null: nothing is known of the kind of reason.
    pub code: Option<ParkedCode>,
    /// Why.
    pub reason: String,
}

/// A parked org.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ParkedOrg {
    /// The org.
    pub org: Uuid,
    /// Its short name.
    pub slug: String,
    /// Since when; null: the row holds no readable instant.
    pub at: Option<Instant>,
    /// Why, as a code; null: nothing is known of the kind of reason.
    pub code: Option<ParkedCode>,
    /// Why.
    pub reason: String,
    /// Since when, as the row holds it: whoever parks it anew moves this.
    #[serde(skip)]
    since: String,
}

impl ParkedOrg {
    /// The same, of an org that is known.
    pub fn into_parking(self) -> Parking {
        Parking { at: self.at, code: self.code, reason: self.reason }
    }
}

/// Sets an org aside; `None` when it is already.
pub async fn park(
    database: &Database,
    org: Uuid,
    reason: &str,
    now: Instant,
) -> Result<Option<Parking>, StoreError> {
    let code = ParkedCode::ByHand;
    let parked = sqlx::query!(
        "update organizations
         set parked_at = $3, parked_reason = $2, parked_code = $4, revision = revision + 1
         where id = $1 and parked_at is null",
        org,
        reason,
        now,
        code.name()
    );
    let parked = parked.execute(&mut *database.connection().await?).await?.rows_affected() > 0;
    let parking = Parking { at: Some(now), code: Some(code), reason: reason.to_owned() };
    Ok(parked.then_some(parking))
}

/// Why an org is set aside; `None` for one that is not.
pub async fn parking(database: &Database, org: Uuid) -> Result<Option<Parking>, StoreError> {
    Ok(parked(database, Some(org), None).await?.into_iter().next().map(ParkedOrg::into_parking))
}

/// The orgs that are set aside, by slug; with `code`, for that kind of reason.
pub async fn parked(
    database: &Database,
    org: Option<Uuid>,
    code: Option<ParkedCode>,
) -> Result<Vec<ParkedOrg>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, slug, parked_at as "at!: Readable<Instant>",
                  parked_at::text as "since!",
                  parked_code as "code: Readable<ParkedCode>",
                  coalesce(parked_reason, 'no reason was given') as "reason!"
           from organizations
           where parked_at is not null and removed_at is null and ($1::uuid is null or id = $1)
             and ($2::text is null or parked_code = $2)
           order by slug"#,
        org,
        code.map(ParkedCode::name)
    );
    let rows = rows.fetch_all(&mut *database.connection().await?).await?.into_iter();
    let parked = rows.map(|row| ParkedOrg {
        org: row.id,
        slug: row.slug,
        at: row.at.value(),
        code: row.code.and_then(Readable::value),
        reason: row.reason,
        since: row.since,
    });
    Ok(parked.collect())
}

/// Takes an org back, if it is still set aside since then.
pub async fn unpark(database: &Database, parked: &ParkedOrg) -> Result<bool, StoreError> {
    let unparked = sqlx::query!(
        "update organizations
         set parked_at = null, parked_reason = null, parked_code = null, revision = revision + 1
         where id = $1 and parked_at = $2::text::timestamptz",
        parked.org,
        parked.since
    );
    Ok(unparked.execute(&mut *database.connection().await?).await?.rows_affected() > 0)
}
