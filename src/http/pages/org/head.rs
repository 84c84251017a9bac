//! What stands above everything: who the org is, why it is parked, its findings, its period, and
//! what is to change.

use serde::Serialize;

use crate::billing::Instant;
use crate::billing::period::cycle_words;
use crate::http::pages::clock::{Clock, Moment};
use crate::http::pages::parts::{Found, said};
use crate::jobs::explain::Explanation;

#[derive(Serialize)]
pub(super) struct Head {
    /// What is said beside the name.
    beside: Vec<String>,
    now: String,
    /// Why the org is parked, and since when.
    parked: Option<(String, Option<Moment>)>,
    /// Since when the org is paused or from when on it will be, until when, and why.
    paused: Option<String>,
    findings: Vec<Found>,
    period: Option<Period>,
    changes: Vec<String>,
}

#[derive(Serialize)]
struct Period {
    start: Moment,
    end: Moment,
    passed_percent: i64,
    is_open: bool,
    never_ends: bool,
}

pub(super) fn head(found: &Explanation, clock: &Clock) -> Head {
    let row = &found.org;
    let mut beside = vec![row.slug.clone(), format!("tier {}", row.subscription_tier)];
    beside.extend(row.subscription_status.clone());
    beside.push(row.time_zone.clone());
    let (day, month) = (row.anchor_day, row.anchor_month);
    beside.push(cycle_words(&row.cycle, day, month, row.anchor_time));
    let paused = row.pause(found.now).map(|pause| {
        let word = if pause.contains(found.now) { "Paused since" } else { "Will be paused from" };
        let shown = |at: Instant| clock.moment(at).text().to_owned();
        let until = pause.until.map_or_else(
            || "until it is resumed".to_owned(),
            |until| format!("until {}", shown(until)),
        );
        let reason = row.pause_reason.as_deref().unwrap_or("no reason was given");
        let sentence = format!("{word} {} {until}: {reason}", shown(pause.from));
        crate::text::visible(&sentence).into_owned()
    });
    let reason = row.parked_reason.as_deref().unwrap_or("no reason was given");
    Head {
        beside: beside.iter().map(|text| said(text)).collect(),
        now: clock.moment(found.now).text().to_owned(),
        parked: row.is_parked.then(|| {
            (crate::text::visible(reason).into_owned(), row.parked_at.map(|at| clock.moment(at)))
        }),
        paused,
        findings: found.findings.iter().map(Into::into).collect(),
        period: found.period.as_ref().map(|period| Period {
            start: clock.moment(period.start),
            end: clock.moment(period.end),
            passed_percent: period.passed_percent,
            is_open: period.is_open,
            never_ends: period.end == Instant::NEVER,
        }),
        changes: changes(found, clock),
    }
}

/// What is to change, in words.
fn changes(found: &Explanation, clock: &Clock) -> Vec<String> {
    let row = &found.org;
    let shown = |at: Instant| clock.moment(at).text().to_owned();
    if !found.tiers_ahead.is_empty() {
        let sentences = found.tiers_ahead.iter().map(|change| {
            let words = change.sentence(&shown(change.takes_effect));
            crate::text::visible(&format!("A change {words}.")).into_owned()
        });
        return sentences.collect();
    }
    let mut changes = Vec::new();
    if let Some(tier) = &row.next_subscription_tier {
        let from = row.next_subscription_tier_at.map(shown);
        let from = from.map_or_else(
            || "at the end of the period".to_owned(),
            |at| format!("at the first end of a period from {at} on"),
        );
        changes.push(format!("The tier becomes {} {from}.", said(tier)));
    }
    if let Some(at) = row.subscription_ends_at {
        changes.push(format!("The subscription ends at {}.", shown(at)));
    }
    changes
}
