//! The state of the database: each question bounded and through an index, so that the answer comes
//! at once however many orgs there are.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::parking::ParkedCode;
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;
use crate::store::messages::outbox::Fault;
use crate::store::runs::{Origin, Outcome};

/// Where counting ends: more than that is "many".
pub const MANY: i64 = 1_000;
/// The same for orgs whose periods end at one instant: each is a row to be fetched.
pub const MANY_ENDING: i64 = 200;
/// The same for orgs with uncounted metrics: each is looked at by itself.
const MANY_WITH_METRICS: i32 = 5_000;
/// Orgs that are named as examples.
const NAMED: i64 = 5;

/// Pending work: how much, 1000 at most, and since when.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Queue {
    /// How much; 1000 stands for that many or more.
    pub length: i64,
    /// Since when the first of them waits.
    pub oldest: Option<Instant>,
}

/// All pending work.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Queues {
    /// Orgs whose period has ended.
    pub due: Queue,
    /// Orgs without an open period, by when they were written.
    pub unopened: Queue,
    /// Parked orgs.
    pub parked: Queue,
    /// Metrics that are not counted.
    pub uncounted: Queue,
    /// Metrics that no stored period reaches, with the earliest instant that one of them is dated:
    /// they are counted once their period is stored.
    pub ahead: Queue,
    /// Counters whose copies are not written.
    pub pending: Queue,
    /// Emails to be sent, by when they were recorded.
    pub emails: Queue,
    /// When the next of them is tried.
    pub next_attempt: Option<Instant>,
    /// Alerts without a recipient.
    pub waiting: Queue,
    /// Emails given up since the instant asked for, whose period is not over.
    pub given_up: Queue,
    /// Emails given up since the instant asked for, whose period is over.
    pub expired: Queue,
    /// Addresses that a mail server does not know.
    pub dead: Queue,
    /// Repairs since the given time.
    pub drift: Queue,
}

/// Reads what waits at `now`, and what went wrong since `recently`, in real time.
#[expect(clippy::too_many_lines, reason = "one statement, a question per queue")]
pub async fn queues(
    connection: &mut PgConnection,
    now: Instant,
    recently: Instant,
) -> Result<Queues, StoreError> {
    let row = sqlx::query!(
        r#"with recursive due as materialized (
               select current_period_end as at from organizations
               where parked_at is null and current_period_end <= $1
               order by current_period_end, id limit $3),
           unopened as materialized (
               select created_at as at from organizations
               where parked_at is null
                 and (current_period_start is null or current_period_end is null)
               order by id limit $3),
           parked as materialized (
               select parked_at as at from organizations where parked_at is not null
                 and removed_at is null
               order by id limit $3),
           -- Org by org, so that what one has dated ahead does not hide what another has waiting.
           with_metrics as (
               (select m.organization_id as org_id, 1 as place
                from usage_metrics m where m.counted_at is null
                order by m.organization_id limit 1)
               union all
               select n.organization_id, w.place + 1
               from with_metrics w
               cross join lateral (
                   select m.organization_id
                   from usage_metrics m
                   where m.counted_at is null and m.organization_id > w.org_id
                   order by m.organization_id limit 1) n
               where w.place < $4),
           with_ends as materialized (
               select w.org_id, o.parked_at is not null as is_parked,
                      coalesce(o.next_period_ends[cardinality(o.next_period_ends)],
                               o.current_period_end, 'infinity') as last_end
               from with_metrics w join organizations o on o.id = w.org_id),
           uncounted as materialized (
               select n.at
               from with_ends w
               cross join lateral (
                   select m.recorded_at as at
                   from usage_metrics m
                   where m.organization_id = w.org_id and m.counted_at is null
                     and m.created_at < w.last_end
                   order by m.created_at limit $3) n
               where not w.is_parked
               limit $3),
           ahead as materialized (
               select n.created_at
               from with_ends w
               cross join lateral (
                   select m.created_at
                   from usage_metrics m
                   where m.organization_id = w.org_id and m.counted_at is null
                     and m.created_at >= w.last_end
                   order by m.created_at limit $3) n
               limit $3),
           pending as materialized (
               select updated_at as at from usage_counters where sync_status = 'pending'
               order by org_id limit $3),
           emails as materialized (
               select recorded_at as at from periodd_outbox where state = 'due'
               order by recorded_at, org_id, id limit $3),
           next as materialized (
               select next_attempt_at as at from periodd_outbox where state = 'due'
               order by next_attempt_at, org_id, id limit 1),
           waiting as materialized (
               (select decided_at as at from periodd_alerts where state = 'waiting'
                order by period_end, org_id limit $3)
               union all
               (select decided_at from periodd_notices
                where state = 'waiting' and facts is not null
                order by until, org_id limit $3)
               limit $3),
           given_up as materialized (
               select settled_at as at, period_end <= $1 as is_over from periodd_outbox
               where settled_at is not null and settled_at >= $2 and state = 'given_up'
               order by settled_at limit $3),
           dead as materialized (
               select suppressed_at as at from periodd_suppressions
               order by org_id, email limit $3),
           drift as materialized (
               select found_at as at from periodd_drift where found_at >= $2
               order by found_at limit $3)
           select (select count(*) from due) as "due!", (select min(at) from due)
                      as "due_since: Readable<Instant>",
                  (select count(*) from unopened) as "unopened!",
                  (select min(at) from unopened)
                      as "unopened_since: Readable<Instant>",
                  (select count(*) from parked) as "parked!",
                  (select min(at) from parked)
                      as "parked_since: Readable<Instant>",
                  (select count(*) from uncounted) as "uncounted!",
                  (select min(at) from uncounted)
                      as "uncounted_since: Readable<Instant>",
                  (select count(*) from ahead) as "ahead!",
                  (select min(created_at) from ahead)
                      as "ahead_from: Readable<Instant>",
                  (select count(*) from pending) as "pending!",
                  (select min(at) from pending)
                      as "pending_since: Readable<Instant>",
                  (select count(*) from emails) as "emails!",
                  (select min(at) from emails)
                      as "emails_since: Readable<Instant>",
                  (select at from next) as "next_attempt: Readable<Instant>",
                  (select count(*) from waiting) as "waiting!",
                  (select min(at) from waiting)
                      as "waiting_since: Readable<Instant>",
                  (select count(*) from given_up where not is_over) as "given_up!",
                  (select max(at) from given_up where not is_over)
                      as "given_up_since: Readable<Instant>",
                  (select count(*) from given_up where is_over) as "expired!",
                  (select max(at) from given_up where is_over)
                      as "expired_since: Readable<Instant>",
                  (select count(*) from dead) as "dead!",
                  (select min(at) from dead) as "dead_since: Readable<Instant>",
                  (select count(*) from drift) as "drift!",
                  (select max(at) from drift)
                      as "drift_since: Readable<Instant>""#,
        now,
        recently,
        MANY,
        MANY_WITH_METRICS
    );
    let row = row.fetch_one(connection).await?;
    let queue = |length, oldest: Option<Readable<Instant>>| Queue {
        length,
        oldest: oldest.and_then(Readable::value),
    };
    Ok(Queues {
        due: queue(row.due, row.due_since),
        unopened: queue(row.unopened, row.unopened_since),
        parked: queue(row.parked, row.parked_since),
        uncounted: queue(row.uncounted, row.uncounted_since),
        ahead: queue(row.ahead, row.ahead_from),
        pending: queue(row.pending, row.pending_since),
        emails: queue(row.emails, row.emails_since),
        next_attempt: row.next_attempt.and_then(Readable::value),
        waiting: queue(row.waiting, row.waiting_since),
        given_up: queue(row.given_up, row.given_up_since),
        expired: queue(row.expired, row.expired_since),
        dead: queue(row.dead, row.dead_since),
        drift: queue(row.drift, row.drift_since),
    })
}

/// Emails that wait for the same reason, where no other email would fare better.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct MailFault {
    /// The reason.
    pub fault: Fault,
    /// How many.
    pub emails: i64,
    /// When the oldest of them was recorded.
    pub oldest: Option<Instant>,
    /// What the mail server said last, or why it could not be asked.
    pub words: String,
}

/// The reasons for which emails wait, of the first thousand that do.
pub async fn mail_faults(connection: &mut PgConnection) -> Result<Vec<MailFault>, StoreError> {
    let rows = sqlx::query!(
        r#"with waiting as materialized (
               select fault, recorded_at, next_attempt_at, answer from periodd_outbox
               where state = 'due' order by recorded_at, org_id, id limit $1)
           select fault as "fault!: Fault", count(*) as "emails!",
                  min(recorded_at) as "oldest: Readable<Instant>",
                  coalesce((array_agg(answer order by next_attempt_at desc))[1], '') as "words!"
           from waiting where fault is not null group by 1 order by 1"#,
        MANY
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| MailFault {
        fault: row.fault,
        emails: row.emails,
        oldest: row.oldest.and_then(Readable::value),
        words: row.words,
    });
    Ok(rows.collect())
}

/// Some orgs with alerts or notices that wait for a recipient.
pub async fn orgs_without_recipient(
    connection: &mut PgConnection,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"with waiting as materialized (
               select distinct org_id from (
                   (select org_id from periodd_alerts where state = 'waiting'
                    order by period_end, org_id limit $1)
                   union all
                   (select org_id from periodd_notices where state = 'waiting'
                    order by until, org_id limit $1)) as w)
           select o.id, o.slug from waiting w join organizations o on o.id = w.org_id
           order by o.slug limit $2"#,
        MANY,
        NAMED
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.slug)).collect())
}

/// Some orgs with an address that a mail server does not know, those found last first.
pub async fn orgs_with_dead_addresses(
    connection: &mut PgConnection,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"with dead as materialized (
               select org_id, suppressed_at from periodd_suppressions
               order by org_id, email limit $1)
           select o.id, o.slug from dead d join organizations o on o.id = d.org_id
           group by 1, 2 order by max(d.suppressed_at) desc, o.slug limit $2"#,
        MANY,
        NAMED
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.slug)).collect())
}

/// A parked org.
#[derive(Debug, Clone)]
pub struct ParkedRow {
    /// The org, by its slug.
    pub org: String,
    pub at: Readable<Instant>,
    pub reason: String,
    /// The kind of reason; `None`: nothing is known of it.
    pub code: Option<Readable<ParkedCode>>,
    /// Its zone, as stored.
    pub time_zone: String,
}

/// Orgs that are set aside: some of them, and how many there are, [`MANY`] at most.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Some of those that periodd set aside.
    pub by_periodd: Vec<ParkedRow>,
    pub count_by_periodd: i64,
    /// Some of those that a person set aside, on purpose.
    pub by_hand: Vec<ParkedRow>,
    pub count_by_hand: i64,
}

/// Reads the orgs that are set aside.
pub async fn parked(connection: &mut PgConnection) -> Result<Parked, StoreError> {
    let by_periodd = sqlx::query_as!(
        ParkedRow,
        r#"select slug as org, parked_at as "at!: Readable<Instant>",
                  coalesce(parked_reason, 'no reason was given') as "reason!",
                  parked_code as "code: Readable<ParkedCode>", time_zone
           from organizations
           where parked_at is not null and parked_code is distinct from 'by_hand'
             and removed_at is null
           order by id limit $1"#,
        NAMED
    );
    let by_periodd = by_periodd.fetch_all(&mut *connection).await?;
    let by_hand = sqlx::query_as!(
        ParkedRow,
        r#"select slug as org, parked_at as "at!: Readable<Instant>",
                  coalesce(parked_reason, 'no reason was given') as "reason!",
                  parked_code as "code: Readable<ParkedCode>", time_zone
           from organizations where parked_at is not null and parked_code = 'by_hand'
           order by id limit $1"#,
        NAMED
    );
    let by_hand = by_hand.fetch_all(&mut *connection).await?;
    let counts = sqlx::query!(
        r#"select (select count(*) from (
                       select from organizations
                       where parked_at is not null and parked_code is distinct from 'by_hand'
                         and removed_at is null
                       limit $1) as p) as "by_periodd!",
                  (select count(*) from (
                       select from organizations
                       where parked_at is not null and parked_code = 'by_hand'
                       limit $1) as p) as "by_hand!""#,
        MANY
    );
    let counts = counts.fetch_one(connection).await?;
    let (count_by_periodd, count_by_hand) = (counts.by_periodd, counts.by_hand);
    Ok(Parked { by_periodd, count_by_periodd, by_hand, count_by_hand })
}

/// An org that is paused, or will be.
#[derive(Debug, Clone)]
pub struct PausedRow {
    /// The org, by its slug.
    pub org: String,
    pub from: Readable<Instant>,
    /// `None`: until it is resumed.
    pub until: Option<Readable<Instant>>,
    pub reason: String,
}

/// Some of the orgs whose pause has not ended, the longest first, and how many there are, [`MANY`]
/// at most.
#[derive(Debug, Clone)]
pub struct PausedOrgs {
    pub named: Vec<PausedRow>,
    pub count: i64,
}

/// Reads the orgs whose pause has not ended.
pub async fn paused(connection: &mut PgConnection, now: Instant) -> Result<PausedOrgs, StoreError> {
    let named = sqlx::query_as!(
        PausedRow,
        r#"select slug as org, paused_from as "from!: Readable<Instant>",
                  nullif(paused_until, 'infinity') as "until: Readable<Instant>",
                  coalesce(pause_reason, 'no reason was given') as "reason!"
           from organizations
           where paused_from is not null and (paused_until is null or paused_until > $1)
             and removed_at is null
           order by paused_from, id limit $2"#,
        now,
        NAMED
    );
    let named = named.fetch_all(&mut *connection).await?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from organizations
               where paused_from is not null and (paused_until is null or paused_until > $1)
                 and removed_at is null
               limit $2) as p"#,
        now,
        MANY
    );
    Ok(PausedOrgs { named, count: count.fetch_one(connection).await? })
}

/// A boundary to come, in one zone.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct NextBoundary {
    /// When.
    pub at: Instant,
    /// The zone of the orgs whose periods end then.
    pub time_zone: String,
    /// How many; where those of one instant add up to 200, there may be more.
    pub orgs: i64,
}

/// Which ends of periods are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// After this instant …
    pub after: Instant,
    /// … and not after this one; `None`: however late.
    pub until: Option<Instant>,
    /// So many instants at most.
    pub instants: i64,
    /// So many orgs of each are counted.
    pub orgs: i64,
}

/// The next few instants at which periods end, with the zones that they end in.
pub async fn next_boundaries(
    connection: &mut PgConnection,
    now: Instant,
    instants: i64,
) -> Result<Vec<NextBoundary>, StoreError> {
    boundaries(connection, Ends { after: now, until: None, instants, orgs: MANY_ENDING }).await
}

/// The instants at which periods end, with the zones that they end in; those that never end are
/// left out.
///
/// Each end's orgs are counted in the order of the index: without one, the planner expects as many
/// of each end, and reads the whole table for an end that few share.
pub async fn boundaries(
    connection: &mut PgConnection,
    ends: Ends,
) -> Result<Vec<NextBoundary>, StoreError> {
    let rows = sqlx::query_as!(
        NextBoundary,
        r#"with recursive ends (at) as (
               (select current_period_end from organizations
                where parked_at is null and current_period_end > $1
                  and current_period_end
                      <= coalesce($2::timestamptz, '9999-12-31 23:59:59.999998+00')
                order by current_period_end, id limit 1)
               union all
               select (select o.current_period_end from organizations o
                       where o.parked_at is null and o.current_period_end > e.at
                         and o.current_period_end
                             <= coalesce($2::timestamptz, '9999-12-31 23:59:59.999998+00')
                       order by o.current_period_end, o.id limit 1)
               from ends e where e.at is not null)
           select e.at as "at!", z.time_zone as "time_zone!", z.orgs as "orgs!"
           from (select at from ends where at is not null limit $3) as e,
                lateral (
                    select sample.time_zone, count(*) as orgs
                    from (select o.time_zone from organizations o
                          where o.parked_at is null and o.current_period_end = e.at
                          order by o.current_period_end, o.id limit $4) as sample
                    group by 1) as z
           order by 1, 2"#,
        ends.after,
        ends.until,
        ends.instants,
        ends.orgs
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The last run of a job.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct LastRun {
    /// Its number in the ledger.
    pub id: i64,
    /// The job.
    pub job: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What set it off.
    pub trigger: Origin,
    /// When it began.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// By whom.
    pub replica: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The last one that has ended: this one, unless it is still running.
    #[serde(skip)]
    pub ended: Option<EndedRun>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct EndedRun {
    /// Its number in the ledger.
    pub id: i64,
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
    /// What it did, in numbers, as JSON.
    pub counts: Option<String>,
}

/// The last run of each of these jobs that had one.
pub async fn last_runs(
    connection: &mut PgConnection,
    jobs: &[&str],
) -> Result<Vec<LastRun>, StoreError> {
    let rows = sqlx::query!(
        r#"select r.id as "id!", r.job as "job!", r.outcome as "outcome!: Outcome",
                  r.trigger as "trigger!: Origin", r.started_at, r.finished_at,
                  r.replica as "replica!", r.error, e.id as "ended_id?",
                  e.outcome as "ended_outcome?: Outcome", e.error as ended_error,
                  e.counts::text as ended_counts
           from unnest($1::text[]) with ordinality as j (job, place)
           cross join lateral (select p.* from periodd_runs p
                               where p.job = j.job and p.outcome <> 'skipped'
                               order by p.id desc limit 1) as r
           left join lateral (select p.* from periodd_runs p
                              where p.job = j.job and p.outcome in ('done', 'failed')
                              order by p.id desc limit 1) as e on true
           order by j.place"#,
        jobs as &[&str]
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| LastRun {
        id: row.id,
        job: row.job,
        outcome: row.outcome,
        trigger: row.trigger,
        started_at: row.started_at,
        finished_at: row.finished_at,
        replica: row.replica,
        error: row.error,
        ended: row.ended_id.zip(row.ended_outcome).map(|(id, outcome)| EndedRun {
            id,
            outcome,
            error: row.ended_error,
            counts: row.ended_counts,
        }),
    });
    Ok(rows.collect())
}

/// The last run that ended after `now`, which only a clock that ran ahead can have written.
pub async fn ended_after(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Option<Instant>, StoreError> {
    let ended = sqlx::query_scalar!(
        "select max(finished_at) from periodd_runs where finished_at > $1",
        now
    );
    Ok(ended.fetch_one(connection).await?)
}

/// A run of a schedule that is under way.
#[derive(Debug, Clone)]
pub struct UnderWay {
    /// Its number in the ledger.
    pub id: i64,
    pub job: String,
    pub started_at: Instant,
    /// How often it was begun.
    pub attempts: i32,
    pub replica: String,
}

/// The runs of schedules that are under way, the oldest first.
pub async fn under_way(connection: &mut PgConnection) -> Result<Vec<UnderWay>, StoreError> {
    let rows = sqlx::query_as!(
        UnderWay,
        r#"select r.id, r.job, r.started_at as "started_at!", r.attempts, r.replica
           from periodd_schedules s
           join periodd_runs r on r.job = s.job and r.trigger = s.trigger
                              and r.occurrence = s.running
           where r.outcome = 'running' and r.started_at is not null order by r.id"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A session that keeps periodd waiting for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// Its server process; 0 stands for a prepared transaction.
    pub pid: i32,
    pub user: Option<String>,
    pub application: Option<String>,
    /// Since when its transaction is open, where that may be seen.
    pub since: Option<Instant>,
    /// Since when periodd waits, where that may be seen.
    pub waiting_since: Option<Instant>,
}

/// Whom sessions of periodd wait for, those they have waited for longest first; a few of them.
pub async fn blockers(connection: &mut PgConnection) -> Result<Vec<Blocker>, StoreError> {
    let rows = sqlx::query_as!(
        Blocker,
        r#"select b.pid as "pid!", min(s.usename::text) as "user",
                  min(s.application_name) as application, min(s.xact_start) as since,
                  min(w.query_start) as waiting_since
           from pg_stat_activity w
           cross join lateral unnest(pg_blocking_pids(w.pid)) as b (pid)
           left join pg_stat_activity s on s.pid = b.pid
           where w.datname = current_database() and w.application_name = 'periodd'
             and w.wait_event_type = 'Lock'
           group by b.pid order by min(w.query_start), b.pid limit $1"#,
        NAMED
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Why a database takes no writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// It replays what another one writes.
    Standby,
    /// A setting says so.
    Setting,
}

/// Does the database take writes? `None`: it does.
pub async fn read_only(connection: &mut PgConnection) -> Result<Option<ReadOnly>, StoreError> {
    let row = sqlx::query!(
        r#"select pg_is_in_recovery() as "is_standby!",
                  current_setting('default_transaction_read_only') = 'on' as "is_read_only!""#
    );
    let row = row.fetch_one(connection).await?;
    Ok(match (row.is_standby, row.is_read_only) {
        (true, _) => Some(ReadOnly::Standby),
        (false, true) => Some(ReadOnly::Setting),
        (false, false) => None,
    })
}

/// The statement that ends a session.
pub fn end_session(pid: i32) -> String {
    format!("select pg_terminate_backend({pid})")
}

/// What the database remembers of tz releases.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ZoneFacts {
    /// The newest release that orgs' ends were brought to.
    pub newest_used: Option<String>,
    /// Until when the months of zones are known.
    pub months_until: Option<Instant>,
    /// The release that they come from.
    pub months_release: Option<String>,
}

/// Reads what the database remembers of tz releases.
pub async fn zones(connection: &mut PgConnection) -> Result<ZoneFacts, StoreError> {
    let facts = sqlx::query_as!(
        ZoneFacts,
        r#"select (select value from periodd_facts where name = 'tzdb_release') as newest_used,
                  min(starts[cardinality(starts)]) as months_until,
                  min(tzdb_version) as months_release
           from periodd_zone_months"#
    );
    Ok(facts.fetch_one(connection).await?)
}
