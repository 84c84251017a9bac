//! Statements as CSV: a row for each line, whose amounts add up to the totals.

use uuid::Uuid;

use super::Shown;
use crate::billing::{Instant, Quantity};
use crate::cli::output::{Output, Page};

/// All lines of some statements.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Lines(Vec<Line>);

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Line {
    org: String,
    org_id: Uuid,
    /// Local to the org, like the last day.
    first_day: String,
    last_day: String,
    period_start: Instant,
    period_end: Instant,
    tier: String,
    /// usage, adjustment, pack (bought), refund (of a pack) or none (nothing was used).
    kind: &'static str,
    feature: Option<String>,
    used: Option<Quantity>,
    included: Option<Quantity>,
    drawn: Option<Quantity>,
    uncovered: Option<Quantity>,
    /// Price of an uncovered unit, or of a pack.
    price_cents: Option<Quantity>,
    amount_cents: Option<Quantity>,
    currency: Option<String>,
    /// Of a pack.
    quantity: Option<Quantity>,
    reference: Option<String>,
    /// Of an adjustment.
    reason: Option<String>,
}

impl Lines {
    pub(super) fn of(statements: &[Shown]) -> Self {
        let mut lines = Vec::new();
        for shown in statements {
            let before = lines.len();
            lines.extend(shown.usage.iter().map(|row| Line {
                feature: Some(row.feature.clone()),
                used: Some(row.used),
                included: row.included,
                drawn: Some(row.drawn),
                uncovered: Some(row.uncovered),
                price_cents: row.price_cents,
                amount_cents: row.amount_cents,
                currency: row.amount_cents.and(shown.currency.clone()),
                ..Line::new(shown, "usage")
            }));
            lines.extend(shown.adjustments.iter().map(|row| Line {
                feature: Some(row.feature.clone()),
                used: Some(row.used),
                drawn: Some(row.drawn),
                uncovered: Some(row.uncovered),
                price_cents: row.price_cents,
                amount_cents: row.amount_cents,
                currency: row.amount_cents.and(row.currency.clone()),
                reason: row.reason.clone(),
                ..Line::new(shown, "adjustment")
            }));
            lines.extend(shown.packs_bought.iter().map(|row| Line {
                feature: Some(row.feature.clone()),
                quantity: Some(row.quantity),
                price_cents: row.price_cents.map(Quantity::units),
                amount_cents: row.price_cents.map(Quantity::units),
                currency: row.currency.clone(),
                reference: row.reference.clone(),
                ..Line::new(shown, "pack")
            }));
            lines.extend(shown.packs_refunded.iter().map(|row| Line {
                feature: Some(row.feature.clone()),
                quantity: Some(row.quantity),
                amount_cents: row.amount_cents,
                currency: row.amount_cents.and(row.currency.clone()),
                reference: row.reference.clone(),
                ..Line::new(shown, "refund")
            }));
            if lines.len() == before {
                lines.push(Line::new(shown, "none"));
            }
        }
        Self(lines)
    }
}

impl Line {
    fn new(shown: &Shown, kind: &'static str) -> Self {
        Self {
            org: shown.org.clone(),
            org_id: shown.org_id,
            first_day: shown.first_day.clone(),
            last_day: shown.last_day.clone(),
            period_start: shown.period_start,
            period_end: shown.period_end,
            tier: shown.tier.clone(),
            kind,
            feature: None,
            used: None,
            included: None,
            drawn: None,
            uncovered: None,
            price_cents: None,
            amount_cents: None,
            currency: None,
            quantity: None,
            reference: None,
            reason: None,
        }
    }
}

impl Output for Lines {
    fn page(&self) -> Page {
        Page::new()
    }
}
