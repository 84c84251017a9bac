//! The outbox: claiming emails that are due, settling them, listing them.
//!
//! An email is claimed by compare-and-set with a lease in real time. Whoever holds it sends
//! outside of any transaction and settles it; when the holder dies, the lease runs out and
//! somebody else sends the same message once more.

use sqlx::PgConnection;
use uuid::Uuid;

use super::database::Database;
use super::error::StoreError;
use crate::billing::Instant;

/// Why an email is given up whose period has ended.
pub const TOO_LATE: &str = "the period ended before it could be sent";

/// An email that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The org.
    pub org: Uuid,
    /// The email.
    pub id: Uuid,
    /// To whom.
    pub recipient: String,
    /// The percentage that it tells of.
    pub threshold: i16,
    /// When it is too late, in business time.
    pub period_end: Instant,
    /// Attempts that failed.
    pub attempts: i32,
    /// What was composed for an earlier attempt.
    pub composed: Option<Composed>,
}

/// What every attempt of an email shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The Date, in business time.
    pub dated: Instant,
    /// The letter, as JSON.
    pub letter: String,
}

struct Row {
    org_id: Uuid,
    id: Uuid,
    recipient: String,
    threshold: i16,
    period_end: Instant,
    attempts: i32,
    message_id: Option<String>,
    dated: Option<Instant>,
    letter: Option<String>,
}

impl From<Row> for Claimed {
    fn from(row: Row) -> Self {
        let composed = match (row.message_id, row.dated, row.letter) {
            (Some(message_id), Some(dated), Some(letter)) => {
                Some(Composed { message_id, dated, letter })
            }
            _ => None,
        };
        Self {
            org: row.org_id,
            id: row.id,
            recipient: row.recipient,
            threshold: row.threshold,
            period_end: row.period_end,
            attempts: row.attempts,
            composed,
        }
    }
}

/// A claim: whose, and until when, in real time.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Who holds it.
    pub holder: Uuid,
    /// Now.
    pub now: Instant,
    /// When it runs out.
    pub until: Instant,
}

/// Claims up to `limit` emails that are due. Fewer may come back although more are due, when
/// others claim at the same time: see [`is_anything_due`].
///
/// # Errors
/// As every write.
pub async fn claim(
    connection: &mut PgConnection,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "with due as (
             select org_id, id from periodd_outbox
             where state = 'due' and next_attempt_at <= $1
               and (leased_until is null or leased_until <= $1)
             order by next_attempt_at, org_id, id limit $4)
         update periodd_outbox o set leased_until = $2, lease = $3
         from due d
         where o.org_id = d.org_id and o.id = d.id and o.state = 'due'
           and o.next_attempt_at <= $1 and (o.leased_until is null or o.leased_until <= $1)
         returning o.org_id, o.id, o.recipient, o.threshold, o.period_end, o.attempts,
                   o.message_id, o.dated, o.letter",
        lease.now,
        lease.until,
        lease.holder,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Claimed::from).collect())
}

/// Is an email due that nobody is at?
///
/// # Errors
/// As every read.
pub async fn is_anything_due(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<bool, StoreError> {
    let due = sqlx::query_scalar!(
        r#"select exists (select from periodd_outbox
                          where state = 'due' and next_attempt_at <= $1
                            and (leased_until is null or leased_until <= $1)) as "due!""#,
        now
    );
    Ok(due.fetch_one(connection).await?)
}

/// Claims one email by its id, whatever became of it, to be sent once more with the Message-ID
/// that it had. `None` when there is none, or when somebody is at it.
///
/// # Errors
/// As every write.
pub async fn claim_again(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    lease: Lease,
) -> Result<Option<Claimed>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "update periodd_outbox o
         set state = 'due', settled_at = null, leased_until = $4, lease = $5
         where o.org_id = $1 and o.id = $2 and (o.leased_until is null or o.leased_until <= $3)
         returning o.org_id, o.id, o.recipient, o.threshold, o.period_end, o.attempts,
                   o.message_id, o.dated, o.letter",
        org,
        id,
        lease.now,
        lease.until,
        lease.holder
    );
    Ok(row.fetch_optional(connection).await?.map(Claimed::from))
}

/// Keeps what was composed, where nobody has composed it before.
///
/// # Errors
/// As every write.
pub async fn keep_composed(
    connection: &mut PgConnection,
    composed: &[(Uuid, Uuid, Composed)],
) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = composed.iter().map(|(org, ..)| *org).collect();
    let ids: Vec<Uuid> = composed.iter().map(|(_, id, _)| *id).collect();
    let message_ids: Vec<&str> = composed.iter().map(|row| row.2.message_id.as_str()).collect();
    let dates: Vec<Instant> = composed.iter().map(|row| row.2.dated).collect();
    let letters: Vec<&str> = composed.iter().map(|row| row.2.letter.as_str()).collect();
    let written = sqlx::query!(
        "update periodd_outbox o
         set message_id = m.message_id, dated = m.dated, letter = m.letter
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[])
                  as m (org_id, id, message_id, dated, letter)
         where o.org_id = m.org_id and o.id = m.id and o.letter is null",
        &orgs,
        &ids,
        &message_ids as &[&str],
        &dates,
        &letters as &[&str]
    );
    written.execute(connection).await?;
    Ok(())
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The org.
    pub org: Uuid,
    /// The email.
    pub id: Uuid,
    /// What becomes of it.
    pub state: State,
    /// Attempts that failed, this one included.
    pub attempts: i32,
    /// From when it may be tried again, in real time.
    pub next_attempt_at: Instant,
    /// What the server answered, or why it was given up.
    pub answer: Option<String>,
}

/// What becomes of an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be tried again.
    Due,
    /// It was accepted.
    Sent,
    /// It is never to be sent.
    GivenUp,
    /// There is no such address.
    Suppressed,
}

impl State {
    /// The word in the outbox.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Sent => "sent",
            Self::GivenUp => "given_up",
            Self::Suppressed => "suppressed",
        }
    }
}

/// Settles emails that `holder` claimed. What was accepted is settled even where the lease has run
/// out in the meantime; anything else only by whoever holds it.
///
/// # Errors
/// As every write.
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
    let written = sqlx::query!(
        "with answers as (
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[],
                                  $5::timestamptz[], $6::timestamptz[], $7::text[])
                      as m (org_id, id, state, attempts, next_attempt_at, settled_at, answer)),
         dead as (
             insert into periodd_suppressions (org_id, email, reason, suppressed_at)
             select distinct on (o.org_id, lower(o.recipient))
                    o.org_id, lower(o.recipient), coalesce(m.answer, ''), $9
             from answers m
             join periodd_outbox o on o.org_id = m.org_id and o.id = m.id
             where m.state = 'suppressed'
             on conflict (org_id, email) do nothing)
         update periodd_outbox o
         set state = m.state, attempts = m.attempts, next_attempt_at = m.next_attempt_at,
             settled_at = m.settled_at, answer = coalesce(m.answer, o.answer),
             leased_until = null, lease = null
         from answers m
         where o.org_id = m.org_id and o.id = m.id and o.state = 'due'
           and (o.lease = $8 or m.state = 'sent')",
        &orgs,
        &ids,
        &states as &[&str],
        &attempts,
        &next,
        &at as &[Option<Instant>],
        &answers as &[Option<&str>],
        holder,
        now
    );
    written.execute(connection).await?;
    Ok(())
}

/// Lifts the suppression of an address that turned out to exist.
///
/// # Errors
/// As every write.
pub async fn lift_suppression(
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

/// Gives up what nobody is at and what is too late: emails whose period has ended in business
/// time, up to `limit` of them. Returns how many; none when nothing is left.
///
/// # Errors
/// As every write.
pub async fn give_up_ended(
    connection: &mut PgConnection,
    now: Instant,
    real: Instant,
    limit: i64,
) -> Result<u64, StoreError> {
    let ended = sqlx::query!(
        "select org_id, id, answer from periodd_outbox
         where state = 'due' and period_end <= $1
           and (leased_until is null or leased_until <= $2)
         order by period_end limit $3",
        now,
        real,
        limit
    );
    let mut ended = ended.fetch_all(&mut *connection).await?;
    if ended.is_empty() {
        return Ok(0);
    }
    // In the order of the keys, as everybody who writes several rows.
    ended.sort_by_key(|row| (row.org_id, row.id));
    let orgs: Vec<Uuid> = ended.iter().map(|row| row.org_id).collect();
    let ids: Vec<Uuid> = ended.iter().map(|row| row.id).collect();
    let answers: Vec<String> = ended
        .iter()
        .map(|row| match &row.answer {
            Some(answer) => format!("{TOO_LATE}; before that: {answer}"),
            None => TOO_LATE.to_owned(),
        })
        .collect();
    let given_up = sqlx::query!(
        "update periodd_outbox o
         set state = 'given_up', settled_at = $2, leased_until = null, lease = null,
             answer = e.answer
         from unnest($3::uuid[], $4::uuid[], $5::text[]) as e (org_id, id, answer)
         where o.org_id = e.org_id and o.id = e.id and o.state = 'due' and o.period_end <= $1
           and (o.leased_until is null or o.leased_until <= $2)",
        now,
        real,
        &orgs,
        &ids,
        &answers
    );
    Ok(given_up.execute(connection).await?.rows_affected())
}

/// An email, as it is listed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct EmailRow {
    /// The email.
    pub id: Uuid,
    /// The org, by its slug.
    pub org: String,
    /// The feature.
    pub feature: String,
    /// The percentage that it tells of.
    pub threshold: i16,
    /// Start of its period.
    pub period_start: Instant,
    /// End of its period.
    pub period_end: Instant,
    /// To whom.
    pub recipient: String,
    /// `due`, `sent`, `given_up` or `suppressed`.
    pub state: String,
    /// Attempts that failed.
    pub attempts: i32,
    /// From when it may be tried again, in real time.
    pub next_attempt_at: Instant,
    /// When it was sent or given up, in real time.
    pub settled_at: Option<Instant>,
    /// What the server answered last, or why it was given up.
    pub answer: Option<String>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// When the alert was queued.
    pub recorded_at: Instant,
}

/// Emails of one org or of all, of one state or of any, newest first.
///
/// # Errors
/// As every read.
pub async fn list(
    database: &Database,
    org: Option<Uuid>,
    state: Option<&str>,
    limit: i64,
) -> Result<Vec<EmailRow>, StoreError> {
    let rows = sqlx::query_as!(
        EmailRow,
        "select m.id, o.slug as org, m.feature, m.threshold, m.period_start, m.period_end,
                m.recipient, m.state, m.attempts, m.next_attempt_at, m.settled_at, m.answer,
                m.message_id, m.recorded_at
         from periodd_outbox m join organizations o on o.id = m.org_id
         where ($1::uuid is null or m.org_id = $1) and ($2::text is null or m.state = $2)
         order by m.recorded_at desc, m.org_id, m.id limit $3",
        org,
        state,
        limit
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// An alert that waits for somebody to tell, or waited in vain.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct WaitingRow {
    /// The org, by its slug.
    pub org: String,
    /// The feature.
    pub feature: String,
    /// The percentage.
    pub threshold: i16,
    /// End of its period.
    pub period_end: Instant,
    /// When it was decided, in business time.
    pub decided_at: Instant,
}

/// Alerts that wait for a recipient, of one org or of all.
///
/// # Errors
/// As every read.
pub async fn waiting(
    database: &Database,
    org: Option<Uuid>,
) -> Result<Vec<WaitingRow>, StoreError> {
    let rows = sqlx::query_as!(
        WaitingRow,
        "select o.slug as org, a.feature, a.threshold, a.period_end, a.decided_at
         from periodd_alerts a join organizations o on o.id = a.org_id
         where a.state = 'waiting' and ($1::uuid is null or a.org_id = $1)
         order by a.period_end, o.slug, a.feature",
        org
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// An address that nothing is sent to any more.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct SuppressionRow {
    /// The org, by its slug.
    pub org: String,
    /// The address.
    pub email: String,
    /// What the server said.
    pub reason: String,
    /// Since when.
    pub suppressed_at: Instant,
}

/// Addresses that nothing is sent to any more, of one org or of all.
///
/// # Errors
/// As every read.
pub async fn suppressions(
    database: &Database,
    org: Option<Uuid>,
) -> Result<Vec<SuppressionRow>, StoreError> {
    let rows = sqlx::query_as!(
        SuppressionRow,
        "select o.slug as org, x.email, x.reason, x.suppressed_at
         from periodd_suppressions x join organizations o on o.id = x.org_id
         where $1::uuid is null or x.org_id = $1
         order by o.slug, x.email",
        org
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// How many emails were sent.
///
/// # Errors
/// As every read.
pub async fn count_sent(database: &Database) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from periodd_outbox where state = 'sent'"#
    );
    Ok(count.fetch_one(&mut *database.connection().await?).await?)
}

/// The recipient and the letter of an email that was sent, to be shown: the last one below 100 %.
///
/// # Errors
/// As every read.
pub async fn a_sent_one(database: &Database) -> Result<Option<(String, String)>, StoreError> {
    let row = sqlx::query!(
        r#"select recipient, letter as "letter!" from periodd_outbox
           where state = 'sent' and letter is not null
           order by threshold >= 100, dated desc, recipient limit 1"#
    );
    let row = row.fetch_optional(&mut *database.connection().await?).await?;
    Ok(row.map(|row| (row.recipient, row.letter)))
}

/// The org of an email.
///
/// # Errors
/// [`StoreError::Invalid`] when there is no such email.
pub async fn org_of(database: &Database, id: Uuid) -> Result<Uuid, StoreError> {
    let org = sqlx::query_scalar!("select org_id from periodd_outbox where id = $1", id);
    org.fetch_optional(&mut *database.connection().await?).await?.ok_or_else(|| {
        StoreError::Invalid(format!("there is no email {id}; `periodd alerts list` shows them"))
    })
}

/// Deletes up to `limit` emails that were sent or given up before an instant, and returns how many
/// there were.
///
/// # Errors
/// As every write.
pub async fn delete_settled_before(
    connection: &mut PgConnection,
    before: Instant,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "with old as (
             select org_id, id from periodd_outbox
             where settled_at < $1 order by settled_at limit $2)
         delete from periodd_outbox o using old
         where o.org_id = old.org_id and o.id = old.id and o.settled_at < $1",
        before,
        limit
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Deletes the alerts of some orgs whose period ended before an instant and whose emails are gone,
/// and what is remembered of such counters. Returns how many alerts there were.
///
/// # Errors
/// As every write.
pub async fn delete_alerts_before(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    before: Instant,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from periodd_alerts a
         where a.org_id = any($1) and a.period_end < $2
           and not exists (select from periodd_outbox m
                           where m.org_id = a.org_id and m.period_start = a.period_start
                             and m.feature = a.feature and m.generation = a.generation
                             and m.threshold = a.threshold)",
        orgs,
        before
    );
    let deleted = deleted.execute(&mut *connection).await?.rows_affected();
    sqlx::query!(
        "delete from periodd_alert_limits l
         where l.org_id = any($1) and l.period_end < $2
           and not exists (select from periodd_alerts a
                           where a.org_id = l.org_id and a.period_start = l.period_start
                             and a.feature = l.feature)",
        orgs,
        before
    )
    .execute(connection)
    .await?;
    Ok(deleted)
}
