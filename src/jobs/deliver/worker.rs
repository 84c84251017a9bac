//! One worker: claims, has composed, sends, settles.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant as Ticks, sleep};
use uuid::Uuid;

use super::attempt::Outcome;
use super::compose::{Composer, Uncomposable};
use super::mailer::Mailer;
use super::{DeliveryReport, Request};
use crate::billing::Instant;
use crate::billing::notice::{Kind, Notice, Standing};
use crate::billing::recipients::{Person, is_still_wanted, only_again, recipients_again};
use crate::jobs::alerts::notices::{Settings, changes_ahead};
use crate::jobs::batches::{Batch, Batches, Served, Stuck};
use crate::mail::Envelope;
use crate::mail::letter::Contents;
use crate::store::messages::outbox::{self, Claimed, Composed, Lease, Of, Settled};
use crate::store::{
    Connection, Database, LockTimeout, StoreError, Transaction, alerts, begin_within,
    messages::content::{self, NoticeFacts},
    orgs::contacts,
    serves,
};
use crate::tz::TzData;

/// Outcomes that are settled in one statement, at most.
const SETTLED_TOGETHER: usize = 100;
/// Claims that came back empty although something was due, before a worker leaves it to others.
const EMPTY_CLAIMS: u32 = 10;
/// Emails that were claimed less long ago than this were looked at just now.
const FRESH: Duration = Duration::from_secs(1);
/// The longest pause after one.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A worker with a connection of its own.
pub(super) struct Worker<'a> {
    database: &'a Database,
    tz: &'a TzData,
    mailer: &'a Mailer,
    request: &'a Request,
    report: &'a Mutex<DeliveryReport>,
}

/// Emails in hand: whose lease it is, and until when one may be begun.
struct ClaimedBatch {
    lease: Lease,
    claimed_at: Ticks,
    begin_until: Ticks,
    emails: Vec<Claimed>,
    /// Emails that need not be sent any more.
    settled: Vec<(Claimed, Outcome)>,
    /// Are they sent whoever wants them?
    unwanted_too: bool,
}

/// How an email is sent once more.
#[derive(Clone, Copy)]
pub(super) struct Again<'a> {
    /// To whom; `None`: to those who get the org's emails now.
    pub(super) to: Option<&'a str>,
    /// Also once its period is over?
    pub(super) late_too: bool,
}

/// Which emails are composed.
#[derive(Clone, Copy)]
struct Composing {
    /// Also those whose period is over?
    late_too: bool,
    /// Also those that nobody wants any more?
    unwanted_too: bool,
}

impl Composing {
    /// Those that are due.
    const DUE: Self = Self { late_too: false, unwanted_too: false };
}

impl ClaimedBatch {
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
        mailer: &'a Mailer,
        request: &'a Request,
        report: &'a Mutex<DeliveryReport>,
    ) -> Self {
        Self { database, tz, mailer, request, report }
    }

    pub(super) async fn goes_on(&self) -> bool {
        !self.request.stop.is_set() && self.report.lock().await.goes_on()
    }

    /// Works until nothing is due, or there is no use in going on. Returns whom that served.
    pub(super) async fn work(&self) -> Result<Served, StoreError> {
        let mut connection = self.database.connection().await?;
        let (mut empty, mut left, mut served) = (0, Vec::new(), Served::default());
        while self.goes_on().await {
            let known = left.len();
            let hand = self.claim(&mut connection, &mut left, &mut served).await?;
            if !hand.emails.is_empty() || !hand.settled.is_empty() {
                empty = 0;
                served.note_somebody();
                self.send(&mut connection, hand).await?;
                continue;
            }
            // Those that are left hid others.
            if left.len() > known {
                continue;
            }
            empty += 1;
            let due = outbox::is_anything_due(&mut connection, hand.now(), &left).await?;
            if !due || empty == EMPTY_CLAIMS {
                break;
            }
            // Others claimed the same ones.
            sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
        }
        let mut report = self.report.lock().await;
        report.left = report.left.max(left.len());
        Ok(served)
    }

    /// Sends one email once more, to those who get the org's emails now, or to another address.
    /// Returns false where nobody is there to get it.
    pub(super) async fn send_again(
        &self,
        org: Uuid,
        id: Uuid,
        again: Again<'_>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.database.connection().await?;
        let mut hand = self.empty_hand().await?;
        let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
        let ids =
            addressed_again(&mut transaction, org, id, again.to, &self.request.notices).await?;
        for id in &ids {
            let claimed = outbox::claim_again(&mut transaction, org, *id, hand.lease).await?;
            hand.emails.push(claimed.ok_or_else(|| {
                StoreError::Conflict(format!(
                    "the email {id} is being sent right now; try again in a minute"
                ))
            })?);
        }
        // Whoever asks for an email to be sent again wants it sent.
        hand.unwanted_too = true;
        let which = Composing { late_too: again.late_too, unwanted_too: true };
        self.compose(&mut transaction, &mut hand, which).await?;
        transaction.commit().await?;
        self.send(&mut connection, hand).await?;
        outbox::revive_recipients(&mut connection, org, &ids).await?;
        Ok(!ids.is_empty())
    }

    async fn empty_hand(&self) -> Result<ClaimedBatch, StoreError> {
        let (claimed_at, now) = (Ticks::now(), self.database.believed_now().await?);
        let lease = self.request.lease();
        let span = SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX);
        let until = now.plus(span).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(ClaimedBatch {
            lease: Lease { holder: Uuid::new_v4(), now, until },
            claimed_at,
            // What is begun by then has ended when the lease does.
            begin_until: claimed_at + lease.saturating_sub(self.request.timeout),
            emails: Vec::new(),
            settled: Vec::new(),
            unwanted_too: false,
        })
    }

    /// Claims what is due, with what it says: composed now, or at an earlier attempt. Orgs whose
    /// rows somebody holds, or for which the server lacks something, are `left` out from then on.
    async fn claim(
        &self,
        connection: &mut Connection,
        left: &mut Vec<Uuid>,
        served: &mut Served,
    ) -> Result<ClaimedBatch, StoreError> {
        let limit = i64::from(self.request.claim);
        let mut hand = self.empty_hand().await?;
        let all = Of::AllBut(left);
        match self.claim_together(connection, &mut hand, all, limit, LockTimeout::Long).await {
            Ok(()) => Ok(hand),
            // One of them cannot even be read: take them one by one, to find it.
            Err(error) if error.may_concern_one_row() => self.claim_one(connection, left).await,
            Err(error) if error.is_contention() => {
                self.claim_by_org(connection, left, limit, served).await
            }
            Err(StoreError::Unavailable(_)) if serves(connection).await => {
                self.claim_by_org(connection, left, limit, served).await
            }
            Err(other) => Err(other),
        }
    }

    async fn claim_together(
        &self,
        connection: &mut Connection,
        hand: &mut ClaimedBatch,
        of: Of<'_>,
        limit: i64,
        wait: LockTimeout,
    ) -> Result<(), StoreError> {
        let mut transaction = begin_within(connection, wait).await?;
        let emails = outbox::claim(&mut transaction, hand.lease, of, limit).await?;
        let mut claimed = ClaimedBatch { emails, settled: Vec::new(), ..*hand };
        self.compose(&mut transaction, &mut claimed, Composing::DUE).await?;
        transaction.commit().await?;
        hand.emails.extend(claimed.emails);
        hand.settled.extend(claimed.settled);
        Ok(())
    }

    /// Claims what is due while somebody holds rows of some org, or it is away.
    async fn claim_by_org(
        &self,
        connection: &mut Connection,
        left: &mut Vec<Uuid>,
        limit: i64,
        served: &mut Served,
    ) -> Result<ClaimedBatch, StoreError> {
        let mut hand = self.empty_hand().await?;
        let mut reading = begin_within(connection, LockTimeout::Long).await?;
        let orgs = outbox::orgs_due(&mut reading, hand.lease.now, left, limit).await?;
        reading.commit().await?;
        let mut batches = Batches::of(orgs, LockTimeout::Short);
        while let Some(batch) = batches.next() {
            let of = Of::Orgs(&batch.ids);
            let claimed = self.claim_together(connection, &mut hand, of, limit, batch.wait).await;
            batches.outcome(connection, batch, claimed).await?;
        }
        for stuck in batches.stuck()? {
            // What cannot be read is found when it is claimed alone.
            if let Stuck::Left(org, _) = stuck {
                left.push(org);
            }
        }
        // Others may have claimed what these orgs have: whom that served, they know.
        served.note_lacking(&mut batches);
        Ok(hand)
    }

    /// Claims one email for good before it is composed: whatever it is that its rows hold, it is
    /// this one that is given up for it, and none that stands behind it.
    async fn claim_one(
        &self,
        connection: &mut Connection,
        left: &[Uuid],
    ) -> Result<ClaimedBatch, StoreError> {
        let mut hand = self.empty_hand().await?;
        let mut claiming = begin_within(connection, LockTimeout::Long).await?;
        let claimed = outbox::claim(&mut claiming, hand.lease, Of::AllBut(left), 1).await?;
        claiming.commit().await?;
        hand.emails.clone_from(&claimed);
        let mut composing = begin_within(connection, LockTimeout::Long).await?;
        match self.compose(&mut composing, &mut hand, Composing::DUE).await {
            Ok(()) => composing.commit().await?,
            Err(error) if error.may_concern_one_row() => {
                composing.rollback().await?;
                // What the database refuses may not be this email's fault.
                let outcome = match error {
                    StoreError::Unprocessable(why) => {
                        Outcome::GivenUp(format!("the email cannot be composed: {why}"))
                    }
                    other => Outcome::Waits(format!("the email cannot be composed: {other}")),
                };
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
        hand: &mut ClaimedBatch,
        which: Composing,
    ) -> Result<(), StoreError> {
        let Composing { late_too, unwanted_too } = which;
        let now = self.request.at.unwrap_or(hand.lease.now);
        let missing: Vec<&Claimed> =
            hand.emails.iter().filter(|email| email.composed.is_none()).collect();
        let mut composed = self.composed(transaction, &missing, now, late_too).await?;
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
                    Some(Outcome::GivenUp("its alert no longer exists".to_owned()))
                }
                None => None,
            };
            match outcome {
                Some(outcome) => hand.settled.push((email, outcome)),
                None => hand.emails.push(email),
            }
        }
        if !kept.is_empty() {
            outbox::keep_composed(transaction, &kept).await?;
        }
        if unwanted_too {
            Ok(())
        } else {
            leave_unwanted(transaction, hand, &self.request.notices).await
        }
    }

    /// What emails say that nobody has composed yet, by their ids.
    async fn composed(
        &self,
        transaction: &mut Transaction<'_>,
        missing: &[&Claimed],
        now: Instant,
        late_too: bool,
    ) -> Result<HashMap<Uuid, Result<Composed, Outcome>>, StoreError> {
        let mut composed = HashMap::new();
        let rendering = self.mailer.rendering();
        let kept = |id, letter: Result<Contents, Uncomposable>| {
            let text = letter.map_err(Uncomposable::outcome).and_then(|letter| {
                rendering
                    .kept(&letter)
                    .map_err(|why| Outcome::GivenUp(format!("the email cannot be composed: {why}")))
            });
            let message_id = || rendering.message_id(id);
            text.map(|letter| Composed { message_id: message_id(), dated: now, letter })
        };
        let composer = Composer { tz: self.tz, labels: self.mailer.labels(), now };
        let of = |is_notice: bool| -> Vec<(Uuid, Uuid)> {
            let wanted = missing.iter().filter(|email| email.threshold.is_none() == is_notice);
            wanted.map(|email| (email.org, email.id)).collect()
        };
        let (alerts, notices) = (of(false), of(true));
        if !alerts.is_empty() {
            let facts = content::facts(transaction, &alerts).await?;
            let letters = composer.letters(transaction, &facts).await?;
            for (facts, letter) in facts.iter().zip(letters) {
                let email = if facts.is_closed && !late_too {
                    Err(Outcome::TooLate)
                } else {
                    kept(facts.id, letter.map(|letter| Contents::Alert(Box::new(letter))))
                };
                composed.insert(facts.id, email);
            }
        }
        if !notices.is_empty() {
            let facts = content::notices(transaction, &notices).await?;
            let over = self.over(transaction, &facts, now).await?;
            let letters = composer.notices(transaction, &facts, &self.request.notices).await?;
            for (facts, letter) in facts.iter().zip(letters) {
                let email = if over.contains(&facts.id) && !late_too {
                    Err(Outcome::TooLate)
                } else {
                    kept(facts.id, letter.map(|letter| Contents::Notice(Box::new(letter))))
                };
                composed.insert(facts.id, email);
            }
        }
        Ok(composed)
    }

    /// Emails about notices that no longer hold, by their ids.
    async fn over(
        &self,
        transaction: &mut Transaction<'_>,
        facts: &[NoticeFacts],
        now: Instant,
    ) -> Result<HashSet<Uuid>, StoreError> {
        let parsed = facts.iter().filter_map(|facts| {
            let notice: Notice = serde_json::from_str(&facts.facts).ok()?;
            Some((facts, notice))
        });
        let parsed: Vec<(&NoticeFacts, Notice)> = parsed.collect();
        let changing = parsed.iter().filter(|(_, notice)| notice.is_of_change());
        let mut orgs: Vec<Uuid> = changing.map(|(facts, _)| facts.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let settings = &self.request.notices;
        let ahead = changes_ahead(transaction, self.tz, settings, &orgs, now).await?;
        let over = parsed.iter().filter(|(facts, notice)| {
            let standing = Standing {
                closed_start: facts.closed_start,
                restarted_at: facts.restarted_at,
                parked_at: facts.parked_at,
                changes: ahead.get(&facts.org).map(Vec::as_slice),
            };
            notice.is_over(standing, now)
        });
        Ok(over.map(|(facts, _)| facts.id).collect())
    }

    /// Sends what is in hand and settles it as answers come in: those that come in while one
    /// statement is under way share the next.
    async fn send(
        &self,
        connection: &mut Connection,
        mut hand: ClaimedBatch,
    ) -> Result<(), StoreError> {
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
            let mut attempts = attempts.buffer_unordered(self.mailer.concurrency());
            // Whose fault a refusal is, the other emails tell.
            let mut refused = Vec::new();
            while let Some((email, outcome)) = attempts.next().await {
                if outcome.refusal().is_some() {
                    refused.push((email, outcome));
                } else {
                    let _ = answers.send((email, outcome));
                }
            }
            for (email, outcome) in refused {
                let mut report = self.report.lock().await;
                let outcome = report.refusals.decide(outcome);
                let outcome = outcome.within(email.attempts, self.request.max_attempts);
                report.add(&outcome);
                let _ = answers.send((email, outcome));
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

    async fn attempt(&self, hand: &ClaimedBatch, email: &Claimed) -> Outcome {
        if Ticks::now() > hand.begin_until || !self.goes_on().await {
            return Outcome::NotTried;
        }
        // A claim lasts for a while at a slow pace.
        if hand.claimed_at.elapsed() > FRESH && !hand.unwanted_too {
            match self.is_wanted(email).await {
                Ok(true) => {}
                Ok(false) => return Outcome::Unwanted,
                // Where nobody can be asked, nothing is sent.
                Err(_) => return Outcome::NotTried,
            }
        }
        let outcome = match self.deliver(email).await {
            Ok(answer) => Outcome::Sent(answer),
            Err(outcome) if outcome.refusal().is_some() => outcome,
            Err(outcome) => outcome.within(email.attempts, self.request.max_attempts),
        };
        let mut report = self.report.lock().await;
        report.refusals.note(&email.recipient, &outcome);
        if outcome.refusal().is_none() {
            report.add(&outcome);
        } else if let Outcome::Refused(why) = report.refusals.decide(outcome.clone()) {
            // There is no use in trying the next one.
            report.is_refused_altogether = true;
            report.refused.get_or_insert(why);
        }
        outcome
    }

    /// Does the recipient still want the email, this very moment?
    async fn is_wanted(&self, email: &Claimed) -> Result<bool, StoreError> {
        let mut connection = self.database.connection().await?;
        let people = alerts::people(&mut connection, &[email.org]).await?.into_iter();
        let people: Vec<Person> = people.map(|(_, person)| person).collect();
        let matter = self.request.notices.matter(email.kind, email.threshold);
        Ok(is_still_wanted(&people, &email.recipient, matter))
    }

    async fn deliver(&self, email: &Claimed) -> Result<String, Outcome> {
        let Some(composed) = &email.composed else { return Err(Outcome::NotTried) };
        let letter = Contents::read(&composed.letter).map_err(|error| {
            Outcome::GivenUp(format!("the stored email cannot be read: {error}"))
        })?;
        let envelope = Envelope {
            to: email.recipient.clone(),
            message_id: composed.message_id.clone(),
            date: composed.dated,
            unsubscribe: email.unsubscribe.map(|token| contacts::token(email.org, token)),
        };
        self.mailer.send(&letter, &envelope).await
    }

    async fn settle(
        &self,
        connection: &mut Connection,
        hand: &ClaimedBatch,
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
        let mut orgs: Vec<Uuid> = settled.iter().map(|one| one.org).collect();
        orgs.dedup();
        let mut batches = Batches::of(orgs, LockTimeout::Long);
        while let Some(batch) = batches.next() {
            let done = settle_once(connection, hand.lease.holder, &settled, now, &batch).await;
            batches.outcome(connection, batch, done).await?;
        }
        // Emails whose rows somebody holds keep their lease until it runs out, and are then sent
        // once more as the same message.
        batches.stuck().map(drop)
    }
}

/// The emails by which an email is sent once more, one for each who is to get it. The email itself
/// goes to the first who has none of their own; who had it already gets it once more only if it is
/// theirs.
pub(super) async fn addressed_again(
    transaction: &mut Transaction<'_>,
    org: Uuid,
    id: Uuid,
    to: Option<&str>,
    notices: &Settings,
) -> Result<Vec<Uuid>, StoreError> {
    let siblings = outbox::siblings(transaction, org, id).await?;
    let Some(own) = siblings.iter().find(|sibling| sibling.id == id) else {
        return Ok(Vec::new());
    };
    let kind = own.kind.parse().unwrap_or(Kind::Threshold);
    let addresses = if let Some(to) = to {
        vec![to.to_owned()]
    } else {
        let people = alerts::people(transaction, &[org]).await?.into_iter();
        let people: Vec<Person> = people.map(|(_, person)| person).collect();
        if kind.is_for_operators() {
            notices.operators().to_vec()
        } else if kind.is_for_its_user() {
            let matter = notices.matter(kind, own.threshold);
            only_again(&people, &own.recipient, matter).into_iter().collect()
        } else {
            recipients_again(&people, notices.matter(kind, own.threshold))
        }
    };
    let is_for = |sibling: &outbox::Sibling, address: &str| {
        sibling.recipient.to_lowercase() == address.to_lowercase()
    };
    // What was accepted stays on record as it was sent.
    let mut is_free = !own.is_sent && !addresses.iter().any(|address| is_for(own, address));
    let mut ids = Vec::new();
    for address in &addresses {
        match siblings.iter().find(|sibling| is_for(sibling, address)) {
            Some(sibling) if sibling.is_sent && sibling.id != id => {}
            Some(sibling) => ids.push(sibling.id),
            None if is_free => {
                outbox::readdress(transaction, org, id, address).await?;
                is_free = false;
                ids.push(id);
            }
            None => ids.push(outbox::queue_beside(transaction, org, id, address).await?),
        }
    }
    if is_free {
        let why = match addresses[..] {
            [] if kind.is_for_its_user() => USER,
            [] => NOBODY,
            [..] => OTHERS,
        };
        outbox::leave(transaction, org, id, why).await?;
    }
    Ok(ids)
}

/// What is kept of an email that is not sent again.
const NOBODY: &str = "not sent again: the org has no contact and no user who gets its emails";
const USER: &str = "not sent again: its user has left the org, or wants no such emails";
const OTHERS: &str = "not sent again: those who get the org's emails now have it";

/// Takes out what was queued for somebody who does not want it any more: retries span days.
async fn leave_unwanted(
    transaction: &mut Transaction<'_>,
    hand: &mut ClaimedBatch,
    notices: &Settings,
) -> Result<(), StoreError> {
    let mut orgs: Vec<Uuid> = hand.emails.iter().map(|email| email.org).collect();
    orgs.sort_unstable();
    orgs.dedup();
    let mut people: HashMap<Uuid, Vec<Person>> = HashMap::new();
    for (org, person) in alerts::people(transaction, &orgs).await? {
        people.entry(org).or_default().push(person);
    }
    for email in std::mem::take(&mut hand.emails) {
        let known = people.get(&email.org).map(Vec::as_slice).unwrap_or_default();
        let matter = notices.matter(email.kind, email.threshold);
        if is_still_wanted(known, &email.recipient, matter) {
            hand.emails.push(email);
        } else {
            hand.settled.push((email, Outcome::Unwanted));
        }
    }
    Ok(())
}

async fn settle_once(
    connection: &mut Connection,
    holder: Uuid,
    settled: &[Settled],
    now: Instant,
    batch: &Batch,
) -> Result<(), StoreError> {
    let of_batch: Vec<Settled> =
        settled.iter().filter(|one| batch.ids.contains(&one.org)).cloned().collect();
    let mut transaction = begin_within(connection, batch.wait).await?;
    outbox::settle(&mut transaction, holder, &of_batch, now).await?;
    Ok(transaction.commit().await?)
}

/// Was it given up, or left waiting, before anybody tried to send it?
fn was_never_begun(email: &Claimed, outcome: &Outcome) -> bool {
    email.composed.is_none() && matches!(outcome, Outcome::GivenUp(_) | Outcome::Waits(_))
}
