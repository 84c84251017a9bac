//! The outbox of webhooks: claiming messages that are due, settling them, listing them; by the
//! leases of emails, one endpoint at a time.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::db::ids::IdPrefix;
use crate::store::messages::outbox::{Lease, State};

/// A message that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub org: Uuid,
    pub id: Uuid,
    /// The bytes of every attempt.
    pub body: String,
    /// Attempts that failed.
    pub attempts: i32,
}

/// Claims up to `limit` messages to an endpoint that are due.
pub async fn claim(
    connection: &mut PgConnection,
    endpoint: &str,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = sqlx::query_as!(
        Claimed,
        "with due as (
             select org_id, id from periodd_webhook_outbox
             where endpoint = $5 and state = 'due' and next_attempt_at <= $1
               and (leased_until is null or leased_until <= $1)
             order by next_attempt_at, org_id, id limit $4)
         update periodd_webhook_outbox o set leased_until = $2, lease = $3
         from due d
         where o.org_id = d.org_id and o.id = d.id and o.state = 'due'
           and o.next_attempt_at <= $1 and (o.leased_until is null or o.leased_until <= $1)
         returning o.org_id as org, o.id, o.body, o.attempts",
        lease.now,
        lease.until,
        lease.holder,
        limit,
        endpoint
    );
    Ok(rows.fetch_all(connection).await?)
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Settled {
    pub org: Uuid,
    pub id: Uuid,
    pub state: State,
    /// Attempts that failed, this one included.
    pub attempts: i32,
    /// From when it may be tried again, in real time.
    pub next_attempt_at: Instant,
    /// What the endpoint answered; `None`: it was not tried.
    pub answer: Option<String>,
}

/// Settles messages that `holder` claimed. What was accepted is settled even where the lease has
/// run out in the meantime; anything else only by whoever holds it.
pub async fn settle(
    connection: &mut PgConnection,
    holder: Uuid,
    settled: &[Settled],
    now: Instant,
) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = settled.iter().map(|one| one.org).collect();
    let ids: Vec<Uuid> = settled.iter().map(|one| one.id).collect();
    let states: Vec<&str> = settled.iter().map(|one| one.state.name()).collect();
    let attempts: Vec<i32> = settled.iter().map(|one| one.attempts).collect();
    let next: Vec<Instant> = settled.iter().map(|one| one.next_attempt_at).collect();
    let at: Vec<Option<Instant>> =
        settled.iter().map(|one| (one.state != State::Due).then_some(now)).collect();
    let answers: Vec<Option<&str>> = settled.iter().map(|one| one.answer.as_deref()).collect();
    sqlx::query!(
        "update periodd_webhook_outbox o
         set state = m.state, attempts = m.attempts, next_attempt_at = m.next_attempt_at,
             settled_at = m.settled_at, answer = coalesce(m.answer, o.answer),
             leased_until = null, lease = null
         from (select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[],
                                    $5::timestamptz[], $6::timestamptz[], $7::text[])
                      as m (org_id, id, state, attempts, next_attempt_at, settled_at, answer)
               order by org_id, id) m
         where o.org_id = m.org_id and o.id = m.id and o.state = 'due'
           and (o.lease = $8 or m.state = 'sent')",
        &orgs,
        &ids,
        &states as &[&str],
        &attempts,
        &next,
        &at as &[Option<Instant>],
        &answers as &[Option<&str>],
        holder
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives up to `limit` messages up that were recorded before an instant and that nobody is sending,
/// and returns how many there were: those that were tried, and those that nobody will try, to none
/// of the endpoints that are on.
pub async fn give_up_before(
    connection: &mut PgConnection,
    before: Instant,
    now: Instant,
    why: &str,
    on: &[String],
    limit: i64,
) -> Result<u64, StoreError> {
    let given_up = sqlx::query!(
        "with old as (
             select org_id, id from periodd_webhook_outbox
             where state = 'due' and recorded_at < $1
               and (leased_until is null or leased_until <= $2)
               and (attempts > 0 or endpoint <> all($5))
             order by recorded_at limit $4)
         update periodd_webhook_outbox o
         set state = 'given_up', settled_at = $2, leased_until = null, lease = null,
             answer = coalesce(o.answer, $3)
         from old
         where o.org_id = old.org_id and o.id = old.id and o.state = 'due'
           and (o.leased_until is null or o.leased_until <= $2)",
        before,
        now,
        why,
        limit,
        on
    );
    Ok(given_up.execute(connection).await?.rows_affected())
}

/// Has a message sent once more, whatever became of it, with the id that it had. False: there is no
/// such message, or somebody is sending it.
pub async fn queue_again(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    now: Instant,
) -> Result<bool, StoreError> {
    let queued = sqlx::query!(
        "update periodd_webhook_outbox o
         set state = 'due', settled_at = null, next_attempt_at = $3, recorded_at = $3, attempts = 0
         where o.org_id = $1 and o.id = $2 and (o.leased_until is null or o.leased_until <= $3)",
        org,
        id,
        now
    );
    Ok(queued.execute(connection).await?.rows_affected() == 1)
}

/// A message, as it is listed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct MessageRow {
    /// The message: its `webhook-id`.
    pub id: Uuid,
    /// The org, by its slug.
    pub org: String,
    /// The endpoint.
    pub endpoint: String,
    /// Kind of the event.
    pub kind: String,
    /// `due`, `sent` or `given_up`.
    pub state: String,
    /// Attempts that failed.
    pub attempts: i32,
    /// From when it may be tried again, in real time.
    pub next_attempt_at: Instant,
    /// When it was sent or given up, in real time.
    pub settled_at: Option<Instant>,
    /// What the endpoint answered last, or why it was given up.
    pub answer: Option<String>,
    /// When it was queued.
    pub recorded_at: Instant,
}

/// Messages of one org or of all, of one state or of any, newest first.
pub async fn list(
    connection: &mut PgConnection,
    org: Option<Uuid>,
    state: Option<&str>,
    limit: i64,
) -> Result<Vec<MessageRow>, StoreError> {
    let rows = sqlx::query_as!(
        MessageRow,
        "select m.id, o.slug as org, m.endpoint, m.kind, m.state, m.attempts, m.next_attempt_at,
                m.settled_at, m.answer, m.recorded_at
         from periodd_webhook_outbox m join organizations o on o.id = m.org_id
         where ($1::uuid is null or m.org_id = $1) and ($2::text is null or m.state = $2)
         order by m.recorded_at desc, m.org_id, m.id limit $3",
        org,
        state,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The orgs and ids of messages whose ids begin so: at most two.
pub async fn find(
    connection: &mut PgConnection,
    prefix: &IdPrefix,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let found = sqlx::query!(
        "select org_id, id from periodd_webhook_outbox
         where id between $1 and $2 order by id limit 2",
        prefix.first,
        prefix.last
    );
    let found = found.fetch_all(connection).await?;
    Ok(found.into_iter().map(|row| (row.org_id, row.id)).collect())
}

/// The orgs and ids of messages that were given up, of one org or of all, since an instant; the
/// oldest first.
pub async fn given_up(
    connection: &mut PgConnection,
    org: Option<Uuid>,
    since: Option<Instant>,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = sqlx::query!(
        "select org_id, id from periodd_webhook_outbox
         where state = 'given_up' and settled_at is not null
           and ($1::uuid is null or org_id = $1)
           and ($2::timestamptz is null or settled_at >= $2)
         order by settled_at, org_id, id",
        org,
        since
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.org_id, row.id)).collect())
}

/// Has all messages that wait for their next attempt tried by the next delivery, and endpoints that
/// rest, too.
pub async fn hasten(connection: &mut PgConnection, now: Instant) -> Result<(), StoreError> {
    sqlx::query!(
        "update periodd_webhook_outbox set next_attempt_at = $1
         where state = 'due' and next_attempt_at > $1",
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("update periodd_listeners set rests_until = null where rests_until > $1", now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes up to `limit` messages that were sent or given up before an instant, of everybody or of
/// some orgs, and returns how many there were.
pub async fn delete_settled_before(
    connection: &mut PgConnection,
    before: Instant,
    orgs: Option<&[Uuid]>,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "with old as (
             select org_id, id from periodd_webhook_outbox
             where settled_at < $1 and ($3::uuid[] is null or org_id = any($3))
             order by settled_at limit $2)
         delete from periodd_webhook_outbox o using old
         where o.org_id = old.org_id and o.id = old.id and o.settled_at < $1",
        before,
        limit,
        orgs
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}
