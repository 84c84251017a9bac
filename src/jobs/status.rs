//! How things stand: problems first, then what comes next and what ran last.
//!
//! Facts are read by `store::status`, each bounded; [`assess`] turns them into findings, and reads
//! nothing.

use jiff::SignedDuration;

use super::finding::{Finding, Severity};
use crate::billing::Instant;
use crate::store::schedules::{self, Row};
use crate::store::status::{self, LastRun, MANY, NextBoundary, ParkedRow, Queues, ZoneFacts};
use crate::store::{Database, StoreError};

/// A period that ended longer ago than this is overdue: a daemon closes it within a minute.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// A schedule that is behind its occurrence for longer than this does not run.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Uncounted metrics that wait for longer than this are not being counted.
const UNCOUNTED_AFTER: SignedDuration = SignedDuration::from_hours(2);
/// Emails that wait for longer than this are not being sent.
const UNSENT_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// What went wrong within this time is told.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);
/// The months of zones have to reach this far.
const MONTHS_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 70);
/// Clocks that differ by more than this are worth a look, and by more than that are wrong.
const SKEW_SEEN: SignedDuration = SignedDuration::from_secs(5);
const SKEW_WRONG: SignedDuration = SignedDuration::from_mins(1);
/// Free space below which a disk is nearly full, and below which it is worth a look.
const DISK_FULL_PERCENT: u64 = 5;
const DISK_NEAR_PERCENT: u64 = 15;
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

/// What a schedule should have done.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The job.
    pub job: &'static str,
    /// Does the configuration have it run?
    pub enabled: bool,
    /// The first occurrence after the one that was settled last; `None`: there is none.
    pub next: Option<Instant>,
}

/// How things stand.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Status {
    /// Business time.
    pub now: Instant,
    /// What is wrong, or worth knowing; the worst first.
    pub findings: Vec<Finding>,
    /// What waits.
    pub queues: Queues,
    /// The next instants at which periods end, by zone.
    pub boundaries: Vec<NextBoundary>,
    /// The last run of each job.
    pub runs: Vec<LastRun>,
    /// Disks that periodd writes to.
    pub disks: Vec<Disk>,
}

impl Status {
    /// Is anything worse than good to know?
    #[must_use]
    pub fn found_something(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity > Severity::Note)
    }
}

/// What the database says.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What waits.
    pub queues: Queues,
    /// Some of the orgs that are set aside.
    pub parked: Vec<ParkedRow>,
    /// The rows of schedules.
    pub schedules: Vec<Row>,
    /// The last run of each job.
    pub runs: Vec<LastRun>,
    /// What it remembers of tz releases.
    pub zones: ZoneFacts,
    /// The database's clock.
    pub clock: Instant,
}

/// Reads how things stand, and says what is wrong.
///
/// # Errors
/// As every read.
pub async fn status(
    database: &Database,
    surroundings: impl AsyncFnOnce(&[Row]) -> Surroundings,
    now: Instant,
) -> Result<Status, StoreError> {
    let mut connection = database.connection().await?;
    let rows = schedules::all(&mut connection).await?;
    let surroundings = surroundings(&rows).await;
    let recently = before(now, RECENTLY);
    let jobs: Vec<&str> = surroundings.jobs.iter().map(|expected| expected.job).collect();
    let facts = Facts {
        queues: status::queues(&mut connection, now, recently).await?,
        parked: status::parked(&mut connection).await?,
        runs: status::last_runs(&mut connection, &jobs).await?,
        zones: status::zones(&mut connection).await?,
        schedules: rows,
        clock: database.now().await?,
    };
    let boundaries = status::next_boundaries(&mut connection, now, BOUNDARIES).await?;
    let findings = assess(&facts, &surroundings, now);
    let Facts { queues, runs, .. } = facts;
    Ok(Status { now, findings, queues, boundaries, runs, disks: surroundings.disks })
}

/// What of all that is wrong, or worth knowing; the worst first.
#[must_use]
pub fn assess(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let mut findings = orgs(facts, now);
    findings.extend(usage(facts, now));
    findings.extend(emails(facts, now));
    findings.extend(schedules_of(facts, surroundings, now));
    findings.extend(zones(facts, surroundings, now));
    findings.extend(surroundings.host_clock.and_then(|host| clocks(host, facts.clock)));
    findings.extend(surroundings.disks.iter().filter_map(disk));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn before(at: Instant, span: SignedDuration) -> Instant {
    at.plus(-span).unwrap_or(at)
}

/// A number of things, of which more than [`MANY`] were not counted.
fn many(length: i64, noun: &str) -> String {
    match length {
        1 => format!("1 {noun}"),
        MANY.. => format!("{MANY} {noun}s or more"),
        length => format!("{length} {noun}s"),
    }
}

fn orgs(facts: &Facts, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let due = &facts.queues.due;
    if let Some(since) = due.oldest {
        let what = format!("{} due, the first since {since}", many(due.length, "org"));
        let overdue = since <= before(now, OVERDUE_AFTER);
        let finding = if overdue { Finding::problem } else { Finding::note };
        findings.push(finding("overdue", what).mend("periodd rollover"));
    }
    let unopened = &facts.queues.unopened;
    if let Some(since) = unopened.oldest {
        let what = format!("{} without an open period", many(unopened.length, "org"));
        let overdue = since <= before(now, OVERDUE_AFTER);
        let finding = if overdue { Finding::problem } else { Finding::note };
        findings.push(finding("no_period", what).mend("periodd rollover"));
    }
    for parked in &facts.parked {
        let what = format!("{} is parked since {}: {}", parked.org, parked.at, parked.reason);
        let mend = format!("periodd explain {0}; periodd orgs unpark {0}", parked.org);
        findings.push(Finding::problem("parked", what).mend(mend));
    }
    let named = i64::try_from(facts.parked.len()).unwrap_or(i64::MAX);
    if facts.queues.parked.length > named {
        let more = many(facts.queues.parked.length - named, "org");
        findings.push(
            Finding::problem("parked", format!("{more} more are parked"))
                .mend("periodd orgs list --format json"),
        );
    }
    findings
}

fn usage(facts: &Facts, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Queues { uncounted, drift, .. } = &facts.queues;
    if uncounted.oldest.is_some_and(|since| since <= before(now, UNCOUNTED_AFTER)) {
        let length = many(uncounted.length, "metric");
        let what = format!("{length} wait to be counted, some since {}", shown(uncounted.oldest));
        findings.push(Finding::warning("uncounted", what).mend("periodd sync"));
    }
    if drift.length > 0 {
        let length = many(drift.length, "number");
        let what = format!("{length} drifted and were mended, the last at {}", shown(drift.oldest));
        findings.push(Finding::warning("drift", what).mend("periodd sync --full --check"));
    }
    findings
}

fn emails(facts: &Facts, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Queues { emails, waiting, given_up, .. } = &facts.queues;
    if given_up.length > 0 {
        let what = format!("{} given up within a day", many(given_up.length, "email"));
        let mend = "periodd alerts list --state given_up";
        findings.push(Finding::problem("emails_given_up", what).mend(mend));
    }
    if emails.oldest.is_some_and(|since| since <= before(now, UNSENT_AFTER)) {
        let length = many(emails.length, "email");
        let what = format!("{length} to be sent, the first since {}", shown(emails.oldest));
        findings.push(Finding::problem("emails_late", what).mend("periodd alerts run"));
    }
    if waiting.length > 0 {
        let length = many(waiting.length, "alert");
        let what = format!("{length} wait because nobody can be told: their orgs lack a contact");
        findings.push(Finding::warning("no_recipient", what).mend("periodd alerts list"));
    }
    findings
}

fn schedules_of(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in &facts.schedules {
        let Row { job, trigger, paused_at, pause_reason, replica, .. } = row;
        if let (Some(at), "schedule") = (paused_at, trigger.as_str()) {
            let reason = pause_reason.as_deref().unwrap_or("no reason was given");
            let what = format!("{job} is paused since {at}: {reason}");
            let mend = format!("periodd schedule resume {job}");
            findings.push(Finding::problem("paused", what).mend(mend));
        }
        if row.is_abandoned() {
            let who = replica.as_deref().unwrap_or("a process");
            let what = format!(
                "{who} vanished while it ran {job}; another daemon takes over, and it is to be \
                 started again on its machine"
            );
            let mend = "systemctl start periodd";
            findings.push(Finding::problem("replica_vanished", what).mend(mend));
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
        let what = format!("schedules are late, as if no daemon ran: {}", late.join(", "));
        findings.push(Finding::problem("late", what).mend("systemctl start periodd"));
    }
    if facts.schedules.is_empty() {
        let what = "no daemon has ever worked on this database; nothing happens by itself";
        findings.push(Finding::note("no_daemon", what).mend("systemctl enable --now periodd"));
    }
    for run in facts.runs.iter().filter(|run| run.outcome == "failed") {
        let error = run.error.as_deref().unwrap_or("no reason is known");
        let what = format!("the last {} failed: {error}", run.job);
        let mend = format!("periodd runs show {}", run.id);
        findings.push(Finding::problem("failed", what).mend(mend));
    }
    findings
}

fn zones(facts: &Facts, surroundings: &Surroundings, now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ZoneFacts { newest_used, months_until, .. } = &facts.zones;
    let here = &surroundings.tz_release;
    if let Some(newest) = newest_used.as_ref().filter(|newest| *newest > here) {
        let what = format!("the tz data here is {here}, and {newest} was used for this database");
        let mend = "apt-get install --only-upgrade tzdata";
        findings.push(Finding::problem("stale_tz", what).mend(mend));
    }
    let enough = now.plus(MONTHS_AHEAD).is_ok_and(|until| months_until.is_some_and(|m| m > until));
    if !enough {
        let what =
            format!("the months of time zones are known until {} only", shown(*months_until));
        findings.push(Finding::problem("zone_months", what).mend("periodd db migrate"));
    }
    findings
}

fn clocks(host: Instant, database: Instant) -> Option<Finding> {
    let skew = host.since(database).abs();
    if skew < SKEW_SEEN {
        return None;
    }
    let finding = if skew < SKEW_WRONG { Finding::warning } else { Finding::problem };
    let what = format!(
        "this machine's clock says {host}, the database's {database}; one of them is not kept"
    );
    Some(finding("clock_skew", what).mend("timedatectl set-ntp true"))
}

fn disk(disk: &Disk) -> Option<Finding> {
    let percent = disk.free.saturating_mul(100) / disk.size.max(1);
    let finding = match percent {
        ..DISK_FULL_PERCENT => Finding::problem,
        DISK_FULL_PERCENT..DISK_NEAR_PERCENT => Finding::warning,
        DISK_NEAR_PERCENT.. => return None,
    };
    let gibibytes = disk.free >> 30;
    let what = format!("{percent} % of the disk of {} are free ({gibibytes} GiB)", disk.path);
    Some(finding("disk", what).mend(format!("free space on the disk of {}", disk.path)))
}

fn shown(at: Option<Instant>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn disk_of(free: u64) -> Disk {
        Disk { path: "/var/lib/periodd".to_owned(), free: free << 30, size: 100 << 30 }
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
        let severity = |free| disk(&disk_of(free)).map(|finding| finding.severity);
        assert_eq!((severity(40), severity(14)), (None, Some(Severity::Warning)));
        assert_eq!(severity(4), Some(Severity::Problem));
    }
}
