//! Who gets an org's emails: naming contacts, and opting out.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::address;
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// Names a contact of an org. One that is there already stays as it is; an address that a mail
/// server did not know gets emails again.
///
/// # Errors
/// [`StoreError::Invalid`] for anything but one plain address.
pub async fn add(database: &Database, org: Uuid, email: &str) -> Result<(), StoreError> {
    let email = address::trimmed(email);
    address::check(email).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let added = sqlx::query!(
        "insert into org_contacts (org_id, email) values ($1, $2) on conflict do nothing",
        org,
        email
    );
    let mut connection = database.connection().await?;
    added.execute(&mut *connection).await?;
    lift_suppression(&mut connection, org, email).await
}

/// Lifts the suppression of an address that turned out to exist.
async fn lift_suppression(
    connection: &mut PgConnection,
    org: Uuid,
    email: &str,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "delete from periodd_suppressions where org_id = $1 and email = lower($2)",
        org,
        email
    );
    written.execute(connection).await?;
    Ok(())
}

/// Removes a contact of an org; `false` if there was none.
pub async fn remove(database: &Database, org: Uuid, email: &str) -> Result<bool, StoreError> {
    let removed = sqlx::query!(
        "delete from org_contacts where org_id = $1 and lower(email) = lower($2)",
        org,
        email
    );
    let mut connection = database.connection().await?;
    let is_removed = removed.execute(&mut *connection).await?.rows_affected() > 0;
    // Its link holds no longer than it does.
    let forgotten = sqlx::query!(
        "delete from periodd_unsubscribe_tokens where org_id = $1 and email = lower($2)",
        org,
        email
    );
    forgotten.execute(&mut *connection).await?;
    Ok(is_removed)
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
pub async fn list(database: &Database, org: Uuid) -> Result<Vec<Contact>, StoreError> {
    let contacts = sqlx::query_as!(
        Contact,
        r#"select c.email, c.opted_out_at, x.reason as "suppressed?"
           from org_contacts c
           left join periodd_suppressions x
                on x.org_id = c.org_id and x.email = lower(btrim(c.email, E' \t\r\n'))
           where c.org_id = $1 order by c.email"#,
        org
    );
    Ok(contacts.fetch_all(&mut *database.connection().await?).await?)
}

/// The token of an unsubscribe link: of an org, and of one of its addresses.
pub fn token(org: Uuid, address: Uuid) -> String {
    format!("{}{}", org.simple(), address.simple())
}

/// The tokens of addresses, made where there is none yet; in the order of `addresses`.
pub async fn tokens(
    connection: &mut PgConnection,
    addresses: &[(Uuid, &str)],
) -> Result<Vec<Option<Uuid>>, StoreError> {
    let (orgs, emails): (Vec<Uuid>, Vec<&str>) = addresses.iter().copied().unzip();
    let made = sqlx::query!(
        "insert into periodd_unsubscribe_tokens (org_id, email)
         select distinct w.org_id, lower(w.email)
         from unnest($1::uuid[], $2::text[]) as w (org_id, email)
         on conflict (org_id, email) do nothing",
        &orgs,
        &emails as &[&str]
    );
    made.execute(&mut *connection).await?;
    let tokens = sqlx::query_scalar!(
        r#"select t.token as "token?"
           from unnest($1::uuid[], $2::text[]) with ordinality as w (org_id, email, place)
           left join periodd_unsubscribe_tokens t
             on t.org_id = w.org_id and t.email = lower(w.email)
           order by w.place"#,
        &orgs,
        &emails as &[&str]
    );
    Ok(tokens.fetch_all(connection).await?)
}

/// Opts an address out of warnings, by the token of its unsubscribe link; `false` for a token that
/// names none. A second time changes nothing.
pub async fn unsubscribe(
    database: &Database,
    token: &str,
    at: Instant,
) -> Result<bool, StoreError> {
    let done =
        sqlx::query_scalar!(r#"select periodd_unsubscribe($1, $2) as "is_known!""#, token, at);
    Ok(done.fetch_one(&mut *database.connection().await?).await?)
}

/// Takes an unsubscription back, by the same token; nothing happens where it names nobody. The row
/// of a user that said nothing else goes with it: what would be left names a contact, and the org's
/// other users would hear nothing.
pub async fn subscribe_again(connection: &mut PgConnection, token: &str) -> Result<(), StoreError> {
    // One kind of notice, or all warnings.
    let (token, kind) = token.split_once('.').unwrap_or((token, ""));
    let halves = token.split_at_checked(32).filter(|_| token.len() == 64);
    let ids = halves.and_then(|(org, address)| {
        Some((Uuid::try_parse(org).ok()?, Uuid::try_parse(address).ok()?))
    });
    let Some((org, address)) = ids else { return Ok(()) };
    let gone = sqlx::query!(
        "delete from org_contacts c
         using periodd_unsubscribe_tokens t join organizations o on o.id = t.org_id
         where t.org_id = $1 and t.token = $2 and c.org_id = coalesce(o.merged_into, t.org_id)
           and lower(btrim(c.email, E' \\t\\r\\n')) = t.email
           and c.role is null and c.kinds is null
           and case when $3 = '' then c.opted_out_at is not null and c.opted_out_of is null
                    else c.opted_out_at is null and c.opted_out_of <@ array[$3] end
           and exists (select from users u
                       where u.organization_id = c.org_id
                         and lower(btrim(u.email, E' \\t\\r\\n')) = t.email)",
        org,
        address,
        kind
    );
    gone.execute(&mut *connection).await?;
    let again = sqlx::query!(
        "update org_contacts c
         set opted_out_at = case when $3 = '' then null else c.opted_out_at end,
             opted_out_of = nullif(array_remove(c.opted_out_of, $3), '{}')
         from periodd_unsubscribe_tokens t join organizations o on o.id = t.org_id
         where t.org_id = $1 and t.token = $2 and c.org_id = coalesce(o.merged_into, t.org_id)
           and lower(btrim(c.email, E' \\t\\r\\n')) = t.email",
        org,
        address,
        kind
    );
    again.execute(connection).await?;
    Ok(())
}
