//! Events for programs: entered in the transaction that they tell of, read from a cursor, and sent
//! to webhooks.
//!
//! Who hears of events is a row of `periodd_listeners`; without one nothing is written. What an
//! event says is read from the rows that it tells of (`migrations/api/007*`), and its id comes from
//! their keys: to enter a fact again is to enter nothing.
//!
//! Never: an event without the transaction that it tells of; a row below a position that was
//! settled before.

pub mod listeners;
pub mod webhook_outbox;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::exports::settled::Numbered;
use crate::billing::Instant;
use crate::billing::events::Kind;
use crate::store::db::error::StoreError;

/// The event table, as [`settled`](super::exports::settled::settled) knows tables.
pub const ROWS: Numbered = Numbered { table: "periodd_events", column: "position" };

/// An event that is to be entered.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The same for the same fact.
    pub id: Uuid,
    pub kind: Kind,
    pub org: Uuid,
    /// What happened: an object.
    pub payload: serde_json::Value,
    /// When, in business time.
    pub at: Instant,
}

/// Enters events for everybody who hears of them, within the transaction that they tell of.
pub async fn enter(connection: &mut PgConnection, events: &[NewEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.name()).collect();
    let orgs: Vec<Uuid> = events.iter().map(|event| event.org).collect();
    let payloads: Vec<String> = events.iter().map(|event| event.payload.to_string()).collect();
    let ats: Vec<Instant> = events.iter().map(|event| event.at).collect();
    sqlx::query_scalar!(
        "select periodd_enter_events($1, $2, $3, $4::text[]::jsonb[], $5)",
        &ids,
        &kinds as &[&str],
        &orgs,
        &payloads,
        &ats
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Enters events about periods that were closed, by their orgs and starts.
pub async fn enter_closes(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    starts: &[Instant],
) -> Result<(), StoreError> {
    if !orgs.is_empty() {
        sqlx::query_scalar!("select periodd_enter_closes($1, $2)", orgs, starts as &[Instant])
            .fetch_one(connection)
            .await?;
    }
    Ok(())
}

/// Enters events about entries of the ledger of packs, by their keys.
pub async fn enter_entries(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    packs: &[Uuid],
    seqs: &[i32],
) -> Result<(), StoreError> {
    if !orgs.is_empty() {
        sqlx::query_scalar!("select periodd_enter_entries($1, $2, $3)", orgs, packs, seqs)
            .fetch_one(connection)
            .await?;
    }
    Ok(())
}

/// Enters events about the tiers of orgs, where they are other ones than before.
pub async fn enter_tier_changes(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    before: &[&str],
    at: Instant,
) -> Result<(), StoreError> {
    if !orgs.is_empty() {
        sqlx::query_scalar!(
            "select periodd_enter_tier_change(m.org_id, m.before, $3)
             from unnest($1::uuid[], $2::text[]) as m (org_id, before)",
            orgs,
            before as &[&str],
            at
        )
        .fetch_all(connection)
        .await?;
    }
    Ok(())
}

/// Which alerts were recorded, by their keys.
#[derive(Debug, Default)]
pub struct AlertKeys<'a> {
    pub orgs: &'a [Uuid],
    pub starts: &'a [Instant],
    pub features: &'a [&'a str],
    pub generations: &'a [i32],
    pub thresholds: &'a [i16],
}

/// Enters events about thresholds that were recorded in this transaction.
pub async fn enter_alerts(
    connection: &mut PgConnection,
    alerts: &AlertKeys<'_>,
) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select periodd_enter_alerts($1, $2, $3, $4, $5)",
        alerts.orgs,
        alerts.starts as &[Instant],
        alerts.features as &[&str],
        alerts.generations,
        alerts.thresholds
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Does anybody hear of events? A rollover asks with each page, in its transaction: somebody may
/// listen from now on.
pub async fn are_heard(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let heard =
        sqlx::query_scalar!(r#"select exists (select 1 from periodd_listeners) as "heard!""#);
    Ok(heard.fetch_one(connection).await?)
}

/// An event, as it is read.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// The cursor of the event: rises from event to event.
    pub cursor: i64,
    /// Its id, which is the same in webhooks.
    pub id: Uuid,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, in business time.
    pub timestamp: Instant,
    /// What happened; docs/events has the shape of each kind.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Box<RawValue>,
}

struct Row {
    position: i64,
    id: Uuid,
    kind: String,
    at: Instant,
    payload: String,
}

impl TryFrom<Row> for Event {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        // As it was entered: numbers keep their digits.
        let data = RawValue::from_string(row.payload)
            .map_err(|why| StoreError::Unprocessable(why.to_string()))?;
        let Row { position: cursor, id, kind, at: timestamp, .. } = row;
        Ok(Self { cursor, id, kind, timestamp, data })
    }
}

/// Which events are read: those after a position, up to one that is settled.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    pub after: i64,
    pub up_to: i64,
    pub org: Option<Uuid>,
    /// Empty: all.
    pub kinds: &'a [&'a str],
}

/// The next events of a stretch, in their order.
pub async fn page(
    connection: &mut PgConnection,
    stretch: Stretch<'_>,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let Stretch { after, up_to, org, kinds } = stretch;
    let rows = if let Some(org) = org {
        let rows = sqlx::query_as!(
            Row,
            r#"select position, id, kind, at, payload::text as "payload!"
                   from periodd_events
                   where org_id = $1 and position > $2 and position <= $3
                     and (cardinality($4::text[]) = 0 or kind = any($4))
                   order by position limit $5"#,
            org,
            after,
            up_to,
            kinds as &[&str],
            limit
        );
        rows.fetch_all(connection).await?
    } else {
        let rows = sqlx::query_as!(
            Row,
            r#"select position, id, kind, at, payload::text as "payload!"
                   from periodd_events
                   where position > $1 and position <= $2
                     and (cardinality($3::text[]) = 0 or kind = any($3))
                   order by position limit $4"#,
            after,
            up_to,
            kinds as &[&str],
            limit
        );
        rows.fetch_all(connection).await?
    };
    rows.into_iter().map(Event::try_from).collect()
}

/// Deletes up to `limit` events that were recorded before an instant, of everybody or of some orgs,
/// and returns how many there were.
pub async fn delete_before(
    connection: &mut PgConnection,
    before: Instant,
    orgs: Option<&[Uuid]>,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "with old as (
             select org_id, id from periodd_events
             where recorded_at < $1 and ($3::uuid[] is null or org_id = any($3))
             order by recorded_at limit $2)
         delete from periodd_events e using old
         where e.org_id = old.org_id and e.id = old.id",
        before,
        limit,
        orgs
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}
