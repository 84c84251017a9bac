//! The series behind charts: usage of an org by local day or by billing period, and where it goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::billing::series::{By, InvalidRange, Range};
use crate::billing::{Instant, LocalDate, Period, Quantity, Zone};
use crate::jobs::outlook::{Ahead, Pace};
use crate::store::reports::explain as rows;
use crate::store::reports::history::{self, PeriodRow, PeriodState};
use crate::store::usage::asked::{self, Question, Standing};
use crate::store::{Connection, StoreError};
use crate::tz::TzData;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub org: Uuid,
    /// In any case of letters; `None`: all that the org has or has used.
    pub feature: Option<&'a str>,
    pub by: By,
    pub range: Range,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The org has gone since its name was looked up.
    #[error("the organization has just gone")]
    Gone,
    #[error("unknown feature")]
    UnknownFeature,
    #[error("the parameter {0}")]
    Range(#[from] InvalidRange),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The usage of an organization over time.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum History {
    ByDay(DayHistory),
    ByPeriod(PeriodHistory),
}

/// Usage by local day.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct DayHistory {
    /// The slug of the organization.
    org: String,
    /// The zone of its days.
    time_zone: String,
    /// When this was so.
    as_of: Instant,
    /// By feature and date.
    days: Vec<Day>,
    /// By feature, where the series reaches the current period.
    forecasts: Vec<Forecast>,
}

/// Usage by billing period.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct PeriodHistory {
    /// The slug of the organization.
    org: String,
    time_zone: String,
    /// When this was so.
    as_of: Instant,
    /// By feature and start.
    periods: Vec<PeriodUsage>,
    /// By feature, where the series reaches the current period.
    forecasts: Vec<Forecast>,
}

/// What was used of a feature on a day.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Day {
    feature: String,
    /// The local date.
    date: LocalDate,
    /// The first instant of the day.
    start: Instant,
    /// The first instant of the next day.
    end: Instant,
    /// How much was used, also what is not counted yet.
    used: Quantity,
}

/// What was used of a feature in a billing period.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct PeriodUsage {
    feature: String,
    state: PeriodState,
    period_start: Instant,
    period_end: Instant,
    /// The tier that granted in it.
    tier: String,
    /// How much was used; of a closed period, by its close.
    used: Quantity,
    /// What was included; null: unlimited, or unknown because nothing was used.
    included: Option<Quantity>,
    /// What packs paid for; before the close, so far.
    drawn: Quantity,
    /// What nothing paid for; null before the close.
    uncovered: Option<Quantity>,
    /// What came after the close, beside `used`.
    late: Quantity,
}

/// Where usage goes in the current period.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Forecast {
    pub feature: String,
    pub period_end: Instant,
    #[serde(flatten)]
    pub ahead: Ahead,
}

/// Reads the history of an org.
///
/// # Errors
/// [`Error`]; of the store as every reading.
pub async fn read(
    connection: &mut Connection,
    tz: &TzData,
    asked: &Asked<'_>,
) -> Result<History, Error> {
    let mut reading = crate::store::begin(connection).await?;
    let question =
        Question { org: asked.org.to_string(), feature: asked.feature.map(str::to_owned) };
    let standing = asked::standings(&mut reading, &[question]).await?.pop().flatten();
    let standing = standing.ok_or(Error::Gone)?;
    if !standing.is_known_feature {
        return Err(Error::UnknownFeature);
    }
    let known_zone = tz.zone(&standing.time_zone).ok();
    let zone = known_zone.clone().unwrap_or_else(Zone::utc);
    let history = match asked.by {
        By::Day => {
            let (days, until) = by_day(&mut reading, asked, &standing, &zone).await?;
            let forecasts = forecasts(&mut reading, &standing, known_zone.as_ref(), until).await?;
            let Standing { slug: org, as_of, .. } = standing;
            let time_zone = zone.name().to_owned();
            History::ByDay(DayHistory { org, time_zone, as_of, days, forecasts })
        }
        By::Period => {
            let (periods, until) = by_period(&mut reading, asked, &standing, &zone).await?;
            let forecasts = forecasts(&mut reading, &standing, known_zone.as_ref(), until).await?;
            let Standing { slug: org, as_of, .. } = standing;
            let time_zone = zone.name().to_owned();
            History::ByPeriod(PeriodHistory { org, time_zone, as_of, periods, forecasts })
        }
    };
    reading.rollback().await.map_err(StoreError::from)?;
    Ok(history)
}

/// The features that have rows: those that the org has now, and those that were found.
fn features<'a>(
    standing: &'a Standing,
    found: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    standing.limits.iter().map(|limit| limit.feature.as_str()).chain(found)
}

/// Usage by day, and the end of the last.
async fn by_day(
    connection: &mut Connection,
    asked: &Asked<'_>,
    standing: &Standing,
    zone: &Zone,
) -> Result<(Vec<Day>, Instant), Error> {
    let days = asked.range.days(zone.date(standing.as_of), zone)?;
    let Some((until, starts)) = days.starts.split_last() else {
        return Ok((Vec::new(), standing.as_of));
    };
    let only = only(asked, standing);
    let whole = Period { start: *starts.first().unwrap_or(until), end: *until };
    let found = rows::metrics(connection, standing.org, only, whole, starts, false).await?;
    let named = found.iter().map(|stretch| stretch.feature.as_str());
    let mut used: BTreeMap<&str, Vec<Quantity>> = features(standing, named)
        .map(|feature| (feature, vec![Quantity::ZERO; starts.len()]))
        .collect();
    for stretch in &found {
        let day = usize::try_from(stretch.number - 1).ok();
        let days = used.get_mut(stretch.feature.as_str());
        if let Some(used) = days.zip(day).and_then(|(days, day)| days.get_mut(day)) {
            *used = stretch.counted.plus(stretch.uncounted).unwrap_or(stretch.counted);
        }
    }
    let mut series = Vec::new();
    for (feature, used) in used {
        let ends = days.starts.iter().skip(1);
        for (((date, start), end), used) in days.dates.iter().zip(starts).zip(ends).zip(used) {
            let feature = feature.to_owned();
            series.push(Day { feature, date: *date, start: *start, end: *end, used });
        }
    }
    Ok((series, *until))
}

/// Usage by period, and the end of what was asked for.
async fn by_period(
    connection: &mut Connection,
    asked: &Asked<'_>,
    standing: &Standing,
    zone: &Zone,
) -> Result<(Vec<PeriodUsage>, Instant), Error> {
    let now = standing.as_of;
    let periods = asked.range.periods(zone.date(now), zone)?;
    let only = only(asked, standing);
    let found = history::of_org(connection, standing.org, only, &periods, now).await?;
    let mut by_start: BTreeMap<Instant, HashMap<Option<&str>, &PeriodRow>> = BTreeMap::new();
    for row in &found {
        by_start.entry(row.start).or_default().insert(row.feature.as_deref(), row);
    }
    if periods.from.is_some() && by_start.len() > periods.most {
        return Err(InvalidRange::TooManyPeriods.into());
    }
    let older = by_start.len().saturating_sub(periods.most);
    let named = found.iter().filter_map(|row| row.feature.as_deref());
    let mut series = Vec::new();
    for feature in features(standing, named).collect::<BTreeSet<&str>>() {
        for rows in by_start.values().skip(older) {
            let own = rows.get(&Some(feature));
            let any = own.or_else(|| rows.values().next());
            series.extend(any.map(|row| PeriodUsage::of(feature, row, own.is_some())));
        }
    }
    Ok((series, periods.until))
}

impl PeriodUsage {
    /// A row of a feature; where the period has none of it, nothing was used.
    fn of(feature: &str, row: &PeriodRow, is_own: bool) -> Self {
        let quantity = |quantity| if is_own { quantity } else { Quantity::ZERO };
        Self {
            feature: feature.to_owned(),
            state: row.state,
            period_start: row.start,
            period_end: row.end,
            tier: row.tier.clone(),
            used: quantity(row.used),
            included: row.included.filter(|_| is_own),
            drawn: quantity(row.drawn),
            uncovered: row.uncovered.map(quantity),
            late: quantity(row.late),
        }
    }
}

/// The feature that was asked for, as the tables name it.
fn only<'a>(asked: &Asked<'_>, standing: &'a Standing) -> Option<&'a str> {
    asked.feature.and(standing.limits.first()).map(|limit| limit.feature.as_str())
}

/// Where the usage of a standing goes in its period, by feature; nothing of features with too
/// little history.
pub async fn outlook(
    connection: &mut Connection,
    standing: &Standing,
    tz: &TzData,
) -> Result<Vec<Forecast>, StoreError> {
    let ends = standing.limits.iter().filter_map(|limit| limit.period_end);
    let Some(until) = ends.max() else { return Ok(Vec::new()) };
    let zone = tz.zone(&standing.time_zone).ok();
    forecasts(connection, standing, zone.as_ref(), until).await
}

/// Forecasts of a series that reaches now.
async fn forecasts(
    connection: &mut Connection,
    standing: &Standing,
    zone: Option<&Zone>,
    until: Instant,
) -> Result<Vec<Forecast>, StoreError> {
    let (now, limits) = (standing.as_of, &standing.limits);
    if until <= now {
        return Ok(Vec::new());
    }
    let named = limits.iter().map(|limit| limit.feature.as_str());
    let Some(pace) = Pace::read(connection, standing.org, zone, named, now).await? else {
        return Ok(Vec::new());
    };
    let ahead = limits.iter().filter_map(|limit| {
        let (feature, period_end) = (limit.feature.clone(), limit.period_end?);
        let ahead = pace.ahead(&feature, limit.used, limit.effective_limit, period_end)?;
        Some(Forecast { feature, period_end, ahead })
    });
    Ok(ahead.collect())
}
