//! Notices: look → decide → record → report.
//!
//! A look finds the orgs that each kind may concern, has `billing` decide, and records notices and
//! emails in one transaction per page. It sends nothing: that is [`super::super::deliver`]'s. An
//! org that is to hear something is held and decided about once more, and what is decided is
//! written only where nobody has recorded it before, so that two looks at once say everything once.
//!
//! Never: an email that is sent; a notice that is recorded twice, or for an org that is parked or
//! paused.

mod kinds;
mod settings;

use std::collections::{BTreeMap, HashMap};

use jiff::SignedDuration;
use uuid::Uuid;

use super::Request;
use crate::billing::Instant;
use crate::billing::notice::{Decided, Kind, Notice, Part, Seen, SeenState};
use crate::billing::recipients::{self, Matter, Person};
use crate::jobs::batches::{Batch, Batches, Served};
use crate::store::notices::{self, LastLook, NewNotice, NoticeState};
use crate::store::{
    Connection, Database, LockTimeout, StoreError, Transaction, alerts, begin_within,
    rollover::{claim, snapshot},
};
use crate::tz::TzData;
pub use kinds::changes_ahead;
pub use settings::Settings;

/// How often the daemon looks.
const EVERY: SignedDuration = SignedDuration::from_mins(60);
/// How often counters are looked at that have not moved.
const EVERYTHING_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Orgs that are read and recorded together.
const PAGE: usize = 500;
/// How many notices a dry run names.
const MOST_NAMED: usize = 100;

/// What a look found.
#[derive(Debug, Default, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct NoticeReport {
    /// Notices that were recorded, by their kind.
    pub recorded: BTreeMap<Kind, usize>,
    /// Notices that wait for a recipient.
    pub waiting: usize,
    /// Notices that no longer hold, because a purchase covers them.
    pub withdrawn: usize,
    /// Emails that were queued.
    pub emails: usize,
    /// Orgs that were left to the next look: their rows are locked by others or cannot be read.
    pub left: usize,
    /// What a dry run would say, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<WouldBe>,
}

/// A notice that a dry run would record.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct WouldBe {
    /// The org.
    pub org: Uuid,
    /// Its name for people.
    pub slug: String,
    /// What it would get.
    pub notice: Notice,
    /// Who would get it; nobody: it would wait.
    pub recipients: Vec<String>,
}

/// When a look is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// If the last one was an hour ago.
    Hourly,
    /// Now.
    Now,
    /// Now, and nothing is recorded.
    Dry,
}

/// Looks for notices.
///
/// # Errors
/// [`StoreError`] when the database fails. What was recorded until then stays.
pub async fn run(
    database: &Database,
    tz: &TzData,
    request: &Request,
    look: Look,
) -> Result<NoticeReport, StoreError> {
    let settings = &request.notices;
    if !settings.is_anything_on() {
        return Ok(NoticeReport::default());
    }
    let real = database.believed_now().await?;
    let now = request.at.unwrap_or(real);
    let mut connection = database.connection().await?;
    let last = last_look(&mut connection).await?;
    // A clock that was set back does not put it off.
    let is_due = |last: &LastLook| now < last.now || now.since(last.now) >= EVERY;
    if look == Look::Hourly && !last.as_ref().is_none_or(is_due) {
        return Ok(NoticeReport::default());
    }
    let report = NoticeReport::default();
    let last = last.filter(|last| look == Look::Hourly && !is_everything_due(last, now));
    let served = Served::default();
    let mut pass = Pass { request, settings, tz, now, real, look, last, report, served };
    pass.all_kinds(&mut connection).await?;
    pass.name(&mut connection).await?;
    if look != Look::Dry && !request.stop.is_set() {
        // Orgs that were left have not moved by the next look: then everything is looked at.
        let is_whole = pass.report.left == 0;
        let everything_at = last.map_or(now, |last| last.everything_at);
        let everything_at = if is_whole { everything_at } else { Instant::MIN };
        match remember(&mut connection, LastLook { now, real, everything_at }).await {
            // Somebody holds that row, which keeps nobody else: the next look just comes sooner.
            Ok(()) | Err(StoreError::Held(_)) => {}
            Err(error) => return Err(error),
        }
        pass.expire(&mut connection).await?;
    }
    pass.served.end()?;
    Ok(pass.report)
}

async fn remember(connection: &mut Connection, look: LastLook) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, LockTimeout::Short).await?;
    notices::remember_look(&mut transaction, look).await?;
    Ok(transaction.commit().await?)
}

async fn last_look(connection: &mut Connection) -> Result<Option<LastLook>, StoreError> {
    let mut reading = begin_within(connection, LockTimeout::Long).await?;
    let last = notices::last_look(&mut reading).await?;
    reading.commit().await?;
    Ok(last)
}

/// Limits may have changed for everybody, and forecasts look at a longer history every day.
fn is_everything_due(last: &LastLook, now: Instant) -> bool {
    now < last.everything_at || now.since(last.everything_at) >= EVERYTHING_AFTER
}

struct Pass<'a> {
    request: &'a Request,
    settings: &'a Settings,
    tz: &'a TzData,
    now: Instant,
    real: Instant,
    look: Look,
    /// The look since which counters have to have moved; `None`: everything is looked at.
    last: Option<LastLook>,
    report: NoticeReport,
    served: Served,
}

/// What is decided about one org.
type OfOrg = (Uuid, Vec<Decided>);

/// What one page came to.
#[derive(Default)]
struct Page {
    notices: Vec<(NewNotice, bool)>,
    withdrawn: usize,
}

/// What there is to record about the orgs of a page.
struct News {
    new: Vec<NewNotice>,
    withdrawn: Vec<(Uuid, Kind, String)>,
}

/// What is decided about the orgs of a page.
#[derive(Default)]
struct Decisions {
    told: Vec<OfOrg>,
    withdrawn: Vec<(Uuid, Kind, String)>,
    /// Where the users are reached that notices are about.
    users: HashMap<Uuid, String>,
}

/// A kind of look: what is asked of the orgs of a page.
#[derive(Clone, Copy)]
enum Asked {
    Packs,
    Changes,
    Heading,
    Reached,
    Closed,
    UserLimits,
    Parked,
}

impl Asked {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Packs,
        Self::Changes,
        Self::Heading,
        Self::Reached,
        Self::Closed,
        Self::UserLimits,
        Self::Parked,
    ];

    /// Is it asked of everybody? Who is heading out, only where that is not asked of what moved.
    const fn is_of_all(self, everything: bool) -> bool {
        match self {
            Self::Heading => everything,
            Self::Closed | Self::UserLimits => true,
            Self::Packs | Self::Changes | Self::Reached | Self::Parked => false,
        }
    }

    /// The kinds of notices that come of it.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Packs => &[Kind::PackExpires],
            Self::Changes => &[Kind::SubscriptionEnds, Kind::TrialEnds, Kind::TierChanges],
            Self::Heading => &[Kind::RunsOut],
            Self::Reached => &[Kind::LimitReachedAgain],
            Self::Closed => &[Kind::Summary],
            Self::UserLimits => &[Kind::UserLimit],
            Self::Parked => &[Kind::OrgParked],
        }
    }
}

impl Pass<'_> {
    async fn all_kinds(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        for asked in Asked::ALL {
            let is_on = asked.kinds().iter().any(|kind| self.settings.is_on(*kind));
            if !is_on || self.request.stop.is_set() {
                continue;
            }
            let mut reading = if asked.is_of_all(self.last.is_none()) {
                alerts::begin_reading(connection).await?
            } else {
                begin_within(connection, LockTimeout::Long).await?
            };
            let orgs = self.orgs(&mut reading, asked).await?;
            reading.commit().await?;
            for page in orgs.chunks(PAGE) {
                self.page(connection, asked, page).await?;
            }
        }
        Ok(())
    }

    /// Names the orgs of a dry run.
    async fn name(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let orgs: Vec<Uuid> = self.report.would.iter().map(|told| told.org).collect();
        if orgs.is_empty() {
            return Ok(());
        }
        let slugs = snapshot::slugs(connection, &orgs).await?;
        for told in &mut self.report.would {
            told.slug = slugs.get(&told.org).cloned().unwrap_or_else(|| told.org.to_string());
        }
        Ok(())
    }

    async fn page(
        &mut self,
        connection: &mut Connection,
        asked: Asked,
        orgs: &[Uuid],
    ) -> Result<(), StoreError> {
        let mut batches = Batches::of(orgs.to_vec(), LockTimeout::Long);
        while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
            let page = self.once(connection, asked, &batch).await;
            let page = batches.outcome(connection, batch, page).await?.unwrap_or_default();
            self.report.withdrawn += page.withdrawn;
            for (notice, _) in page.notices.into_iter().filter(|(_, moved)| *moved) {
                self.add(notice);
            }
        }
        self.report.left += batches.left()?.len();
        self.served.note(&mut batches);
        Ok(())
    }

    async fn once(
        &self,
        connection: &mut Connection,
        asked: Asked,
        batch: &Batch,
    ) -> Result<Page, StoreError> {
        let mut transaction = begin_within(connection, batch.wait).await?;
        let News { new, withdrawn } = self.news(&mut transaction, asked, &batch.ids).await?;
        if self.look == Look::Dry || (new.is_empty() && withdrawn.is_empty()) {
            transaction.rollback().await?;
            let notices = new.into_iter().map(|one| (one, true)).collect();
            return Ok(Page { notices, withdrawn: withdrawn.len() });
        }
        // Looks at one org come one after the other, each seeing what those before it recorded.
        let mut orgs: Vec<Uuid> = new.iter().map(|one| one.org).collect();
        orgs.extend(withdrawn.iter().map(|(org, ..)| *org));
        orgs.sort_unstable();
        orgs.dedup();
        claim::lock_all(&mut transaction, &orgs).await?;
        let News { new, withdrawn } = self.news(&mut transaction, asked, &orgs).await?;
        let moved = notices::record(&mut transaction, &new, self.now).await?;
        if !withdrawn.is_empty() {
            notices::withdraw(&mut transaction, &withdrawn, self.real).await?;
        }
        transaction.commit().await?;
        let notices = new.into_iter().zip(moved).collect();
        Ok(Page { notices, withdrawn: withdrawn.len() })
    }

    /// What there is to record about some orgs.
    async fn news(
        &self,
        transaction: &mut Transaction<'_>,
        asked: Asked,
        orgs: &[Uuid],
    ) -> Result<News, StoreError> {
        let mut seen: HashMap<Uuid, Vec<Seen>> = HashMap::new();
        for row in notices::seen(transaction, orgs, asked.kinds(), self.now).await? {
            seen.entry(row.org).or_default().push(row.seen);
        }
        let Decisions { told, withdrawn, users } =
            self.decide(transaction, asked, orgs, &seen).await?;
        let new = self.addressed(transaction, told, &users, &seen).await?;
        Ok(News { new, withdrawn })
    }

    /// Ends the wait of notices that are too late.
    async fn expire(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let mut reading = begin_within(connection, LockTimeout::Long).await?;
        let late = notices::waiting_in_vain(&mut reading, self.now).await?;
        reading.commit().await?;
        for page in late.chunks(PAGE) {
            let mut batches = Batches::of(page.to_vec(), LockTimeout::Long);
            while let Some(batch) = batches.next().filter(|_| !self.request.stop.is_set()) {
                let expired = expire_once(connection, &batch, self.now).await;
                batches.outcome(connection, batch, expired).await?;
            }
            self.report.left += batches.left()?.len();
        }
        Ok(())
    }

    /// What is decided with those who are to be told; nothing of what waits and goes on waiting.
    async fn addressed(
        &self,
        transaction: &mut Transaction<'_>,
        told: Vec<OfOrg>,
        users: &HashMap<Uuid, String>,
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<NewNotice>, StoreError> {
        let orgs: Vec<Uuid> = told.iter().map(|(org, _)| *org).collect();
        let mut people: HashMap<Uuid, Vec<Person>> = HashMap::new();
        if self.request.mails && !orgs.is_empty() {
            for (org, person) in alerts::people(transaction, &orgs).await? {
                people.entry(org).or_default().push(person);
            }
        }
        let mut new = Vec::new();
        for (org, decided) in told {
            let people = people.get(&org).map(Vec::as_slice).unwrap_or_default();
            let waits = |one: &Decided| {
                seen.get(&org).into_iter().flatten().any(|seen| {
                    (seen.kind, &seen.key, seen.state) == (one.kind, &one.key, SeenState::Waiting)
                })
            };
            // What goes with a notice becomes what that becomes.
            let mut goes_with = None;
            for one in decided {
                let is_waiting = waits(&one);
                let (kind, key, until) = (one.kind, one.key, one.until);
                let (state, notice, recipients) = match one.part {
                    Part::Covered => (NoticeState::Covered, None, Vec::new()),
                    Part::With => match goes_with {
                        Some(state) => (state, None, Vec::new()),
                        // That one waits already: the two are told together.
                        None => continue,
                    },
                    Part::Tells(notice) => {
                        let recipients = self.recipients(&notice, users, people);
                        // Operators who are not named are not waited for, nor is a user who wants
                        // no such emails.
                        let is_of_org = !kind.is_for_operators() && !kind.is_for_its_user();
                        let waits = self.request.mails && is_of_org;
                        let state = match (waits, recipients.is_empty()) {
                            (_, false) => NoticeState::Notified,
                            (true, true) => NoticeState::Waiting,
                            (false, true) => NoticeState::Recorded,
                        };
                        let goes_on = is_waiting && state == NoticeState::Waiting;
                        goes_with = (!goes_on).then_some(state);
                        (state, Some(notice), recipients)
                    }
                };
                if !(is_waiting && state == NoticeState::Waiting) {
                    new.push(NewNotice { org, kind, key, state, notice, until, recipients });
                }
            }
        }
        Ok(new)
    }

    fn recipients(
        &self,
        notice: &Notice,
        users: &HashMap<Uuid, String>,
        people: &[Person],
    ) -> Vec<String> {
        let kind = notice.kind();
        match (self.settings.terms(kind), notice) {
            _ if !self.request.mails => Vec::new(),
            (Some(_), _) if kind.is_for_operators() => self.settings.operators.clone(),
            (Some(terms), Notice::UserLimit(one)) => {
                let email = users.get(&one.user);
                let told =
                    email.and_then(|email| recipients::only(people, email, Matter::Notice(terms)));
                told.into_iter().collect()
            }
            (Some(terms), _) => recipients::recipients(people, Matter::Notice(terms)),
            (None, _) => Vec::new(),
        }
    }

    fn add(&mut self, notice: NewNotice) {
        let report = &mut self.report;
        match notice.state {
            NoticeState::Covered => return,
            NoticeState::Waiting => report.waiting += usize::from(notice.notice.is_some()),
            NoticeState::Notified | NoticeState::Recorded => {}
        }
        report.emails += notice.recipients.len();
        let NewNotice { org, kind, recipients, notice, .. } = notice;
        let Some(notice) = notice else { return };
        *report.recorded.entry(kind).or_default() += 1;
        if self.look == Look::Dry && report.would.len() < MOST_NAMED {
            report.would.push(WouldBe { org, slug: String::new(), notice, recipients });
        }
    }
}

async fn expire_once(
    connection: &mut Connection,
    batch: &Batch,
    now: Instant,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    notices::expire_waiting(&mut transaction, &batch.ids, now).await?;
    Ok(transaction.commit().await?)
}
