//! Changing what is set of an org: its name, calendar, tier and contacts.
//!
//! A change of zone, cycle or anchor holds from the open period's end on: that end stands, and the
//! next one is the first later nominal date of the calendar that is set now.

use uuid::Uuid;

use super::orgs::Error;
use crate::billing::address::is_address;
use crate::billing::{Boundary, Calendar, Cycle, Instant, Period};
use crate::store::settings::{self, Contact, Settings};
use crate::store::{Connection, Database, StoreError};
use crate::tzdata::TzData;

/// How often a change is tried again when others change the same row.
const ATTEMPTS: u32 = 5;

/// What a person wants changed; what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The name for people.
    pub name: Option<String>,
    /// The zone.
    pub zone: Option<String>,
    /// The cycle's name.
    pub cycle: Option<String>,
    /// Day of the month or ISO weekday.
    pub anchor_day: Option<i16>,
    /// Month of a yearly cycle.
    pub anchor_month: Option<i16>,
    /// The tier that grants from now on.
    pub tier: Option<String>,
    /// The tier to come; `Some(None)`: none.
    pub next_tier: Option<Option<String>>,
    /// From when the tier to come may apply.
    pub next_tier_at: Option<Instant>,
    /// What the payment provider says; `Some(None)`: nothing.
    pub status: Option<Option<String>>,
    /// When the subscription ends; `Some(None)`: it does not.
    pub ends_at: Option<Option<Instant>>,
    /// Who is to get the emails, too.
    pub contacts: Vec<String>,
    /// Who is not.
    pub no_contacts: Vec<String>,
}

/// What was changed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Changed {
    /// The settings that have another value now.
    pub changes: Vec<Altered>,
    /// For a change of zone, cycle or anchor: the period from which it holds. `None` for an org
    /// without an open period, whose first one is opened by the new calendar.
    pub calendar_holds_for: Option<Period>,
    /// Who gets the emails.
    pub contacts: Vec<Contact>,
}

/// A setting with its value before and after.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Altered {
    /// Which.
    pub setting: &'static str,
    /// As it was.
    pub before: Option<String>,
    /// As it is.
    pub after: Option<String>,
}

/// Changes what is set of an org.
///
/// # Errors
/// [`Error`], a sentence each; then nothing is changed.
pub async fn change(
    database: &Database,
    tz: &TzData,
    org: Uuid,
    change: &Change,
) -> Result<Changed, Error> {
    for address in &change.contacts {
        if !is_address(address) {
            return Err(Error::Contact(address.clone()));
        }
    }
    let mut connection = database.connection().await?;
    for attempt in 1.. {
        match once(&mut connection, tz, org, change).await {
            Err(Error::Store(StoreError::Conflict(_))) if attempt < ATTEMPTS => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict("others change this org without a pause".to_owned()).into())
}

async fn once(
    connection: &mut Connection,
    tz: &TzData,
    org: Uuid,
    change: &Change,
) -> Result<Changed, Error> {
    let mut transaction = crate::store::begin(connection).await?;
    let before = settings::read(&mut transaction, org).await?;
    let tiers = settings::tiers(&mut transaction).await?;
    let after = decide(&before, tz, change, &tiers)?;
    let calendar_holds_for = holds_for(&before, &after, tz)?;
    let changes = altered(&before, &after);
    if !changes.is_empty() {
        settings::write(&mut transaction, org, &after).await?;
    }
    settings::change_contacts(&mut transaction, org, &change.contacts, &change.no_contacts).await?;
    let contacts = settings::contacts(&mut transaction, org).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(Changed { changes, calendar_holds_for, contacts })
}

/// The settings as they should be.
fn decide(
    before: &Settings,
    tz: &TzData,
    change: &Change,
    tiers: &[String],
) -> Result<Settings, Error> {
    let mut after = before.clone();
    if let Some(name) = &change.name {
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(Error::Name);
        }
        after.name.clone_from(name);
    }
    if let Some(zone) = &change.zone {
        tz.zone(zone)?.name().clone_into(&mut after.time_zone);
    }
    if let Some(cycle) = &change.cycle {
        after.cycle.clone_from(cycle);
    }
    after.anchor_day = change.anchor_day.unwrap_or(after.anchor_day);
    after.anchor_month = change.anchor_month.unwrap_or(after.anchor_month);
    if changes_the_calendar(before, &after) {
        cycle_of(&after)?;
    }
    for tier in change.tier.iter().chain(change.next_tier.iter().flatten()) {
        if !tiers.contains(tier) {
            let known = tiers.join(", ");
            return Err(Error::Tier { tier: tier.clone(), known });
        }
    }
    if let Some(tier) = &change.tier {
        after.tier.clone_from(tier);
    }
    if let Some(next) = &change.next_tier {
        after.next_tier.clone_from(next);
        after.next_tier_at = None;
    }
    if let Some(at) = change.next_tier_at {
        after.next_tier_at = Some(at);
    }
    if after.next_tier.is_none() && after.next_tier_at.is_some() {
        return Err(Error::NoNextTier);
    }
    if let Some(status) = &change.status {
        after.status.clone_from(status);
    }
    if let Some(ends_at) = change.ends_at {
        after.ends_at = ends_at;
    }
    Ok(after)
}

fn cycle_of(settings: &Settings) -> Result<Cycle, Error> {
    let (day, month) = (i64::from(settings.anchor_day), i64::from(settings.anchor_month));
    Ok(Cycle::new(&settings.cycle, day, month)?)
}

fn changes_the_calendar(before: &Settings, after: &Settings) -> bool {
    let calendar =
        |s: &Settings| (s.time_zone.clone(), s.cycle.clone(), s.anchor_day, s.anchor_month);
    calendar(before) != calendar(after)
}

/// The first period of a changed calendar: from the open period's end to the first later nominal
/// date of the new calendar.
fn holds_for(before: &Settings, after: &Settings, tz: &TzData) -> Result<Option<Period>, Error> {
    if !changes_the_calendar(before, after) {
        return Ok(None);
    }
    let Some(start) = before.period_end else { return Ok(None) };
    let calendar = Calendar { zone: tz.zone(&after.time_zone)?, cycle: cycle_of(after)? };
    let date = match before.period_end_date {
        Some(date) => date,
        // An end that others wrote stands for the date that is nearest in the calendar it is read
        // by: the one that holds when the rollover comes, which is the new one.
        None => calendar.nearest(start)?,
    };
    let end = calendar.following(Boundary { at: start, date })?.at;
    Ok(Some(Period { start, end }))
}

fn altered(before: &Settings, after: &Settings) -> Vec<Altered> {
    let text = |value: &Option<String>| value.clone();
    let instant = |value: Option<Instant>| value.map(|at| at.to_string());
    let rows = [
        ("name", Some(before.name.clone()), Some(after.name.clone())),
        ("zone", Some(before.time_zone.clone()), Some(after.time_zone.clone())),
        ("cycle", Some(before.cycle.clone()), Some(after.cycle.clone())),
        ("anchor day", Some(before.anchor_day.to_string()), Some(after.anchor_day.to_string())),
        (
            "anchor month",
            Some(before.anchor_month.to_string()),
            Some(after.anchor_month.to_string()),
        ),
        ("tier", Some(before.tier.clone()), Some(after.tier.clone())),
        ("next tier", text(&before.next_tier), text(&after.next_tier)),
        ("next tier at", instant(before.next_tier_at), instant(after.next_tier_at)),
        ("status", text(&before.status), text(&after.status)),
        ("subscription ends at", instant(before.ends_at), instant(after.ends_at)),
    ];
    let changed = rows.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(setting, before, after)| Altered { setting, before, after }).collect()
}
