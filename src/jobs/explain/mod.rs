//! Everything about one org: read in a handful of statements, put together as a value.
//!
//! What is read is read in one transaction, so that a number and its copies are of one moment.

mod copies;
mod feature;
mod findings;

use uuid::Uuid;

use super::finding::Finding;
use crate::billing::forecast::{History, Window};
use crate::billing::{Calendar, Cycle, Instant, Period, Zone};
use crate::store::derived::Target;
use crate::store::explain::{
    self as rows, AdjustmentRow, AlertRow, FeatureRow, MendRow, OrgRow, PackRow, UserRow,
};
use crate::store::letters::{self, Days};
use crate::store::orgs::{self, ClosedView};
use crate::store::settings::{self, Contact};
use crate::store::{Connection, Database, StoreError};
use crate::tzdata::TzData;
pub use copies::Copy;
pub use feature::{Ahead, FeatureView, Increment, Point};
use feature::{Books, Pace};

/// Closed periods that are shown.
const CLOSED_SHOWN: i64 = 6;
/// Stretches of the period that the curve is made of.
const STRETCHES: i64 = 60;
/// The feature whose use by single users has a column of its own.
const SCRAPES: &str = "scrapes";

/// Everything about one org.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Explanation {
    /// Business time.
    pub now: Instant,
    /// The same in the org's zone; `None` where the zone is unknown.
    pub local_time: Option<String>,
    /// The org's row.
    pub org: OrgRow,
    /// The period that contains now, as far as the stored ends reach.
    pub period: Option<PeriodView>,
    /// What is wrong, or worth knowing, with the commands that mend it; the worst first.
    pub findings: Vec<Finding>,
    /// What it uses, has bought or is granted.
    pub features: Vec<FeatureView>,
    /// Its packs.
    pub packs: Vec<PackRow>,
    /// Its last closed periods.
    pub closed: Vec<ClosedView>,
    /// Its last late usage.
    pub adjustments: Vec<AdjustmentRow>,
    /// Its last alerts.
    pub alerts: Vec<AlertRow>,
    /// What audits mended last.
    pub mends: Vec<MendRow>,
    /// Its users, up to a bound.
    pub users: Vec<UserRow>,
    /// Who gets the emails; nobody: the users.
    pub contacts: Vec<Contact>,
}

/// A period, and how far it is.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct PeriodView {
    /// The first instant inside.
    pub start: Instant,
    /// The first instant after.
    pub end: Instant,
    /// The same in the org's zone.
    pub start_local: String,
    /// The same in the org's zone.
    pub end_local: String,
    /// How much of it has passed, in whole percent.
    pub passed_percent: i64,
    /// Is it the org's open period? Otherwise one that has ended is still to be closed.
    pub is_open: bool,
}

/// What an email or a name stands for.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The org.
    pub org: Uuid,
    /// The user who was asked for.
    pub user: Option<Uuid>,
}

/// Finds what is meant: an org by slug or id, or the org of an email.
///
/// # Errors
/// [`StoreError::Invalid`] when nothing has that name, or several orgs have it.
pub async fn find(database: &Database, named: &str) -> Result<Subject, StoreError> {
    if !named.contains('@') {
        return Ok(Subject { org: orgs::find(database, named).await?, user: None });
    }
    let mut connection = database.connection().await?;
    let people = rows::people(&mut connection, named).await?;
    match &people[..] {
        [] => Err(StoreError::Invalid(format!("there is no user with the email `{named}`"))),
        [one] => Ok(Subject { org: one.org, user: one.user }),
        several => {
            let slugs: Vec<&str> = several.iter().map(|person| person.slug.as_str()).collect();
            Err(StoreError::Invalid(format!(
                "`{named}` is a user of several orgs; name one of them: {}",
                slugs.join(", ")
            )))
        }
    }
}

/// Explains an org. `derived` are the configured columns beside those that every org has.
///
/// # Errors
/// As every read.
pub async fn explain(
    database: &Database,
    tz: &TzData,
    derived: &[Target],
    subject: Subject,
    now: Instant,
) -> Result<Explanation, StoreError> {
    let mut connection = database.connection().await?;
    let mut reading = crate::store::begin(&mut connection).await?;
    let org = rows::org(&mut reading, subject.org).await?;
    let zone = tz.zone(&org.time_zone).ok();
    let open = stored_period(&org);
    let period = open.and_then(|open| containing(open, &org.next_period_ends, now));
    let start = period.map(|period| period.start);
    let features = rows::features(&mut reading, &org, start, now).await?;
    let bounds = period.map(stretches).unwrap_or_default();
    let metrics = match period {
        Some(period) => rows::metrics(&mut reading, org.id, period, &bounds).await?,
        None => Vec::new(),
    };
    // An ended period that is not closed yet draws on the packs first.
    let ended = match (open, period) {
        (Some(open), Some(now_in)) if open.start != now_in.start => {
            rows::features(&mut reading, &org, Some(open.start), now).await?
        }
        _ => Vec::new(),
    };
    let waiting = match open {
        Some(open) => rows::uncounted_before(&mut reading, org.id, open.start).await?,
        None => 0,
    };
    let derived = copies::of_columns(&mut reading, derived, &org, now).await?;
    let offers = letters::offers(&mut reading).await?;
    let pace = pace(&mut reading, &org, zone.as_ref(), &features, now).await?;
    let mends = rows::mends(&mut reading, org.id).await?;
    let alerts = rows::alerts(&mut reading, org.id).await?;
    let packs = rows::packs(&mut reading, org.id, start).await?;
    let users = rows::users(&mut reading, org.id, subject.user, SCRAPES, start).await?;
    let adjustments = rows::adjustments(&mut reading, org.id).await?;
    let contacts = settings::contacts(&mut reading, org.id).await?;
    reading.rollback().await?;
    drop(connection);
    let closed = orgs::closed(database, org.id, CLOSED_SHOWN).await?;

    let is_open = period == open;
    let (bounds, metrics, pace, derived) = (&bounds, &metrics, &pace, &derived);
    let books = Books { period, is_open, bounds, metrics, pace, derived, now };
    let features = features.into_iter().map(|row| feature::view(row, &ended, &books, &org));
    let mut explanation = Explanation {
        now,
        local_time: zone.as_ref().map(|zone| zone.local(now)),
        period: period.map(|period| view_of(period, is_open, zone.as_ref(), now)),
        findings: Vec::new(),
        features: features.collect(),
        packs,
        closed,
        adjustments,
        alerts,
        mends,
        users,
        contacts,
        org,
    };
    explanation.findings = findings::of(&explanation, &offers, tz, waiting);
    Ok(explanation)
}

/// The open period as its row says, if both ends are there and in order.
fn stored_period(org: &OrgRow) -> Option<Period> {
    let (start, end) = org.current_period_start.zip(org.current_period_end)?;
    (start < end).then_some(Period { start, end })
}

/// The stored period that contains an instant.
fn containing(open: Period, next_ends: &[Instant], at: Instant) -> Option<Period> {
    let mut period = open;
    for end in next_ends {
        if period.contains(at) {
            break;
        }
        period = Period { start: period.end, end: *end };
    }
    period.contains(at).then_some(period)
}

/// The starts of the stretches that a period is cut into.
fn stretches(period: Period) -> Vec<Instant> {
    let start = period.start.microseconds();
    let length = period.end.microseconds() - start;
    let cut = |n: i64| Instant::from_microseconds(start + length / STRETCHES * n);
    (0..STRETCHES).filter_map(|n| cut(n).ok()).collect()
}

fn view_of(period: Period, is_open: bool, zone: Option<&Zone>, now: Instant) -> PeriodView {
    let local = |at: Instant| zone.map_or_else(|| at.to_string(), |zone| zone.local(at));
    let length = period.end.since(period.start).as_secs().max(1);
    let passed = now.since(period.start).as_secs().clamp(0, length);
    PeriodView {
        start: period.start,
        end: period.end,
        start_local: local(period.start),
        end_local: local(period.end),
        passed_percent: passed * 100 / length,
        is_open,
    }
}

/// The calendar that an org's row describes; `None` where it describes none.
fn calendar(org: &OrgRow, tz: &TzData) -> Option<Calendar> {
    let (day, month) = (i64::from(org.anchor_day), i64::from(org.anchor_month));
    let cycle = Cycle::new(&org.cycle, day, month).ok()?;
    Some(Calendar { zone: tz.zone(&org.time_zone).ok()?, cycle })
}

/// What was used of each feature on the last days, for the forecast; the same that emails go by.
async fn pace(
    connection: &mut Connection,
    org: &OrgRow,
    zone: Option<&Zone>,
    features: &[FeatureRow],
    now: Instant,
) -> Result<Option<Pace>, StoreError> {
    let Some(window) = zone.and_then(|zone| Window::before(now, zone).ok()) else {
        return Ok(None);
    };
    let asked = features.iter().map(|row| Days {
        org: org.id,
        feature: &row.feature,
        boundaries: window.boundaries(),
    });
    let asked: Vec<Days<'_>> = asked.collect();
    let used = letters::used_by_day(connection, &asked).await?;
    let histories = features.iter().zip(used).map(|(row, used)| {
        (row.feature.clone(), History { days: used.days, is_older: used.is_older })
    });
    let histories = histories.collect();
    Ok(Some(Pace { window, histories }))
}
