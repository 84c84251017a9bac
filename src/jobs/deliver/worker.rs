//! One worker: claims, has composed, sends, settles.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant as Ticks, sleep};
use uuid::Uuid;

use super::attempt::Outcome;
use super::compose::Composer;
use super::post::Post;
use super::{Report, Request};
use crate::billing::Instant;
use crate::mail::{Envelope, Letter};
use crate::store::outbox::{self, Claimed, Composed, Lease, Settled};
use crate::store::{Connection, Database, StoreError, Transaction, apply, contacts, letters};
use crate::tzdata::TzData;

/// Outcomes that are settled in one statement, at most.
const SETTLED_TOGETHER: usize = 100;
/// Claims that came back empty although something was due, before a worker leaves it to others.
const EMPTY_CLAIMS: u32 = 10;
/// The longest pause after one.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A worker with a connection of its own.
pub(super) struct Worker<'a> {
    database: &'a Database,
    tz: &'a TzData,
    post: &'a Post,
    request: &'a Request,
    report: &'a Mutex<Report>,
}

/// Emails in hand: whose lease it is, and until when one may be begun.
struct Hand {
    lease: Lease,
    claimed_at: Ticks,
    begin_until: Ticks,
    emails: Vec<Claimed>,
    /// Emails that need not be sent any more.
    settled: Vec<(Claimed, Outcome)>,
}

impl Hand {
    /// Real time now: the database's clock when it was claimed, and what has passed since.
    fn now(&self) -> Instant {
        let passed = SignedDuration::try_from(self.claimed_at.elapsed());
        let passed = passed.unwrap_or(SignedDuration::ZERO);
        self.lease.now.plus(passed).unwrap_or(self.lease.now)
    }
}

impl<'a> Worker<'a> {
    pub(super) const fn new(
        database: &'a Database,
        tz: &'a TzData,
        post: &'a Post,
        request: &'a Request,
        report: &'a Mutex<Report>,
    ) -> Self {
        Self { database, tz, post, request, report }
    }

    async fn goes_on(&self) -> bool {
        !self.request.stop.is_set() && self.report.lock().await.goes_on()
    }

    /// Works until nothing is due, or there is no use in going on.
    pub(super) async fn work(&self) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let mut empty = 0;
        while self.goes_on().await {
            let hand = self.claim(&mut connection).await?;
            if !hand.emails.is_empty() || !hand.settled.is_empty() {
                empty = 0;
                self.send(&mut connection, hand).await?;
                continue;
            }
            empty += 1;
            let due = outbox::is_anything_due(&mut connection, hand.now()).await?;
            if !due || empty == EMPTY_CLAIMS {
                return Ok(());
            }
            // Others claimed the same ones.
            sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
        }
        Ok(())
    }

    /// Sends one email once more.
    pub(super) async fn send_again(&self, org: Uuid, id: Uuid) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let mut hand = self.empty_hand().await?;
        let mut transaction = apply::begin(&mut connection).await?;
        let claimed = outbox::claim_again(&mut transaction, org, id, hand.lease).await?;
        let Some(email) = claimed else {
            return Err(StoreError::Conflict(format!(
                "the email {id} is being sent right now; try again in a minute"
            )));
        };
        hand.emails.push(email);
        self.compose(&mut transaction, &mut hand, true).await?;
        transaction.commit().await?;
        let recipient = hand.emails.first().map(|email| email.recipient.clone());
        self.send(&mut connection, hand).await?;
        let was_sent = self.report.lock().await.sent > 0;
        if let (true, Some(recipient)) = (was_sent, recipient) {
            outbox::lift_suppression(&mut connection, org, &recipient).await?;
        }
        Ok(())
    }

    async fn empty_hand(&self) -> Result<Hand, StoreError> {
        let (claimed_at, now) = (Ticks::now(), self.database.now().await?);
        let lease = self.request.lease();
        let span = SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX);
        let until = now.plus(span).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Hand {
            lease: Lease { holder: Uuid::new_v4(), now, until },
            claimed_at,
            // What is begun by then has ended when the lease does.
            begin_until: claimed_at + lease.saturating_sub(self.request.timeout),
            emails: Vec::new(),
            settled: Vec::new(),
        })
    }

    /// Claims what is due, with what it says: composed now, or at an earlier attempt.
    async fn claim(&self, connection: &mut Connection) -> Result<Hand, StoreError> {
        match self.claim_together(connection, i64::from(self.request.claim)).await {
            // One of them cannot even be read: take them one by one, to find it.
            Err(StoreError::Unprocessable(_)) => self.claim_one(connection).await,
            other => other,
        }
    }

    async fn claim_together(
        &self,
        connection: &mut Connection,
        limit: i64,
    ) -> Result<Hand, StoreError> {
        let mut hand = self.empty_hand().await?;
        let mut transaction = apply::begin(connection).await?;
        hand.emails = outbox::claim(&mut transaction, hand.lease, limit).await?;
        self.compose(&mut transaction, &mut hand, false).await?;
        transaction.commit().await?;
        Ok(hand)
    }

    /// Claims one email for good before it is composed: whatever it is that its rows hold, it is
    /// this one that is given up for it, and none that stands behind it.
    async fn claim_one(&self, connection: &mut Connection) -> Result<Hand, StoreError> {
        let mut hand = self.empty_hand().await?;
        let mut claiming = apply::begin(connection).await?;
        let claimed = outbox::claim(&mut claiming, hand.lease, 1).await?;
        claiming.commit().await?;
        hand.emails.clone_from(&claimed);
        let mut composing = apply::begin(connection).await?;
        match self.compose(&mut composing, &mut hand, false).await {
            Ok(()) => composing.commit().await?,
            Err(StoreError::Unprocessable(why)) => {
                composing.rollback().await?;
                let outcome = Outcome::GivenUp(format!("it cannot be composed: {why}"));
                hand.emails.clear();
                hand.settled = claimed.into_iter().map(|email| (email, outcome.clone())).collect();
            }
            Err(other) => return Err(other),
        }
        Ok(hand)
    }

    /// Has composed what has not been, and keeps it; takes out what need not be sent any more.
    async fn compose(
        &self,
        transaction: &mut Transaction<'_>,
        hand: &mut Hand,
        late_too: bool,
    ) -> Result<(), StoreError> {
        let now = self.request.at.unwrap_or(hand.lease.now);
        let missing: Vec<(Uuid, Uuid)> = hand
            .emails
            .iter()
            .filter(|email| email.composed.is_none())
            .map(|email| (email.org, email.id))
            .collect();
        let mut composed: HashMap<Uuid, Result<Composed, Outcome>> = HashMap::new();
        if !missing.is_empty() {
            let facts = letters::facts(transaction, &missing).await?;
            let composer = Composer { tz: self.tz, words: self.post.words(), now };
            let letters = composer.letters(transaction, &facts).await?;
            for (facts, letter) in facts.iter().zip(letters) {
                let kept = if facts.is_closed && !late_too {
                    Err(Outcome::TooLate)
                } else {
                    let letter = letter.map_err(|why| why.to_string());
                    let text = letter.and_then(|letter| written(&letter));
                    let kept = |letter| Composed {
                        message_id: self.post.message_id(facts.id),
                        dated: now,
                        letter,
                    };
                    text.map(kept)
                        .map_err(|why| Outcome::GivenUp(format!("it cannot be composed: {why}")))
                };
                composed.insert(facts.id, kept);
            }
        }
        let mut kept = Vec::new();
        for mut email in std::mem::take(&mut hand.emails) {
            let is_late = email.period_end <= now && !late_too;
            let outcome = match composed.remove(&email.id) {
                _ if is_late => Some(Outcome::TooLate),
                Some(Ok(composed)) => {
                    kept.push((email.org, email.id, composed.clone()));
                    email.composed = Some(composed);
                    None
                }
                Some(Err(outcome)) => Some(outcome),
                None if email.composed.is_none() => {
                    Some(Outcome::GivenUp("the alert that it tells of is gone".to_owned()))
                }
                None => None,
            };
            match outcome {
                Some(outcome) => hand.settled.push((email, outcome)),
                None => hand.emails.push(email),
            }
        }
        if kept.is_empty() { Ok(()) } else { outbox::keep_composed(transaction, &kept).await }
    }

    /// Sends what is in hand and settles it as answers come in: those that come in while one
    /// statement is under way share the next.
    async fn send(&self, connection: &mut Connection, mut hand: Hand) -> Result<(), StoreError> {
        let (answers, mut answered) = mpsc::unbounded_channel::<(Claimed, Outcome)>();
        for settled in std::mem::take(&mut hand.settled) {
            // The receiver is right below.
            let _ = answers.send(settled);
        }
        let emails = std::mem::take(&mut hand.emails);
        let hand = &hand;
        let sending = async move {
            let attempts = stream::iter(emails).map(|email| async {
                let outcome = self.attempt(hand, &email).await;
                (email, outcome)
            });
            let mut attempts = attempts.buffer_unordered(self.post.concurrency());
            while let Some(answer) = attempts.next().await {
                let _ = answers.send(answer);
            }
        };
        let settling = async {
            let mut failed = None;
            let mut together = Vec::with_capacity(SETTLED_TOGETHER);
            while answered.recv_many(&mut together, SETTLED_TOGETHER).await > 0 {
                let settled = self.settle(connection, hand, std::mem::take(&mut together)).await;
                failed = failed.or(settled.err());
            }
            failed.map_or(Ok(()), Err)
        };
        let ((), settled) = tokio::join!(sending, settling);
        settled
    }

    async fn attempt(&self, hand: &Hand, email: &Claimed) -> Outcome {
        if Ticks::now() > hand.begin_until || !self.goes_on().await {
            return Outcome::NotTried;
        }
        let outcome = match self.deliver(email).await {
            Ok(answer) => Outcome::Sent(answer),
            Err(outcome) => outcome.within(email.attempts, self.request.max_attempts),
        };
        self.report.lock().await.add(&outcome);
        outcome
    }

    async fn deliver(&self, email: &Claimed) -> Result<String, Outcome> {
        let Some(composed) = &email.composed else { return Err(Outcome::NotTried) };
        let letter: Letter = serde_json::from_str(&composed.letter).map_err(|error| {
            Outcome::GivenUp(format!("what was composed cannot be read any more: {error}"))
        })?;
        let envelope = Envelope {
            to: email.recipient.clone(),
            message_id: composed.message_id.clone(),
            date: composed.dated,
            unsubscribe: Some(contacts::token(email.org, email.id)),
        };
        self.post.send(&letter, &envelope).await
    }

    async fn settle(
        &self,
        connection: &mut Connection,
        hand: &Hand,
        answers: Vec<(Claimed, Outcome)>,
    ) -> Result<(), StoreError> {
        let now = hand.now();
        let mut settled: Vec<Settled> = Vec::with_capacity(answers.len());
        for (email, outcome) in &answers {
            if matches!(outcome, Outcome::TooLate) || was_never_begun(email, outcome) {
                self.report.lock().await.add(outcome);
            }
            settled.push(outcome.settled(email, now, fastrand::f64()));
        }
        // In the order of the keys, as everybody who writes several rows.
        settled.sort_by_key(|one| (one.org, one.id));
        outbox::settle(connection, hand.lease.holder, &settled, now).await
    }
}

/// Was it given up before anybody tried to send it?
fn was_never_begun(email: &Claimed, outcome: &Outcome) -> bool {
    email.composed.is_none() && matches!(outcome, Outcome::GivenUp(_))
}

fn written(letter: &Letter) -> Result<String, String> {
    serde_json::to_string(letter).map_err(|error| error.to_string())
}
