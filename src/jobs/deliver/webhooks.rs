//! Webhooks: claim → commit → send → settle, each endpoint on its own.
//!
//! A message is claimed by the lease of emails; its bytes were written with its event. What is
//! wrong with an endpoint is noted at the endpoint, which rests: the messages that wait for it have
//! no part in that, and neither have other endpoints or emails.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use jiff::SignedDuration;
use tokio::sync::Mutex;
use tokio::time::Instant as Ticks;
use uuid::Uuid;

use super::attempt;
use crate::billing::Instant;
use crate::config::Config;
use crate::jobs::events::webhooks;
use crate::jobs::stop::Stop;
use crate::mail::transport::Pace;
use crate::mail::webhook::{Answered, Endpoint};
use crate::store::events::listeners::{self, Fares};
use crate::store::events::webhook_outbox::{self, Claimed, Settled};
use crate::store::messages::outbox::{Lease, State};
use crate::store::{Database, LockTimeout, StoreError, begin_within};

/// Messages that travel to an endpoint at once.
const CONCURRENCY: usize = 16;
/// Messages in one claim, at most …
const LARGEST_CLAIM: u32 = 500;
/// … and no more than are sent in this many seconds at the endpoint's rate.
const SECONDS_OF_CLAIM: u32 = 5;
/// How long a delivery begins new messages: the next one comes soon, and one endpoint that is slow
/// is not to hold it up.
const BEGINS_FOR: Duration = Duration::from_secs(10);
/// How long a message is tried before it is given up.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(72);
/// Messages that are given up in one statement.
const PAGE: i64 = 1_000;
/// The first rest of an endpoint that is out of order; it doubles with each failure …
const FIRST_REST: SignedDuration = SignedDuration::from_secs(15);
/// … up to this: an endpoint that is well again is not to wait for hours.
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(15);
/// How much longer, so that endpoints on one server do not come back together.
const JITTER: f64 = 0.2;

/// What a delivery did with webhooks.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct WebhookReport {
    /// Messages that were accepted.
    pub sent: usize,
    /// Messages that will be retried.
    pub postponed: usize,
    /// Messages that were given up: for three days nobody accepted them.
    pub given_up: usize,
    /// Endpoints that cannot be spoken to, each with the reason.
    pub faults: Vec<EndpointFault>,
}

/// An endpoint that cannot be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct EndpointFault {
    /// Its name.
    pub endpoint: String,
    /// What is wrong.
    pub reason: String,
}

impl WebhookReport {
    /// Is there nothing to say?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was done after this. Of each endpoint, the last fault is said.
    pub(super) fn add(&mut self, later: Self) {
        self.sent += later.sent;
        self.postponed += later.postponed;
        self.given_up += later.given_up;
        self.faults.retain(|fault| later.faults.iter().all(|one| one.endpoint != fault.endpoint));
        self.faults.extend(later.faults);
    }
}

/// The endpoints of a configuration, with their secrets.
#[derive(Debug, Default)]
pub struct Webhooks {
    endpoints: Vec<Ready>,
    /// Those that are not ready, with the reason.
    faults: Vec<EndpointFault>,
}

#[derive(Debug)]
struct Ready {
    name: String,
    endpoint: Endpoint,
    rate_per_second: u32,
    timeout: Duration,
}

impl Webhooks {
    /// Those of a configuration. Their secrets are read now, so that one that was replaced signs
    /// from the next delivery on. One without a secret keeps no other from its messages.
    pub fn of(config: &Config) -> Self {
        let mut all = Self::default();
        for webhook in &config.webhooks {
            let name = webhook.name.to_string();
            match webhooks::endpoint(config, webhook) {
                Ok(endpoint) => all.endpoints.push(Ready {
                    name,
                    endpoint,
                    rate_per_second: webhook.rate_per_second,
                    timeout: webhook.timeout.0,
                }),
                Err(why) => {
                    all.faults.push(EndpointFault { endpoint: name, reason: why.to_string() });
                }
            }
        }
        all
    }
}

/// Sends what is due to every endpoint, all at once.
///
/// # Errors
/// [`StoreError`] when the database fails. Endpoints that take nothing are no error.
pub(super) async fn run(
    database: &Database,
    webhooks: &Webhooks,
    stop: &Stop,
) -> Result<WebhookReport, StoreError> {
    let report = WebhookReport { faults: webhooks.faults.clone(), ..WebhookReport::default() };
    let report = Mutex::new(report);
    let deliveries = webhooks.endpoints.iter().map(|ready| {
        let delivery = Delivery::new(database, ready, stop, &report);
        async move { delivery.run().await }
    });
    for delivered in future::join_all(deliveries).await {
        delivered?;
    }
    let mut report = report.into_inner();
    // Now that everything was tried that could be.
    report.given_up += give_up_old(database, stop).await?;
    Ok(report)
}

/// Messages that nobody accepted for so long, to whatever endpoint; those that were not tried wait
/// for their first attempt, unless there will be none.
async fn give_up_old(database: &Database, stop: &Stop) -> Result<usize, StoreError> {
    let now = database.believed_now().await?;
    let before = now.plus(-TRIED_FOR).unwrap_or(now);
    let mut connection = database.connection().await?;
    let on = listeners::on(&mut connection).await?;
    let mut all = 0;
    while !stop.is_set() {
        let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
        let why = "given up after 3 days";
        let some =
            webhook_outbox::give_up_before(&mut transaction, before, now, why, &on, PAGE).await;
        let some = match some {
            Ok(some) => some,
            // The next delivery is near.
            Err(error) if error.is_contention() => break,
            Err(other) => return Err(other),
        };
        transaction.commit().await?;
        all += usize::try_from(some).unwrap_or(usize::MAX);
        if some == 0 {
            break;
        }
    }
    Ok(all)
}

struct Delivery<'a> {
    database: &'a Database,
    ready: &'a Ready,
    stop: &'a Stop,
    report: &'a Mutex<WebhookReport>,
    begun: Ticks,
    pace: Pace,
    is_out_of_order: AtomicBool,
}

/// Messages that were claimed together.
struct Page {
    lease: Lease,
    claimed_at: Ticks,
    /// How the endpoint fared then.
    fares: Fares,
    messages: Vec<Claimed>,
}

/// What became of the messages of a page.
struct Tried {
    lease: Lease,
    claimed_at: Ticks,
    fares: Fares,
    outcomes: Vec<(Claimed, Outcome)>,
}

/// What became of an attempt.
enum Outcome {
    Answered(Answered),
    /// It was not begun: the endpoint rests, or time is up.
    NotTried,
}

impl<'a> Delivery<'a> {
    fn new(
        database: &'a Database,
        ready: &'a Ready,
        stop: &'a Stop,
        report: &'a Mutex<WebhookReport>,
    ) -> Self {
        let (begun, pace) = (Ticks::now(), Pace::new(ready.rate_per_second));
        let is_out_of_order = AtomicBool::new(false);
        Self { database, ready, stop, report, begun, pace, is_out_of_order }
    }

    /// While a page travels, the one before it is settled and the next one claimed.
    async fn run(&self) -> Result<(), StoreError> {
        let mut sent = None;
        let mut next = self.claim().await?;
        while let Some(page) = next {
            // One that was out of order is asked with a single message, whose answer decides.
            let is_well = page.fares.failures == 0;
            let before = sent.take();
            let books = async {
                let goes_on = match before {
                    Some(tried) => self.settle(tried).await?,
                    None => true,
                };
                if goes_on && is_well { self.claim().await } else { Ok(None) }
            };
            let (tried, claimed) = future::join(self.send(page), books).await;
            next = match claimed {
                Ok(Some(page)) => {
                    sent = Some(tried);
                    Some(page)
                }
                ended => {
                    let goes_on = self.settle(tried).await?;
                    ended?;
                    if goes_on { self.claim().await? } else { None }
                }
            };
        }
        Ok(())
    }

    /// Is nothing more begun?
    fn is_over(&self) -> bool {
        let is_late = self.begun.elapsed() >= BEGINS_FOR || self.stop.is_set();
        is_late || self.is_out_of_order.load(Relaxed)
    }

    /// Claims what is due, unless the endpoint rests or time is up; a single message where it was
    /// out of order.
    async fn claim(&self) -> Result<Option<Page>, StoreError> {
        if self.is_over() {
            return Ok(None);
        }
        match self.claim_due().await {
            // Somebody holds a row; the next delivery is near.
            Err(error) if error.is_contention() => Ok(None),
            claimed => claimed,
        }
    }

    async fn claim_due(&self) -> Result<Option<Page>, StoreError> {
        let (claimed_at, now) = (Ticks::now(), self.database.believed_now().await?);
        let mut connection = self.database.connection().await?;
        let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
        let fares = listeners::fares(&mut transaction, &self.ready.name).await?;
        // Messages to an endpoint that is not applied any more are sent all the same.
        let fares = fares.unwrap_or_default();
        let rests = fares.rests_until.is_some_and(|until| until > now);
        if rests || fares.switched_off_at.is_some() {
            return Ok(None);
        }
        let most = (self.ready.rate_per_second.saturating_mul(SECONDS_OF_CLAIM)).min(LARGEST_CLAIM);
        let limit = if fares.failures > 0 { 1 } else { i64::from(most) };
        let span = SignedDuration::try_from(BEGINS_FOR + self.ready.timeout * 2);
        let until = now.plus(span.unwrap_or(SignedDuration::MAX)).unwrap_or(now);
        let lease = Lease { holder: Uuid::new_v4(), now, until };
        let messages =
            webhook_outbox::claim(&mut transaction, &self.ready.name, lease, limit).await?;
        transaction.commit().await?;
        Ok((!messages.is_empty()).then_some(Page { lease, claimed_at, fares, messages }))
    }

    /// Sends messages at the endpoint's rate, until it turns out to be out of order.
    async fn send(&self, page: Page) -> Tried {
        let Page { lease, claimed_at, fares, messages } = page;
        let attempts = stream::iter(messages).map(|message| async move {
            if !self.is_over() {
                self.pace.turn().await;
            }
            if self.is_over() {
                return (message, Outcome::NotTried);
            }
            let now = passed(lease.now, claimed_at);
            let answered = self.ready.endpoint.send(message.id, now, &message.body).await;
            if !matches!(answered, Answered::Accepted(_) | Answered::Refused(_)) {
                self.is_out_of_order.store(true, Relaxed);
            }
            (message, Outcome::Answered(answered))
        });
        let outcomes = attempts.buffer_unordered(CONCURRENCY).collect().await;
        Tried { lease, claimed_at, fares, outcomes }
    }

    /// Writes what became of the messages, and how the endpoint fares. Returns whether there is any
    /// use in going on.
    async fn settle(&self, tried: Tried) -> Result<bool, StoreError> {
        let Tried { lease, claimed_at, fares: before, outcomes } = tried;
        let now = passed(lease.now, claimed_at);
        let (mut settled, mut trouble, mut any_accepted) = (Vec::new(), None, false);
        let mut report = WebhookReport::default();
        for (message, outcome) in outcomes {
            let Claimed { org, id, attempts, .. } = message;
            let failed = attempts.saturating_add(1);
            let wait = attempt::wait(failed, fastrand::f64());
            let again = now.plus(wait).unwrap_or(now);
            let due = |attempts, next_attempt_at, answer| Settled {
                org,
                id,
                state: State::Due,
                attempts,
                next_attempt_at,
                answer,
            };
            settled.push(match outcome {
                Outcome::NotTried => due(attempts, now, None),
                Outcome::Answered(Answered::Accepted(words)) => {
                    any_accepted = true;
                    report.sent += 1;
                    Settled { state: State::Sent, ..due(attempts, now, Some(words)) }
                }
                Outcome::Answered(Answered::Refused(words)) => {
                    report.postponed += 1;
                    due(failed, again, Some(words))
                }
                // The endpoint rests, and the message waits, too: if it is what brings the endpoint
                // down, others are tried before it.
                Outcome::Answered(answered) => {
                    report.postponed += 1;
                    let words = note(&mut trouble, answered, before.failures, now);
                    due(failed, again, Some(words))
                }
            });
        }
        settled.sort_by_key(|one| (one.org, one.id));
        let mut connection = self.database.connection().await?;
        let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
        let name = &self.ready.name;
        match &trouble {
            Some(Trouble { fares, answer }) => {
                listeners::note_trouble(&mut transaction, name, *fares, answer).await?;
            }
            None if any_accepted && before.failures > 0 => {
                listeners::note_success(&mut transaction, name).await?;
            }
            None => {}
        }
        let written = webhook_outbox::settle(&mut transaction, lease.holder, &settled, now).await;
        match written {
            Ok(()) => transaction.commit().await?,
            // They keep their lease until it runs out, and are then sent once more by the same id.
            Err(error) if error.is_contention() => return Ok(false),
            Err(other) => return Err(other),
        }
        let mut all = self.report.lock().await;
        all.sent += report.sent;
        all.postponed += report.postponed;
        if let Some(Trouble { answer, .. }) = &trouble {
            all.faults.push(EndpointFault { endpoint: name.clone(), reason: answer.clone() });
        }
        Ok(trouble.is_none())
    }
}

/// Takes what is wrong with the endpoint: of several answers the one that asks for the longest
/// rest.
fn note(
    trouble: &mut Option<Trouble>,
    answered: Answered,
    failures_before: i32,
    now: Instant,
) -> String {
    let failures = failures_before.saturating_add(1);
    let (words, asked, is_gone) = match answered {
        Answered::Gone(words) => (words, None, true),
        Answered::Later(words, asked) => (words, asked, false),
        Answered::Unreachable(words) | Answered::Accepted(words) | Answered::Refused(words) => {
            (words, None, false)
        }
    };
    let asked = asked.and_then(|asked| SignedDuration::try_from(asked).ok());
    let rest = rest(failures, fastrand::f64()).max(asked.unwrap_or(SignedDuration::ZERO));
    let fares = Fares {
        failures,
        rests_until: Some(now.plus(rest).unwrap_or(now)),
        switched_off_at: is_gone.then_some(now),
    };
    let graver = trouble.as_ref().is_none_or(|known| {
        let weight = |fares: &Fares| (fares.switched_off_at.is_some(), fares.rests_until);
        weight(&known.fares) < weight(&fares)
    });
    if graver {
        *trouble = Some(Trouble { fares, answer: words.clone() });
    }
    words
}

/// What is wrong with an endpoint.
struct Trouble {
    fares: Fares,
    answer: String,
}

/// Real time: the database's clock at the claim, and what has passed since.
fn passed(now: Instant, since: Ticks) -> Instant {
    let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::ZERO);
    now.plus(passed).unwrap_or(now)
}

/// How long an endpoint rests after so many failures in a row.
fn rest(failures: i32, chance: f64) -> SignedDuration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(20);
    let rest = FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST);
    rest.mul_f64(1.0 + JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_a_quarter_of_an_hour() {
        assert_eq!(rest(1, 0.0), FIRST_REST);
        assert_eq!(rest(3, 0.0), SignedDuration::from_mins(1));
        assert_eq!(rest(i32::MAX, 0.0), LONGEST_REST);
        assert!(rest(1, 0.0) < rest(1, 0.5) && rest(1, 0.999) < rest(2, 0.0));
    }
}
