//! Alerts: what moved → judge → record → report.
//!
//! A pass finds the counters that may have crossed something, has `billing` judge each, and
//! records alerts and emails in one transaction per page. It sends nothing: that is
//! [`super::deliver`]'s, after the commit. Two passes at once record each alert once: what is
//! decided about a counter is written only while the judgement before it still stands.

mod decide;
mod request;

use std::collections::HashMap;

use futures_util::TryStreamExt;
use tokio::time::{Duration, sleep};
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::recipients::Person;
use crate::store::alerts::{self, AlertState, Candidate, Judgement, Since};
use crate::store::{Connection, Database, StoreError, apply};
use decide::Decided;
pub use request::{Request, Watched};

/// Counters that are judged and recorded together.
const PAGE: usize = 1_000;
/// Attempts at a page while others write the same rows.
const ATTEMPTS: u32 = 5;
/// The longest pause between two of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a pass did.
#[derive(Debug, Default, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Report {
    /// Was everything looked at, or what moved?
    pub everything: bool,
    /// Counters that were judged: those that had crossed something, or had before.
    pub judged: usize,
    /// Alerts of which somebody is told.
    pub notified: usize,
    /// Alerts that a higher one covers.
    pub covered: usize,
    /// Alerts that wait for somebody to tell.
    pub waiting: usize,
    /// Alerts that are recorded and nothing more, because the transport is none.
    pub recorded: usize,
    /// Emails that were queued.
    pub emails: usize,
    /// Counters that another pass was judging at the same time.
    pub missed: usize,
    /// It was asked to end: the next pass looks at the same again.
    #[serde(skip)]
    pub stopped: bool,
}

/// Makes one pass.
///
/// # Errors
/// [`StoreError`] when the database fails. What was recorded until then stays, and the next pass
/// takes up the rest.
pub async fn run(database: &Database, request: &Request) -> Result<Report, StoreError> {
    let real = database.now().await?;
    let now = request.at.unwrap_or(real);
    let mut connection = database.connection().await?;
    let watch = request.watched.for_store();
    let fingerprint = request.watched.fingerprint();
    alerts::expire_waiting(&mut connection, now).await?;
    let mut since = alerts::since(&mut connection, now, real, &fingerprint).await?;
    // Before any counter is read: what moves later is found again by the next pass. Where limits
    // moved, partial indexes know; the planner takes two columns that differ to be common.
    let mut reading = apply::begin(&mut connection).await?;
    let moved = alerts::moved_limits(&mut reading).await?;
    reading.commit().await?;
    since.everything |= moved.concerns_everybody() || request.full;
    let mut pass = Pass { request, now, report: Report::default() };
    pass.report.everything = since.everything;
    if since.everything {
        let mut writer = database.connection().await?;
        let mut candidates = std::pin::pin!(alerts::each(&mut connection, &watch, &since));
        let mut page = Vec::with_capacity(PAGE);
        while let Some(candidate) = candidates.try_next().await? {
            page.push(candidate);
            if request.stop.is_set() {
                break;
            }
            if page.len() == PAGE {
                pass.judge(&mut writer, std::mem::take(&mut page)).await?;
            }
        }
        pass.judge(&mut writer, page).await?;
    } else {
        let mut reading = apply::begin(&mut connection).await?;
        let orgs = alerts::changed(&mut reading, &since).await?;
        reading.commit().await?;
        for orgs in orgs.chunks(PAGE).take_while(|_| !request.stop.is_set()) {
            pass.judge_orgs(&mut connection, &watch, &since, orgs).await?;
        }
    }
    if request.stop.is_set() {
        // What was not looked at has to be found again.
        pass.report.stopped = true;
        return Ok(pass.report);
    }
    alerts::remember_limits(&mut connection, &moved).await?;
    alerts::remember(&mut connection, &since, &fingerprint).await?;
    Ok(pass.report)
}

struct Pass<'a> {
    request: &'a Request,
    now: Instant,
    report: Report,
}

impl Pass<'_> {
    async fn judge_orgs(
        &mut self,
        connection: &mut Connection,
        watch: &alerts::Watch,
        since: &Since,
        orgs: &[Uuid],
    ) -> Result<(), StoreError> {
        let mut reading = apply::begin(connection).await?;
        let candidates = alerts::of_orgs(&mut reading, watch, since, orgs).await?;
        reading.commit().await?;
        self.judge(connection, candidates).await
    }

    /// Judges a page of counters and records what follows.
    async fn judge(
        &mut self,
        connection: &mut Connection,
        candidates: Vec<Candidate>,
    ) -> Result<(), StoreError> {
        self.report.judged += candidates.len();
        let decided: Vec<Decided> = candidates
            .into_iter()
            .filter_map(|candidate| decide::decide(candidate, &self.request.watched))
            .collect();
        for page in decided.chunks(PAGE) {
            self.record(connection, page).await?;
        }
        Ok(())
    }

    async fn record(
        &mut self,
        connection: &mut Connection,
        page: &[Decided],
    ) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            match self.try_record(connection, page).await {
                Err(StoreError::Conflict(_)) if attempt < ATTEMPTS => {
                    attempt += 1;
                    sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
                }
                other => return other,
            }
        }
    }

    async fn try_record(
        &mut self,
        connection: &mut Connection,
        page: &[Decided],
    ) -> Result<(), StoreError> {
        let mut transaction = apply::begin(connection).await?;
        let told: Vec<Uuid> =
            page.iter().filter(|one| one.tell.is_some()).map(|one| one.judgement.org).collect();
        let mut people: HashMap<Uuid, Vec<Person>> = HashMap::new();
        if self.request.mails && !told.is_empty() {
            for (org, person) in alerts::people(&mut transaction, &told).await? {
                people.entry(org).or_default().push(person);
            }
        }
        let judgements: Vec<Judgement> =
            page.iter().filter_map(|one| one.addressed(&people, self.request.mails)).collect();
        if judgements.is_empty() {
            return Ok(());
        }
        let moved = alerts::record(&mut transaction, &judgements, self.now).await?;
        transaction.commit().await?;
        for judgement in &judgements {
            if moved.contains(&(judgement.org, judgement.feature.clone())) {
                self.report.add(judgement);
            } else {
                self.report.missed += 1;
            }
        }
        Ok(())
    }
}

impl Report {
    fn add(&mut self, judgement: &Judgement) {
        for alert in &judgement.alerts {
            match alert.state {
                AlertState::Notified => self.notified += 1,
                AlertState::Covered => self.covered += 1,
                AlertState::Waiting => self.waiting += 1,
                AlertState::Recorded => self.recorded += 1,
            }
        }
        self.emails += judgement.emails.len();
    }
}
