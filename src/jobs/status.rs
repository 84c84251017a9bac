//! How things stand: problems first, then what comes next and what ran last.
//!
//! Facts are read by `store::reports::status`, each bounded; [`assess`] turns them into findings,
//! and reads nothing.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use uuid::Uuid;

use super::catalogue::Job;
use super::columns::ColumnLeftOut;
use super::counts::RunCounts;
use super::events::webhooks;
use super::finding::{Advice, Check, Finding, Mend, Severity, many};
use super::mail_findings::{self, Audience};
use super::{instance, sync, tiers};
use crate::billing::Instant;
use crate::billing::clock::{Judged, is_ahead};
use crate::billing::recipients::Person;
use crate::billing::when::shown_in_utc;
use crate::clock;
use crate::command::{Command, Commands};
use crate::config::Config;
use crate::store::events::listeners::EndpointRow;
use crate::store::reports::status::{
    self, Blocker, LastRun, MailFault, NextBoundary, Parked, ParkedRow, PausedOrgs, Queues,
    ReadOnly, UnderWay, ZoneFacts,
};
use crate::store::runs::Outcome;
use crate::store::runs::daemons::{self, Daemon, Loaded};
use crate::store::runs::schedules::{self, Row, Trigger};
use crate::store::{Connection, Database, Readable, StoreError, alerts};
use crate::tz::TzData;

/// A period that ended longer ago than this is overdue: a daemon closes it within a minute.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// A schedule that is behind its occurrence for longer than this does not run.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Uncounted metrics that wait for longer than this are not being counted.
const UNCOUNTED_AFTER: SignedDuration = SignedDuration::from_hours(2);
/// Emails that wait for longer than this are not being sent.
const UNSENT_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// A session that keeps periodd waiting for longer than this is named.
const BLOCKED_AFTER: SignedDuration = SignedDuration::from_secs(3);
/// What went wrong within this time is told.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);
/// The months of zones have to reach this far.
const MONTHS_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 70);
/// Clocks that differ by more than this are worth a look, and by more than that are wrong.
const SKEW_SEEN: SignedDuration = SignedDuration::from_secs(5);
const SKEW_WRONG: SignedDuration = SignedDuration::from_mins(1);
/// Free space below which a disk is nearly full, and below which it is worth a look.
/// In percent of the disk and in GiB: of a large one a few percent last for long.
const DISK_FULL: (u64, u64) = (5, 5);
const DISK_NEAR: (u64, u64) = (15, 20);
/// What a person does about metrics of a time to come.
pub(super) const REDATE: &str =
    "wait until then, or correct created_at of these rows in usage_metrics";
/// A daemon that was not heard of for longer than this has disappeared.
const DAEMON_SILENT_AFTER: SignedDuration = SignedDuration::from_secs(90);
/// A daemon that stopped less long ago than this may only be starting again.
const RESTART: SignedDuration = SignedDuration::from_mins(2);
/// What a person does about clocks that differ.
pub(super) const SYNCHRONISE: &str = "turn on time synchronisation (NTP) on both machines";
/// What a person does about old rules of zones.
pub(super) const UPGRADE_TZ: &str = "upgrade the tzdata package of this machine, or periodd";
/// Instants at which periods end that are shown.
const BOUNDARIES: i64 = 8;

/// What is known besides the database.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The tz release in use here.
    pub tz_release: String,
    /// This machine's clock when the database's was read.
    pub host_clock: Option<Instant>,
    /// Disks that periodd writes to.
    pub disks: Vec<Disk>,
    /// The jobs that the configuration schedules.
    pub jobs: Vec<Expected>,
    /// Derived columns that nothing is written to.
    pub columns_left_out: Vec<ColumnLeftOut>,
    /// Does this machine's service manager know a unit of periodd's that works by this
    /// configuration?
    pub has_unit: bool,
    /// The configuration file as it is now.
    pub config: Loaded,
    /// This machine's name in the ledger, as far as the process id.
    pub host: String,
    /// What the configuration says that the tables do not, and what they would become.
    pub catalogue: Vec<Finding>,
}

/// A disk that periodd writes to.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Disk {
    /// A directory on it.
    pub path: String,
    /// Bytes that are free for periodd.
    pub free: u64,
    /// Bytes that it has.
    pub size: u64,
}

impl Disk {
    /// How much room there is; `None` where the directory is not there yet.
    pub fn of(directory: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(directory).ok()?;
        let path = directory.display().to_string();
        Some(Self {
            path,
            free: stat.f_bavail * stat.f_frsize,
            size: stat.f_blocks * stat.f_frsize,
        })
    }
}

impl Surroundings {
    /// What this machine and its configuration say. `jobs` are what their schedules should have
    /// done; `has_unit` as in the field.
    pub async fn look(
        database: &Database,
        config: &Config,
        tz: &TzData,
        jobs: Vec<Expected>,
        has_unit: bool,
    ) -> Self {
        // What is wrong with the configuration fails runs, and these are told of.
        let columns = sync::targets(database, &config.sync).await;
        let catalogue = tiers::mismatches(database, config).await;
        Self {
            tz_release: tz.release().to_owned(),
            host_clock: Some(clock::now()),
            disks: Disk::of(config.daemon.state_dir.as_path()).into_iter().collect(),
            jobs,
            columns_left_out: columns.map(|columns| columns.left_out).unwrap_or_default(),
            has_unit,
            config: instance::loaded(config.file()),
            host: instance::host(),
            catalogue: catalogue.unwrap_or_else(|error| vec![Finding::unread(&error, None)]),
        }
    }
}

/// What a schedule should have done.
#[derive(Debug, Clone)]
pub struct Expected {
    pub job: &'static str,
    /// Does the configuration have it run?
    pub enabled: bool,
    /// The first occurrence after the one that was settled last; `None`: there is none.
    pub next: Option<Instant>,
    /// When a run of it is asked to end.
    pub timeout: Duration,
}

/// The state of the database and the daemon.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Status {
    /// Business time.
    pub now: Instant,
    /// What is wrong, or worth knowing; the worst first.
    pub findings: Vec<Finding>,
    /// Pending work.
    pub queues: Queues,
    /// The next instants at which periods end, by zone.
    pub boundaries: Vec<NextBoundary>,
    /// The last run of each job.
    pub runs: Vec<LastRun>,
    /// Disks that periodd writes to.
    pub disks: Vec<Disk>,
    /// The daemons that were seen last.
    pub daemons: Vec<Daemon>,
    /// The database's clock, by which daemons are alive.
    #[serde(skip)]
    pub clock: Instant,
}

impl Status {
    /// Is anything worse than good to know?
    pub fn found_something(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity > Severity::Note)
    }
}

/// What the database says.
#[derive(Debug, Clone)]
pub struct Facts {
    pub queues: Queues,
    /// The orgs that are set aside.
    pub parked: Parked,
    /// The orgs that are paused, or will be.
    pub paused: PausedOrgs,
    pub schedules: Vec<Row>,
    /// The last run of each job.
    pub runs: Vec<LastRun>,
    /// Runs of schedules that are under way.
    pub under_way: Vec<UnderWay>,
    pub blockers: Vec<Blocker>,
    /// What it remembers of tz releases.
    pub zones: ZoneFacts,
    /// The database's clock, and whether it is believed.
    pub clock: Judged,
    /// The last run that ended after now.
    pub ended_ahead: Option<Instant>,
    /// Why nothing can be written; `None`: everything can.
    pub read_only: Option<ReadOnly>,
    /// Why emails wait.
    pub mail_faults: Vec<MailFault>,
    /// Orgs with alerts that wait for a recipient, or with a dead address; some of them.
    pub audiences: Vec<Audience>,
    /// How endpoints of webhooks fare.
    pub endpoints: Vec<EndpointRow>,
    pub daemons: Vec<Daemon>,
}

/// Reads how things stand, and says what is wrong.
pub async fn status(
    database: &Database,
    surroundings: impl AsyncFnOnce(&[Row]) -> Surroundings,
    now: Instant,
) -> Result<Status, StoreError> {
    let mut connection = database.connection().await?;
    let rows = schedules::all(&mut connection).await?;
    let surroundings = surroundings(&rows).await;
    let clock = database.look_at_clock().await?;
    status_beside(&mut connection, rows, surroundings, clock, now).await
}

/// The same with what is known besides, on a connection whose statements may have a bound of their
/// own. `rows` are the schedules as they stand.
pub async fn status_beside(
    connection: &mut Connection,
    rows: Vec<Row>,
    surroundings: Surroundings,
    clock: Judged,
    now: Instant,
) -> Result<Status, StoreError> {
    let jobs: Vec<&str> = surroundings.jobs.iter().map(|expected| expected.job).collect();
    let recently = before(clock.database(), RECENTLY);
    let mut silent = status::orgs_without_recipient(connection).await?;
    silent.extend(status::orgs_with_dead_addresses(connection).await?);
    silent.sort();
    silent.dedup();
    let facts = Facts {
        queues: status::queues(connection, now, recently).await?,
        parked: status::parked(connection).await?,
        paused: status::paused(connection, now).await?,
        runs: status::last_runs(connection, &jobs).await?,
        under_way: status::under_way(connection).await?,
        blockers: status::blockers(connection).await?,
        zones: status::zones(connection).await?,
        schedules: rows,
        ended_ahead: status::ended_after(connection, clock.expected()).await?,
        read_only: status::read_only(connection).await?,
        mail_faults: status::mail_faults(connection).await?,
        audiences: audiences(connection, silent).await?,
        endpoints: webhooks::endpoints(connection, clock.database()).await?,
        daemons: daemons::all(connection).await?,
        clock,
    };
    let boundaries = status::next_boundaries(connection, now, BOUNDARIES).await?;
    let findings = assess(&facts, &surroundings, now);
    let Facts { queues, runs, daemons, clock, .. } = facts;
    let (disks, clock) = (surroundings.disks, clock.database());
    Ok(Status { now, findings, queues, boundaries, runs, disks, daemons, clock })
}

/// Everybody who could get the emails of these orgs.
async fn audiences(
    connection: &mut Connection,
    orgs: Vec<(Uuid, String)>,
) -> Result<Vec<Audience>, StoreError> {
    let ids: Vec<Uuid> = orgs.iter().map(|(id, _)| *id).collect();
    let mut people: HashMap<Uuid, Vec<Person>> = HashMap::new();
    for (org, person) in alerts::people(connection, &ids).await? {
        people.entry(org).or_default().push(person);
    }
    let audience = |(id, org): (Uuid, String)| {
        let people = people.remove(&id).unwrap_or_default();
        Audience { org, people }
    };
    Ok(orgs.into_iter().map(audience).collect())
}

/// What of all that is wrong, or worth knowing; the worst first.
pub fn assess(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let start = start_daemon(surroundings, false);
    let mut findings = clock_of(&facts.clock, &facts.schedules, facts.ended_ahead, &start);
    findings.extend(facts.read_only.map(read_only));
    findings.extend(orgs(facts, now));
    findings.extend(usage(facts, now));
    findings.extend(emails(facts));
    findings.extend(webhooks::findings(&facts.endpoints, facts.clock.database()));
    findings.extend(schedules_of(facts, surroundings, now));
    findings.extend(daemons_of(facts, surroundings));
    let timeouts: Vec<_> = surroundings.jobs.iter().map(|job| (job.job, job.timeout)).collect();
    findings.extend(waiting(&facts.under_way, &facts.blockers, &timeouts, facts.clock.database()));
    findings.extend(zones(facts, surroundings, now));
    findings.extend(surroundings.host_clock.and_then(|host| clocks(host, facts.clock.database())));
    findings.extend(surroundings.columns_left_out.iter().map(left_out));
    findings.extend(surroundings.disks.iter().filter_map(disk));
    findings.extend(surroundings.catalogue.iter().cloned());
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn read_only(why: ReadOnly) -> Finding {
    let (what, advice) = match why {
        ReadOnly::Standby => (
            "the database is a standby: nothing is written here, and no job runs",
            "point [database] url to the primary",
        ),
        ReadOnly::Setting => (
            "transactions are read-only here (default_transaction_read_only): no job runs",
            "reset default_transaction_read_only for the role, the database or the server, where \
             it was set",
        ),
    };
    Finding::problem(Check::ReadOnly, what).mend(Mend::advice(advice))
}

/// The command that starts a daemon: as a service where there is a unit for it, else in the
/// foreground.
pub(super) fn start_daemon(surroundings: &Surroundings, for_good: bool) -> Command {
    match (surroundings.has_unit, for_good) {
        (true, true) => Command::other(["systemctl", "enable", "--now", "periodd"]),
        (true, false) => Command::other(["systemctl", "start", "periodd"]),
        (false, _) => Command::daemon(),
    }
}

fn before(at: Instant, span: SignedDuration) -> Instant {
    at.plus(-span).unwrap_or(at)
}

fn orgs(facts: &Facts, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let due = &facts.queues.due;
    if due.length > 0 {
        let since = shown(due.oldest);
        let what = format!("{} due, the first since {since}", many(due.length, "org"));
        let overdue = due.oldest.is_none_or(|since| since <= before(now, OVERDUE_AFTER));
        let finding = if overdue { Finding::problem } else { Finding::note };
        findings.push(finding(Check::Overdue, what).mend(Mend::periodd(["rollover"])));
    }
    let unopened = &facts.queues.unopened;
    if let Some(since) = unopened.oldest {
        let what = format!("{} without an open period", many(unopened.length, "org"));
        let overdue = since <= before(now, OVERDUE_AFTER);
        let finding = if overdue { Finding::problem } else { Finding::note };
        findings.push(finding(Check::NoPeriod, what).mend(Mend::periodd(["rollover"])));
    }
    let Parked { by_periodd, count_by_periodd, by_hand, count_by_hand } = &facts.parked;
    for parked in by_periodd {
        let ParkedRow { org, at, reason, .. } = parked;
        let what = format!("{org} has been parked since {}: {reason}", shown_or_not(*at));
        findings.push(Finding::problem(Check::Parked, what).mend(repair_and_unpark(org)));
    }
    let named = i64::try_from(by_periodd.len()).unwrap_or(i64::MAX);
    if *count_by_periodd > named {
        let more = many(count_by_periodd - named, "org");
        let all = Command::periodd(["orgs", "unpark", "--all"]);
        findings.push(
            Finding::problem(Check::Parked, format!("{more} more are parked"))
                .mend(Mend::advice_then("repair their causes, which `orgs list` shows", all)),
        );
    }
    for parked in by_hand {
        let ParkedRow { org, at, reason, .. } = parked;
        let what = format!("{org} has been parked by hand since {}: {reason}", shown_or_not(*at));
        let unpark = Mend::periodd(["orgs", "unpark", org]);
        findings.push(Finding::note(Check::ParkedByHand, what).mend(unpark));
    }
    let named = i64::try_from(by_hand.len()).unwrap_or(i64::MAX);
    if *count_by_hand > named {
        let more = many(count_by_hand - named, "org");
        let what = format!("{more} more are parked by hand");
        findings.push(Finding::note(Check::ParkedByHand, what));
    }
    findings.extend(pauses(&facts.paused, now));
    findings
}

/// Orgs that are paused: nothing is wrong with them, and somebody may have forgotten one.
fn pauses(paused: &PausedOrgs, now: Instant) -> impl Iterator<Item = Finding> {
    let note = |what| Finding::note(Check::OrgPaused, what);
    let named = paused.named.iter().map(move |row| {
        let until = row.until.map_or_else(
            || "until it is resumed".to_owned(),
            |until| format!("until {}", shown_or_not(until)),
        );
        let (org, from, reason) = (&row.org, shown_or_not(row.from), &row.reason);
        let has_begun = row.from.value().is_none_or(|from| from <= now);
        let since = if has_begun { "has been paused since" } else { "will be paused from" };
        note(format!("{org} {since} {from} {until}: {reason}"))
            .mend(Mend::periodd(["orgs", "resume", org]))
    });
    let rest = paused.count - i64::try_from(paused.named.len()).unwrap_or(i64::MAX);
    let rest = (rest > 0).then(|| note(format!("{} more are paused", many(rest, "org"))));
    named.chain(rest)
}

/// What ends the parking of an org for good. Unparked with its cause still there, it is parked
/// again by the next rollover.
pub(super) fn repair_and_unpark(org: &str) -> Mend {
    let unpark = Command::periodd(["orgs", "unpark", org]);
    let roll_over = Command::periodd(["rollover", "--org", org]);
    Mend::Advice(Advice {
        what: format!("repair the cause, which `explain {org}` shows with what to do"),
        then: Commands(vec![unpark, roll_over]),
    })
}

fn usage(facts: &Facts, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Queues { uncounted, ahead, drift, .. } = &facts.queues;
    let late = before(now.max(facts.clock.database()), UNCOUNTED_AFTER);
    if uncounted.oldest.is_some_and(|since| since <= late) {
        let length = many(uncounted.length, "metric");
        let what = format!("{length} not counted yet, the oldest from {}", shown(uncounted.oldest));
        findings.push(Finding::warning(Check::Uncounted, what).mend(Mend::periodd(["sync"])));
    }
    if ahead.length > 0 {
        let length = many(ahead.length, "metric");
        let what = format!(
            "{length} dated after the last stored period end, the first at {}; they are counted \
             once their period is stored",
            shown(ahead.oldest)
        );
        findings.push(Finding::warning(Check::DatedAhead, what).mend(Mend::advice(REDATE)));
    }
    if drift.length > 0 {
        let length = many(drift.length, "number");
        let what =
            format!("{length} drifted and were repaired, most recently at {}", shown(drift.oldest));
        let advice = "find the program that writes to these columns: periodd_drift has each value \
                      before and after";
        findings.push(Finding::warning(Check::DriftRepaired, what).mend(Mend::advice(advice)));
    }
    findings
}

fn emails(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.mail_faults.iter().map(mail_findings::fault).collect();
    let Queues { emails, waiting, given_up, expired, .. } = &facts.queues;
    if given_up.length > 0 {
        let what = format!("{} given up in the last 24 hours", many(given_up.length, "email"));
        let again = Mend::periodd(["alerts", "resend", "--state", "given_up"]);
        findings.push(Finding::problem(Check::EmailsGivenUp, what).mend(again));
    }
    if expired.length > 0 {
        let what = format!(
            "{} given up in the last 24 hours because the period was over",
            many(expired.length, "email")
        );
        let advice = "nothing is sent after its period; `alerts list --state given_up` shows what \
                      the mail server said before";
        findings.push(Finding::warning(Check::EmailsExpired, what).mend(Mend::advice(advice)));
    }
    let late = before(facts.clock.database(), UNSENT_AFTER);
    // What waits for the mail server has been said.
    if facts.mail_faults.is_empty() && emails.oldest.is_some_and(|since| since <= late) {
        let length = many(emails.length, "email");
        let what = format!("{length} to send, the oldest recorded at {}", shown(emails.oldest));
        let now = mail_findings::try_now();
        findings.push(Finding::problem(Check::EmailsLate, what).mend(now));
    }
    if waiting.length > 0 {
        let alerts = many(waiting.length, "alert");
        findings.extend(mail_findings::no_recipient(&alerts, &facts.audiences));
    }
    findings.extend(facts.audiences.iter().flat_map(mail_findings::unheard));
    findings
}

fn schedules_of(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in &facts.schedules {
        let Row { job, trigger, paused_at, pause_reason, replica, .. } = row;
        if let (Some(at), Trigger::Schedule) = (paused_at, trigger) {
            let reason = pause_reason.as_deref().unwrap_or("no reason was given");
            let what = format!("{job} has been paused since {}: {reason}", shown_in_utc(*at));
            let resume = Mend::periodd(["schedule", "resume", job]);
            findings.push(Finding::problem(Check::Paused, what).mend(resume));
        }
        if row.is_abandoned() {
            let who = replica.as_deref().unwrap_or("a process");
            let what = format!(
                "{who} disappeared while running {job}; another daemon takes over; restart it on \
                 its machine"
            );
            let start = start_daemon(surroundings, false);
            findings.push(Finding::problem(Check::ReplicaVanished, what).mend(start));
        }
    }
    let is_paused =
        |job: &str| facts.schedules.iter().any(|row| row.job == job && row.paused_at.is_some());
    let late = |expected: &&Expected| {
        expected.enabled
            && !is_paused(expected.job)
            && expected.next.is_some_and(|next| next <= before(now, LATE_AFTER))
    };
    let late: Vec<&str> = surroundings.jobs.iter().filter(late).map(|late| late.job).collect();
    if !late.is_empty() {
        let what =
            format!("schedules are late; no daemon seems to be running: {}", late.join(", "));
        let start = start_daemon(surroundings, false);
        findings.push(Finding::problem(Check::Late, what).mend(start));
    }
    if facts.schedules.is_empty() && facts.daemons.is_empty() {
        let what = "no daemon has ever run on this database, so no job runs automatically";
        let start = start_daemon(surroundings, true);
        findings.push(Finding::note(Check::NoDaemon, what).mend(start));
    }
    findings.extend(facts.runs.iter().filter_map(|run| failed(facts, run)));
    findings
}

/// The last run of a job that has ended, where it failed.
fn failed(facts: &Facts, run: &LastRun) -> Option<Finding> {
    let ended = run.ended.as_ref().filter(|ended| ended.outcome == Outcome::Failed)?;
    let job: Job = run.job.parse().ok()?;
    let counts = ended.counts.as_deref().and_then(|counts| RunCounts::read(job, counts));
    // Emails that wait for the mail server say so themselves, and with the remedy.
    if counts.is_some_and(|counts| counts.failure().is_some()) && !facts.mail_faults.is_empty() {
        return None;
    }
    let error = ended.error.as_deref().unwrap_or("unknown reason");
    let finding = Finding::problem(Check::Failed, format!("the last {job} failed: {error}"));
    let advice = "repair what the error names";
    Some(finding.mend(match again(job) {
        Some(words) => Mend::advice_then(advice, Command::periodd(words.iter().copied())),
        None => Mend::advice(format!("{advice}; the daemon runs it again at its next occurrence")),
    }))
}

/// The command that does a job's work once more; `None` for a job without one.
const fn again(job: Job) -> Option<&'static [&'static str]> {
    match job {
        Job::Rollover => Some(&["rollover"]),
        Job::Sync => Some(&["sync"]),
        Job::Audit => Some(&["sync", "--full"]),
        Job::Alerts => Some(&["alerts", "run"]),
        Job::Deliver => Some(&["alerts", "run", "--now"]),
        Job::Retention => None,
    }
}

/// Daemons that are not there any more, and daemons that work by an older configuration.
fn daemons_of(facts: &Facts, surroundings: &Surroundings) -> Vec<Finding> {
    let now = facts.clock.database();
    let mut findings = Vec::new();
    let is_alive = |daemon: &&Daemon| is_alive(daemon, now);
    for daemon in facts.daemons.iter().filter(is_alive) {
        let is_here = daemon.replica.rsplit_once(':').is_some_and(|(host, _)| {
            host == surroundings.host && daemon.config_file == surroundings.config.file
        });
        if is_here && daemon.config_digest != surroundings.config.digest {
            let Daemon { replica, config_file, .. } = daemon;
            let file = config_file.as_deref().unwrap_or("its configuration");
            let what = format!("{file} has changed since the daemon {replica} read it");
            let pid = replica.rsplit(':').next().unwrap_or_default();
            let reload = if surroundings.has_unit {
                Command::other(["systemctl", "reload", "periodd"])
            } else {
                Command::other(["kill", "-HUP", pid])
            };
            findings.push(Finding::warning(Check::ConfigOutdated, what).mend(reload));
        }
    }
    if !facts.daemons.iter().any(|daemon| is_alive(&daemon)) {
        findings.extend(facts.daemons.first().map(|last| {
            let Daemon { replica, seen_at, stopped_at, .. } = last;
            let what = match stopped_at {
                Some(at) => format!(
                    "no daemon runs: the last, {replica}, was stopped at {}",
                    shown_in_utc(*at)
                ),
                None => format!(
                    "no daemon runs: the last, {replica}, disappeared; its last heartbeat was at \
                     {}",
                    shown_in_utc(*seen_at)
                ),
            };
            // It may only be starting again.
            let is_restart = stopped_at.is_some_and(|at| at > before(now, RESTART));
            let finding = if is_restart { Finding::note } else { Finding::problem };
            finding(Check::DaemonStopped, what).mend(start_daemon(surroundings, false))
        }));
    }
    findings
}

/// Was a daemon heard of lately, and has not stopped?
pub fn is_alive(daemon: &Daemon, now: Instant) -> bool {
    daemon.stopped_at.is_none() && daemon.seen_at > before(now, DAEMON_SILENT_AFTER)
}

/// Reads what of that is wrong alone: runs over their time, by the timeouts of jobs, and whom
/// periodd waits for.
pub async fn held_up(
    database: &Database,
    timeouts: &[(&str, Duration)],
) -> Result<Vec<Finding>, StoreError> {
    let mut connection = database.connection().await?;
    let under_way = status::under_way(&mut connection).await?;
    let blockers = status::blockers(&mut connection).await?;
    drop(connection);
    Ok(waiting(&under_way, &blockers, timeouts, database.now().await?))
}

/// Runs over their time, and whom periodd waits for.
fn waiting(
    under_way: &[UnderWay],
    blockers: &[Blocker],
    timeouts: &[(&str, Duration)],
    clock: Instant,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for run in under_way {
        let timeout = timeouts.iter().find(|(job, _)| *job == run.job);
        let Some((_, timeout)) = timeout else { continue };
        // Each attempt has its time; one that was taken over began again.
        let allowed = timeout.saturating_mul(u32::try_from(run.attempts).unwrap_or(1));
        let allowed = SignedDuration::try_from(allowed).unwrap_or(SignedDuration::MAX);
        if clock.since(run.started_at) <= allowed {
            continue;
        }
        let mut what = format!(
            "{} run {} exceeds its timeout of {} s: it started at {} on {}",
            run.job,
            run.id,
            timeout.as_secs(),
            shown_in_utc(run.started_at),
            run.replica
        );
        for blocker in blockers {
            what.push_str("; ");
            what.push_str(&waits_for(blocker));
        }
        let mend = blockers.iter().find_map(end_blocker).unwrap_or_else(|| {
            Mend::advice(format!(
                "it is ended within a minute and runs again; run {} of the ledger says what it did",
                run.id
            ))
        });
        findings.push(Finding::problem(Check::OverTime, what).mend(mend));
    }
    for blocker in blockers {
        let since = blocker.waiting_since.unwrap_or(clock);
        if since <= before(clock, BLOCKED_AFTER) {
            let finding = Finding::problem(Check::Blocked, waits_for(blocker));
            let prepared = || {
                Mend::advice(
                    "end the prepared transaction by its gid in pg_prepared_xacts: commit \
                     prepared, or rollback prepared",
                )
            };
            findings.push(finding.mend(end_blocker(blocker).unwrap_or_else(prepared)));
        }
    }
    findings
}

/// Who keeps periodd waiting, in words.
fn waits_for(blocker: &Blocker) -> String {
    if blocker.pid == 0 {
        return "periodd waits for a lock of a prepared transaction".to_owned();
    }
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let user = named(&blocker.user).unwrap_or_else(|| "unknown".to_owned());
    let application = named(&blocker.application).unwrap_or_else(|| "unknown".to_owned());
    format!(
        "periodd waits for a lock of session {} (user {user}, application {application}, in its \
         transaction since {})",
        blocker.pid,
        shown(blocker.since)
    )
}

/// Ends the session that blocks, where it is one.
fn end_blocker(blocker: &Blocker) -> Option<Mend> {
    (blocker.pid != 0).then(|| Mend::sql(status::end_session(blocker.pid)))
}

fn zones(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ZoneFacts { newest_used, months_until, .. } = &facts.zones;
    let here = &surroundings.tz_release;
    if let Some(newest) = newest_used.as_ref().filter(|newest| *newest > here) {
        let what = format!("the tz data here is {here}, but {newest} was used for this database");
        findings.push(Finding::problem(Check::StaleTz, what).mend(Mend::advice(UPGRADE_TZ)));
    }
    let enough = now.plus(MONTHS_AHEAD).is_ok_and(|until| months_until.is_some_and(|m| m > until));
    if !enough {
        let what =
            format!("the months of time zones are stored only until {}", shown(*months_until));
        let migrate = Mend::periodd(["db", "migrate"]);
        findings.push(Finding::problem(Check::ZoneMonths, what).mend(migrate));
    }
    findings
}

/// Is the database's clock believed, and what has one that ran ahead left behind?
pub(super) fn clock_of(
    clock: &Judged,
    schedules: &[Row],
    ended_ahead: Option<Instant>,
    start: &Command,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(doubt) = clock.doubt() {
        let what = format!(
            "{doubt}; no period is closed and nothing is expired, sent or deleted meanwhile"
        );
        let advice = "have both clocks synchronised (NTP); work goes on once they are right. Only \
                      if the database's clock is the right one, confirm it";
        let force = Command::periodd(["rollover", "--force"]);
        findings
            .push(Finding::problem(Check::ClockHeld, what).mend(Mend::advice_then(advice, force)));
    }
    let now = clock.expected();
    let ahead = schedules.iter().filter(|row| is_ahead(row.settled, now));
    if let Some(last) = ahead.clone().max_by_key(|row| row.settled) {
        let mut jobs: Vec<&str> = ahead.map(|row| row.job.as_str()).collect();
        jobs.dedup();
        let what = format!(
            "a clock ran ahead: {} settled until {} at the latest; the daemon treats this as now",
            jobs.join(", "),
            shown_in_utc(last.settled)
        );
        findings.push(Finding::problem(Check::SettledAhead, what).mend(start.clone()));
    }
    if let Some(ended) = ended_ahead.filter(|ended| is_ahead(*ended, now)) {
        let what =
            format!("a clock ran ahead while jobs ran: one ended at {}", shown_in_utc(ended));
        let advice = "`doctor` finds what was closed or written off too early";
        findings.push(Finding::note(Check::RunsAhead, what).mend(Mend::advice(advice)));
    }
    findings
}

/// What is wrong with a derived column that nothing is written to.
pub(super) fn left_out(column: &ColumnLeftOut) -> Finding {
    let ColumnLeftOut { column, key, reason } = column;
    let what = format!("{key}: nothing is written to {column}: {reason}");
    let advice = "remove that code, or make periodd's role the owner of the table";
    let sync = Command::periodd(["sync", "--full"]);
    Finding::problem(Check::ColumnLeftOut, what).mend(Mend::advice_then(advice, sync))
}

fn clocks(host: Instant, database: Instant) -> Option<Finding> {
    let skew = host.since(database).abs();
    if skew < SKEW_SEEN {
        return None;
    }
    let finding = if skew < SKEW_WRONG { Finding::warning } else { Finding::problem };
    let (host, database) = (shown_in_utc(host), shown_in_utc(database));
    let what = format!("this machine's clock says {host}, the database's {database}");
    Some(finding(Check::ClockSkew, what).mend(Mend::advice(SYNCHRONISE)))
}

fn disk(disk: &Disk) -> Option<Finding> {
    let percent = disk.free.saturating_mul(100) / disk.size.max(1);
    let gibibytes = disk.free >> 30;
    let is_below = |(percents, most): (u64, u64)| percent < percents && gibibytes < most;
    let finding = if is_below(DISK_FULL) {
        Finding::problem
    } else if is_below(DISK_NEAR) {
        Finding::warning
    } else {
        return None;
    };
    let what = format!("the disk of {} has {percent} % free ({gibibytes} GiB)", disk.path);
    let advice = format!("free some space on the disk of {}", disk.path);
    Some(finding(Check::Disk, what).mend(Mend::advice(advice)))
}

fn shown_or_not(at: Readable<Instant>) -> String {
    at.value().map_or_else(|| "?".to_owned(), shown_in_utc)
}

fn shown(at: Option<Instant>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), shown_in_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn disk_of(free: u64, size: u64) -> Disk {
        Disk { path: "/var/lib/periodd".to_owned(), free: free << 30, size: size << 30 }
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        let database = at("2026-05-01T00:00:00Z");
        let severity = |host: &str| clocks(at(host), database).map(|finding| finding.severity);
        assert_eq!(severity("2026-05-01T00:00:04Z"), None);
        assert_eq!(severity("2026-04-30T23:59:50Z"), Some(Severity::Warning));
        assert_eq!(severity("2026-05-01T00:02:00Z"), Some(Severity::Problem));
    }

    #[test]
    fn a_disk_is_told_before_it_is_full() {
        let severity = |free, size| disk(&disk_of(free, size)).map(|finding| finding.severity);
        let (warning, problem) = (Some(Severity::Warning), Some(Severity::Problem));
        assert_eq!([40, 14, 4].map(|free| severity(free, 100)), [None, warning, problem]);
        assert_eq!([36, 10, 3].map(|free| severity(free, 252)), [None, warning, problem]);
    }
}
