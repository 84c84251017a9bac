//! Changing what is set of an org: its name, calendar, tier and contacts.
//!
//! A change of zone, cycle or anchor holds from the open period's end on: that end stands, and the
//! next one is the first later nominal date of the calendar that is set now.

use uuid::Uuid;

use super::orgs::{Error, InvalidThresholds, sound_contacts};
use crate::billing::address::trimmed;
use crate::billing::notice::Kind;
use crate::billing::recipients::ContactRole;
use crate::billing::{Boundary, Calendar, Cycle, Instant, Period, TimeOfDay, Zone};
use crate::mail;
use crate::store::orgs::settings::{self, Contact, Settings};
use crate::store::rollover::claim;
use crate::store::usage::kept;
use crate::store::usage::limits::{self, Granted, Limit};
use crate::store::{Attempts, Connection, Database, StoreError, events, server_now};
use crate::tz::TzData;

/// What a person wants changed; what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub zone: Option<String>,
    pub cycle: Option<String>,
    /// Day of the month or ISO weekday.
    pub anchor_day: Option<i16>,
    /// Month of a quarterly, semiannual or yearly cycle.
    pub anchor_month: Option<i16>,
    /// Local time of day at which periods end.
    pub anchor_time: Option<TimeOfDay>,
    /// Is a change of the calendar left to the boundary after the one at which it would apply?
    pub at_next: bool,
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
    /// Language and region of its emails; `Some(None)`: English.
    pub locale: Option<Option<String>>,
    /// Thresholds of its own; `Some(None)`: those of the configuration.
    pub thresholds: Option<Option<Vec<u8>>>,
    /// Who is to get the emails, too.
    pub contacts: Vec<String>,
    pub no_contacts: Vec<String>,
    /// As whom contacts are reached; `None`: as everybody.
    pub roles: Vec<(String, Option<ContactRole>)>,
    /// Which kinds of emails contacts get; `None`: by their role.
    pub kinds: Vec<(String, Option<Vec<Kind>>)>,
}

/// What was changed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Changed {
    /// The settings that have another value now.
    pub changes: Vec<Altered>,
    /// For a change of zone, cycle or anchor: the period from which it holds. `None` for an org
    /// without an open period, whose first one is opened by the new calendar.
    pub calendar_holds_for: Option<Period>,
    /// Is that period under a third of the one that follows it? It includes the full quantity all
    /// the same.
    pub is_short: bool,
    /// After a change of the tier: features of which more is used in the open period than the org
    /// may use now.
    pub over: Vec<Limit>,
    /// Contacts whose address was suppressed, and gets emails again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revived: Vec<String>,
    /// Do its users get the emails from now on (true), or not any more (false)? null: that is as
    /// before.
    pub users_hear: Option<bool>,
    #[serde(flatten)]
    pub outlook: Outlook,
}

/// What comes of an org's settings, and who hears of it.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Outlook {
    /// The boundary at which the next tier takes effect.
    pub next_tier_from: Option<Instant>,
    /// The boundary at which the subscription ends.
    pub subscription_ends: Option<Instant>,
    /// The changes of the tier that are to come, in their order.
    pub tiers_ahead: Vec<TierAhead>,
    /// Alert thresholds of its own, in percent; null: the configuration's.
    pub thresholds: Option<Vec<i16>>,
    /// Who gets the emails; nobody: its users do.
    pub contacts: Vec<Contact>,
    /// How many users it has.
    pub users: i64,
}

/// The codes of all tiers.
pub async fn tiers(database: &Database) -> Result<Vec<String>, StoreError> {
    settings::tiers(&mut *database.connection().await?).await
}

/// A change of the tier that a boundary brings.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct TierAhead {
    /// The boundary at which it takes effect.
    pub takes_effect: Instant,
    /// The tier until then.
    pub until_then: String,
    /// The tier from then on.
    pub then: String,
    /// What that tier includes for the org.
    pub includes: Vec<Granted>,
}

impl TierAhead {
    /// The change in words, with its instant as the reader writes it.
    pub fn sentence(&self, takes_effect: &str) -> String {
        let grant = |grant: &Granted| match grant.included {
            Some(included) => format!("{included} {}", grant.feature),
            None => format!("unlimited {}", grant.feature),
        };
        let includes: Vec<String> = self.includes.iter().map(grant).collect();
        let includes = if includes.is_empty() { "nothing".to_owned() } else { includes.join(", ") };
        let Self { until_then, then, .. } = self;
        format!(
            "takes effect {takes_effect}: until then {until_then}, then {then}, which includes \
             {includes}"
        )
    }
}

/// The changes of an org's tier that are to come, in their order; none where its calendar cannot
/// be read, of which rollovers say more.
///
/// # Errors
/// [`StoreError`] where a value cannot be read, or the org is gone.
pub async fn tiers_ahead(
    connection: &mut Connection,
    tz: &TzData,
    org: Uuid,
) -> Result<Vec<TierAhead>, StoreError> {
    let settings = settings::read(connection, org).await?;
    ahead_of(connection, &settings, tz, org).await
}

async fn ahead_of(
    connection: &mut Connection,
    settings: &Settings,
    tz: &TzData,
    org: Uuid,
) -> Result<Vec<TierAhead>, StoreError> {
    let subscription = settings.subscription();
    if subscription.next_tier.is_none() && subscription.ends_at.is_none() {
        return Ok(Vec::new());
    }
    let Some((calendar, end)) = calendar_of(settings, tz) else { return Ok(Vec::new()) };
    let ended_tier = limits::ended_tier(connection).await?;
    let ended_tier = ended_tier.unwrap_or_else(|| settings.tier.clone());
    let skipped = settings.skipped_end_date;
    let changes = subscription.changes_ahead(&calendar, end, skipped, &ended_tier);
    let changes = changes.unwrap_or_default();
    let mut ahead = Vec::with_capacity(changes.len());
    for change in changes {
        let includes = limits::granted(connection, org, &change.after).await?;
        let (until_then, then) = (change.before, change.after);
        ahead.push(TierAhead { takes_effect: change.at, until_then, then, includes });
    }
    Ok(ahead)
}

/// What comes of an org's settings as they are.
///
/// # Errors
/// [`StoreError::Invalid`] when the org is gone; what the database cannot read.
pub async fn outlook(
    connection: &mut Connection,
    tz: &TzData,
    org: Uuid,
) -> Result<Outlook, Error> {
    let settings = settings::read(connection, org).await?;
    let next_tier_from = match &settings.next_tier {
        Some(_) => boundary_for(&settings, tz, settings.next_tier_at)?,
        None => None,
    };
    let subscription_ends = match settings.ends_at {
        Some(at) => boundary_for(&settings, tz, Some(at))?,
        None => None,
    };
    let tiers_ahead = ahead_of(connection, &settings, tz, org).await?;
    let contacts = settings::contacts(connection, org).await?;
    let users = settings::count_users(connection, org).await?;
    let thresholds = settings.thresholds;
    Ok(Outlook { next_tier_from, subscription_ends, tiers_ahead, thresholds, contacts, users })
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
    /// The arguments of `periodd orgs set` that set it back.
    #[serde(skip)]
    pub back: Vec<String>,
}

/// Changes what is set of an org; with `dry_run` says what that would do, and changes nothing.
///
/// # Errors
/// [`Error`], a sentence each; then nothing is changed.
pub async fn change(
    database: &Database,
    tz: &TzData,
    org: Uuid,
    change: &Change,
    dry_run: bool,
    now: Instant,
) -> Result<Changed, Error> {
    let change = &Change {
        contacts: sound_contacts(&change.contacts)?,
        no_contacts: change.no_contacts.iter().map(|one| trimmed(one).to_owned()).collect(),
        ..change.clone()
    };
    let mut connection = database.connection().await?;
    let mut attempts = Attempts::default();
    loop {
        match once(&mut connection, tz, org, change, dry_run, now).await {
            Err(Error::Store(error)) if attempts.again(&error) => {}
            other => return other,
        }
    }
}

async fn once(
    connection: &mut Connection,
    tz: &TzData,
    org: Uuid,
    change: &Change,
    dry_run: bool,
    now: Instant,
) -> Result<Changed, Error> {
    let mut transaction = crate::store::begin(connection).await?;
    let before = settings::read(&mut transaction, org).await?;
    let tiers = settings::tiers(&mut transaction).await?;
    let after = decide(&before, tz, change, &tiers)?;
    let (calendar_holds_for, is_short) = match holds_for(&before, &after, tz, now)? {
        Some((period, is_short)) => (Some(period), is_short),
        None => (None, false),
    };
    let changes = altered(&before, &after);
    let real = server_now(&mut transaction).await?;
    if after.tier != before.tier {
        claim::lock(&mut transaction, org).await?;
        kept::count_and_see(&mut transaction, org, real).await?;
    }
    if !changes.is_empty() {
        settings::write(&mut transaction, org, &after).await?;
        events::enter_tier_changes(&mut transaction, &[org], &[&before.tier], now).await?;
    }
    if after.tier != before.tier {
        kept::see_limits(&mut transaction, &[org]).await?;
    }
    if after.thresholds != before.thresholds {
        let thresholds = after.thresholds.as_deref();
        settings::write_thresholds(&mut transaction, org, thresholds).await?;
    }
    let had_contacts = !settings::contacts(&mut transaction, org).await?.is_empty();
    let (add, remove) = (&change.contacts, &change.no_contacts);
    let revived = settings::change_contacts(&mut transaction, org, add, remove).await?;
    for (email, role) in &change.roles {
        if !settings::write_role(&mut transaction, org, trimmed(email), *role).await? {
            return Err(Error::NoSuchContact(email.clone()));
        }
    }
    for (email, kinds) in &change.kinds {
        let kinds = kinds.as_deref();
        if !settings::write_kinds(&mut transaction, org, trimmed(email), kinds).await? {
            return Err(Error::NoSuchContact(email.clone()));
        }
    }
    let outlook = outlook(&mut transaction, tz, org).await?;
    let over = if after.tier == before.tier {
        Vec::new()
    } else {
        let limits = limits::of(&mut transaction, org, None, now).await?;
        limits.into_iter().filter(Limit::is_exceeded).collect()
    };
    if dry_run {
        transaction.rollback().await.map_err(StoreError::from)?;
    } else {
        transaction.commit().await.map_err(StoreError::from)?;
    }
    let users_hear = match (had_contacts, outlook.contacts.is_empty()) {
        (true, true) => Some(true),
        (false, false) => Some(false),
        _ => None,
    };
    Ok(Changed { changes, calendar_holds_for, is_short, over, revived, users_hear, outlook })
}

/// The first boundary on the local date of `at` or later, from the open period's end on: the one
/// at which a rollover applies what is set for that time. `None` without an open period, and for a
/// calendar that cannot be read: rollovers say more about that.
fn boundary_for(
    settings: &Settings,
    tz: &TzData,
    at: Option<Instant>,
) -> Result<Option<Instant>, Error> {
    let Some((calendar, end)) = calendar_of(settings, tz) else { return Ok(None) };
    let date = at.map(|at| calendar.zone.date(at));
    Ok(Some(calendar.first_from(end, date, settings.skipped_end_date)?.at))
}

/// The calendar of an org, and the end of its open period as a boundary.
fn calendar_of(settings: &Settings, tz: &TzData) -> Option<(Calendar, Boundary)> {
    let at = settings.period_end?;
    let (zone, cycle) = (tz.zone(&settings.time_zone).ok()?, cycle_of(settings).ok()?);
    let calendar = Calendar { zone, cycle, time: settings.anchor_time };
    let date = settings.period_end_date.map_or_else(|| calendar.nearest(at), Ok).ok()?;
    Some((calendar, Boundary { at, date }))
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
    after.anchor_time = change.anchor_time.unwrap_or(after.anchor_time);
    if changes_the_calendar(before, &after) {
        cycle_of(&after)?;
        after.skipped_end_date = None;
        if change.at_next
            && let Some((calendar, end)) = next_calendar(before, &after, tz)?
        {
            after.skipped_end_date = Some(calendar.following(end)?.date);
        }
    } else if change.at_next {
        return Err(Error::NoNewCalendar);
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
    // A time means its local date: at midnight there begins the first boundary that it stands for.
    if let Ok(zone) = tz.zone(&after.time_zone) {
        // One that is not given here keeps its date where the org moves to another zone.
        let known = tz.zone(&before.time_zone).unwrap_or_else(|_| zone.clone());
        let moves = before.time_zone != after.time_zone;
        let day = |at: Instant, of: &Zone| zone.first_instant(of.date(at));
        if change.next_tier_at.is_some() || moves {
            let of = if change.next_tier_at.is_some() { &zone } else { &known };
            after.next_tier_at = after.next_tier_at.map(|at| day(at, of)).transpose()?;
        }
        if change.ends_at.is_some() || moves {
            let of = if change.ends_at.is_some() { &zone } else { &known };
            after.ends_at = after.ends_at.map(|at| day(at, of)).transpose()?;
        }
    }
    if let Some(locale) = &change.locale {
        if let Some(unknown) = locale.as_ref().filter(|locale| !mail::is_known_locale(locale)) {
            return Err(Error::Locale(unknown.clone()));
        }
        after.locale.clone_from(locale);
    }
    if let Some(thresholds) = &change.thresholds {
        let are_sound = |levels: &[u8]| {
            levels.len() <= 10
                && levels.iter().all(|level| (1..=100).contains(level))
                && levels.is_sorted_by(|one, next| one < next)
        };
        if thresholds.as_deref().is_some_and(|levels| !are_sound(levels)) {
            return Err(Error::Thresholds(InvalidThresholds));
        }
        let levels = thresholds.as_ref();
        after.thresholds = levels.map(|own| own.iter().copied().map(i16::from).collect());
    }
    Ok(after)
}

fn cycle_of(settings: &Settings) -> Result<Cycle, Error> {
    let (day, month) = (i64::from(settings.anchor_day), i64::from(settings.anchor_month));
    Ok(Cycle::new(&settings.cycle, day, month)?)
}

fn changes_the_calendar(before: &Settings, after: &Settings) -> bool {
    let calendar = |s: &Settings| {
        (s.time_zone.clone(), s.cycle.clone(), s.anchor_day, s.anchor_month, s.anchor_time)
    };
    calendar(before) != calendar(after)
}

/// The first period of a changed calendar: from the open period's end to the first later nominal
/// date of the new calendar that is not passed over. Says whether it is short. `None` where neither
/// calendar ends.
fn holds_for(
    before: &Settings,
    after: &Settings,
    tz: &TzData,
    now: Instant,
) -> Result<Option<(Period, bool)>, Error> {
    if !changes_the_calendar(before, after) {
        return Ok(None);
    }
    if before.period_end == Some(Instant::NEVER) {
        return holds_instead_of_never(after, tz, now);
    }
    let Some((calendar, start)) = next_calendar(before, after, tz)? else { return Ok(None) };
    let end = calendar.following_but(start, after.skipped_end_date)?;
    let period = Period { start: start.at, end: end.at };
    Ok(Some((period, calendar.is_short(start.at, end)?)))
}

/// A period without an end ends at the first boundary of the new calendar; the period after that.
fn holds_instead_of_never(
    after: &Settings,
    tz: &TzData,
    now: Instant,
) -> Result<Option<(Period, bool)>, Error> {
    let calendar = calendar_after(after, tz)?;
    if calendar.cycle == Cycle::None {
        return Ok(None);
    }
    let (open, date) = calendar.period_at(now)?;
    let end = calendar.following(Boundary { at: open.end, date })?.at;
    Ok(Some((Period { start: open.end, end }, false)))
}

fn calendar_after(after: &Settings, tz: &TzData) -> Result<Calendar, Error> {
    let (zone, cycle) = (tz.zone(&after.time_zone)?, cycle_of(after)?);
    Ok(Calendar { zone, cycle, time: after.anchor_time })
}

/// The calendar that holds after a change, and the end of the open period as a boundary; `None`
/// where it has none.
fn next_calendar(
    before: &Settings,
    after: &Settings,
    tz: &TzData,
) -> Result<Option<(Calendar, Boundary)>, Error> {
    let Some(at) = before.period_end.filter(|at| *at != Instant::NEVER) else { return Ok(None) };
    let calendar = calendar_after(after, tz)?;
    let date = match before.period_end_date {
        Some(date) => date,
        // An end that others wrote stands for the date that is nearest in the calendar it is read
        // by: the one that holds when the rollover comes, which is the new one.
        None => calendar.nearest(at)?,
    };
    Ok(Some((calendar, Boundary { at, date })))
}

fn altered(before: &Settings, after: &Settings) -> Vec<Altered> {
    let some = |text: &str| Some(text.to_owned());
    let instant = |value: Option<Instant>| value.map(|at| at.to_string());
    let levels = |value: &Option<Vec<i16>>| {
        let levels = value.as_ref()?.iter().map(i16::to_string).collect::<Vec<_>>();
        Some(if levels.is_empty() { "none".to_owned() } else { levels.join(",") })
    };
    let rows = |s: &Settings| {
        [
            ("name", "name", some(&s.name)),
            ("zone", "zone", some(&s.time_zone)),
            ("cycle", "cycle", some(&s.cycle)),
            ("anchor day", "anchor-day", some(&s.anchor_day.to_string())),
            ("anchor month", "anchor-month", some(&s.anchor_month.to_string())),
            ("anchor time", "anchor-time", some(&s.anchor_time.to_string())),
            ("tier", "tier", some(&s.tier)),
            ("next tier", "next-tier", s.next_tier.clone()),
            ("next tier at", "next-tier-at", instant(s.next_tier_at)),
            ("status", "status", s.status.clone()),
            ("subscription ends at", "ends-at", instant(s.ends_at)),
            ("locale", "locale", s.locale.clone()),
            ("thresholds", "thresholds", levels(&s.thresholds)),
        ]
    };
    let pairs = rows(before).into_iter().zip(rows(after));
    let changed = pairs.filter(|((.., before), (.., after))| before != after);
    let changes = changed.map(|((setting, flag, before), (.., after))| {
        let back = match (flag, &before) {
            // A next tier that is named anew has no time of its own.
            ("next-tier-at", None) => Vec::new(),
            (_, Some(value)) => vec![format!("--{flag}"), value.clone()],
            (_, None) => vec![format!("--no-{flag}")],
        };
        Altered { setting, before, after, back }
    });
    changes.collect()
}
