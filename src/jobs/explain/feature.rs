//! One feature of one org: used, included, purchased, left, and whether every copy of the number
//! says the same.

use std::collections::HashMap;

use super::copies::Copy;
use crate::billing::derived::{Copied, PurchasedColumn, Standing};
use crate::billing::forecast::{History, Window, forecast};
use crate::billing::quota::{Included, purchased_remaining};
use crate::billing::rollover::MINUTES;
use crate::billing::{Instant, LocalDate, Period, Quantity};
use crate::store::explain::{FeatureRow, OrgRow, Stretch};

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

/// What was used of each feature on the last days.
pub(super) struct Pace {
    pub(super) window: Window,
    pub(super) histories: HashMap<String, History>,
}

/// Where usage goes at the pace of the last four weeks.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Ahead {
    /// What will have been used when the period ends, in whole units.
    pub at_end: Quantity,
    /// The day in the org's zone on which the allowance is used up; null: not in this period, or
    /// already.
    pub used_up_on: Option<LocalDate>,
}

/// One feature in the period that contains now.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct FeatureView {
    /// The feature.
    pub feature: String,
    /// What one unit is called.
    pub unit: String,
    /// What the counter says: what limits are judged by.
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
    /// What an ended period that is not closed yet will take out of them.
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
    /// Used of the allowance, in whole percent; null: unlimited, or an allowance of 0.
    pub percent: Option<i64>,
    /// Every stored copy of the numbers, and whether it agrees.
    pub copies: Vec<Copy>,
    /// Would one more unit be allowed?
    pub increment: Increment,
    /// At the pace of the last four weeks; null: too little to go by.
    pub forecast: Option<Ahead>,
    /// What had been used by the end of each stretch of the period up to now.
    pub curve: Vec<Point>,
}

/// Would one more unit be allowed?
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
pub(super) fn view(
    row: FeatureRow,
    ended: &[FeatureRow],
    books: &Books<'_>,
    org: &OrgRow,
) -> FeatureView {
    let used = row.used.unwrap_or_default();
    let of_metrics = books.metrics.iter().filter(|stretch| stretch.feature == row.feature);
    let (mut counted, mut uncounted) = (Quantity::ZERO, Quantity::ZERO);
    for stretch in of_metrics {
        counted = counted.plus(stretch.counted).unwrap_or(counted);
        uncounted = uncounted.plus(stretch.uncounted).unwrap_or(uncounted);
    }
    let included = included(&row);
    let claimed = ended.iter().find(|before| before.feature == row.feature).map(claim_of);
    let claimed = claimed.unwrap_or_default().min(row.usable);
    let in_packs = row.usable;
    let usable = in_packs.minus(claimed).unwrap_or_default();
    let left_in_packs = purchased_remaining(included, row.drawn, usable, used).unwrap_or_default();
    let allowance =
        included.column().and_then(|included| Quantity::sum([included, row.drawn, usable]).ok());
    let left = allowance.and_then(|allowance| allowance.minus(used).ok());
    let percent = allowance.filter(|allowance| allowance.is_positive()).and_then(|allowance| {
        let hundredfold = used.millionths().checked_mul(100)?;
        i64::try_from(hundredfold / allowance.millionths()).ok()
    });
    let mut without_pack = Quantity::ZERO;
    let mut copies = vec![Copy::new("usage_counters.used", used, counted)];
    if row.feature == MINUTES && books.is_open {
        copies.push(Copy::new("organizations.used_minutes", org.used_minutes, used));
        let standing = Standing { used, included, drawn: row.drawn, usable };
        let column = PurchasedColumn {
            held: org.overage_minutes,
            written: org.overage_minutes_written,
            granted: org.overage_minutes_granted,
        };
        if let Ok(due) = standing.due(Copied::PurchasedRemaining, column) {
            let name = "organizations.overage_minutes";
            copies.push(Copy::new(name, org.overage_minutes, due.value));
            without_pack = due.without_pack;
        }
    }
    if books.is_open {
        let of_it = books.derived.iter().filter(|(feature, _)| *feature == row.feature);
        copies.extend(of_it.map(|(_, copy)| copy.clone()));
    }
    FeatureView {
        increment: increment(&row, org, books, included, used, allowance),
        forecast: ahead(&row.feature, books, used, allowance),
        curve: curve(&row.feature, books),
        feature: row.feature,
        unit: row.unit,
        used,
        used_by_metrics: counted,
        uncounted,
        is_listed: row.is_listed,
        is_own: row.is_own,
        included: included.column(),
        drawn: row.drawn,
        in_packs,
        claimed,
        purchased_remaining: left_in_packs,
        without_pack,
        is_synced: row.sync_status.as_deref() != Some("pending"),
        last_synced_at: row.last_synced_at,
        allowance,
        left,
        percent,
        copies,
    }
}

fn included(row: &FeatureRow) -> Included {
    if row.is_listed { Included::from(row.included) } else { Included::NONE }
}

/// What an ended period that is not closed yet will draw.
fn claim_of(before: &FeatureRow) -> Quantity {
    let overage = included(before).overage(before.used.unwrap_or_default()).unwrap_or_default();
    overage.minus(before.drawn).unwrap_or_default().or_zero()
}

fn increment(
    row: &FeatureRow,
    org: &OrgRow,
    books: &Books<'_>,
    included: Included,
    used: Quantity,
    allowance: Option<Quantity>,
) -> Increment {
    let no = |why: String| Increment { allowed: false, why: Some(why) };
    if org.current_period_start.is_none() || org.current_period_end.is_none() {
        return no("the org has no open period (SQLSTATE PB001)".to_owned());
    }
    if books.period.is_none() {
        return no("now lies beyond the last stored end: periodd has not run for long".to_owned());
    }
    let Included::Quantity(granted) = included else {
        return Increment { allowed: true, why: None };
    };
    let one = Quantity::units(1);
    let allowance = allowance.unwrap_or_default();
    if used.plus(one).is_ok_and(|used| used <= allowance) {
        return Increment { allowed: true, why: None };
    }
    let granted = match (row.is_listed, granted.is_zero()) {
        (false, _) => format!("tier {} says nothing about it", org.subscription_tier),
        (true, true) => "nothing is included".to_owned(),
        (true, false) => format!("the {granted} that are included are used up"),
    };
    let packs = if row.drawn.is_positive() || row.usable.is_positive() {
        "what was bought is used up too"
    } else {
        "no usable pack holds anything"
    };
    no(format!("{granted}, and {packs}: {used} used of {allowance}"))
}

fn ahead(
    feature: &str,
    books: &Books<'_>,
    used: Quantity,
    allowance: Option<Quantity>,
) -> Option<Ahead> {
    let (pace, period) = (books.pace.as_ref()?, books.period?);
    let history = pace.histories.get(feature)?;
    // What nothing limits is never used up.
    let limit = allowance.unwrap_or(Quantity::ZERO);
    let found = forecast(&pace.window, history, used, limit, period.end)?;
    let used_up_on = found.used_up_on.filter(|_| allowance.is_some());
    let at_end = found.expected_at_end.rounded(0).unwrap_or(found.expected_at_end);
    Some(Ahead { at_end, used_up_on })
}

/// The cumulative curve up to now, metrics that are not counted yet among them.
fn curve(feature: &str, books: &Books<'_>) -> Vec<Point> {
    let Some(period) = books.period else { return Vec::new() };
    let mut sum = Quantity::ZERO;
    let mut points = vec![Point { at: period.start, used: sum }];
    for (number, start) in (1..).zip(books.bounds) {
        let end = books.bounds.get(number).copied().unwrap_or(period.end);
        let of_it = books.metrics.iter().find(|stretch| {
            stretch.feature == feature && usize::try_from(stretch.number) == Ok(number)
        });
        if *start > books.now {
            break;
        }
        if let Some(stretch) = of_it {
            let more = stretch.counted.plus(stretch.uncounted).unwrap_or_default();
            sum = sum.plus(more).unwrap_or(sum);
        }
        points.push(Point { at: end.min(books.now), used: sum });
    }
    points
}
