//! How things stand: each question bounded and through an index, so that the answer comes at once
//! however many orgs there are.

use sqlx::PgConnection;

use super::error::StoreError;
use crate::billing::Instant;

/// Where counting ends: more than that is "many".
pub const MANY: i64 = 1_000;
/// The same for orgs whose periods end at one instant: each is a row to be fetched.
pub const MANY_ENDING: i64 = 200;
/// Orgs that are named as examples.
const NAMED: i64 = 5;

/// Something that waits: how much of it, 1000 at most, and since when.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Queue {
    /// How much; 1000 stands for that many or more.
    pub length: i64,
    /// Since when the first of them waits.
    pub oldest: Option<Instant>,
}

/// Everything that waits.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Queues {
    /// Orgs whose period has ended.
    pub due: Queue,
    /// Orgs without an open period, by when they were written.
    pub unopened: Queue,
    /// Orgs that are set aside.
    pub parked: Queue,
    /// Metrics that are not counted.
    pub uncounted: Queue,
    /// Counters whose copies are not written.
    pub pending: Queue,
    /// Emails to be sent.
    pub emails: Queue,
    /// Alerts that nobody could be told of.
    pub waiting: Queue,
    /// Emails given up since the instant asked for.
    pub given_up: Queue,
    /// Mends since the instant asked for.
    pub drift: Queue,
}

/// Reads what waits at `now`, and what went wrong since `recently`.
///
/// # Errors
/// As every read.
pub async fn queues(
    connection: &mut PgConnection,
    now: Instant,
    recently: Instant,
) -> Result<Queues, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
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
               order by id limit $3),
           uncounted as materialized (
               select recorded_at as at from usage_metrics where counted_at is null
               order by organization_id, created_at limit $3),
           pending as materialized (
               select updated_at as at from usage_counters where sync_status = 'pending'
               order by org_id limit $3),
           emails as materialized (
               select next_attempt_at as at from periodd_outbox where state = 'due'
               order by next_attempt_at, org_id, id limit $3),
           waiting as materialized (
               select decided_at as at from periodd_alerts where state = 'waiting'
               order by period_end, org_id limit $3),
           given_up as materialized (
               select settled_at as at from periodd_outbox
               where settled_at is not null and settled_at >= $2 and state = 'given_up'
               order by settled_at limit $3),
           drift as materialized (
               select found_at as at from periodd_drift where found_at >= $2
               order by found_at limit $3)
           select (select count(*) from due) as "due!", (select min(at) from due) as due_since,
                  (select count(*) from unopened) as "unopened!",
                  (select min(at) from unopened) as unopened_since,
                  (select count(*) from parked) as "parked!",
                  (select min(at) from parked) as parked_since,
                  (select count(*) from uncounted) as "uncounted!",
                  (select min(at) from uncounted) as uncounted_since,
                  (select count(*) from pending) as "pending!",
                  (select min(at) from pending) as pending_since,
                  (select count(*) from emails) as "emails!",
                  (select min(at) from emails) as emails_since,
                  (select count(*) from waiting) as "waiting!",
                  (select min(at) from waiting) as waiting_since,
                  (select count(*) from given_up) as "given_up!",
                  (select max(at) from given_up) as given_up_since,
                  (select count(*) from drift) as "drift!",
                  (select max(at) from drift) as drift_since"#,
        now,
        recently,
        MANY
    );
    let row = row.fetch_one(connection).await?;
    let queue = |length, oldest| Queue { length, oldest };
    Ok(Queues {
        due: queue(row.due, row.due_since),
        unopened: queue(row.unopened, row.unopened_since),
        parked: queue(row.parked, row.parked_since),
        uncounted: queue(row.uncounted, row.uncounted_since),
        pending: queue(row.pending, row.pending_since),
        emails: queue(row.emails, row.emails_since),
        waiting: queue(row.waiting, row.waiting_since),
        given_up: queue(row.given_up, row.given_up_since),
        drift: queue(row.drift, row.drift_since),
    })
}

/// An org that is set aside.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ParkedRow {
    /// The org, by its slug.
    pub org: String,
    /// Since when.
    pub at: Instant,
    /// Why.
    pub reason: String,
}

/// Some of the orgs that are set aside.
///
/// # Errors
/// As every read.
pub async fn parked(connection: &mut PgConnection) -> Result<Vec<ParkedRow>, StoreError> {
    let rows = sqlx::query_as!(
        ParkedRow,
        r#"select slug as org, parked_at as "at!",
                  coalesce(parked_reason, 'no reason was given') as "reason!"
           from organizations where parked_at is not null order by id limit $1"#,
        NAMED
    );
    Ok(rows.fetch_all(connection).await?)
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

/// The next few instants at which periods end, with the zones that they end in.
///
/// Each end's orgs are counted in the order of the index: without one, the planner expects as many
/// of each end, and reads the whole table for an end that few share.
///
/// # Errors
/// As every read.
pub async fn next_boundaries(
    connection: &mut PgConnection,
    now: Instant,
    instants: i64,
) -> Result<Vec<NextBoundary>, StoreError> {
    let rows = sqlx::query_as!(
        NextBoundary,
        r#"with recursive ends (at) as (
               (select current_period_end from organizations
                where parked_at is null and current_period_end > $1
                order by current_period_end, id limit 1)
               union all
               select (select o.current_period_end from organizations o
                       where o.parked_at is null and o.current_period_end > e.at
                       order by o.current_period_end, o.id limit 1)
               from ends e where e.at is not null)
           select e.at as "at!", z.time_zone as "time_zone!", z.orgs as "orgs!"
           from (select at from ends where at is not null limit $2) as e,
                lateral (
                    select sample.time_zone, count(*) as orgs
                    from (select o.time_zone from organizations o
                          where o.parked_at is null and o.current_period_end = e.at
                          order by o.current_period_end, o.id limit $3) as sample
                    group by 1) as z
           order by 1, 2"#,
        now,
        instants,
        MANY_ENDING
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
    /// running, done, failed or skipped.
    pub outcome: String,
    /// What set it off.
    pub trigger: String,
    /// When it began.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// By whom.
    pub replica: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// The last run of each of these jobs that had one.
///
/// # Errors
/// As every read.
pub async fn last_runs(
    connection: &mut PgConnection,
    jobs: &[&str],
) -> Result<Vec<LastRun>, StoreError> {
    let rows = sqlx::query_as!(
        LastRun,
        r#"select r.id as "id!", r.job as "job!", r.outcome as "outcome!",
                  r.trigger as "trigger!", r.started_at, r.finished_at,
                  r.replica as "replica!", r.error
           from unnest($1::text[]) with ordinality as j (job, place),
                lateral (select p.* from periodd_runs p
                         where p.job = j.job and p.outcome <> 'skipped'
                         order by p.id desc limit 1) as r
           order by j.place"#,
        jobs as &[&str]
    );
    Ok(rows.fetch_all(connection).await?)
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
///
/// # Errors
/// As every read.
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
