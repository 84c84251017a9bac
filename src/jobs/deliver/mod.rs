//! Deliver: claim → compose → commit → send → settle.
//!
//! Each step's place has a reason. An email is claimed by compare-and-set, with a lease, and what
//! it says is composed and kept in the same transaction: so every attempt, whoever makes it, sends
//! the same bytes under the same Message-ID. That is committed before anybody talks to a network.
//! What the server said is settled afterwards. Whoever is killed in between leaves a lease that
//! runs out, and an email that is at worst sent twice as one and the same message.

mod attempt;
mod compose;
mod post;
mod worker;

use std::time::Duration;

use tokio::sync::Mutex;
use uuid::Uuid;

use crate::billing::Instant;
use crate::config::Config;
use crate::jobs::stop::Stop;
use crate::store::{Database, StoreError, outbox};
use crate::tzdata::TzData;
use attempt::Outcome;
pub use post::{Post, PostError, Preview, Written};
use worker::Worker;

/// Emails that are given up in one statement.
const PAGE: i64 = 1_000;
/// Claims that are made ready while others are being sent.
const WORKERS: usize = 2;
/// Emails in one claim, at most …
const LARGEST_CLAIM: u32 = 200;
/// … and no more than can be expected to be sent in this many seconds.
const SECONDS_OF_CLAIM: u32 = 10;

/// A delivery that was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Attempts before an email is given up.
    pub max_attempts: u32,
    /// Emails per claim.
    pub claim: u32,
    /// How long one email may take.
    pub timeout: Duration,
    /// Business time, by which periods end; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Asks it to end with the emails that are on their way.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says about every delivery.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let smtp = &config.mail.smtp;
        Self {
            max_attempts: config.mail.max_attempts,
            claim: (smtp.rate_per_second * SECONDS_OF_CLAIM).clamp(1, LARGEST_CLAIM),
            timeout: smtp.timeout.0,
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
pub struct Report {
    /// Emails that were accepted.
    pub sent: usize,
    /// Emails that are to be tried again.
    pub postponed: usize,
    /// Emails that were given up: refused for good, tried too often, or not composable.
    pub given_up: usize,
    /// Emails that were given up because their period has ended.
    pub expired: usize,
    /// Emails to addresses that do not exist; nothing is sent there any more.
    pub suppressed: usize,
    /// Why the delivery ended early: no mail server could be talked to.
    pub unreachable: Option<String>,
    /// Why the delivery ended early: the mail server does not let us in.
    pub locked_out: Option<String>,
}

impl Report {
    /// Were emails given up, for whatever reason?
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.given_up + self.expired + self.suppressed > 0
    }

    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent(_) => self.sent += 1,
            Outcome::Postponed(_) => self.postponed += 1,
            Outcome::GivenUp(_) => self.given_up += 1,
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
            Outcome::NotTried => {}
        }
    }

    /// Is there any use in trying the next one?
    fn goes_on(&self) -> bool {
        self.unreachable.is_none() && self.locked_out.is_none()
    }
}

/// Sends what is due, until nothing is.
///
/// # Errors
/// [`StoreError`] when the database fails. Emails that cannot be sent are no error: they are
/// settled and counted in the report.
pub async fn run(
    database: &Database,
    tz: &TzData,
    post: &Post,
    request: &Request,
) -> Result<Report, StoreError> {
    let report = Mutex::new(Report::default());
    give_up_ended(database, request, &report).await?;
    if !post.carries() {
        return Ok(report.into_inner());
    }
    let workers = (0..WORKERS.min(post.concurrency()))
        .map(|_| async { Worker::new(database, tz, post, request, &report).work().await });
    let worked = futures_util::future::join_all(workers).await;
    let worked: Result<Vec<()>, StoreError> = worked.into_iter().collect();
    post.rest().await;
    worked?;
    Ok(report.into_inner())
}

/// Sends one email once more, whatever became of it, with the Message-ID that it had.
///
/// # Errors
/// [`StoreError::Invalid`] for an email that does not exist; [`StoreError::Conflict`] when
/// somebody is sending it right now.
pub async fn again(
    database: &Database,
    tz: &TzData,
    post: &Post,
    request: &Request,
    id: Uuid,
) -> Result<Report, StoreError> {
    let org = outbox::org_of(database, id).await?;
    let report = Mutex::new(Report::default());
    let sent = Worker::new(database, tz, post, request, &report).send_again(org, id).await;
    post.rest().await;
    sent?;
    Ok(report.into_inner())
}

async fn give_up_ended(
    database: &Database,
    request: &Request,
    report: &Mutex<Report>,
) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let real = database.now().await?;
    let now = request.at.unwrap_or(real);
    loop {
        let given_up = outbox::give_up_ended(&mut connection, now, real, PAGE).await?;
        report.lock().await.expired += usize::try_from(given_up).unwrap_or(usize::MAX);
        if given_up == 0 {
            return Ok(());
        }
    }
}
