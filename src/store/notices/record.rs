//! What has been said, and recording what is decided: notices and emails, in one transaction.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing;
use crate::billing::notice::{Kind, Notice, Seen, SeenState};
use crate::billing::{Instant, Quantity};
use crate::store::StoreError;
use crate::store::db::facts;
use crate::store::events::{self, NewEvent};

/// The fact that remembers when notices were looked for.
const FACT: &str = "notices_looked";

/// What was recorded of an org.
#[derive(Debug, Clone)]
pub struct SeenRow {
    pub org: Uuid,
    pub seen: Seen,
}

/// What was recorded of some kinds for some orgs, of notices that are not too late yet.
pub async fn seen(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    kinds: &[Kind],
    now: Instant,
) -> Result<Vec<SeenRow>, StoreError> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let rows = sqlx::query!(
        "select n.org_id, n.kind, n.key, n.state, n.decided_at,
                case when n.kind = 'runs_out' then n.facts end as facts
         from periodd_notices n
         where n.org_id = any($1) and n.kind = any($2) and n.until > $3
         order by n.org_id, n.kind, n.key",
        orgs,
        &names as &[&str],
        now
    );
    let rows = rows.fetch_all(connection).await?.into_iter().filter_map(|row| {
        let state = match row.state.as_str() {
            "waiting" => SeenState::Waiting,
            "withdrawn" => SeenState::Withdrawn,
            _ => SeenState::Told,
        };
        let notice: Option<Notice> = row.facts.and_then(|facts| serde_json::from_str(&facts).ok());
        let allowance: Option<Quantity> = match notice {
            Some(Notice::RunsOut(one)) => Some(one.allowance),
            _ => None,
        };
        let (kind, decided_at) = (row.kind.parse().ok()?, row.decided_at);
        let seen = Seen { kind, key: row.key, state, decided_at, allowance };
        Some(SeenRow { org: row.org_id, seen })
    });
    Ok(rows.collect())
}

/// What becomes of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeState {
    /// Emails are queued.
    Notified,
    /// Another one says it.
    Covered,
    /// There is nobody to tell.
    Waiting,
    /// Nobody is to be told: there is no transport.
    Recorded,
}

impl NoticeState {
    const fn name(self) -> &'static str {
        match self {
            Self::Notified => "notified",
            Self::Covered => "covered",
            Self::Waiting => "waiting",
            Self::Recorded => "recorded",
        }
    }
}

/// A notice that is to be recorded, with its emails.
#[derive(Debug, Clone)]
pub struct NewNotice {
    pub org: Uuid,
    pub kind: Kind,
    pub key: String,
    pub state: NoticeState,
    /// What it says; `None`: another one says it.
    pub notice: Option<Notice>,
    pub until: Instant,
    pub recipients: Vec<String>,
}

/// By what a notice is known: its org, kind and key.
type Key = (Uuid, String, String);

/// A notice that was let through.
#[derive(Debug, Clone, Copy)]
struct Moved {
    id: Uuid,
    /// It has not waited: what has was told to programs when it came.
    is_new: bool,
}

impl NewNotice {
    /// Does another one of its org and kind say it, and become what this becomes?
    fn goes_with_another(&self) -> bool {
        self.notice.is_none() && self.state != NoticeState::Covered
    }

    fn key(&self) -> Key {
        (self.org, self.kind.name().to_owned(), self.key.clone())
    }
}

/// Records notices within a transaction, and returns which of them were let through, in their
/// order: of two passes that decide the same, the first one. What waited for somebody to tell moves
/// on. What goes with another one is recorded with it, or not at all: it is still to be told.
///
/// Everything that hears of a notice in the transaction that decides it is called from here.
pub async fn record(
    connection: &mut PgConnection,
    notices: &[NewNotice],
    now: Instant,
) -> Result<Vec<bool>, StoreError> {
    let (with, own): (Vec<&NewNotice>, Vec<&NewNotice>) =
        notices.iter().partition(|one| one.goes_with_another());
    let mut ids = write_notices(connection, &own, now).await?;
    let told = own.iter().filter(|one| one.notice.is_some() && ids.contains_key(&one.key()));
    let told: HashSet<(Uuid, Kind)> = told.map(|one| (one.org, one.kind)).collect();
    let with: Vec<&NewNotice> =
        with.into_iter().filter(|one| told.contains(&(one.org, one.kind))).collect();
    if !with.is_empty() {
        ids.extend(write_notices(connection, &with, now).await?);
    }
    let moved: Vec<Option<Moved>> =
        notices.iter().map(|one| ids.get(&one.key()).copied()).collect();
    write_emails(connection, notices, &moved, now).await?;
    enter_events(connection, notices, &moved, now).await?;
    Ok(moved.into_iter().map(|id| id.is_some()).collect())
}

async fn write_notices(
    connection: &mut PgConnection,
    notices: &[&NewNotice],
    now: Instant,
) -> Result<HashMap<Key, Moved>, StoreError> {
    let mut facts: Vec<Option<String>> = Vec::with_capacity(notices.len());
    for one in notices {
        let text = one.notice.as_ref().map(serde_json::to_string).transpose();
        facts.push(text.map_err(|error| StoreError::Failed(error.to_string()))?);
    }
    let orgs: Vec<Uuid> = notices.iter().map(|one| one.org).collect();
    let ids: Vec<Uuid> = notices.iter().map(|_| Uuid::new_v4()).collect();
    let kinds: Vec<&str> = notices.iter().map(|one| one.kind.name()).collect();
    let keys: Vec<&str> = notices.iter().map(|one| one.key.as_str()).collect();
    let states: Vec<&str> = notices.iter().map(|one| one.state.name()).collect();
    let features: Vec<&str> =
        notices.iter().map(|one| one.notice.as_ref().map_or("", Notice::feature)).collect();
    let untils: Vec<Instant> = notices.iter().map(|one| one.until).collect();
    let moved = sqlx::query!(
        "insert into periodd_notices as n
             (org_id, id, kind, key, state, feature, facts, until, decided_at)
         select m.org_id, m.id, m.kind, m.key, m.state, m.feature, m.facts, m.until, $9
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::timestamptz[])
                  as m (org_id, id, kind, key, state, feature, facts, until)
         order by m.org_id, m.kind, m.key
         on conflict (org_id, kind, key) do update
             set state = excluded.state, feature = excluded.feature, facts = excluded.facts,
                 until = excluded.until, decided_at = excluded.decided_at
             where n.state = 'waiting'
         returning org_id, kind, key, id",
        &orgs,
        &ids,
        &kinds as &[&str],
        &keys as &[&str],
        &states as &[&str],
        &features as &[&str],
        &facts as &[Option<String>],
        &untils,
        now
    );
    let moved = moved.fetch_all(connection).await?.into_iter().map(|row| {
        let is_new = ids.contains(&row.id);
        ((row.org_id, row.kind, row.key), Moved { id: row.id, is_new })
    });
    Ok(moved.collect())
}

/// One email for everybody who is to be told, of the notices that were let through.
async fn write_emails(
    connection: &mut PgConnection,
    notices: &[NewNotice],
    moved: &[Option<Moved>],
    now: Instant,
) -> Result<(), StoreError> {
    let rows: Vec<(&NewNotice, Uuid, &String)> = notices
        .iter()
        .zip(moved)
        .filter_map(|(one, moved)| Some((one, (*moved)?.id)))
        .flat_map(|(one, id)| one.recipients.iter().map(move |to| (one, id, to)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = rows.iter().map(|(one, ..)| one.org).collect();
    let notices: Vec<Uuid> = rows.iter().map(|(_, id, _)| *id).collect();
    let kinds: Vec<&str> = rows.iter().map(|(one, ..)| one.kind.name()).collect();
    let features: Vec<&str> =
        rows.iter().map(|(one, ..)| one.notice.as_ref().map_or("", Notice::feature)).collect();
    let untils: Vec<Instant> = rows.iter().map(|(one, ..)| one.until).collect();
    let recipients: Vec<&str> = rows.iter().map(|(.., to)| to.as_str()).collect();
    let written = sqlx::query!(
        "insert into periodd_outbox
             (org_id, notice, kind, feature, period_start, period_end, threshold, recipient)
         select m.org_id, m.notice, m.kind, m.feature, $7, m.until, null, m.recipient
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[],
                     $6::text[]) as m (org_id, notice, kind, feature, until, recipient)
         on conflict (org_id, notice, recipient) do nothing",
        &orgs,
        &notices,
        &kinds as &[&str],
        &features as &[&str],
        &untils,
        &recipients as &[&str],
        now
    );
    written.execute(connection).await?;
    Ok(())
}

/// Programs hear of a notice once, whether there is somebody to tell or not.
async fn enter_events(
    connection: &mut PgConnection,
    notices: &[NewNotice],
    moved: &[Option<Moved>],
    now: Instant,
) -> Result<(), StoreError> {
    let mut entered = Vec::new();
    for (one, moved) in notices.iter().zip(moved) {
        if let (Some(notice), Some(Moved { id, is_new: true })) = (&one.notice, *moved) {
            let event = billing::events::of_notice(notice)
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            let new = |(kind, payload)| NewEvent { id, kind, org: one.org, payload, at: now };
            entered.extend(event.map(new));
        }
    }
    events::enter(connection, &entered).await
}

/// Why an email is not sent whose notice no longer holds.
const WITHDRAWN: &str = "not sent: a purchase covers it";

/// Withdraws notices that no longer hold, with their emails that nobody has begun to send.
pub async fn withdraw(
    connection: &mut PgConnection,
    keys: &[(Uuid, Kind, String)],
    real: Instant,
) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = keys.iter().map(|(org, ..)| *org).collect();
    let kinds: Vec<&str> = keys.iter().map(|(_, kind, _)| kind.name()).collect();
    let names: Vec<&str> = keys.iter().map(|(.., key)| key.as_str()).collect();
    let withdrawn = sqlx::query!(
        "update periodd_notices n set state = 'withdrawn'
         from unnest($1::uuid[], $2::text[], $3::text[]) as m (org_id, kind, key)
         where n.org_id = m.org_id and n.kind = m.kind and n.key = m.key
           and n.state in ('notified', 'recorded', 'waiting')
         returning n.org_id, n.id",
        &orgs,
        &kinds as &[&str],
        &names as &[&str]
    );
    let withdrawn = withdrawn.fetch_all(&mut *connection).await?;
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) =
        withdrawn.into_iter().map(|row| (row.org_id, row.id)).unzip();
    let settled = sqlx::query!(
        "update periodd_outbox o
         set state = 'suppressed', settled_at = $3, answer = $4, leased_until = null, lease = null
         from unnest($1::uuid[], $2::uuid[]) as m (org_id, notice)
         where o.org_id = m.org_id and o.notice = m.notice and o.state = 'due'
           and (o.leased_until is null or o.leased_until <= $3)",
        &orgs,
        &ids,
        real,
        WITHDRAWN
    );
    settled.execute(connection).await?;
    Ok(())
}

/// The orgs with notices that waited for somebody to tell until it was too late, in order.
pub async fn waiting_in_vain(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct org_id from periodd_notices
         where state = 'waiting' and until <= $1 order by org_id",
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// Ends the wait of some orgs' notices that are too late.
pub async fn expire_waiting(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<(), StoreError> {
    let expired = sqlx::query!(
        "update periodd_notices set state = 'expired'
         where org_id = any($1) and state = 'waiting' and until <= $2",
        orgs,
        now
    );
    expired.execute(connection).await?;
    Ok(())
}

/// When notices were looked for.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct LastLook {
    /// In business time.
    pub now: Instant,
    /// In real time.
    pub real: Instant,
    /// When everything was looked at, in business time.
    pub everything_at: Instant,
}

/// The last look for notices; `None`: there was none.
pub async fn last_look(connection: &mut PgConnection) -> Result<Option<LastLook>, StoreError> {
    let fact = facts::read(connection, FACT).await?;
    Ok(fact.and_then(|look| serde_json::from_str(&look).ok()))
}

/// Remembers a look for notices.
pub async fn remember_look(
    connection: &mut PgConnection,
    look: LastLook,
) -> Result<(), StoreError> {
    let look = serde_json::to_string(&look).map_err(|why| StoreError::Failed(why.to_string()))?;
    facts::keep(connection, FACT, &look).await
}
