//! Adding orgs: the first period is opened at once.

use uuid::Uuid;

use crate::billing::period::InvalidCycle;
use crate::billing::{Boundary, Calendar, Cycle, Instant, Period};
use crate::store::orgs::NewOrg;
use crate::store::{Database, StoreError, orgs};
use crate::tzdata::{TzData, UnknownZone};

/// An org to be added, as a person says it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id; drawn at random if not given.
    pub id: Option<Uuid>,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Name of the cycle.
    pub cycle: String,
    /// Day of the month or ISO weekday.
    pub anchor_day: i16,
    /// Month of a yearly cycle.
    pub anchor_month: i16,
    /// The tier.
    pub tier: String,
    /// Where the first period starts; the start of the one that contains now, if not given.
    pub period_start: Option<Instant>,
}

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
    #[error("`{0}` is no slug; use letters, digits, dots, dashes and underscores, and no spaces")]
    Slug(String),
    /// The name says nothing, or something that no name says.
    #[error("the name of an org is one line of text, and not empty")]
    Name,
    /// The first period would start in the future.
    #[error("the first period cannot start in the future, at {0}")]
    FutureStart(Instant),
    /// No such tier.
    #[error("there is no tier `{tier}`; there are {known}")]
    Tier {
        /// What was written.
        tier: String,
        /// Those that there are.
        known: String,
    },
    /// A time without the tier that it is for.
    #[error("--next-tier-at says from when a tier to come applies; name it with --next-tier")]
    NoNextTier,
    /// An address that no letter reaches.
    #[error("`{0}` is no email address; write it as name@example.com")]
    Contact(String),
    /// The calendar ends.
    #[error("{0}")]
    OutOfRange(#[from] crate::billing::instant::OutOfRange),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Adds an org with an open period and returns its id. The given start is taken as it is; the
/// period ends at the first boundary after it, and what is past is due.
///
/// # Errors
/// [`Error`], a sentence each.
pub async fn add(
    database: &Database,
    tz: &TzData,
    request: &Request,
    now: Instant,
) -> Result<Uuid, Error> {
    let org = first_period(tz, request, now)?;
    Ok(orgs::add(database, &org).await?)
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
    let calendar = Calendar { zone: tz.zone(&request.zone)?, cycle };
    let start = request.period_start.unwrap_or(now);
    if start > now {
        return Err(Error::FutureStart(start));
    }
    let (containing, end_date) = calendar.period_at(start)?;
    let start = request.period_start.unwrap_or(containing.start);
    let end = Boundary { at: containing.end, date: end_date };
    Ok(NewOrg {
        id: request.id,
        slug: request.slug.clone(),
        name: request.name.clone(),
        time_zone: calendar.zone.name().to_owned(),
        cycle: request.cycle.clone(),
        anchor_day: request.anchor_day,
        anchor_month: request.anchor_month,
        tier: request.tier.clone(),
        period: Period { start, end: end.at },
        end_date,
        next_ends: calendar.following_ends(end)?,
        tzdb: tz.release().to_owned(),
    })
}
