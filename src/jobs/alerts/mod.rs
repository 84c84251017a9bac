//! Alerts: what moved → judge → record → report.
//!
//! A pass finds the counters that may have crossed something, has `billing` judge each, and
//! records alerts and emails in one transaction per page. It sends nothing: that is
//! [`super::deliver`]'s, after the commit. Two passes at once record each alert once: what is
//! decided about a counter is written only while the judgement before it still stands.
//!
//! Never: an email that is sent; a threshold that alerts twice.

mod decide;
pub mod notices;
pub mod overview;
mod request;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::recipients::Person;
use crate::jobs::batches::{Batch, Batches, Left, Served, orgs_that_fit};
use crate::store::alerts::{self, AlertState, Candidate, Judgement, MovedLimits, Since};
use crate::store::usage::kept;
use crate::store::{
    Connection, Database, LockTimeout, StoreError, audit, begin_within, rollover::snapshot, serves,
    still_serves,
};
use crate::tz::TzData;
use decide::Decided;
use notices::{Look, NoticeReport};
pub use request::{Request, Watched};

/// Counters that are judged and recorded together.
const PAGE: usize = 1_000;
/// Orgs that are read together, where not all can be.
const ORGS: i64 = 1_000;
/// Orgs that are read together before it is known how many counters they have.
const ORGS_AT_FIRST: usize = 100;
/// How often those are judged again that another pass was judging at the same time.
const ROUNDS: usize = 3;
/// Orgs that a pass may leave to the next one by name; with more of them it counts as not made.
const MOST_LEFT: usize = 10_000;
/// How many of them a report names.
const MOST_NAMED: usize = 20;

/// What a pass did.
#[derive(Debug, Default, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct AlertReport {
    /// Whether everything was checked, or only changes.
    pub everything: bool,
    /// Counters that were checked: those that crossed a threshold now or earlier.
    pub judged: usize,
    /// Alerts with emails.
    pub notified: usize,
    /// Alerts that a higher one covers.
    pub covered: usize,
    /// Alerts that wait for a recipient.
    pub waiting: usize,
    /// Alerts that are recorded and nothing more, because the transport is none.
    pub recorded: usize,
    /// Emails that were queued.
    pub emails: usize,
    /// Counters that another pass was checking at the same time.
    pub missed: usize,
    /// Orgs that could not be checked: their rows are locked by others or cannot be read. The next
    /// pass checks them again.
    pub left: usize,
    /// The first of them.
    pub left_orgs: Vec<Left>,
    /// It was asked to end: the next pass looks at the same again.
    #[serde(skip)]
    pub stopped: bool,
}

/// Makes one pass.
///
/// # Errors
/// [`StoreError`] when the database fails. What was recorded until then stays, and the next pass
/// takes up the rest.
pub async fn run(database: &Database, request: &Request) -> Result<AlertReport, StoreError> {
    let real = database.believed_now().await?;
    let now = request.at.unwrap_or(real);
    let mut connection = database.connection().await?;
    let fingerprint = request.watched.fingerprint();
    let mut reading = begin_within(&mut connection, LockTimeout::Long).await?;
    let mut since = alerts::since(&mut reading, now, real, &fingerprint).await?;
    // Before any counter is read: what moves later is found again by the next pass. Where limits
    // moved, partial indexes know; the planner takes two columns that differ to be common.
    let moved = alerts::moved_limits(&mut reading).await?;
    let in_vain = alerts::waiting_in_vain(&mut reading, now).await?;
    reading.commit().await?;
    since.everything |= moved.concerns_everybody() || request.full;
    let mut pass = Pass::new(request, now, since);
    pass.expire(&mut connection, &in_vain).await?;
    if pass.since.everything {
        pass.everything(database, &mut connection).await?;
    } else {
        let mut reading = begin_within(&mut connection, LockTimeout::Long).await?;
        let mut orgs = alerts::changed(&mut reading, &pass.since).await?;
        reading.commit().await?;
        orgs.extend(&pass.since.again);
        orgs.sort_unstable();
        orgs.dedup();
        pass.judge_orgs(&mut connection, &orgs).await?;
    }
    pass.judge_missed(&mut connection).await?;
    std::mem::take(&mut pass.served).end()?;
    if request.stop.is_set() {
        // What was not looked at has to be found again.
        pass.report.stopped = true;
    } else if pass.is_through() {
        pass.remember(&mut connection, &moved, &fingerprint).await?;
    }
    pass.done(&mut connection).await
}

/// Makes one pass, keeps the overview and looks for notices. Orgs for which the server lacks
/// something keep nobody else's notices from being recorded.
///
/// # Errors
/// As [`run`], once notices have been looked for; at once where the server does not serve.
pub async fn run_with_notices(
    database: &Database,
    tz: &TzData,
    request: &Request,
    look: Look,
) -> Result<(AlertReport, NoticeReport), StoreError> {
    let found = run(database, request).await;
    let goes_on = match &found {
        Ok(report) if report.stopped => false,
        Ok(report) => {
            overview::keep(database, tz, request.at, report.everything).await;
            true
        }
        Err(_) => still_serves(database).await,
    };
    let told = if goes_on {
        notices::run(database, tz, request, look).await
    } else {
        Ok(NoticeReport::default())
    };
    Ok((found?, told?))
}

struct Pass<'a> {
    request: &'a Request,
    watch: alerts::Watch,
    since: Since,
    now: Instant,
    report: AlertReport,
    /// How long a page waits for what somebody else holds.
    wait: LockTimeout,
    /// Orgs that could not be served, with why.
    left: BTreeMap<Uuid, String>,
    /// Orgs with a counter that another pass was judging at the same time.
    missed: BTreeSet<Uuid>,
    /// Whom it recorded something for.
    served: Served,
}

impl<'a> Pass<'a> {
    fn new(request: &'a Request, now: Instant, since: Since) -> Self {
        let report = AlertReport { everything: since.everything, ..AlertReport::default() };
        Self {
            request,
            watch: request.watched.for_store(),
            since,
            now,
            report,
            wait: LockTimeout::Long,
            left: BTreeMap::new(),
            missed: BTreeSet::new(),
            served: Served::default(),
        }
    }

    /// Judges all counters, read in one go as long as that is possible; after that page by page,
    /// so that what keeps one org from being read keeps nobody else.
    async fn everything(
        &mut self,
        database: &Database,
        connection: &mut Connection,
    ) -> Result<(), StoreError> {
        let mut writer = database.connection().await?;
        match self.stream(connection, &mut writer).await {
            Err(error)
                if error.may_concern_one_row()
                    || matches!(error, StoreError::Held(_) | StoreError::Cancelled(_)) => {}
            // A server that serves lacked something for some of them.
            Err(StoreError::Unavailable(_)) if serves(&mut writer).await => {}
            other => return other,
        }
        let mut after = Uuid::nil();
        while !self.request.stop.is_set() {
            let mut reading = begin_within(&mut writer, LockTimeout::Long).await?;
            let orgs = audit::orgs(&mut reading, after, ORGS).await?;
            reading.commit().await?;
            let Some(last) = orgs.last() else { break };
            after = *last;
            self.judge_orgs(&mut writer, &orgs).await?;
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        reader: &mut Connection,
        writer: &mut Connection,
    ) -> Result<(), StoreError> {
        let (watch, since) = (self.watch.clone(), self.since.clone());
        let mut reading = alerts::begin_reading(reader).await?;
        let mut candidates = std::pin::pin!(alerts::each(&mut reading, &watch, &since));
        let mut page = Vec::with_capacity(PAGE);
        while let Some(candidate) = candidates.try_next().await? {
            page.push(candidate);
            if self.request.stop.is_set() {
                break;
            }
            if page.len() == PAGE {
                self.judge(writer, std::mem::take(&mut page)).await?;
            }
        }
        self.judge(writer, page).await
    }

    /// Judges the counters of some orgs, as many orgs at once as their counters have room for.
    async fn judge_orgs(
        &mut self,
        connection: &mut Connection,
        orgs: &[Uuid],
    ) -> Result<(), StoreError> {
        let mut rest = orgs;
        let mut fitting = ORGS_AT_FIRST;
        while !rest.is_empty() {
            let (page, later) = rest.split_at(fitting.min(rest.len()));
            rest = later;
            let mut batches = Batches::of(page.to_vec(), self.wait);
            let mut candidates = Vec::new();
            while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
                let read = self.read(connection, &batch).await;
                candidates
                    .extend(batches.outcome(connection, batch, read).await?.into_iter().flatten());
            }
            self.set_aside(&mut batches)?;
            fitting = orgs_that_fit(page.len(), candidates.len(), PAGE);
            self.judge(connection, candidates).await?;
        }
        Ok(())
    }

    async fn read(
        &self,
        connection: &mut Connection,
        batch: &Batch,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut reading = begin_within(connection, batch.wait).await?;
        let candidates =
            alerts::of_orgs(&mut reading, &self.watch, &self.since, &batch.ids).await?;
        reading.commit().await?;
        Ok(candidates)
    }

    /// Judges once more whom another pass was judging at the same time: it may have gone by limits
    /// that have moved since.
    async fn judge_missed(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            if self.missed.is_empty() {
                break;
            }
            let missed: Vec<Uuid> = std::mem::take(&mut self.missed).into_iter().collect();
            self.report.missed = 0;
            self.judge_orgs(connection, &missed).await?;
        }
        Ok(())
    }

    /// Judges a page of counters and records what follows.
    async fn judge(
        &mut self,
        connection: &mut Connection,
        candidates: Vec<Candidate>,
    ) -> Result<(), StoreError> {
        self.report.judged += candidates.len();
        let mut decided: BTreeMap<Uuid, Vec<Decided>> = BTreeMap::new();
        for candidate in candidates {
            if let Some(column) = &candidate.unreadable {
                let why = format!(
                    "{column} of {} contains a quantity beyond 10^22: correct that row",
                    candidate.feature
                );
                self.left.insert(candidate.org, why);
                continue;
            }
            let org = candidate.org;
            if let Some(one) = decide::decide(candidate, &self.request.watched) {
                decided.entry(org).or_default().push(one);
            }
        }
        let mut batches = Batches::of(decided.keys().copied().collect(), self.wait);
        while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
            let page: Vec<&Decided> =
                batch.ids.iter().filter_map(|org| decided.get(org)).flatten().collect();
            let recorded = self.try_record(connection, &page, batch.wait).await;
            let recorded = batches.outcome(connection, batch, recorded).await?;
            for (judgement, moved) in recorded.into_iter().flatten() {
                if moved {
                    self.report.add(&judgement);
                } else {
                    self.report.missed += 1;
                    self.missed.insert(judgement.org);
                }
            }
        }
        self.set_aside(&mut batches)?;
        self.served.note(&mut batches);
        Ok(())
    }

    /// Records judgements, and returns each with whether it was let through.
    async fn try_record(
        &self,
        connection: &mut Connection,
        page: &[&Decided],
        wait: LockTimeout,
    ) -> Result<Vec<(Judgement, bool)>, StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
        let told: Vec<Uuid> =
            page.iter().filter(|one| one.tell.is_some()).map(|one| one.judgement.org).collect();
        let mut people: HashMap<Uuid, Vec<Person>> = HashMap::new();
        if self.request.mails && !told.is_empty() {
            for (org, person) in alerts::people(&mut transaction, &told).await? {
                people.entry(org).or_default().push(person);
            }
        }
        let judgements: Vec<Judgement> = page
            .iter()
            .filter_map(|one| one.addressed(&people, self.request.mails, &self.request.notices))
            .collect();
        if judgements.is_empty() {
            return Ok(Vec::new());
        }
        let moved = alerts::record(&mut transaction, &judgements, self.now).await?;
        transaction.commit().await?;
        let is_moved =
            |judgement: &Judgement| moved.contains(&(judgement.org, judgement.feature.clone()));
        Ok(judgements.into_iter().map(|one| (one.clone(), is_moved(&one))).collect())
    }

    /// Ends the wait of alerts whose period is over.
    async fn expire(
        &mut self,
        connection: &mut Connection,
        orgs: &[Uuid],
    ) -> Result<(), StoreError> {
        for page in orgs.chunks(PAGE) {
            let mut batches = Batches::of(page.to_vec(), self.wait);
            while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
                let expired = expire_once(connection, &batch, self.now).await;
                batches.outcome(connection, batch, expired).await?;
            }
            self.set_aside(&mut batches)?;
        }
        Ok(())
    }

    /// Notes the orgs that a page did not serve. Alerts park nobody: billing goes on.
    fn set_aside(&mut self, batches: &mut Batches) -> Result<(), StoreError> {
        if batches.met_holder() {
            self.wait = LockTimeout::Short;
        }
        self.left.extend(batches.left()?);
        Ok(())
    }

    /// Was everybody judged but those who are known, and few enough to be remembered by name?
    fn is_through(&self) -> bool {
        self.missed.is_empty() && self.left.len() <= MOST_LEFT
    }

    /// Remembers how far this pass got. Whose limits cannot be remembered as judged by is found
    /// once more by the next pass.
    async fn remember(
        &mut self,
        connection: &mut Connection,
        moved: &MovedLimits,
        fingerprint: &str,
    ) -> Result<(), StoreError> {
        let orgs = moved.orgs();
        let orgs: Vec<Uuid> = orgs.into_iter().filter(|org| !self.left.contains_key(org)).collect();
        if moved.concerns_everybody() && !self.see_limits(connection).await? {
            return Ok(());
        }
        for page in orgs.chunks(PAGE) {
            let mut batches = Batches::of(page.to_vec(), self.wait);
            while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
                let remembered = remember_once(connection, moved, &batch).await;
                batches.outcome(connection, batch, remembered).await?;
            }
            if batches.met_holder() {
                self.wait = LockTimeout::Short;
            }
            batches.stuck()?;
        }
        let mut transaction = begin_within(connection, LockTimeout::Long).await?;
        let again: Vec<Uuid> = self.left.keys().copied().collect();
        let remembered = async {
            alerts::remember_tier_limits(&mut transaction, moved).await?;
            alerts::remember(&mut transaction, &self.since, fingerprint, &again).await
        };
        match remembered.await {
            Ok(()) => Ok(transaction.commit().await?),
            Err(error) if error.is_contention() => Ok(transaction.rollback().await?),
            Err(other) => Err(other),
        }
    }

    /// Has everybody's counters see what tiers include now. False where the run is to stop.
    async fn see_limits(&mut self, connection: &mut Connection) -> Result<bool, StoreError> {
        let mut after = Uuid::nil();
        loop {
            let mut reading = begin_within(connection, LockTimeout::Long).await?;
            let orgs = audit::orgs(&mut reading, after, ORGS).await?;
            reading.commit().await?;
            let Some(last) = orgs.last() else { return Ok(true) };
            after = *last;
            let mut batches = Batches::of(orgs, self.wait);
            while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
                let seen = see_once(connection, &batch).await;
                batches.outcome(connection, batch, seen).await?;
            }
            if batches.met_holder() {
                self.wait = LockTimeout::Short;
            }
            if self.request.stop.is_set() {
                return Ok(false);
            }
            // Whoever counts something for those that are left sees it, too.
            batches.stuck()?;
        }
    }

    async fn done(mut self, connection: &mut Connection) -> Result<AlertReport, StoreError> {
        self.report.left = self.left.len();
        let named: Vec<Uuid> = self.left.keys().copied().take(MOST_NAMED).collect();
        if !named.is_empty() {
            let slugs = snapshot::slugs(connection, &named).await?;
            for org in named {
                let slug = slugs.get(&org).cloned().unwrap_or_else(|| org.to_string());
                let reason = self.left.remove(&org).unwrap_or_default();
                self.report.left_orgs.push(Left { org, slug, reason });
            }
        }
        Ok(self.report)
    }
}

async fn expire_once(
    connection: &mut Connection,
    batch: &Batch,
    now: Instant,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    alerts::expire_waiting(&mut transaction, &batch.ids, now).await?;
    Ok(transaction.commit().await?)
}

async fn remember_once(
    connection: &mut Connection,
    moved: &MovedLimits,
    batch: &Batch,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    alerts::remember_limits(&mut transaction, moved, &batch.ids).await?;
    kept::see_limits(&mut transaction, &batch.ids).await?;
    Ok(transaction.commit().await?)
}

async fn see_once(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    kept::see_limits(&mut transaction, &batch.ids).await?;
    Ok(transaction.commit().await?)
}

impl AlertReport {
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
