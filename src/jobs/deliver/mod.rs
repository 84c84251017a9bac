//! Deliver: claim → compose → commit → send → settle.
//!
//! Each step's place has a reason. An email is claimed by compare-and-set, with a lease, and what
//! it says is composed and kept in the same transaction: so every attempt, whoever makes it, sends
//! the same bytes under the same Message-ID. That is committed before anybody talks to a network.
//! What the server said is settled afterwards. Whoever is killed in between leaves a lease that
//! runs out, and an email that is at worst sent twice as one and the same message.
//!
//! Webhooks go the same way beside the emails (`webhooks`): neither waits for the other.
//!
//! Never: the network inside a transaction; an email that is sent before its commit; one that is
//! given up for the fault of another.

mod attempt;
mod compose;
mod mailer;
mod refusals;
mod rendering;
mod webhooks;
mod worker;

use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use uuid::Uuid;

use crate::billing::Instant;
use crate::config::Config;
use crate::jobs::alerts::notices::Settings;
use crate::jobs::batches::{Batch, Batches, Served, Stuck};
use crate::jobs::stop::Stop;
use crate::store::alerts::late_emails::{self, TooLate};
use crate::store::events::webhook_outbox;
use crate::store::messages::outbox::{self, EmailRow, State};
use crate::store::{Connection, Database, LockTimeout, StoreError, begin_within};
use crate::tz::TzData;
use attempt::Outcome;
pub use mailer::{Mailer, MailerError, Preview, Written};
use refusals::Refusals;
pub use rendering::{Composed, ComposedWith, Rendering, Reread};
pub use webhooks::{EndpointFault, WebhookReport, Webhooks};
use worker::{Again, Worker, addressed_again};

/// Emails that are given up in one statement.
const PAGE: i64 = 1_000;
/// Claims that are made ready while others are being sent.
const WORKERS: usize = 2;
/// Emails in one claim, at most …
const LARGEST_CLAIM: u32 = 200;
/// … and no more than can be expected to be sent in this many seconds.
const SECONDS_OF_CLAIM: u32 = 10;
/// After this, webhooks that have become due are sent while emails go on.
const PAUSE_OF_WEBHOOKS: Duration = Duration::from_secs(1);

/// A delivery that was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Attempts before an email is given up.
    pub max_attempts: u32,
    pub claim: u32,
    /// How long one email may take.
    pub timeout: Duration,
    /// To whom notices go.
    pub notices: Settings,
    /// Business time, by which periods end; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Asks it to end with the emails that are on their way.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says about every delivery.
    pub fn of(config: &Config) -> Self {
        let smtp = &config.mail.smtp;
        Self {
            max_attempts: config.mail.max_attempts,
            claim: (smtp.rate_per_second * SECONDS_OF_CLAIM).clamp(1, LARGEST_CLAIM),
            timeout: smtp.timeout.0,
            notices: Settings::of(config),
            at: None,
            stop: Stop::default(),
        }
    }

    /// How long a claim holds: until the last email that was begun in time must have ended.
    fn lease(&self) -> Duration {
        self.timeout * 2 + Duration::from_secs(u64::from(SECONDS_OF_CLAIM))
    }
}

/// What a delivery did.
#[derive(Debug, Default, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct DeliveryReport {
    /// Emails that were accepted.
    pub sent: usize,
    /// Emails that will be retried.
    pub postponed: usize,
    /// Emails that were given up: refused for good, tried too often, or not composable.
    pub given_up: usize,
    /// Emails that were given up because their period has ended.
    pub expired: usize,
    /// Emails to addresses that do not exist; nothing is sent there any more.
    pub suppressed: usize,
    /// Emails that were not sent again because their org has no recipient.
    #[serde(skip_serializing_if = "is_zero")]
    pub without_recipient: usize,
    /// Orgs whose emails are left to the next delivery: somebody else holds their rows.
    pub left: usize,
    /// What was done with webhooks.
    #[serde(skip_serializing_if = "WebhookReport::is_empty")]
    pub webhooks: WebhookReport,
    /// Why the delivery ended early: the mail server could not be reached.
    pub unreachable: Option<String>,
    /// Why the delivery ended early: the mail server refuses the login.
    pub locked_out: Option<String>,
    /// Why emails wait: the mail server takes none from this account or machine.
    pub refused: Option<String>,
    /// Is that so of any email?
    #[serde(skip)]
    is_refused_altogether: bool,
    #[serde(skip)]
    refusals: Refusals,
}

impl DeliveryReport {
    /// Were emails given up, for whatever reason?
    pub fn gave_up(&self) -> bool {
        self.given_up + self.expired + self.suppressed + self.webhooks.given_up > 0
    }

    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent(_) => self.sent += 1,
            Outcome::Postponed(_) | Outcome::Waits(_) | Outcome::Declined(_) => self.postponed += 1,
            Outcome::GivenUp(_) | Outcome::Rejected(_) => self.given_up += 1,
            Outcome::NoSuchAddress(_) => self.suppressed += 1,
            Outcome::TooLate => self.expired += 1,
            Outcome::Unreachable(why) => {
                self.postponed += 1;
                self.unreachable.get_or_insert_with(|| why.clone());
            }
            Outcome::LockedOut(why) => {
                self.postponed += 1;
                self.locked_out.get_or_insert_with(|| why.clone());
            }
            Outcome::Refused(why) => {
                self.postponed += 1;
                self.is_refused_altogether = true;
                self.refused.get_or_insert_with(|| why.clone());
            }
            Outcome::Barred(why) => {
                self.postponed += 1;
                self.refused.get_or_insert_with(|| why.clone());
            }
            // As its recipient wants it.
            Outcome::Unwanted | Outcome::NotTried => {}
        }
    }

    /// Is there any use in trying the next one?
    fn goes_on(&self) -> bool {
        self.unreachable.is_none() && self.locked_out.is_none() && !self.is_refused_altogether
    }
}

/// Sends what is due, emails and webhooks side by side, until nothing is.
///
/// # Errors
/// [`StoreError`] when the database fails. What cannot be sent is no error: it is settled and
/// counted in the report.
pub async fn run(
    database: &Database,
    tz: &TzData,
    mailer: &Mailer,
    request: &Request,
) -> Result<DeliveryReport, StoreError> {
    let are_sent = Notify::new();
    let emails = Box::pin(async {
        let sent = send_emails(database, tz, mailer, request).await;
        are_sent.notify_one();
        sent
    });
    let messages = Box::pin(async {
        let mut all = WebhookReport::default();
        loop {
            all.add(webhooks::run(database, &mailer.webhooks, &request.stop).await?);
            // Emails may take long: what is due meanwhile does not wait for them.
            if timeout(PAUSE_OF_WEBHOOKS, are_sent.notified()).await.is_ok() {
                return Ok::<_, StoreError>(all);
            }
        }
    });
    // Neither is dropped amid a statement when the other one fails.
    let (emails, messages) = tokio::join!(emails, messages);
    Ok(DeliveryReport { webhooks: messages?, ..emails? })
}

async fn send_emails(
    database: &Database,
    tz: &TzData,
    mailer: &Mailer,
    request: &Request,
) -> Result<DeliveryReport, StoreError> {
    let report = Mutex::new(DeliveryReport::default());
    let mut served = give_up_ended(database, request, &report).await?;
    if !mailer.carries() {
        served.end()?;
        return Ok(report.into_inner());
    }
    let workers = (0..WORKERS.min(mailer.concurrency()))
        .map(|_| async { Worker::new(database, tz, mailer, request, &report).work().await });
    let worked = futures_util::future::join_all(workers).await;
    mailer.rest().await;
    for part in worked {
        served.add(part?);
    }
    let report = report.into_inner();
    if report.sent > 0 && report.goes_on() {
        // The mail server is well again: what waited for that need not wait any longer.
        hasten_each(database, database.now().await?, true).await?;
    }
    // What one of them could not do for anybody, another one may have done for others.
    served.end()?;
    Ok(report)
}

/// Sends webhooks that are due, and no emails.
///
/// # Errors
/// As [`run`].
pub async fn send_webhooks(
    database: &Database,
    endpoints: &Webhooks,
    request: &Request,
) -> Result<WebhookReport, StoreError> {
    webhooks::run(database, endpoints, &request.stop).await
}

/// Emails that a person has sent again.
#[derive(Debug, Clone)]
pub enum Which {
    /// These, whatever became of them.
    Emails(Vec<Uuid>),
    /// Those that were settled so, and whose period is not over.
    Settled {
        state: State,
        /// Of this org alone.
        org: Option<Uuid>,
        /// Since then.
        since: Option<Instant>,
    },
}

/// Sends emails once more, with the Message-ID that each had: to those who get the org's emails
/// now, or to another address.
///
/// # Errors
/// [`StoreError::Invalid`] for an email that does not exist, or that nobody is there to get;
/// [`StoreError::Conflict`] when somebody is sending it right now.
pub async fn again(
    database: &Database,
    tz: &TzData,
    mailer: &Mailer,
    request: &Request,
    which: &Which,
    to: Option<&str>,
) -> Result<DeliveryReport, StoreError> {
    let mut emails = Vec::new();
    let late_too = match which {
        Which::Emails(ids) => {
            for id in ids {
                emails.push((outbox::org_of(database, *id).await?, *id));
            }
            true
        }
        Which::Settled { state, org, since } => {
            let now = request.at.unwrap_or(database.believed_now().await?);
            let mut connection = database.connection().await?;
            emails = outbox::settled_as(&mut connection, *state, *org, *since, now).await?;
            false
        }
    };
    let report = Mutex::new(DeliveryReport::default());
    let worker = Worker::new(database, tz, mailer, request, &report);
    let mut result = Ok(());
    for (org, id) in emails {
        if !worker.goes_on().await {
            break;
        }
        match worker.send_again(org, id, Again { to, late_too }).await {
            Ok(true) => {}
            Ok(false) if late_too => {
                result = Err(StoreError::Invalid(format!(
                    "nobody is there to get the email {id}: name a contact of its org, or add --to \
                     ADDRESS"
                )));
            }
            Ok(false) => report.lock().await.without_recipient += 1,
            // Somebody else is at this one; the others are sent.
            Err(StoreError::Conflict(_)) if !late_too => report.lock().await.postponed += 1,
            Err(error) => result = Err(error),
        }
        if result.is_err() {
            break;
        }
    }
    mailer.rest().await;
    result.map(|()| report.into_inner())
}

/// An email, and those that [`again`] would send for it.
#[derive(Debug, Clone)]
pub struct Foreseen {
    pub email: EmailRow,
    /// To whom each would go.
    pub sent: Vec<EmailRow>,
}

/// What [`again`] would send for an email; nothing is sent, and nothing is kept.
///
/// # Errors
/// [`StoreError::Invalid`] for an email that does not exist.
pub async fn foresee_again(
    database: &Database,
    notices: &Settings,
    id: Uuid,
) -> Result<Foreseen, StoreError> {
    let org = outbox::org_of(database, id).await?;
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Short).await?;
    let email = outbox::these(&mut transaction, org, &[id]).await?.pop();
    let ids = addressed_again(&mut transaction, org, id, None, notices).await?;
    let sent = outbox::these(&mut transaction, org, &ids).await?;
    transaction.rollback().await?;
    let gone = || StoreError::Invalid(format!("unknown email {id}"));
    Ok(Foreseen { email: email.ok_or_else(gone)?, sent })
}

/// Has emails that wait for their next attempt tried by the next delivery, whatever they wait for.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn hasten(database: &Database) -> Result<(), StoreError> {
    let now = database.believed_now().await?;
    webhook_outbox::hasten(&mut *database.connection().await?, now).await?;
    hasten_each(database, now, false).await
}

/// Those whose rows somebody holds are tried at their time.
async fn hasten_each(
    database: &Database,
    now: Instant,
    only_faults: bool,
) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let orgs = outbox::orgs_waiting(&mut connection, now, only_faults).await?;
    let mut batches = Batches::of(orgs, LockTimeout::Short);
    while let Some(batch) = batches.next() {
        let hastened = hasten_once(&mut connection, &batch, now, only_faults).await;
        batches.outcome(&mut connection, batch, hastened).await?;
    }
    batches.stuck().map(drop)
}

async fn hasten_once(
    connection: &mut Connection,
    batch: &Batch,
    now: Instant,
    only_faults: bool,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    outbox::hasten(&mut transaction, &batch.ids, now, only_faults).await?;
    Ok(transaction.commit().await?)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Gives up emails whose period has ended. Returns whom that served.
async fn give_up_ended(
    database: &Database,
    request: &Request,
    report: &Mutex<DeliveryReport>,
) -> Result<Served, StoreError> {
    let mut connection = database.connection().await?;
    let real = database.believed_now().await?;
    let now = request.at.unwrap_or(real);
    let (mut left, mut served) = (Vec::<Uuid>::new(), Served::default());
    while !request.stop.is_set() {
        let mut reading = begin_within(&mut connection, LockTimeout::Long).await?;
        let ended = late_emails::too_late(&mut reading, now, real, &left, PAGE).await?;
        reading.commit().await?;
        let mut orgs: Vec<Uuid> = ended.iter().map(|email| email.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let (mut batches, mut given_up) = (Batches::of(orgs, LockTimeout::Long), 0);
        while let Some(batch) = batches.next() {
            let some = give_up_once(&mut connection, now, real, &ended, &batch).await;
            given_up += batches.outcome(&mut connection, batch, some).await?.unwrap_or_default();
        }
        let stuck = batches.stuck()?;
        served.note(&mut batches);
        report.lock().await.expired += usize::try_from(given_up).unwrap_or(usize::MAX);
        // A page of nobody but those that are left hides others.
        if given_up == 0 && stuck.is_empty() {
            break;
        }
        left.extend(stuck.iter().map(Stuck::org));
    }
    Ok(served)
}

async fn give_up_once(
    connection: &mut Connection,
    now: Instant,
    real: Instant,
    ended: &[TooLate],
    batch: &Batch,
) -> Result<u64, StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    let of_batch: Vec<&TooLate> =
        ended.iter().filter(|email| batch.ids.contains(&email.org)).collect();
    let given_up = late_emails::give_up_ended(&mut transaction, now, real, &of_batch).await?;
    transaction.commit().await?;
    Ok(given_up)
}
