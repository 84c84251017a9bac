//! The outbox: claiming emails that are due, settling them, listing them.
//!
//! An email is claimed by compare-and-set with a lease in real time. Whoever holds it sends
//! outside of any transaction and settles it; when the holder dies, the lease runs out and
//! somebody else sends the same message once more.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::notice::Kind;
use crate::command::Command;
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::ids::IdPrefix;
use crate::store::orgs::contacts;

/// An email that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub org: Uuid,
    pub id: Uuid,
    pub recipient: String,
    /// What it is about.
    pub kind: Kind,
    /// The percentage that was reached; `None`: it is about a notice.
    pub threshold: Option<i16>,
    /// When it is too late, in business time.
    pub period_end: Instant,
    pub attempts: i32,
    /// What was composed for an earlier attempt.
    pub composed: Option<Composed>,
    /// The token of the recipient's unsubscribe link.
    pub unsubscribe: Option<Uuid>,
}

/// What every attempt of an email shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The Date, in business time.
    pub dated: Instant,
    pub letter: String,
}

struct Row {
    org_id: Uuid,
    id: Uuid,
    recipient: String,
    kind: String,
    threshold: Option<i16>,
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
            kind: kind_of(&row.kind),
            threshold: row.threshold,
            period_end: row.period_end,
            attempts: row.attempts,
            composed,
            unsubscribe: None,
        }
    }
}

/// The kind that a row names; a row of a newer version is about something that only it knows.
fn kind_of(name: &str) -> Kind {
    name.parse().unwrap_or(Kind::Threshold)
}

/// The same with the tokens of their recipients, which are the same at every attempt.
async fn with_tokens(
    connection: &mut PgConnection,
    rows: impl IntoIterator<Item = Row>,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed: Vec<Claimed> = rows.into_iter().map(Claimed::from).collect();
    let addresses: Vec<(Uuid, &str)> =
        claimed.iter().map(|email| (email.org, email.recipient.as_str())).collect();
    let tokens = contacts::tokens(connection, &addresses).await?;
    for (email, token) in claimed.iter_mut().zip(tokens) {
        email.unsubscribe = token;
    }
    Ok(claimed)
}

/// A claim: whose, and until when, in real time.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub holder: Uuid,
    pub now: Instant,
    pub until: Instant,
}

/// Whose emails are meant.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Those of everybody but these orgs.
    AllBut(&'a [Uuid]),
    /// Those of these orgs.
    Orgs(&'a [Uuid]),
}

impl<'a> Of<'a> {
    /// The orgs, and whether they are those that are left out.
    const fn parts(self) -> (&'a [Uuid], bool) {
        match self {
            Self::AllBut(orgs) => (orgs, true),
            Self::Orgs(orgs) => (orgs, false),
        }
    }
}

/// The orgs of the first `limit` emails that are due.
pub async fn orgs_due(
    connection: &mut PgConnection,
    now: Instant,
    but: &[Uuid],
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct d.org_id
         from (select org_id from periodd_outbox
               where state = 'due' and next_attempt_at <= $1
                 and (leased_until is null or leased_until <= $1) and org_id <> all($2)
               order by next_attempt_at, org_id, id limit $3) d
         order by d.org_id",
        now,
        but,
        limit
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// Claims up to `limit` emails that are due. Fewer may come back although more are due, when
/// others claim at the same time: see [`is_anything_due`].
pub async fn claim(
    connection: &mut PgConnection,
    lease: Lease,
    of: Of<'_>,
    limit: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let (orgs, is_all_but) = of.parts();
    let rows = sqlx::query_as!(
        Row,
        "with due as (
             select org_id, id from periodd_outbox
             where state = 'due' and next_attempt_at <= $1
               and (leased_until is null or leased_until <= $1)
               and (org_id = any($5)) <> $6
             order by next_attempt_at, org_id, id limit $4)
         update periodd_outbox o set leased_until = $2, lease = $3
         from due d
         where o.org_id = d.org_id and o.id = d.id and o.state = 'due'
           and o.next_attempt_at <= $1 and (o.leased_until is null or o.leased_until <= $1)
         returning o.org_id, o.id, o.recipient, o.kind, o.threshold, o.period_end, o.attempts,
                   o.message_id, o.dated, o.letter",
        lease.now,
        lease.until,
        lease.holder,
        limit,
        orgs,
        is_all_but
    );
    let rows = rows.fetch_all(&mut *connection).await?;
    with_tokens(connection, rows).await
}

/// Is an email due that nobody is at, but for those of some orgs?
pub async fn is_anything_due(
    connection: &mut PgConnection,
    now: Instant,
    but: &[Uuid],
) -> Result<bool, StoreError> {
    let due = sqlx::query_scalar!(
        r#"select exists (select 1 from periodd_outbox
                          where state = 'due' and next_attempt_at <= $1
                            and (leased_until is null or leased_until <= $1)
                            and org_id <> all($2)) as "due!""#,
        now,
        but
    );
    Ok(due.fetch_one(connection).await?)
}

/// Claims one email by its id, whatever became of it, to be sent once more with the Message-ID
/// that it had. `None` when there is none, or when somebody is at it.
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
         returning o.org_id, o.id, o.recipient, o.kind, o.threshold, o.period_end, o.attempts,
                   o.message_id, o.dated, o.letter",
        org,
        id,
        lease.now,
        lease.until,
        lease.holder
    );
    let row = row.fetch_optional(&mut *connection).await?;
    Ok(with_tokens(connection, row).await?.pop())
}

/// Emails that were settled in a state, of one org or of all, since an instant, and whose period is
/// not over at `now`: their orgs and ids, the oldest first.
pub async fn settled_as(
    connection: &mut PgConnection,
    state: State,
    org: Option<Uuid>,
    since: Option<Instant>,
    now: Instant,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = sqlx::query!(
        "select org_id, id from periodd_outbox
         where state = $1 and settled_at is not null and period_end > $4
           and ($2::uuid is null or org_id = $2) and ($3::timestamptz is null or settled_at >= $3)
         order by settled_at, org_id, id",
        state.name(),
        org,
        since,
        now
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.org_id, row.id)).collect())
}

/// An email about the same alert or notice.
#[derive(Debug, Clone)]
pub struct Sibling {
    pub id: Uuid,
    pub recipient: String,
    /// The name of what it is about.
    pub kind: String,
    /// The percentage that was reached; `None`: it is about a notice.
    pub threshold: Option<i16>,
    /// Was it accepted?
    pub is_sent: bool,
}

/// The emails about the alert of one, this one among them; held until the transaction ends.
pub async fn siblings(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
) -> Result<Vec<Sibling>, StoreError> {
    let rows = sqlx::query_as!(
        Sibling,
        r#"select s.id, s.recipient, s.kind, s.threshold, s.state = 'sent' as "is_sent!"
           from periodd_outbox s
           where s.org_id = $1
             and ((s.period_start, s.feature, s.generation, s.threshold) =
                      (select a.period_start, a.feature, a.generation, a.threshold
                       from periodd_outbox a where a.org_id = $1 and a.id = $2)
                  or s.notice = (select a.notice from periodd_outbox a
                                 where a.org_id = $1 and a.id = $2))
           order by s.id for update"#,
        org,
        id
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Has an email go to another address than it was queued for.
pub async fn readdress(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    recipient: &str,
) -> Result<(), StoreError> {
    let moved = sqlx::query!(
        "update periodd_outbox set recipient = $3 where org_id = $1 and id = $2",
        org,
        id,
        recipient
    );
    moved.execute(connection).await?;
    Ok(())
}

/// Queues another email about the alert of one, and returns its id.
pub async fn queue_beside(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    recipient: &str,
) -> Result<Uuid, StoreError> {
    let queued = sqlx::query_scalar!(
        "insert into periodd_outbox
             (org_id, feature, period_start, period_end, generation, threshold, kind, notice,
              recipient)
         select org_id, feature, period_start, period_end, generation, threshold, kind, notice, $3
         from periodd_outbox where org_id = $1 and id = $2
         returning id",
        org,
        id,
        recipient
    );
    Ok(queued.fetch_one(connection).await?)
}

/// Settles an email that nobody is to get any more, with the reason.
pub async fn leave(
    connection: &mut PgConnection,
    org: Uuid,
    id: Uuid,
    why: &str,
) -> Result<(), StoreError> {
    let left = sqlx::query!(
        "update periodd_outbox set state = 'suppressed', answer = $3
         where org_id = $1 and id = $2 and settled_at is not null",
        org,
        id,
        why
    );
    left.execute(connection).await?;
    Ok(())
}

/// Lifts the suppression of the addresses that took these emails.
pub async fn revive_recipients(
    connection: &mut PgConnection,
    org: Uuid,
    ids: &[Uuid],
) -> Result<(), StoreError> {
    let revived = sqlx::query!(
        "delete from periodd_suppressions x using periodd_outbox m
         where x.org_id = $1 and m.org_id = x.org_id and m.id = any($2) and m.state = 'sent'
           and x.email = lower(m.recipient)",
        org,
        ids
    );
    revived.execute(connection).await?;
    Ok(())
}

/// Keeps what was composed, where nobody has composed it before.
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
    pub org: Uuid,
    pub id: Uuid,
    pub state: State,
    /// Attempts that failed, this one included.
    pub attempts: i32,
    /// From when it may be tried again, in real time.
    pub next_attempt_at: Instant,
    /// What the server answered, or why it was given up.
    pub answer: Option<String>,
    /// Why it waits, where no other email would fare better.
    pub fault: Option<Fault>,
}

/// Why emails wait although nothing is wrong with them: no other would fare better.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type, serde::Serialize, schemars::JsonSchema,
)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The mail server does not accept the login.
    Login,
    /// The mail server cannot be reached.
    Server,
    /// The mail server takes no emails from us.
    Refused,
}

impl Fault {
    /// The word in the outbox.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Server => "server",
            Self::Refused => "refused",
        }
    }
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
    /// There is no such address, or nobody there wants it any more.
    Suppressed,
}

impl State {
    /// The word in the outbox.
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
    let faults: Vec<Option<&str>> = settled.iter().map(|one| one.fault.map(Fault::name)).collect();
    let written = sqlx::query!(
        "with answers as (
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[],
                                  $5::timestamptz[], $6::timestamptz[], $7::text[], $10::text[])
                      as m (org_id, id, state, attempts, next_attempt_at, settled_at, answer,
                            fault)),
         dead as (
             insert into periodd_suppressions (org_id, email, reason, suppressed_at)
             select distinct on (o.org_id, lower(o.recipient))
                    o.org_id, lower(o.recipient), coalesce(m.answer, ''), $9
             from answers m
             join periodd_outbox o on o.org_id = m.org_id and o.id = m.id
             -- Only a server's answer tells of an address; without an attempt there was none.
             where m.state = 'suppressed' and m.attempts > o.attempts
             on conflict (org_id, email) do nothing)
         update periodd_outbox o
         set state = m.state, attempts = m.attempts, next_attempt_at = m.next_attempt_at,
             settled_at = m.settled_at, answer = coalesce(m.answer, o.answer),
             -- What was not tried waits for what it waited for.
             fault = case when m.answer is null then o.fault else m.fault end,
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
        now,
        &faults as &[Option<&str>]
    );
    written.execute(connection).await?;
    Ok(())
}

/// The orgs of emails that wait for their next attempt: of all such emails, or of those that wait
/// only because the mail server was out of reach or took none from us.
pub async fn orgs_waiting(
    connection: &mut PgConnection,
    now: Instant,
    only_faults: bool,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct org_id from periodd_outbox
         where state = 'due' and next_attempt_at > $1 and (fault is not null or not $2)
         order by org_id",
        now,
        only_faults
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// Has those emails of some orgs tried at once.
pub async fn hasten(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
    only_faults: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update periodd_outbox set next_attempt_at = $1
         where org_id = any($3) and state = 'due' and next_attempt_at > $1
           and (fault is not null or not $2)",
        now,
        only_faults,
        orgs
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An email, as it is listed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct EmailRow {
    /// The email.
    pub id: Uuid,
    /// The org, by its slug.
    pub org: String,
    /// What it is about: `threshold`, or the kind of a notice.
    pub kind: String,
    /// The feature; empty: it is about the org.
    pub feature: String,
    /// The percentage that was reached; null: it is about a notice.
    pub threshold: Option<i16>,
    /// Start of its period; when a notice was decided.
    pub period_start: Instant,
    /// End of its period; from when a notice is too late.
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

/// How far an email has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Sent,
    GivenUp,
    Suppressed,
    /// It is due, and an attempt has failed.
    ToBeRetried,
    Due,
}

impl Progress {
    /// By its state in the outbox, and whether an attempt has failed.
    pub fn of(state: &str, has_failed: bool) -> Self {
        match state {
            "sent" => Self::Sent,
            "given_up" => Self::GivenUp,
            "suppressed" => Self::Suppressed,
            _ if has_failed => Self::ToBeRetried,
            _ => Self::Due,
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::GivenUp => "given up",
            Self::Suppressed => "suppressed",
            Self::ToBeRetried => "to be retried",
            Self::Due => "due",
        }
    }
}

impl EmailRow {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress::of(&self.state, self.attempts > 0)
    }

    /// What it is about, for people: `90 %`, `pack expires`.
    pub fn about(&self) -> String {
        about(&self.kind, self.threshold)
    }
}

/// What an email is about, for people: `90 %`, `pack expires`.
pub fn about(kind: &str, threshold: Option<i16>) -> String {
    match threshold {
        Some(percent) => format!("{percent} %"),
        None => kind_of(kind).words().to_owned(),
    }
}

/// The last emails of one org, newest first.
pub async fn of_org(
    connection: &mut PgConnection,
    org: Uuid,
    limit: i64,
) -> Result<Vec<EmailRow>, StoreError> {
    let rows = sqlx::query_as!(
        EmailRow,
        "select m.id, o.slug as org, m.kind, m.feature, m.threshold, m.period_start, m.period_end,
                m.recipient, m.state, m.attempts, m.next_attempt_at, m.settled_at, m.answer,
                m.message_id, m.recorded_at
         from periodd_outbox m join organizations o on o.id = m.org_id
         where m.org_id = $1
         order by m.recorded_at desc, m.id limit $2",
        org,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// These emails of an org, by address.
pub async fn these(
    connection: &mut PgConnection,
    org: Uuid,
    ids: &[Uuid],
) -> Result<Vec<EmailRow>, StoreError> {
    let rows = sqlx::query_as!(
        EmailRow,
        "select m.id, o.slug as org, m.kind, m.feature, m.threshold, m.period_start, m.period_end,
                m.recipient, m.state, m.attempts, m.next_attempt_at, m.settled_at, m.answer,
                m.message_id, m.recorded_at
         from periodd_outbox m join organizations o on o.id = m.org_id
         where m.org_id = $1 and m.id = any($2)
         order by m.recipient, m.id",
        org,
        ids
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Emails of one org or of all, of one state or of any, newest first.
pub async fn list(
    database: &Database,
    org: Option<Uuid>,
    state: Option<&str>,
    limit: i64,
) -> Result<Vec<EmailRow>, StoreError> {
    let rows = sqlx::query_as!(
        EmailRow,
        "select m.id, o.slug as org, m.kind, m.feature, m.threshold, m.period_start, m.period_end,
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

/// Finds an email by its id or by the first digits of that.
///
/// # Errors
/// [`StoreError::Invalid`] when none begins so, or several do.
pub async fn find(database: &Database, prefix: &IdPrefix) -> Result<Uuid, StoreError> {
    let found = sqlx::query_scalar!(
        "select id from periodd_outbox where id between $1 and $2 order by id limit 2",
        prefix.first,
        prefix.last
    );
    let found = found.fetch_all(&mut *database.connection().await?).await?;
    match found[..] {
        [id] => Ok(id),
        [] => Err(StoreError::Invalid(format!(
            "there is no email {prefix}; `{}` shows them",
            Command::periodd(["alerts", "list"])
        ))),
        _ => Err(StoreError::Invalid(format!(
            "several emails begin with {prefix}; write more digits"
        ))),
    }
}

/// An alert or a notice that waits for a recipient.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct WaitingRow {
    /// The org, by its slug.
    pub org: String,
    /// `threshold`, or the kind of the notice.
    pub kind: String,
    /// The feature; empty: it is about the org.
    pub feature: String,
    /// The percentage; null: it is a notice.
    pub threshold: Option<i16>,
    /// End of its period; from when a notice is too late.
    pub period_end: Instant,
    /// When it was decided, in business time.
    pub decided_at: Instant,
}

impl WaitingRow {
    /// What it is about, for people: `90 %`, `pack expires`.
    pub fn about(&self) -> String {
        about(&self.kind, self.threshold)
    }
}

/// Alerts and notices that wait for a recipient, of one org or of all.
pub async fn waiting(
    database: &Database,
    org: Option<Uuid>,
) -> Result<Vec<WaitingRow>, StoreError> {
    let rows = sqlx::query_as!(
        WaitingRow,
        r#"select o.slug as "org!", w.kind as "kind!", w.feature as "feature!",
                  w.threshold as "threshold?", w.period_end as "period_end!",
                  w.decided_at as "decided_at!"
           from (select a.org_id, 'threshold' as kind, a.feature, a.threshold, a.period_end,
                        a.decided_at
                 from periodd_alerts a
                 where a.state = 'waiting' and ($1::uuid is null or a.org_id = $1)
                 union all
                 select n.org_id, n.kind, n.feature, null, n.until, n.decided_at
                 from periodd_notices n
                 where n.state = 'waiting' and n.facts is not null
                   and ($1::uuid is null or n.org_id = $1)) w
           join organizations o on o.id = w.org_id
           order by w.period_end, o.slug, w.feature"#,
        org
    );
    Ok(rows.fetch_all(&mut *database.connection().await?).await?)
}

/// An address that gets no more emails.
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
pub async fn count_sent(database: &Database) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from periodd_outbox where state = 'sent'"#
    );
    Ok(count.fetch_one(&mut *database.connection().await?).await?)
}

/// The recipient and the letter of an email that was sent, to be shown: the last one below 100 %.
pub async fn a_sent_one(database: &Database) -> Result<Option<(String, String)>, StoreError> {
    let row = sqlx::query!(
        r#"select recipient, letter as "letter!" from periodd_outbox
           where state = 'sent' and letter is not null
           and threshold is not null
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
        StoreError::Invalid(format!(
            "unknown email {id}; `{}` shows the known ones",
            Command::periodd(["alerts", "list"])
        ))
    })
}

/// Deletes up to `limit` emails that were sent or given up before an instant, of everybody or of
/// some orgs, and returns how many there were.
pub async fn delete_settled_before(
    connection: &mut PgConnection,
    before: Instant,
    orgs: Option<&[Uuid]>,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "with old as (
             select org_id, id from periodd_outbox
             where settled_at < $1 and ($3::uuid[] is null or org_id = any($3))
             order by settled_at limit $2)
         delete from periodd_outbox o using old
         where o.org_id = old.org_id and o.id = old.id and o.settled_at < $1",
        before,
        limit,
        orgs
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Deletes the alerts of some orgs whose period ended before an instant and whose emails are gone,
/// and what is remembered of such counters. Returns how many alerts there were.
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
    .execute(&mut *connection)
    .await?;
    let notices = sqlx::query!(
        "delete from periodd_notices n
         where n.org_id = any($1) and n.until < $2
           and not exists (select from periodd_outbox m
                           where m.org_id = n.org_id and m.notice = n.id)",
        orgs,
        before
    );
    Ok(deleted + notices.execute(connection).await?.rows_affected())
}
