//! The demo: a sample company whose clock runs through months in seconds.
//!
//! Nothing here knows a rule of billing. The clock goes from one moment to the next at which
//! something falls due or happens; at each, the uses of the stretch before are written as
//! applications write them, and then the rollover runs, the same one as everywhere, at that
//! moment of business time.
//!
//! The database itself says how far the story is told, so a run that was interrupted is taken up
//! by the next one, and a story that has ended goes on as everyday life.
//!
//! Never: a rule of billing.

mod company;
mod ledger;
mod life;
mod scene;
mod story;

use std::sync::Arc;

use jiff::SignedDuration;

use crate::billing::Instant;
use crate::billing::instant::{InvalidInstant, OutOfRange};
use crate::billing::quantity::Overflow;
use crate::jobs::alerts::notices::Look;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::doctor::verify::{self, Question};
use crate::jobs::stop::Stop;
use crate::jobs::{alerts, deliver, orgs, rollover, sync};
use crate::store::audit::verify::RuleCheck;
use crate::store::reports::history::{self, Total};
use crate::store::{Database, StoreError, messages::outbox, rollover::claim, sample};
use crate::tz::{TzData, UnknownZone};
use ledger::{Ledger, Took};
use life::Uses;
pub(crate) use scene::{Boundary, Drift, OrgClose, Purchase, Scene};
use story::Story;
pub(crate) use story::{Event, What};

/// How far the clock runs once the story has been told: three months.
const EVERYDAY: SignedDuration = SignedDuration::from_hours(92 * 24);

/// What a run of the demo is told as it goes on.
pub(crate) trait Audience {
    /// The company is open, and the clock stands at `from`. `again`: an earlier run got it there.
    fn begins(&mut self, from: Instant, until: Instant, again: bool);
    /// Something happened.
    fn sees(&mut self, scene: Scene);
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The audit.
    #[error("{0}")]
    Sync(#[from] sync::Error),
    /// A customer cannot be added.
    #[error("{0}")]
    Org(#[from] orgs::Error),
    /// The tz database lacks a customer's zone.
    #[error("{0}")]
    Zone(#[from] UnknownZone),
    /// A moment of the story is none.
    #[error("{0}")]
    Moment(#[from] InvalidInstant),
    /// The calendar ends.
    #[error("{0}")]
    OutOfRange(#[from] OutOfRange),
    /// A quantity leaves its range.
    #[error("{0}")]
    Overflow(#[from] Overflow),
}

/// What a run of the demo left behind.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Outcome {
    /// Business time at its end.
    pub(crate) until: Instant,
    /// Periods that this run closed.
    pub(crate) periods_closed: usize,
    /// Orgs that this run had to park, beside the story's: none, unless somebody damaged a row.
    pub(crate) parked: Vec<rollover::Parked>,
    /// What all closed periods add up to.
    pub(crate) totals: Vec<Total>,
    /// Emails that were written by now.
    pub(crate) emails: i64,
    /// One of them.
    pub(crate) email: Option<deliver::Written>,
    /// The rules that the books were checked against.
    pub(crate) rules: Vec<RuleCheck>,
}

impl Outcome {
    /// Does every rule hold?
    pub(crate) fn is_sound(&self) -> bool {
        self.rules.iter().all(|rule| rule.broken_by == 0)
    }
}

/// How the jobs of a demo run.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    pub(crate) rollover: rollover::Request,
    pub(crate) sync: sync::Request,
    /// Its looks for crossed thresholds.
    pub(crate) alerts: alerts::Request,
    /// Its deliveries of emails …
    pub(crate) deliver: deliver::Request,
    /// … and what carries them away.
    pub(crate) mailer: Arc<deliver::Mailer>,
}

/// Runs the demo on a migrated database, from where its clock stands. `requests` says how its jobs
/// run.
pub(crate) async fn run(
    database: &Database,
    tz: &TzData,
    requests: &Requests,
    audience: &mut dyn Audience,
) -> Result<Outcome, Error> {
    let story = Story::of_2026()?;
    sample::wait_for_disk(database, false).await?;
    company::open(database, tz, story.opens).await?;
    let stands = history::last_close(database).await?;
    let from = stands.unwrap_or(story.opens);
    let until = if from < story.ends { story.ends } else { from.plus(EVERYDAY)? };
    audience.begins(from, until, stands.is_some());
    let mut clock = Clock {
        database,
        tz,
        requests,
        story: &story,
        now: from,
        until,
        parked: vec![],
        ledger: Ledger::new(),
    };
    let mut periods_closed = 0;
    while clock.now < until {
        periods_closed += clock.advance(audience).await?;
    }
    clock.count().await?;
    clock.look().await?;
    sample::remember_now(database, until).await?;
    let Clock { parked, mut ledger, .. } = clock;
    ledger.enter(database, true).await?;
    let email = match outbox::a_sent_one(database).await? {
        Some((recipient, letter)) => requests.mailer.written(&letter, recipient).ok(),
        None => None,
    };
    let emails = outbox::count_sent(database).await?;
    sample::wait_for_disk(database, true).await?;
    let totals = history::totals(database).await?;
    let everything = Question::ClosedAfter(Instant::MIN);
    let verified = verify::run(database, everything, &Stop::default(), &|_| ()).await?;
    let rules = verified.rules;
    Ok(Outcome { until, periods_closed, parked, totals, emails, email, rules })
}

/// Business time, and everything that moves with it.
struct Clock<'a> {
    database: &'a Database,
    tz: &'a TzData,
    requests: &'a Requests,
    story: &'a Story,
    now: Instant,
    until: Instant,
    parked: Vec<rollover::Parked>,
    ledger: Ledger,
}

impl Clock<'_> {
    /// Goes to the next moment, and lets happen what happens there. Returns how many periods
    /// were closed.
    async fn advance(&mut self, audience: &mut dyn Audience) -> Result<usize, Error> {
        let mut connection = self.database.connection().await?;
        let due = claim::next_due(&mut connection, Instant::MIN).await?;
        drop(connection);
        let acts = due.map(|at| self.story.awake_from(at.max(self.now)));
        let story = self.story;
        let event = story.next(self.now).filter(|event| event.at <= self.until);
        let moments = [acts, event.map(|event| event.at)].into_iter().flatten();
        let next = moments.min().unwrap_or(self.until).min(self.until);
        Uses::between(self.tz, self.now, next)?.report(self.database).await?;
        let before = std::mem::replace(&mut self.now, next);
        let event = event.filter(|event| event.at == next);
        if let Some(event) = event {
            event.happen(self.database).await?;
            match event.what {
                What::Audited => audience.sees(self.audit().await?),
                _ => audience.sees(Scene::Event(event.clone())),
            }
        }
        if self.story.awake_from(next) != next {
            return Ok(0);
        }
        let closed = self.roll_over(before, audience).await?;
        self.warn().await?;
        if event.is_some_and(|event| matches!(event.what, What::Started)) {
            self.count().await?;
        }
        self.ledger.enter(self.database, false).await?;
        Ok(closed)
    }

    /// What was used since the last rollover is counted, as the daemon does each minute.
    async fn count(&mut self) -> Result<(), Error> {
        let request = sync::Request { at: Some(self.now), ..self.requests.sync.clone() };
        let took = Took::begin();
        let report = sync::count(self.database, &request, Arc::new(|_| ())).await?;
        self.ledger.note(Job::Sync, self.now, took.so_far(), &RunCounts::from(&report))
    }

    /// The look for notices that the daemon takes each hour: here once, when the story ends.
    async fn look(&self) -> Result<(), Error> {
        let Requests { alerts, deliver, mailer, .. } = self.requests;
        let at = Some(self.now);
        let real = self.database.now().await?;
        let request = alerts::Request { at, ..alerts.clone() };
        alerts::notices::run(self.database, self.tz, &request, Look::Now).await?;
        let request = deliver::Request { at, ..deliver.clone() };
        deliver::run(self.database, self.tz, mailer, &request).await?;
        Ok(sample::redate_emails(self.database, real, self.now).await?)
    }

    /// The look for crossed thresholds that the daemon takes each minute, and its emails.
    async fn warn(&mut self) -> Result<(), Error> {
        let Requests { alerts, deliver, mailer, .. } = self.requests;
        let at = Some(self.now);
        let real = self.database.now().await?;
        let took = Took::begin();
        let found = alerts::run(self.database, &alerts::Request { at, ..alerts.clone() }).await?;
        let counts = RunCounts::Alerts((&found).into());
        self.ledger.note(Job::Alerts, self.now, took.so_far(), &counts)?;
        alerts::overview::keep(self.database, self.tz, at, found.everything).await;
        sample::redate_emails(self.database, real, self.now).await?;
        if self.story.has_mail(self.now) {
            let request = deliver::Request { at, ..deliver.clone() };
            let took = Took::begin();
            let sent = deliver::run(self.database, self.tz, mailer, &request).await?;
            let counts = RunCounts::Deliver((&sent).into());
            self.ledger.note(Job::Deliver, self.now, took.so_far(), &counts)?;
            sample::redate_emails(self.database, real, self.now).await?;
        }
        Ok(())
    }

    /// The audit that the daemon makes each night, on one of them.
    async fn audit(&mut self) -> Result<Scene, Error> {
        let request = sync::Request { at: Some(self.now), ..self.requests.sync.clone() };
        let observer: sync::Observer = Arc::new(|_| ());
        let took = Took::begin();
        let report = sync::audit(self.database, &request, observer).await?;
        let counts = RunCounts::from(&report);
        self.ledger.note(Job::Audit, self.now, took.so_far(), &counts)?;
        Ok(Scene::audit(self.now, report))
    }

    /// The sweep that the daemon makes each minute, at the minute that matters.
    async fn roll_over(
        &mut self,
        before: Instant,
        audience: &mut dyn Audience,
    ) -> Result<usize, Error> {
        let request = rollover::Request { at: Some(self.now), ..self.requests.rollover.clone() };
        let observer: rollover::Observer = Arc::new(|_| ());
        let took = Took::begin();
        let report = rollover::run(self.database, self.tz, &request, observer).await?;
        let counts = RunCounts::from(&report);
        self.ledger.note(Job::Rollover, self.now, took.so_far(), &counts)?;
        for parked in report.parked {
            if self.story.parks(&parked.slug) {
                let what = What::Parked { org: parked.slug, reason: parked.reason };
                audience.sees(Scene::Event(Event { at: self.now, what }));
            } else {
                self.parked.push(parked);
            }
        }
        if report.periods_closed > 0 || report.pack_entries > 0 {
            let closed = history::closed_at(self.database, self.now).await?;
            let expired = match report.pack_entries {
                0 => Vec::new(),
                _ => history::expired(self.database, before, self.now).await?,
            };
            audience.sees(Scene::rollover(self.now, closed, expired));
        }
        Ok(report.periods_closed)
    }
}
