//! One feature of one org: used, included, purchased, left, and whether every copy of the number
//! says the same.

use super::copies::Copy;
use crate::billing::derived::{Copied, CounterState, PurchasedColumn};
use crate::billing::quota::Included;
use crate::billing::rollover::MINUTES;
use crate::billing::{Instant, Period, Quantity};
use crate::jobs::outlook::{Ahead, Pace};
use crate::store::reports::explain::{FeatureRow, OrgRow, Stretch};
use crate::store::usage::limits::WhyNot;

/// What is known of the period that contains now.
pub(super) struct Books<'a> {
    pub(super) period: Option<Period>,
    pub(super) is_open: bool,
    pub(super) bounds: &'a [Instant],
    pub(super) metrics: &'a [Stretch],
    pub(super) pace: &'a Option<Pace>,
    /// What configured columns hold, each with its feature.
    pub(super) derived: &'a [(String, Copy)],
    pub(super) now: Instant,
}

/// One feature in the period that contains now.
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts")]
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct FeatureView {
    /// The feature.
    pub feature: String,
    /// Does it not reset, as storage or seats?
    pub is_level: bool,
    /// What one unit is called.
    pub unit: String,
    /// The counter, which limits are checked against.
    pub used: Quantity,
    /// What its counted metrics add up to.
    pub used_by_metrics: Quantity,
    /// What metrics hold that are not counted yet.
    pub uncounted: Quantity,
    /// Is anything said about what is included? Otherwise nothing is.
    pub is_listed: bool,
    /// Is it the org's own, and not its tier's?
    pub is_own: bool,
    /// What is included; null: unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in this period.
    pub drawn: Quantity,
    /// What usable packs hold.
    pub in_packs: Quantity,
    /// What ended periods that are not closed yet will take out of them.
    pub claimed: Quantity,
    /// What of it is still to be had.
    pub purchased_remaining: Quantity,
    /// What someone added to the column of purchased minutes without a pack: nobody can use it.
    pub without_pack: Quantity,
    /// Have the copies been written since the counter moved last?
    pub is_synced: bool,
    /// When they were written or audited last.
    pub last_synced_at: Option<Instant>,
    /// All that may be used in this period; null: unlimited.
    pub allowance: Option<Quantity>,
    /// What of the allowance is left; null: unlimited.
    pub left: Option<Quantity>,
    /// Used of the allowance, in whole percent; null: unlimited.
    pub percent: Option<i64>,
    /// Every stored copy of the numbers, and whether it agrees.
    pub copies: Vec<Copy>,
    /// Whether one more unit would be allowed.
    pub increment: Increment,
    /// At the rate of the last four weeks; null: too little to go by.
    pub forecast: Option<Ahead>,
    /// What had been used by the end of each stretch of the period up to now.
    pub curve: Vec<Point>,
}

/// Whether one more unit would be allowed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Increment {
    /// The answer.
    pub allowed: bool,
    /// Why not.
    pub why: Option<String>,
}

/// What had been used by an instant.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Point {
    /// When.
    pub at: Instant,
    /// How much, since the period's start.
    pub used: Quantity,
}

/// Puts together what is known of a feature.
pub(super) fn view(row: FeatureRow, books: &Books<'_>, org: &OrgRow) -> FeatureView {
    let used = row.used;
    let of_metrics = books.metrics.iter().filter(|stretch| stretch.feature == row.feature);
    let (mut counted, mut uncounted) = (Quantity::ZERO, Quantity::ZERO);
    for stretch in of_metrics {
        counted = counted.plus(stretch.counted).unwrap_or(counted);
        uncounted = uncounted.plus(stretch.uncounted).unwrap_or(uncounted);
    }
    let mut without_pack = Quantity::ZERO;
    let mut copies = vec![Copy::new("usage_counters.used", used, counted)];
    if row.feature == MINUTES && books.is_open {
        let name = "organizations.used_minutes";
        copies.extend(org.used_minutes.map(|held| Copy::new(name, held, used)));
        let included = Included::from(row.included);
        let state = CounterState { used, included, drawn: row.drawn, usable: row.usable };
        let column = PurchasedColumn {
            held: org.overage_minutes.unwrap_or_default(),
            written: org.overage_minutes_written,
            granted: org.overage_minutes_granted,
        };
        if let (Some(held), Ok(due)) =
            (org.overage_minutes, state.due(Copied::PurchasedRemaining, column))
        {
            let name = "organizations.overage_minutes";
            copies.push(Copy::new(name, held, due.value));
            without_pack = due.without_pack;
        }
    }
    if books.is_open {
        let of_it = books.derived.iter().filter(|(feature, _)| *feature == row.feature);
        copies.extend(of_it.map(|(_, copy)| copy.clone()));
    }
    FeatureView {
        increment: increment(&row, org),
        forecast: ahead(&row.feature, books, used, row.allowance),
        curve: curve(&row.feature, books),
        feature: row.feature,
        is_level: row.is_level,
        unit: row.unit,
        used,
        used_by_metrics: counted,
        uncounted,
        is_listed: row.is_granted,
        is_own: row.is_own,
        included: row.included,
        drawn: row.drawn,
        in_packs: row.usable.plus(row.owed).unwrap_or(row.usable),
        claimed: row.owed,
        purchased_remaining: row.purchased_remaining,
        without_pack,
        is_synced: row.sync_status.as_deref() != Some("pending"),
        last_synced_at: row.last_synced_at,
        allowance: row.allowance,
        left: row.remaining,
        percent: row
            .percent
            .and_then(|percent| i64::try_from(percent.millionths() / 1_000_000).ok()),
        copies,
    }
}

fn increment(row: &FeatureRow, org: &OrgRow) -> Increment {
    let why = match row.why_not {
        None => return Increment { allowed: true, why: None },
        Some(WhyNot::NoPeriod) => "the org has no open period (SQLSTATE PB001)".to_owned(),
        Some(WhyNot::BeyondEnds) => {
            "now is after the last stored period end: periodd has not run for too long".to_owned()
        }
        Some(WhyNot::Paused) => "the org is paused".to_owned(),
        Some(why) => {
            let granted = match (why, row.included.unwrap_or_default()) {
                (WhyNot::NotGranted, _) => {
                    format!("tier {} does not include it", org.subscription_tier)
                }
                (_, Quantity::ZERO) => "nothing is included".to_owned(),
                (_, included) => format!("all {included} included are used up"),
            };
            let packs = if row.drawn.is_positive() || row.usable.is_positive() {
                "purchased packs are used up too"
            } else {
                "no usable pack has any left"
            };
            let (used, allowance) = (row.used, row.allowance.unwrap_or_default());
            format!("{granted}, and {packs}: {used} used of {allowance}")
        }
    };
    Increment { allowed: false, why: Some(why) }
}

fn ahead(
    feature: &str,
    books: &Books<'_>,
    used: Quantity,
    allowance: Option<Quantity>,
) -> Option<Ahead> {
    let (pace, period) = (books.pace.as_ref()?, books.period?);
    pace.ahead(feature, used, allowance, period.end)
}

/// The cumulative curve up to now, metrics that are not counted yet among them.
fn curve(feature: &str, books: &Books<'_>) -> Vec<Point> {
    let Some(period) = books.period else { return Vec::new() };
    let of_it = |number: usize| {
        books.metrics.iter().find(move |stretch| {
            stretch.feature == feature && usize::try_from(stretch.number) == Ok(number)
        })
    };
    let mut sum = of_it(0).map_or(Quantity::ZERO, |carried| carried.counted);
    let mut points = vec![Point { at: period.start, used: sum }];
    for (number, start) in (1..).zip(books.bounds) {
        let end = books.bounds.get(number).copied().unwrap_or(period.end);
        if *start > books.now {
            break;
        }
        if let Some(stretch) = of_it(number) {
            let more = stretch.counted.plus(stretch.uncounted).unwrap_or_default();
            sum = sum.plus(more).unwrap_or(sum);
        }
        points.push(Point { at: end.min(books.now), used: sum });
    }
    points
}
