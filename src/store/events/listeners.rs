//! Who hears of events: the event table and endpoints of webhooks, as configured; and how each
//! endpoint fares.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// How events reach whoever hears of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Rows of the event table.
    Table,
    /// Messages to an endpoint.
    Webhook,
}

impl Channel {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Webhook => "webhook",
        }
    }
}

/// A listener, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// `table` or `webhook`.
    pub channel: String,
    pub name: String,
    /// `None`: all.
    pub kinds: Option<Vec<String>>,
    /// `None`: all.
    pub only_org: Option<Uuid>,
}

/// The listeners that are known, in the order of the type: the database's collation has another.
pub async fn known(connection: &mut PgConnection) -> Result<Vec<Listener>, StoreError> {
    let rows =
        sqlx::query_as!(Listener, "select channel, name, kinds, only_org from periodd_listeners");
    let mut known = rows.fetch_all(connection).await?;
    known.sort();
    Ok(known)
}

/// Makes these the listeners. How an endpoint fares is kept, by its name.
pub async fn write(connection: &mut PgConnection, wanted: &[Listener]) -> Result<(), StoreError> {
    let channels: Vec<&str> = wanted.iter().map(|one| one.channel.as_str()).collect();
    let names: Vec<&str> = wanted.iter().map(|one| one.name.as_str()).collect();
    // Names of kinds have no comma; arrays within one array would have to be of one length.
    let kinds: Vec<Option<String>> =
        wanted.iter().map(|one| one.kinds.as_ref().map(|kinds| kinds.join(","))).collect();
    let orgs: Vec<Option<Uuid>> = wanted.iter().map(|one| one.only_org).collect();
    sqlx::query!(
        "delete from periodd_listeners l
         where not exists (select from unnest($1::text[], $2::text[]) as w (channel, name)
                           where w.channel = l.channel and w.name = l.name)",
        &channels as &[&str],
        &names as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into periodd_listeners (channel, name, kinds, only_org)
         select w.channel, w.name, string_to_array(w.kinds, ','), w.only_org
         from unnest($1::text[], $2::text[], $3::text[], $4::uuid[])
                  as w (channel, name, kinds, only_org)
         order by w.channel, w.name
         on conflict (channel, name) do update
             set kinds = excluded.kinds, only_org = excluded.only_org",
        &channels as &[&str],
        &names as &[&str],
        &kinds as &[Option<String>],
        &orgs as &[Option<Uuid>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An endpoint, and how it fares.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct EndpointRow {
    /// Its name.
    pub name: String,
    /// Attempts in a row that failed because of the endpoint.
    pub failures: i32,
    /// From when it is tried again, in real time.
    pub rests_until: Option<Instant>,
    /// Since when it asks for no more messages.
    pub switched_off_at: Option<Instant>,
    /// Its last answer, where it failed.
    pub answer: Option<String>,
    /// Messages to be sent; counting ends at 1000.
    pub due: i64,
    /// When the oldest of them was recorded.
    pub oldest: Option<Instant>,
    /// Messages that were given up in the last 24 hours; counting ends at 1000.
    pub given_up: i64,
}

/// Every endpoint that is known. `recently` is when the last 24 hours began; of each kind, `most`
/// messages are counted.
pub async fn endpoints(
    connection: &mut PgConnection,
    recently: Instant,
    most: i64,
) -> Result<Vec<EndpointRow>, StoreError> {
    let rows = sqlx::query_as!(
        EndpointRow,
        r#"select l.name, l.failures, l.rests_until, l.switched_off_at, l.answer,
                  coalesce(q.due, 0) as "due!", q.oldest, coalesce(g.given_up, 0) as "given_up!"
           from periodd_listeners l
           left join lateral (
               select count(*) as due, min(w.recorded_at) as oldest
               from (select m.recorded_at from periodd_webhook_outbox m
                     where m.endpoint = l.name and m.state = 'due'
                     order by m.recorded_at limit $2) w) q on true
           left join lateral (
               select count(*) as given_up
               from (select from periodd_webhook_outbox m
                     where m.settled_at >= $1 and m.endpoint = l.name and m.state = 'given_up'
                     limit $2) w) g on true
           where l.channel = 'webhook' order by l.name"#,
        recently,
        most
    );
    Ok(rows.fetch_all(connection).await?)
}

/// How one endpoint fares: attempts in a row that failed, until when it rests, and whether it is
/// switched off. `None`: it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fares {
    pub failures: i32,
    pub rests_until: Option<Instant>,
    pub switched_off_at: Option<Instant>,
}

/// How an endpoint fares.
pub async fn fares(connection: &mut PgConnection, name: &str) -> Result<Option<Fares>, StoreError> {
    let row = sqlx::query_as!(
        Fares,
        "select failures, rests_until, switched_off_at from periodd_listeners
         where channel = 'webhook' and name = $1",
        name
    );
    Ok(row.fetch_optional(connection).await?)
}

/// The endpoints that are on, by their names.
pub async fn on(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!(
        "select name from periodd_listeners where channel = 'webhook' and switched_off_at is null"
    );
    Ok(names.fetch_all(connection).await?)
}

/// Notes what is wrong with an endpoint, and what it answered. Once it is switched off it stays so,
/// whatever others are answered who asked before.
pub async fn note_trouble(
    connection: &mut PgConnection,
    name: &str,
    fares: Fares,
    answer: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update periodd_listeners
         set failures = $2, rests_until = $3, switched_off_at = coalesce(switched_off_at, $4),
             answer = $5
         where channel = 'webhook' and name = $1",
        name,
        fares.failures,
        fares.rests_until,
        fares.switched_off_at,
        answer
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that an endpoint is well again, unless it is switched off.
pub async fn note_success(connection: &mut PgConnection, name: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "update periodd_listeners set failures = 0, rests_until = null, answer = null
         where channel = 'webhook' and name = $1 and switched_off_at is null",
        name
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Switches an endpoint on, whatever was wrong with it. False: it is not known.
pub async fn resume(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let resumed = sqlx::query!(
        "update periodd_listeners
         set failures = 0, rests_until = null, switched_off_at = null, answer = null
         where channel = 'webhook' and name = $1",
        name
    );
    Ok(resumed.execute(connection).await?.rows_affected() == 1)
}
