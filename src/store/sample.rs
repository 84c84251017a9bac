//! Rows that applications write by themselves, written here for the sample company: limits, people,
//! and what a customer changes about their org.

use uuid::Uuid;

use super::db::database::Database;
use super::db::error::StoreError;
use super::db::facts;
use super::runs::Origin;
use crate::billing::{Instant, Quantity};

/// Has commits wait for the disk, or not: what a sample loses in a power cut can be made again.
/// It holds on the connection that is used here and on every later one; what is committed stays
/// whole either way.
pub async fn wait_for_disk(database: &Database, wait: bool) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    if wait {
        let role = sqlx::query!("alter role current_user reset synchronous_commit");
        role.execute(&mut *connection).await?;
        let here = sqlx::query!("reset synchronous_commit");
        here.execute(&mut *connection).await?;
    } else {
        let role = sqlx::query!("alter role current_user set synchronous_commit = off");
        role.execute(&mut *connection).await?;
        let here = sqlx::query!("set synchronous_commit = off");
        here.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The fact that says what time a sandbox has come to.
const SANDBOX_NOW: &str = "sandbox_now";

/// Remembers the business time that a sandbox has come to: commands on it begin there.
pub async fn remember_now(database: &Database, now: Instant) -> Result<(), StoreError> {
    facts::keep(&mut *database.connection().await?, SANDBOX_NOW, &now.to_string()).await
}

/// The business time that a sandbox has come to; `None`: it keeps to the clock.
pub async fn remembered_now(database: &Database) -> Result<Option<Instant>, StoreError> {
    let now = facts::read(&mut *database.connection().await?, SANDBOX_NOW).await?;
    Ok(now.and_then(|now| now.parse().ok()))
}

/// Adds a feature of kind level, where there is none of its name.
pub async fn level(database: &Database, feature: &str, unit: &str) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "insert into features (feature, unit, kind) values ($1, $2, 'level')
         on conflict do nothing",
        feature,
        unit
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// What a tier includes of a feature; `None` is unlimited.
pub type Limit = (&'static str, &'static str, Option<i64>);

/// Writes what tiers include, where nothing is written yet.
pub async fn tier_limits(database: &Database, limits: &[Limit]) -> Result<(), StoreError> {
    let tiers: Vec<&str> = limits.iter().map(|(tier, _, _)| *tier).collect();
    let features: Vec<&str> = limits.iter().map(|(_, feature, _)| *feature).collect();
    let included: Vec<Option<Quantity>> =
        limits.iter().map(|(_, _, included)| included.map(Quantity::units)).collect();
    let written = sqlx::query!(
        "insert into tier_limits (tier, feature, included)
         select * from unnest($1::text[], $2::text[], $3::numeric[])
         on conflict do nothing",
        &tiers as &[&str],
        &features as &[&str],
        &included as &[Option<Quantity>]
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Grants one org something else than its tier includes, unless it was granted already.
pub async fn override_limit(
    database: &Database,
    org: Uuid,
    feature: &str,
    included: Quantity,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "insert into limit_overrides (org_id, feature, included) values ($1, $2, $3)
         on conflict do nothing",
        org,
        feature,
        included
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// A person who uses what an org pays for.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: Uuid,
    pub org: Uuid,
    /// Where the user is reached.
    pub email: String,
}

/// Adds users, and the address that gets each org's emails; who is there already is left alone.
pub async fn people(
    database: &Database,
    users: &[Person],
    contacts: &[(Uuid, String)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    let orgs: Vec<Uuid> = users.iter().map(|user| user.org).collect();
    let emails: Vec<&str> = users.iter().map(|user| user.email.as_str()).collect();
    let contact_orgs: Vec<Uuid> = contacts.iter().map(|(org, _)| *org).collect();
    let addresses: Vec<&str> = contacts.iter().map(|(_, email)| email.as_str()).collect();
    let written = sqlx::query!(
        "with added as (
             insert into users (id, organization_id, email)
             select * from unnest($1::uuid[], $2::uuid[], $3::text[])
             on conflict do nothing)
         insert into org_contacts (org_id, email)
         select * from unnest($4::uuid[], $5::text[])
         on conflict do nothing",
        &ids,
        &orgs,
        &emails as &[&str],
        &contact_orgs,
        &addresses as &[&str]
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Moves an org to another time zone; it holds from the end of the open period.
pub async fn move_to_zone(
    database: &Database,
    org: Uuid,
    time_zone: &str,
) -> Result<(), StoreError> {
    let written =
        sqlx::query!("update organizations set time_zone = $2 where id = $1", org, time_zone);
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Books another tier for an org, from the first boundary at or after `from` on.
///
/// # Errors
/// As every write; [`StoreError::Unprocessable`] for a tier that does not exist.
pub async fn book_tier(
    database: &Database,
    org: Uuid,
    tier: &str,
    from: Instant,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "update organizations
         set next_subscription_tier = $2, next_subscription_tier_at = $3 where id = $1",
        org,
        tier,
        from
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Ends an org's subscription at the first boundary at or after `ends_at`.
pub async fn end_subscription(
    database: &Database,
    org: Uuid,
    ends_at: Instant,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "update organizations set subscription_ends_at = $2 where id = $1",
        org,
        ends_at
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Has a faulty program write to the counter of an org by itself: it lacks `by` from then on.
pub async fn miscount(
    database: &Database,
    org: Uuid,
    feature: &str,
    at: Instant,
    by: Quantity,
) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "update usage_counters set used = used - $4
         where org_id = $1 and feature = $2 and period_start <= $3 and period_end > $3",
        org,
        feature,
        at,
        by
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// A run that a daemon would have entered in the ledger.
#[derive(Debug, Clone)]
pub struct SampleRun {
    pub job: &'static str,
    pub trigger: Origin,
    /// When it was due and began: the sample's daemon is on time.
    pub at: Instant,
    /// When it ended.
    pub finished_at: Instant,
    pub replica: String,
    /// What it did, as JSON.
    pub counts: String,
}

/// Enters runs in the ledger at the sample's time. One that is there already stays as it is.
pub async fn enter_runs(database: &Database, runs: &[SampleRun]) -> Result<(), StoreError> {
    let jobs: Vec<&str> = runs.iter().map(|run| run.job).collect();
    let triggers: Vec<&str> = runs.iter().map(|run| run.trigger.name()).collect();
    let begun: Vec<Instant> = runs.iter().map(|run| run.at).collect();
    let ended: Vec<Instant> = runs.iter().map(|run| run.finished_at).collect();
    let replicas: Vec<&str> = runs.iter().map(|run| run.replica.as_str()).collect();
    let counts: Vec<&str> = runs.iter().map(|run| run.counts.as_str()).collect();
    let entered = sqlx::query!(
        "insert into periodd_runs
             (job, trigger, occurrence, outcome, replica, started_at, finished_at, lateness_ms,
              counts)
         select r.job, r.trigger, r.at, 'done', r.replica, r.at, r.ended, 0, r.counts::jsonb
         from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                     $6::text[]) with ordinality as r (job, trigger, at, ended, replica, counts, n)
         order by r.n
         on conflict do nothing",
        &jobs as &[&str],
        &triggers as &[&str],
        &begun as &[Instant],
        &ended as &[Instant],
        &replicas as &[&str],
        &counts as &[&str]
    );
    entered.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Has emails that were settled, or queued and not settled yet, since `since` in real time be so at
/// the sample's time.
pub async fn redate_emails(
    database: &Database,
    since: Instant,
    at: Instant,
) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let until = super::server_now(&mut connection).await?;
    let queued = sqlx::query!(
        "update periodd_outbox set recorded_at = $3
         where state = 'due' and recorded_at between $1 and $2",
        since,
        until,
        at
    );
    queued.execute(&mut *connection).await?;
    let settled = sqlx::query!(
        "update periodd_outbox set settled_at = $3 where settled_at between $1 and $2",
        since,
        until,
        at
    );
    settled.execute(&mut *connection).await?;
    Ok(())
}

/// Has a shop write what it sold to the org itself, without a pack.
pub async fn credit(database: &Database, org: Uuid, by: Quantity) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "update organizations set overage_minutes = overage_minutes + $2 where id = $1",
        org,
        by
    );
    written.execute(&mut *database.connection().await?).await?;
    Ok(())
}
