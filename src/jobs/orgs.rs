//! Adding orgs: the first period is opened at once.

pub mod departures;
pub mod pause;

use uuid::Uuid;

use crate::billing::address::{self, InvalidAddress, trimmed};
use crate::billing::period::InvalidCycle;
use crate::billing::when::shown_in_utc;
use crate::billing::{Boundary, Calendar, Cycle, Instant, Period, TimeOfDay};
use crate::store::orgs::{NewOrg, settings};
use crate::store::{Database, StoreError, orgs};
use crate::tz::{TzData, UnknownZone};

/// An org to be added, as a person says it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id; drawn at random if not given.
    pub id: Option<Uuid>,
    pub slug: String,
    pub name: String,
    pub zone: String,
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: i16,
    /// Local time of day at which periods end.
    pub anchor_time: TimeOfDay,
    pub tier: String,
    /// Where the first period starts; the start of the one that contains now, if not given.
    pub period_start: Option<Instant>,
    /// Where the first period ends, such as the end of a trial; at the first boundary of the
    /// calendar, if not given. It then starts now unless its start is given.
    pub period_end: Option<Instant>,
    /// Who gets its emails; nobody: its users do.
    pub contacts: Vec<String>,
}

/// Percentages that no alert can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid thresholds; write up to 10 whole percentages from 1 to 100 in ascending order, such \
     as 80,90,100, or none"
)]
pub struct InvalidThresholds;

/// Why an org cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such zone.
    #[error("{0}")]
    Zone(#[from] UnknownZone),
    /// No such cycle or anchor.
    #[error("{0}")]
    Cycle(#[from] InvalidCycle),
    /// The slug cannot be used.
    #[error(
        "invalid slug `{0}`; use letters, digits, dots, dashes and underscores, without spaces"
    )]
    Slug(String),
    /// The name says nothing, or something that no name says.
    #[error("the name of an org must be one line of text and not empty")]
    Name,
    /// The first period would start in the future.
    #[error("the first period cannot start in the future ({})", shown_in_utc(*.0))]
    FutureStart(Instant),
    /// The first period would be empty.
    #[error(
        "the first period cannot end at {}: that is not after its start, {}",
        shown_in_utc(*.end),
        shown_in_utc(*.start)
    )]
    EmptyPeriod {
        /// Where it would start …
        start: Instant,
        /// … and end.
        end: Instant,
    },
    /// A role or kinds of emails for somebody who is not a contact.
    #[error("{0} is not a contact of the org; add it with --contact")]
    NoSuchContact(String),
    /// Nothing of the calendar is changed that could be left to a later boundary.
    #[error("--at-next needs a change of the zone, the cycle or an anchor")]
    NoNewCalendar,
    /// No such tier.
    #[error("unknown tier `{tier}`; known tiers: {known}")]
    Tier {
        /// What was written.
        tier: String,
        /// Those that there are.
        known: String,
    },
    /// A time without the tier that it is for.
    #[error("--next-tier-at needs --next-tier")]
    NoNextTier,
    /// An address that no letter reaches.
    #[error("{0}")]
    Contact(#[from] InvalidAddress),
    /// A language that nobody has heard of.
    #[error("unknown locale `{0}`; write it as a language with or without a region: de, pt-BR")]
    Locale(String),
    /// Percentages that no alert can have.
    #[error("{0}")]
    Thresholds(#[from] InvalidThresholds),
    /// The calendar ends.
    #[error("{0}")]
    OutOfRange(#[from] crate::billing::instant::OutOfRange),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Adds an org with an open period and returns its id. A given start and a given end are taken as
/// they are; without an end the period ends at the first boundary after its start. What is past is
/// due.
pub async fn add(
    database: &Database,
    tz: &TzData,
    request: &Request,
    now: Instant,
) -> Result<Uuid, Error> {
    let org = first_period(tz, request, now)?;
    let contacts = sound_contacts(&request.contacts)?;
    let mut connection = database.connection().await?;
    let mut transaction = crate::store::begin(&mut connection).await?;
    let id = orgs::add(&mut transaction, &org).await?;
    settings::change_contacts(&mut transaction, id, &contacts, &[]).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(id)
}

/// The addresses without the blanks around them, where each of them is one.
pub(super) fn sound_contacts(contacts: &[String]) -> Result<Vec<String>, Error> {
    let sound = |contact: &String| {
        let plain = trimmed(contact);
        address::check(plain)?;
        Ok(plain.to_owned())
    };
    contacts.iter().map(sound).collect()
}

fn first_period(tz: &TzData, request: &Request, now: Instant) -> Result<NewOrg, Error> {
    let slug_like = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if request.slug.is_empty() || !request.slug.chars().all(slug_like) {
        return Err(Error::Slug(request.slug.clone()));
    }
    if request.name.trim().is_empty() || request.name.chars().any(char::is_control) {
        return Err(Error::Name);
    }
    let (day, month) = (i64::from(request.anchor_day), i64::from(request.anchor_month));
    let cycle = Cycle::new(&request.cycle, day, month)?;
    let calendar = Calendar { zone: tz.zone(&request.zone)?, cycle, time: request.anchor_time };
    let start = request.period_start.unwrap_or(now);
    if start > now {
        return Err(Error::FutureStart(start));
    }
    let (containing, end_date) = calendar.period_at(start)?;
    let (start, end) = match request.period_end {
        Some(end) if end <= start => return Err(Error::EmptyPeriod { start, end }),
        Some(end) => (start, Boundary { at: end, date: calendar.zone.date(end) }),
        None => {
            let start = request.period_start.unwrap_or(containing.start);
            (start, Boundary { at: containing.end, date: end_date })
        }
    };
    let is_nominal = calendar.boundary_of(end.date)? == end;
    Ok(NewOrg {
        id: request.id,
        slug: request.slug.clone(),
        name: request.name.clone(),
        time_zone: calendar.zone.name().to_owned(),
        cycle: request.cycle.clone(),
        anchor_day: request.anchor_day,
        anchor_month: request.anchor_month,
        anchor_time: request.anchor_time,
        tier: request.tier.clone(),
        period: Period { start, end: end.at },
        end_date: end.date,
        next_ends: calendar.following_ends(end)?,
        tzdb: is_nominal.then(|| tz.release().to_owned()),
    })
}
