//! Everything about one org: read in a handful of statements, put together as a value.
//!
//! What is read is read in one transaction, so that a number and its copies are of one moment.
//!
//! Never: a write; two snapshots in one answer.

mod copies;
mod course;
mod feature;
mod findings;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::cells;
use super::finding::{Check, Finding, Mend};
use super::mail_findings::Audience;
pub use super::outlook::Ahead;
use super::outlook::Pace;
use super::settings::{TierAhead, tiers_ahead};
use crate::billing::{Calendar, Cycle, Instant, Period, Quantity, Zone};
use crate::store::audit::derived::Target;
use crate::store::messages::content;
use crate::store::orgs::settings::{self, Contact};
use crate::store::orgs::user_limits::{self, OwnLimit};
use crate::store::orgs::{self, ClosedView};
use crate::store::reports::explain::{
    self as rows, AdjustmentRow, AlertRow, MendRow, NoticeRow, OrgRow, PackRow, Stretch, UserRow,
};
use crate::store::usage::ranges::Scope;
use crate::store::{Connection, Database, StoreError, alerts};
use crate::tz::TzData;
pub use copies::Copy;
pub use course::{Course, Used};
use feature::Books;
pub use feature::{FeatureView, Increment, Point};
pub use findings::NEAR_PERCENT;
use findings::Uncounted;
pub(super) use findings::set_zone;

/// Closed periods that are shown.
const CLOSED_SHOWN: i64 = 6;
/// Stretches of the period that the curve is made of.
const STRETCHES: i64 = 60;
/// Limits of users that are shown.
const LIMITS_SHOWN: i64 = 100;
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
    /// The changes of the tier that are to come, in their order.
    pub tiers_ahead: Vec<TierAhead>,
    /// The period that contains now, as far as the stored ends reach.
    pub period: Option<PeriodView>,
    /// Findings with the commands that repair them, the worst first.
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
    /// Its last notices.
    pub notices: Vec<NoticeRow>,
    /// The last repairs of audits.
    pub mends: Vec<MendRow>,
    /// Its users, up to a bound.
    pub users: Vec<UserRow>,
    /// Limits of its users, at which they are warned; up to a bound.
    pub user_limits: Vec<OwnLimit>,
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
        [] => Err(StoreError::Invalid(format!("no user and no contact has the email `{named}`"))),
        [one] => Ok(Subject { org: one.org, user: one.user }),
        several => {
            let slugs: Vec<&str> = several.iter().map(|person| person.slug.as_str()).collect();
            Err(StoreError::Invalid(format!(
                "`{named}` belongs to several orgs; choose one: {}",
                slugs.join(", ")
            )))
        }
    }
}

/// Explains an org. `derived` are the configured columns beside those that every org has.
pub async fn explain(
    database: &Database,
    tz: &TzData,
    derived: &[Target],
    subject: Subject,
    now: Instant,
) -> Result<Explanation, StoreError> {
    let mut connection = database.connection().await?;
    let mut reading = crate::store::begin(&mut connection).await?;
    let explanation = read(&mut reading, tz, derived, subject, now).await?;
    reading.rollback().await?;
    Ok(explanation)
}

/// The same in a transaction that has begun.
pub async fn read(
    reading: &mut Connection,
    tz: &TzData,
    derived: &[Target],
    subject: Subject,
    now: Instant,
) -> Result<Explanation, StoreError> {
    let cut = |period, _: Option<&Zone>| stretches(period);
    Ok(read_by(reading, tz, derived, subject, now, cut).await?.explanation)
}

/// The same, with the course of each feature by the days of the org.
pub async fn read_by_day(
    reading: &mut Connection,
    tz: &TzData,
    derived: &[Target],
    subject: Subject,
    now: Instant,
) -> Result<(Explanation, BTreeMap<String, Course>), StoreError> {
    let utc = Zone::utc();
    let cut = |period, zone: Option<&Zone>| course::parts(period, zone.unwrap_or(&utc));
    let known = read_by(reading, tz, derived, subject, now, cut).await?;
    let Known { explanation, parts, metrics, pace } = known;
    let courses = course::of(&explanation, &parts, &metrics, pace.as_ref());
    Ok((explanation, courses))
}

/// What is known of an org, with what its courses are made of.
struct Known {
    explanation: Explanation,
    /// The starts of the parts that the period was cut into.
    parts: Vec<Instant>,
    metrics: Vec<Stretch>,
    pace: Option<Pace>,
}

/// Reads everything, with usage by the parts that `cut` makes of the period.
async fn read_by(
    reading: &mut Connection,
    tz: &TzData,
    derived: &[Target],
    subject: Subject,
    now: Instant,
    cut: impl Fn(Period, Option<&Zone>) -> Vec<Instant>,
) -> Result<Known, StoreError> {
    let org = rows::org(reading, subject.org).await?;
    let zone = tz.zone(&org.time_zone).ok();
    let open = stored_period(&org);
    let mut left = LeftOut::default();
    let period = rows::period(reading, org.id, now).await;
    let period = left.unless_unreadable("the period", period)?;
    let start = period.map(|period| period.start);
    let features = rows::features(reading, org.id, now).await;
    let features = left.unless_unreadable("usage and limits", features)?;
    let parts = period.map(|period| cut(shown(period, now), zone.as_ref())).unwrap_or_default();
    let metrics = match period {
        Some(period) => {
            let metrics = rows::metrics(reading, org.id, None, period, &parts, true).await;
            left.unless_unreadable("usage over time", metrics)?
        }
        None => Vec::new(),
    };
    let waiting = match open {
        Some(open) => rows::uncounted_before(reading, org.id, open.start).await?,
        None => 0,
    };
    let last_end = org.next_period_ends.last().copied().or(open.map(|open| open.end));
    let ahead = match last_end {
        Some(last) => {
            let ahead = rows::dated_from(reading, org.id, last).await;
            left.unless_unreadable("metrics dated in the future", ahead)?
        }
        None => (0, None),
    };
    let derived = copies::of_columns(reading, derived, &org, now).await;
    let derived = left.unless_unreadable("derived columns", derived)?;
    let offers = left.unless_unreadable("offers", content::offers(reading).await)?;
    let named = features.iter().map(|row| row.feature.as_str());
    let pace = Pace::read(reading, org.id, zone.as_ref(), named, now).await;
    let pace = left.unless_unreadable("usage rate", pace)?;
    let mends = left.unless_unreadable("repairs", rows::mends(reading, org.id).await)?;
    let alerts = left.unless_unreadable("alerts", rows::alerts(reading, org.id).await)?;
    let packs = left.unless_unreadable("packs", rows::packs(reading, org.id, start).await)?;
    let users = rows::users(reading, org.id, subject.user, SCRAPES, start).await;
    let users = left.unless_unreadable("users", users)?;
    let own = user_limits::list(reading, Some(org.id), None, Some(LIMITS_SHOWN)).await;
    let adjustments = rows::adjustments(reading, org.id).await;
    let adjustments = left.unless_unreadable("late usage", adjustments)?;
    let tiers_ahead = tiers_ahead(reading, tz, org.id).await;
    let tiers_ahead = left.unless_unreadable("changes of the tier", tiers_ahead)?;
    let contacts = settings::contacts(reading, org.id).await;
    let contacts = left.unless_unreadable("contacts", contacts)?;
    let audience = audience(reading, &org).await?;
    let closed = orgs::closed(reading, org.id, CLOSED_SHOWN).await;
    let closed = left.unless_unreadable("closed periods", closed)?;
    let unreadable = cells::unreadable(reading, Scope::Org(org.id)).await?;

    let is_open = period == open;
    let books = Books {
        period,
        is_open,
        bounds: &parts,
        metrics: &metrics,
        pace: &pace,
        derived: &derived,
        now,
    };
    let is_listed = |feature: &str| features.iter().any(|row| row.feature == feature);
    let mut without_counter = BTreeMap::new();
    for stretch in metrics.iter().filter(|stretch| !is_listed(&stretch.feature)) {
        let sum: &mut Quantity = without_counter.entry(stretch.feature.clone()).or_default();
        *sum = sum.plus(stretch.uncounted).unwrap_or(*sum);
    }
    without_counter.retain(|_, uncounted| !uncounted.is_zero());
    let features = features.into_iter().map(|row| feature::view(row, &books, &org));
    let mut explanation = Explanation {
        now,
        local_time: zone.as_ref().map(|zone| zone.local(now)),
        tiers_ahead,
        period: period.map(|period| view_of(period, is_open, zone.as_ref(), now)),
        findings: Vec::new(),
        features: features.collect(),
        packs,
        closed,
        adjustments,
        alerts,
        notices: left.unless_unreadable("notices", rows::notices(reading, org.id).await)?,
        mends,
        users,
        user_limits: left.unless_unreadable("limits of users", own)?,
        contacts,
        org,
    };
    // What cannot be read comes first: other findings may come of it.
    explanation.findings = unreadable;
    explanation.findings.extend(left.finding());
    explanation.findings.extend(findings::of(
        &explanation,
        &offers,
        tz,
        Uncounted { waiting, ahead, without_counter },
        &audience,
    ));
    explanation.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Known { explanation, parts, metrics, pace })
}

/// Those who could get the org's emails.
async fn audience(reading: &mut Connection, org: &OrgRow) -> Result<Audience, StoreError> {
    let people = alerts::people(reading, &[org.id]).await?.into_iter();
    let people = people.map(|(_, person)| person).collect();
    Ok(Audience { org: org.slug.clone(), people })
}

/// Parts of the page that a value keeps from being read.
#[derive(Default)]
struct LeftOut(Vec<&'static str>);

impl LeftOut {
    /// What was read; nothing, and a note of it, where a value in it cannot be.
    fn unless_unreadable<T: Default>(
        &mut self,
        part: &'static str,
        read: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match read {
            Err(error) if error.may_concern_one_row() => {
                self.0.push(part);
                Ok(T::default())
            }
            read => read,
        }
    }

    fn finding(&self) -> Option<Finding> {
        let what = format!("left out, because a value cannot be read: {}", self.0.join(", "));
        let advice = "repair the values that `doctor` names, with what it shows for each";
        let finding = Finding::warning(Check::LeftOut, what).mend(Mend::advice(advice));
        (!self.0.is_empty()).then_some(finding)
    }
}

/// The open period as its row says, if both ends are there and in order.
fn stored_period(org: &OrgRow) -> Option<Period> {
    let (start, end) = org.current_period_start.zip(org.current_period_end)?;
    (start < end).then_some(Period { start, end })
}

/// The starts of the stretches that a period is cut into.
/// The part of a period that can be drawn: one that never ends, up to tomorrow.
pub fn shown(period: Period, now: Instant) -> Period {
    let Period { start, end } = period;
    let tomorrow = now.max(start).plus(jiff::SignedDuration::from_hours(24));
    if end == Instant::NEVER { Period { start, end: tomorrow.unwrap_or(end) } } else { period }
}

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
    Some(Calendar { zone: tz.zone(&org.time_zone).ok()?, cycle, time: org.anchor_time })
}
