//! What people set of an org: its calendar, its tier, its contacts; and setting it aside.

use sqlx::PgConnection;
use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use crate::billing::{Instant, LocalDate};

/// What is set of an org, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Moves with every change that a plan must not overlook.
    pub revision: i64,
    /// Its name for people.
    pub name: String,
    /// tz database name.
    pub time_zone: String,
    /// Name of the cycle.
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a yearly cycle.
    pub anchor_month: i16,
    /// The tier that grants now.
    pub tier: String,
    /// The tier to come.
    pub next_tier: Option<String>,
    /// From when it may apply.
    pub next_tier_at: Option<Instant>,
    /// As the payment provider says.
    pub status: Option<String>,
    /// When the subscription ends.
    pub ends_at: Option<Instant>,
    /// End of the open period; not written.
    pub period_end: Option<Instant>,
    /// The nominal date of that end; not written.
    pub period_end_date: Option<LocalDate>,
}

/// Reads what is set of an org.
///
/// # Errors
/// [`StoreError::Invalid`] when it is gone.
pub async fn read(connection: &mut PgConnection, org: Uuid) -> Result<Settings, StoreError> {
    let settings = sqlx::query_as!(
        Settings,
        "select revision, name, time_zone, cycle, anchor_day, anchor_month,
                subscription_tier as tier, next_subscription_tier as next_tier,
                next_subscription_tier_at as next_tier_at, subscription_status as status,
                subscription_ends_at as ends_at, current_period_end as period_end,
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
             subscription_ends_at = $12, revision = revision + 1
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
        settings.ends_at
    );
    match moved.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::Conflict("the org's row does not stand as it was read".to_owned())),
        _ => Ok(()),
    }
}

/// Adds those who get an org's emails, and removes others. One that is there already stays as it
/// is: also one that wants no warnings.
///
/// # Errors
/// As every write.
pub async fn change_contacts(
    connection: &mut PgConnection,
    org: Uuid,
    add: &[String],
    remove: &[String],
) -> Result<(), StoreError> {
    sqlx::query!(
        "with gone as (
             delete from org_contacts c using unnest($3::text[]) as r (email)
             where c.org_id = $1 and lower(c.email) = lower(r.email))
         insert into org_contacts (org_id, email)
         select $1, a.email from unnest($2::text[]) as a (email)
         where not exists (select from org_contacts c
                           where c.org_id = $1 and lower(c.email) = lower(a.email))
         on conflict do nothing",
        org,
        add,
        remove
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Someone who gets an org's emails.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Contact {
    /// The address.
    pub email: String,
    /// Since when it wants no warnings.
    pub opted_out_at: Option<Instant>,
}

/// Who gets an org's emails; nobody listed: its users do.
///
/// # Errors
/// As every read.
pub async fn contacts(
    connection: &mut PgConnection,
    org: Uuid,
) -> Result<Vec<Contact>, StoreError> {
    let contacts = sqlx::query_as!(
        Contact,
        "select email, opted_out_at from org_contacts where org_id = $1 order by email",
        org
    );
    Ok(contacts.fetch_all(connection).await?)
}

/// Every tier's code.
///
/// # Errors
/// As every read.
pub async fn tiers(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let tiers = sqlx::query_scalar!("select code from subscription_tiers order by code");
    Ok(tiers.fetch_all(connection).await?)
}

/// Why and since when an org is set aside.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Parking {
    /// Since when.
    pub at: Instant,
    /// Why.
    pub reason: String,
}

/// Sets an org aside; `None` when it is already.
///
/// # Errors
/// As every write.
pub async fn park(
    database: &Database,
    org: Uuid,
    reason: &str,
    now: Instant,
) -> Result<Option<Parking>, StoreError> {
    let parked = sqlx::query_as!(
        Parking,
        r#"update organizations
           set parked_at = $3, parked_reason = $2, revision = revision + 1
           where id = $1 and parked_at is null
           returning parked_at as "at!", parked_reason as "reason!""#,
        org,
        reason,
        now
    );
    Ok(parked.fetch_optional(&mut *database.connection().await?).await?)
}

/// Why an org is set aside; `None` for one that is not.
///
/// # Errors
/// As every read.
pub async fn parking(database: &Database, org: Uuid) -> Result<Option<Parking>, StoreError> {
    let parking = sqlx::query_as!(
        Parking,
        r#"select parked_at as "at!", coalesce(parked_reason, 'no reason was given') as "reason!"
           from organizations where id = $1 and parked_at is not null"#,
        org
    );
    Ok(parking.fetch_optional(&mut *database.connection().await?).await?)
}

/// Takes an org back, if it is still set aside since that moment.
///
/// # Errors
/// As every write.
pub async fn unpark(database: &Database, org: Uuid, since: Instant) -> Result<bool, StoreError> {
    let unparked = sqlx::query!(
        "update organizations
         set parked_at = null, parked_reason = null, revision = revision + 1
         where id = $1 and parked_at = $2",
        org,
        since
    );
    Ok(unparked.execute(&mut *database.connection().await?).await?.rows_affected() > 0)
}
