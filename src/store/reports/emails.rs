//! What the dashboard asks about emails: how many there are in each state, some of them, one in
//! full, and who gets none.

use sqlx::PgConnection;
use uuid::Uuid;

use super::overview::MOST;
use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::messages::outbox::{Fault, Progress};

/// Emails in one state.
#[derive(Debug, Clone)]
pub struct Counted {
    pub progress: Progress,
    /// Counted up to [`MOST`], those that are due and those that are settled each.
    pub emails: i64,
    /// When the first of them was recorded, or settled.
    pub oldest: Option<Instant>,
    /// The same of the last one.
    pub newest: Option<Instant>,
}

/// Counts emails by state: those that are due, and those that were settled since an instant.
pub async fn counts(
    connection: &mut PgConnection,
    since: Instant,
) -> Result<Vec<Counted>, StoreError> {
    let rows = sqlx::query!(
        r#"with due as materialized (
               select attempts > 0 as has_failed, recorded_at as at from periodd_outbox
               where state = 'due' order by recorded_at, org_id, id limit $2),
           settled as materialized (
               select state, settled_at as at from periodd_outbox
               where settled_at is not null and settled_at >= $1
               order by settled_at desc limit $2)
           select 'due' as "state!", has_failed as "has_failed!", count(*) as "emails!",
                  min(at) as oldest, max(at) as newest
           from due group by has_failed
           union all
           select state, false, count(*), min(at), max(at) from settled group by state
           order by 1, 2"#,
        since,
        MOST
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| Counted {
        progress: Progress::of(&row.state, row.has_failed),
        emails: row.emails,
        oldest: row.oldest,
        newest: row.newest,
    });
    Ok(rows.collect())
}

/// An email of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub org: Uuid,
    pub slug: String,
    pub id: Uuid,
    /// `threshold`, or the kind of a notice.
    pub kind: String,
    pub feature: String,
    /// `None`: it is about a notice.
    pub threshold: Option<i16>,
    pub recipient: String,
    pub state: String,
    /// Attempts that failed.
    pub attempts: i32,
    pub next_attempt_at: Instant,
    pub settled_at: Option<Instant>,
    /// The beginning of what the server answered last, or why it was given up.
    pub answer: Option<String>,
    pub recorded_at: Instant,
}

impl Listed {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress::of(&self.state, self.attempts > 0)
    }
}

/// The place of an email among those that are due.
pub type Place = (Instant, Uuid, Uuid);

/// Emails that are to be sent, the oldest first, behind a place.
pub async fn unsent(
    connection: &mut PgConnection,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let first = (Instant::MIN, Uuid::nil(), Uuid::nil());
    let (at, org, id) = after.unwrap_or(first);
    let rows = sqlx::query_as!(
        Listed,
        r#"select m.org_id as org, o.slug, m.id, m.kind, m.feature, m.threshold, m.recipient,
                  m.state, m.attempts, m.next_attempt_at, m.settled_at,
                  left(m.answer, 400) as answer, m.recorded_at
           from periodd_outbox m join organizations o on o.id = m.org_id
           where m.state = 'due' and (m.recorded_at, m.org_id, m.id) > ($1, $2, $3)
           order by m.recorded_at, m.org_id, m.id limit $4"#,
        at,
        org,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Emails that were settled in a state, the newest first: of the last [`MOST`] that were settled
/// at all.
pub async fn settled(
    connection: &mut PgConnection,
    state: &str,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let rows = sqlx::query_as!(
        Listed,
        r#"select m.org_id as "org!", o.slug as "slug!", m.id as "id!", m.kind as "kind!",
                  m.feature as "feature!", m.threshold, m.recipient as "recipient!",
                  m.state as "state!", m.attempts as "attempts!",
                  m.next_attempt_at as "next_attempt_at!",
                  m.settled_at, left(m.answer, 400) as answer,
                  m.recorded_at as "recorded_at!"
           from (select org_id, id from periodd_outbox where settled_at is not null
                 order by settled_at desc limit $2) as last
           cross join lateral (
               select * from periodd_outbox e
               where e.org_id = last.org_id and e.id = last.id offset 0) as m
           cross join lateral (
               select slug from organizations where id = m.org_id offset 0) as o
           where m.state = $1
           order by m.settled_at desc, m.org_id, m.id limit $3"#,
        state,
        MOST,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// An email in full.
#[derive(Debug, Clone)]
pub struct Email {
    pub slug: String,
    /// tz database name, as stored.
    pub time_zone: String,
    /// `threshold`, or the kind of a notice.
    pub kind: String,
    pub feature: String,
    /// `None`: it is about a notice.
    pub threshold: Option<i16>,
    pub period_start: Instant,
    pub period_end: Instant,
    pub recipient: String,
    pub state: String,
    /// Attempts that failed.
    pub attempts: i32,
    pub next_attempt_at: Instant,
    /// Until when a process has it, in real time.
    pub leased_until: Option<Instant>,
    pub message_id: Option<String>,
    pub dated: Option<Instant>,
    /// What it says, as JSON.
    pub letter: Option<String>,
    pub answer: Option<String>,
    pub fault: Option<Fault>,
    pub settled_at: Option<Instant>,
    pub recorded_at: Instant,
    /// Has its recipient a link that ends the warnings?
    pub has_link: bool,
}

impl Email {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress::of(&self.state, self.attempts > 0)
    }
}

/// One email of an org.
pub async fn one(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
) -> Result<Option<Email>, StoreError> {
    let email = sqlx::query_as!(
        Email,
        r#"select o.slug, o.time_zone, m.kind, m.feature, m.threshold, m.period_start, m.period_end,
                  m.recipient, m.state, m.attempts, m.next_attempt_at, m.leased_until,
                  m.message_id, m.dated, m.letter, m.answer, m.fault as "fault: Fault",
                  m.settled_at, m.recorded_at,
                  exists (select from periodd_unsubscribe_tokens t
                          where t.org_id = m.org_id and t.email = lower(m.recipient))
                      as "has_link!"
           from periodd_outbox m join organizations o on o.id = m.org_id
           where m.org_id = $1 and m.id = $2"#,
        org,
        id
    );
    Ok(email.fetch_optional(connection).await?)
}

/// An alert or a notice that waits for a recipient.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub slug: String,
    pub feature: String,
    /// `threshold`, or the kind of the notice.
    pub kind: String,
    pub threshold: Option<i16>,
    pub decided_at: Instant,
    /// End of its period, or from when the notice is too late: then nobody waits any longer.
    pub period_end: Instant,
}

/// Alerts and notices that wait for a recipient, those first that wait the shortest time.
pub async fn waiting(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query_as!(
        Waiting,
        r#"select o.slug, w.feature as "feature!", w.kind as "kind!", w.threshold,
                  w.decided_at as "decided_at!", w.period_end as "period_end!"
           from ((select a.org_id, a.feature, 'threshold' as kind, a.threshold, a.decided_at,
                         a.period_end
                  from periodd_alerts a where a.state = 'waiting'
                  order by a.period_end, a.org_id limit $1)
                 union all
                 (select n.org_id, n.feature, n.kind, null, n.decided_at, n.until
                  from periodd_notices n where n.state = 'waiting' and n.facts is not null
                  order by n.until, n.org_id limit $1)) w
           join organizations o on o.id = w.org_id
           order by w.period_end, w.org_id, w.feature, w.threshold limit $1"#,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// An address that gets no emails, or no warnings.
#[derive(Debug, Clone)]
pub struct Silent {
    pub slug: String,
    pub email: String,
    /// The beginning of what the mail server said; `None`: the address has opted out.
    pub reason: Option<String>,
    pub since: Instant,
}

/// Addresses that a mail server does not know, by org.
pub async fn suppressed(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Silent>, StoreError> {
    let rows = sqlx::query_as!(
        Silent,
        r#"select o.slug, x.email, left(x.reason, 400) as reason, x.suppressed_at as since
           from periodd_suppressions x join organizations o on o.id = x.org_id
           order by x.org_id, x.email limit $1"#,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Contacts that have opted out of warnings, by org.
pub async fn opted_out(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Silent>, StoreError> {
    let rows = sqlx::query_as!(
        Silent,
        r#"select o.slug, c.email, null as "reason?", c.opted_out_at as "since!"
           from org_contacts c join organizations o on o.id = c.org_id
           where c.opted_out_at is not null
           order by c.org_id, c.email limit $1"#,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
