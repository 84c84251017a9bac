//! Who gets an org's emails: naming contacts, and opting out.

use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use crate::billing::Instant;
use crate::billing::address;

/// Names a contact of an org. One that is there already stays as it is.
///
/// # Errors
/// [`StoreError::Invalid`] for anything but one plain address.
pub async fn add(database: &Database, org: Uuid, email: &str) -> Result<(), StoreError> {
    address::check(email).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let added = sqlx::query!(
        "insert into org_contacts (org_id, email) values ($1, $2) on conflict do nothing",
        org,
        email
    );
    added.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Removes a contact of an org; `false` if there was none.
///
/// # Errors
/// As every write.
pub async fn remove(database: &Database, org: Uuid, email: &str) -> Result<bool, StoreError> {
    let removed = sqlx::query!(
        "delete from org_contacts where org_id = $1 and lower(email) = lower($2)",
        org,
        email
    );
    Ok(removed.execute(&mut *database.connection().await?).await?.rows_affected() > 0)
}

/// A contact of an org.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Contact {
    /// The address.
    pub email: String,
    /// Since when it wants no warnings.
    pub opted_out_at: Option<Instant>,
    /// Why nothing is sent there any more, where a mail server does not know it.
    pub suppressed: Option<String>,
}

/// The contacts of an org, by address.
///
/// # Errors
/// As every read.
pub async fn list(database: &Database, org: Uuid) -> Result<Vec<Contact>, StoreError> {
    let contacts = sqlx::query_as!(
        Contact,
        r#"select c.email, c.opted_out_at, x.reason as "suppressed?"
           from org_contacts c
           left join periodd_suppressions x on x.org_id = c.org_id and x.email = lower(c.email)
           where c.org_id = $1 order by c.email"#,
        org
    );
    Ok(contacts.fetch_all(&mut *database.connection().await?).await?)
}

/// The token of an email's unsubscribe link: it names the email, whose id nobody can guess.
#[must_use]
pub fn token(org: Uuid, email: Uuid) -> String {
    format!("{}{}", org.simple(), email.simple())
}

/// Opts the recipient of an email out of warnings, by the token of its unsubscribe link; `false`
/// for a token that names none. A second time changes nothing.
///
/// # Errors
/// As every write.
pub async fn unsubscribe(
    database: &Database,
    token: &str,
    at: Instant,
) -> Result<bool, StoreError> {
    let halves = token.split_at_checked(32);
    let ids = halves
        .and_then(|(org, email)| Some((Uuid::try_parse(org).ok()?, Uuid::try_parse(email).ok()?)));
    let Some((org, email)) = ids else { return Ok(false) };
    let recipient = sqlx::query_scalar!(
        r#"select coalesce((select c.email from org_contacts c
                            where c.org_id = o.org_id and lower(c.email) = lower(o.recipient)
                            order by c.email limit 1), o.recipient) as "email!"
           from periodd_outbox o where o.org_id = $1 and o.id = $2"#,
        org,
        email
    );
    let Some(recipient) = recipient.fetch_optional(&mut *database.connection().await?).await?
    else {
        return Ok(false);
    };
    let opted_out = sqlx::query!(
        "insert into org_contacts as c (org_id, email, opted_out_at) values ($1, $2, $3)
         on conflict (org_id, email) do update
             set opted_out_at = coalesce(c.opted_out_at, excluded.opted_out_at)",
        org,
        recipient,
        at
    );
    opted_out.execute(&mut *database.connection().await?).await?;
    Ok(true)
}
