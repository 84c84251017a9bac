//! How well forecasts did: replays closed periods, and compares what would have been said in them
//! with what came.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::billing::forecast::backtest::{Comparison, Figures, Method, Replay, compare, days_of};
use crate::billing::{Instant, Quantity, Zone};
use crate::store::messages::content::{self, Days};
use crate::store::reports::closed::{self, ClosedUsage};
use crate::store::{Connection, StoreError};
use crate::tz::TzData;

/// Orgs that are read at a time.
const PAGE: u32 = 50;
/// Orgs that are looked at where nobody names any; ids say nothing of usage, so the first are as
/// good as others.
const MOST_ORGS: usize = 1_000;

/// How far forecasts were off, by feature.
#[derive(Debug, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Backtest {
    /// Orgs whose closed periods were read.
    pub orgs: usize,
    /// Are there orgs beyond these?
    pub is_sample: bool,
    /// Closed periods of a feature that were replayed.
    pub replayed: usize,
    /// Those whose metrics are no longer all there.
    pub without_metrics: usize,
    /// By feature, moment and method.
    pub figures: Vec<Row>,
}

/// How one method did at one moment of the periods.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Row {
    pub feature: String,
    /// How much of the period was over: 25, 50 or 75.
    pub percent: u8,
    pub method: Method,
    /// Forecasts that were compared.
    pub forecasts: usize,
    /// Median error of the total, in percent of what was used.
    #[schemars(with = "f64")]
    pub total_error_percent: Quantity,
    /// Periods whose included quantity was used up after that moment, as was foreseen.
    pub foreseen: usize,
    /// Median error of the day on which it was used up; null where none was foreseen.
    pub days_off: Option<u64>,
    /// Periods in which it was used up, and no forecast said so.
    pub missed: usize,
    /// Periods in which it was not used up, but a forecast said so.
    pub false_alarms: usize,
}

/// Replays the newest closed periods of these orgs, of all where none is named.
///
/// # Errors
/// As every reading.
pub async fn backtest(
    connection: &mut Connection,
    tz: &TzData,
    orgs: &[Uuid],
    periods: u32,
) -> Result<Backtest, StoreError> {
    let mut found = Backtest::default();
    let mut all: BTreeMap<(String, u8, Method), Vec<Comparison>> = BTreeMap::new();
    let mut after = Uuid::nil();
    let mut named = orgs.chunks(usize::try_from(PAGE).unwrap_or(1));
    loop {
        let page = if orgs.is_empty() {
            closed::orgs_after(connection, after, PAGE).await?
        } else {
            named.next().unwrap_or_default().to_vec()
        };
        let Some(last) = page.last() else { break };
        if orgs.is_empty() && found.orgs >= MOST_ORGS {
            found.is_sample = true;
            break;
        }
        after = *last;
        found.orgs += page.len();
        let rows = closed::newest(connection, &page, periods).await?;
        replay(connection, tz, &rows, &mut found, &mut all).await?;
    }
    found.figures = all.into_iter().map(|(of, compared)| Row::new(of, &compared)).collect();
    Ok(found)
}

/// Replays the periods of a page.
async fn replay(
    connection: &mut Connection,
    tz: &TzData,
    rows: &[ClosedUsage],
    found: &mut Backtest,
    all: &mut BTreeMap<(String, u8, Method), Vec<Comparison>>,
) -> Result<(), StoreError> {
    for (row, comparisons) in compared(connection, tz, rows).await? {
        // What retention has removed cannot be replayed.
        let Some(comparisons) = comparisons else {
            found.without_metrics += 1;
            continue;
        };
        found.replayed += 1;
        for compared in comparisons {
            let of = (row.feature.clone(), compared.percent, compared.method);
            all.entry(of).or_default().push(compared);
        }
    }
    Ok(())
}

/// The forecasts of closed periods, compared with what came; `None` where the metrics of a period
/// are no longer all there. The rows are in the order in which they are read.
pub(in crate::jobs) async fn compared<'a>(
    connection: &mut Connection,
    tz: &TzData,
    rows: &'a [ClosedUsage],
) -> Result<Vec<(&'a ClosedUsage, Option<Vec<Comparison>>)>, StoreError> {
    let mut asked: Vec<(&ClosedUsage, Option<Quantity>, Zone, Vec<Instant>)> = Vec::new();
    let before = std::iter::once(None).chain(rows.iter().map(Some));
    for (row, before) in rows.iter().zip(before) {
        let before = before.filter(|before| {
            (before.org, &before.feature, before.period.end)
                == (row.org, &row.feature, row.period.start)
        });
        let last = before.map(|before| before.used);
        let zone = row.time_zone.as_deref().and_then(|name| tz.zone(name).ok());
        let zone = zone.unwrap_or_else(Zone::utc);
        if let Ok(days) = days_of(&zone, row.period) {
            asked.push((row, last, zone, days));
        }
    }
    let days: Vec<Days<'_>> = asked
        .iter()
        .map(|(row, _, _, days)| Days { org: row.org, feature: &row.feature, boundaries: days })
        .collect();
    let used = content::used_by_day(connection, &days).await?;
    let compared = asked.iter().zip(&used).map(|((row, last, zone, boundaries), used)| {
        let replay = Replay {
            zone,
            period: row.period,
            included: row.included,
            boundaries,
            used: &used.days,
            is_older: used.is_older,
            last: *last,
        };
        let is_whole = replay.total().ok() == Some(row.used);
        (*row, is_whole.then(|| compare(&replay)))
    });
    Ok(compared.collect())
}

impl Row {
    fn new((feature, percent, method): (String, u8, Method), compared: &[Comparison]) -> Self {
        let figures = Figures::of(compared.iter());
        let tenths = i128::from(figures.total_error) * 100_000;
        Self {
            feature,
            percent,
            method,
            forecasts: figures.forecasts,
            total_error_percent: Quantity::from_millionths(tenths).unwrap_or_default(),
            foreseen: figures.foreseen,
            days_off: (figures.foreseen > 0).then_some(figures.days_off),
            missed: figures.missed,
            false_alarms: figures.false_alarms,
        }
    }
}
