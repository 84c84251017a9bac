//! The allowance that runs out before its period ends, foreseen: once per period, and again once
//! a purchase that covered it is used up.
//!
//! A forecast is not certain. It is believed only as far as forecasts of this org were right in
//! its last periods: what is expected, less that error, must still exceed the allowance. Nothing
//! is said in the last tenth of a period, when it is too late to plan.

use super::{Decided, Kind, Notice, Part, RunsOut, Seen, SeenState};
use crate::billing::forecast::Forecast;
use crate::billing::forecast::backtest::{Comparison, Method};
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, Period, Quantity};

/// The error where no period has been closed, in tenths of a percent: that of the usual org in
/// docs/forecasts.md.
const USUAL_ERROR: u64 = 100;
/// The largest error: of whom it is more, nothing can be foreseen.
const WHOLE: u64 = 1_000;

/// A counter of an open period.
#[derive(Clone, Debug)]
pub struct CounterAhead<'a> {
    pub feature: &'a str,
    pub period: Period,
    pub used: Quantity,
    pub allowance: Quantity,
    /// Where usage is heading; `None` with less than a week of history.
    pub forecast: Option<Forecast>,
    /// How far forecasts were off, in tenths of a percent of the total.
    pub error: u64,
}

/// What a pass does about a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing.
    Nothing,
    Tell(Decided),
    /// A purchase covers what was foreseen: this key no longer holds.
    Withdraw(String),
}

/// Is it early enough in a period to say anything? Not in its last tenth.
pub fn is_early(period: Period, now: Instant) -> bool {
    let (whole, left) = (period.end.since(period.start), period.end.since(now));
    now >= period.start && now < period.end && left * 10 >= whole
}

/// How far off forecasts were at about this moment of the last periods, in tenths of a percent:
/// the median.
pub fn error(compared: &[Comparison], period: Period, now: Instant) -> u64 {
    let whole = period.end.since(period.start).as_secs().max(1);
    let percent = now.since(period.start).as_secs().saturating_mul(100) / whole;
    let quarter = match percent {
        ..38 => 25,
        38..63 => 50,
        _ => 75,
    };
    let mut errors: Vec<u64> = compared
        .iter()
        .filter(|one| one.method == Method::Weekdays && one.percent == quarter)
        .map(|one| one.total_error.min(WHOLE))
        .collect();
    errors.sort_unstable();
    errors.get(errors.len() / 2).copied().unwrap_or(USUAL_ERROR)
}

/// The key of a generation: the purchases that covered what was foreseen before count.
fn key(feature: &str, period: Period, generation: usize) -> String {
    format!("{}/{feature}/{generation}", period.start)
}

/// What was recorded of this counter in its period.
fn of_counter<'s>(feature: &str, period: Period, seen: &'s [Seen]) -> Vec<&'s Seen> {
    let prefix = format!("{}/{feature}/", period.start);
    let is_it = |one: &&Seen| one.kind == Kind::RunsOut && one.key.starts_with(&prefix);
    seen.iter().filter(is_it).collect()
}

/// Is there any use in looking closer? Not where it was told, and nothing was bought since.
pub fn may_concern(feature: &str, period: Period, allowance: Quantity, seen: &[Seen]) -> bool {
    let told = of_counter(feature, period, seen).into_iter();
    let mut told = told.filter(|one| one.state == SeenState::Told);
    told.all(|one| one.allowance.is_none_or(|before| allowance > before))
}

/// Decides about a counter.
///
/// # Errors
/// [`Overflow`] for quantities at the end of their range.
pub fn decide(
    counter: &CounterAhead<'_>,
    now: Instant,
    seen: &[Seen],
) -> Result<Outlook, Overflow> {
    let CounterAhead { feature, period, used, allowance, forecast, error } = *counter;
    let before = of_counter(feature, period, seen);
    let covered = forecast.is_some_and(|ahead| ahead.expected_at_end < allowance);
    if let Some(told) = before.iter().find(|one| one.state == SeenState::Told) {
        let is_raised = told.allowance.is_some_and(|before| allowance > before);
        return Ok(if is_raised && covered {
            Outlook::Withdraw(told.key.clone())
        } else {
            Outlook::Nothing
        });
    }
    let Some(Forecast { used_up_on: Some(about), expected_at_end }) = forecast else {
        return Ok(Outlook::Nothing);
    };
    let sure = i128::from(WHOLE - error.min(WHOLE));
    let is_sure = expected_at_end.millionths() / i128::from(WHOLE) * sure >= allowance.millionths();
    if !is_early(period, now) || used >= allowance || !is_sure {
        return Ok(Outlook::Nothing);
    }
    let generation = 1 + before.iter().filter(|one| one.state == SeenState::Withdrawn).count();
    let notice = Notice::RunsOut(RunsOut {
        feature: feature.to_owned(),
        period_start: period.start,
        period_end: period.end,
        used,
        allowance,
        expected_at_end,
        about,
    });
    Ok(Outlook::Tell(Decided {
        kind: Kind::RunsOut,
        key: key(feature, period, generation),
        part: Part::Tells(notice),
        until: period.end,
    }))
}
